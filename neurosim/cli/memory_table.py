"""What `neurosim memory ...` prints."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..runs.tables import joules, quantity
from .common import table

Rows = list[tuple[str, str]]


def memory_table(result: Mapping[str, Any], page: Path) -> str:
    """The figures every run has, then those of this kind of run, then where to look."""
    column = result["column"]
    head = (
        f"{result['dataset']}: {result['stored']:,} items in {column['modules']} x {column['units']} units, "
        f"{column['active']} of {column['inputs']} bits each, seed {result['seed']}"
    )
    low, high = result["confidence_interval"]
    rows: Rows = [
        ("stored items recalled", f"{result['recall']:.1%} of winners, {result['exact']:.1%} of whole codes"),
        ("random items, theory", f"{result['expected_recall']:.1%} of winners; capacity {result['capacity']:,}"),
        (
            f"accuracy on {result['split']}",
            f"{result['accuracy']:.1%} of {result['samples']} (95 % between {low:.1%} and {high:.1%}; chance "
            f"{result['chance']:.1%})",
        ),
        *_familiar(result),
        ("operations a recall", f"{quantity(result['operations']['recall']['words'])} words of 64 weights"),
        *_energy(result),
    ]
    extra = _EXTRA.get(result["command_kind"])
    text = table([*rows, ("code digest", result["digest"][:16])], head)
    if extra:
        text += "\n\n" + extra(result)
    lines = table([("run", result["run"]), ("report", str(page))])
    hint = f"\n\nNext: neurosim memory recall {result['run']}" if result["command_kind"] == "store" else ""
    return f"{text}\n\n{lines}{hint}"


def _familiar(result: Mapping[str, Any]) -> Rows:
    groups = result["familiarity"]
    known = ", ".join(f"{name} {groups[name]['known']:.1%}" for name in ("stored", "noisy", "new", "random"))
    return [("taken for known", known), ("told apart from new", f"{groups['new']['separation']:.4f} (area under ROC)")]


def _energy(result: Mapping[str, Any]) -> Rows:
    energy = result["energy"]
    estimate = energy["memory_aware"]
    if estimate is None:
        return [("energy, with memory", f"- ({energy['reasons']['memory_aware']})")]
    dense = energy["dense_memory_aware"]
    beside = f"; dense {joules(dense)}" if dense else ""
    return [("energy, with memory", f"{joules(estimate)} a recall{beside} (estimate, {energy['profile']})")]


def _grid(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns aligned to the right."""
    widths = [max(len(row[k]) for row in [heads, *rows]) for k in range(len(heads))]
    return "\n".join(
        "  " + "  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)) for row in [heads, *rows]
    )


def _growth(result: Mapping[str, Any]) -> str:
    heads = ("stored", "recalled", "theory", "words/store", "words/recall", "store", "recall")
    return _grid(heads, [_growth_row(row) for row in result["growth"]])


def _growth_row(row: Mapping[str, Any]) -> Sequence[str]:
    return (
        f"{row['stored']:,}",
        f"{row['recall']:.1%}",
        f"{row['expected']:.1%}",
        f"{row['store_operations']:,.0f}",
        f"{row['recall_operations']:,.0f}",
        quantity(row["store_seconds"], "s"),
        quantity(row["recall_seconds"], "s"),
    )


def _capacity(result: Mapping[str, Any]) -> str:
    heads = ("random items", "recalled", "theory", "words/store", "words/recall", "store", "recall")
    return _growth(result) + "\n\n" + _grid(heads, [_growth_row(row) for row in result["random"]])


def _noise(result: Mapping[str, Any]) -> str:
    heads = ("noise", "winners", "whole codes", "class", "familiarity", "known")
    keys = ("recall", "exact", "accuracy", "familiarity", "known")
    rows = [
        [f"{row['noise']:.0%}", *(f"{row[key]:.3f}" if key == "familiarity" else f"{row[key]:.1%}" for key in keys)]
        for row in result["noise"]
    ]
    return _grid(heads, rows)


_EXTRA: Mapping[str, Callable[[Mapping[str, Any]], str]] = {"store": _growth, "capacity": _capacity, "noise": _noise}
