"""Text that `neurosim attention` prints."""

from __future__ import annotations

from ..frame.tables import file_rows, grid, quantity, table
from .result import AttentionResult, KindResult


def render(result: AttentionResult) -> str:
    """Return the mean score of each kind at each size, with its range over seeds, and the files."""
    low, high = result.trained
    seeds = len(result.kinds[0].models) if result.kinds else 0
    head = (
        f"{result.task}: {result.measure} by {result.size_name}, mean (lowest to highest of {seeds} seeds), "
        f"{result.steps:,} updates on {low} to {high} {result.size_name}"
    )
    if result.chance is None:
        chance = ""
    else:
        chance = f"  guessing: {result.chance:.3f}"
    heads = ("kind", *(str(size) for size in result.sizes), "state", "weights", "s each")
    files = table(file_rows(result))
    return "\n".join([head, grid(heads, [_row(kind) for kind in result.kinds]), chance, "", files])


def _row(kind: KindResult) -> tuple[str, ...]:
    seconds = sum(model.seconds for model in kind.models) / max(len(kind.models), 1)
    return kind.name, *kind.cells, quantity(kind.state_bytes, "B"), f"{kind.parameters:,}", f"{seconds:.0f}"
