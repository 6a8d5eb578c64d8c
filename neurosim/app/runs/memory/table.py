"""Text that `neurosim memory ...` prints."""

from __future__ import annotations

from collections.abc import Sequence

from ..frame.tables import Rows, accuracy_row, dataset_name, energy_rows, file_rows, grid, percent, quantity, table
from .result import MemoryResult, RecallAtSize


def render(result: MemoryResult) -> str:
    """Return the figures of every run, then those of this command, then the files."""
    column = result.column
    head = (
        f"{dataset_name(result)}: {result.stored:,} items in {column.modules} x {column.units} units, "
        f"{column.active} of {column.inputs} bits each, seed {result.seed}"
    )
    accuracy = accuracy_row(result, f"accuracy on {result.split}", result.samples)
    rows: Rows = [
        ("stored items recalled", f"{percent(result.recall)} of winners, {percent(result.exact)} of whole codes"),
        ("random items, theory", f"{percent(result.expected_recall)} of winners; capacity {result.capacity:,}"),
        accuracy,
        *_familiarity(result),
        ("operations a recall", f"{quantity(result.operations['recall'].words)} words of 64 weights"),
        *energy_rows(result.energy, "a recall")[1:],
        ("code digest", result.digest[:16]),
    ]
    parts = [table(rows, head)]
    if result.growth:
        parts.append(_growth("stored", result.growth))
    if result.random:
        parts.append(_growth("random items", result.random))
    if result.noise:
        parts.append(_noise(result))
    parts.append(table(file_rows(result)))
    if result.command_kind == "store":
        parts.append(f"Next: neurosim memory recall {result.run}")
    return "\n\n".join(parts)


def _familiarity(result: MemoryResult) -> Rows:
    groups = result.familiarity
    known = ", ".join(f"{name} {percent(groups[name].known)}" for name in ("stored", "noisy", "new", "random"))
    return [("taken for known", known), ("told apart from new", f"{groups['new'].separation:.4f} (area under ROC)")]


def _growth(name: str, rows: Sequence[RecallAtSize]) -> str:
    heads = (name, "recalled", "theory", "words/store", "words/recall", "store", "recall")
    cells = [
        (
            f"{row.stored:,}",
            percent(row.recall),
            percent(row.expected),
            f"{row.store_operations:,.0f}",
            f"{row.recall_operations:,.0f}",
            quantity(row.store_seconds, "s"),
            quantity(row.recall_seconds, "s"),
        )
        for row in rows
    ]
    return grid(heads, cells)


def _noise(result: MemoryResult) -> str:
    heads = ("noise", "winners", "whole codes", "class", "familiarity", "known")
    rows = [
        (
            f"{row.noise:.0%}",
            *map(percent, (row.recall, row.exact, row.accuracy)),
            f"{row.familiarity:.3f}",
            percent(row.known),
        )
        for row in result.noise or ()
    ]
    return grid(heads, rows)
