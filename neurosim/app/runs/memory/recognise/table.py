"""Text that `neurosim memory recognise` prints."""

from __future__ import annotations

from ...frame.tables import accuracy_row, dataset_name, energy_rows, file_rows, quantity, table
from .result import RecogniseResult


def render(result: RecogniseResult) -> str:
    """Return the accuracy, its cost, and the files of the run."""
    sizes = ", then ".join(f"{each.columns} columns of {each.modules} x {each.units} units" for each in result.levels)
    head = f"{dataset_name(result)}: {result.stored:,} items stored once in {sizes}, seed {result.seed}"
    rows = [
        accuracy_row(result, f"accuracy on {result.split}", result.samples),
        ("items recognised", f"{result.samples:,}"),
        ("read an item", f"{quantity(result.words)} words of 64 weights, however many are stored"),
        *energy_rows(result.energy, "an item"),
    ]
    return table([*rows, ("answer digest", result.digest[:16]), *file_rows(result)], head)
