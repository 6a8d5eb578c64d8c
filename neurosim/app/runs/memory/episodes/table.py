"""Text that `neurosim memory episodes` prints."""

from __future__ import annotations

from pathlib import Path

from ...frame.folder import REPORT
from ...frame.tables import dataset_name, energy_rows, grid, percent, table
from .result import EpisodesResult


def render(result: EpisodesResult) -> str:
    """Return the accuracy of each method by the number of shots, and the files."""
    head = (
        f"{dataset_name(result)}: {result.episodes:,} episodes of {result.ways} of {result.classes} classes, "
        f"{result.queries} queries a class, seed {result.seed}; chance {percent(result.chance)}"
    )
    rows = [
        (
            f"{row.shots}",
            _with(row.memory, row.memory_interval),
            _with(row.nearest, row.nearest_interval),
            _with(row.prototype, row.prototype_interval),
        )
        for row in result.rows
    ]
    accuracies = grid(("shots", "macrocolumn (95 %)", "nearest stored item", "nearest class mean"), rows)
    cost = table([*energy_rows(result.energy, "a query"), ("accuracy digest", result.digest[:16])])
    files = table([("run", result.run), ("report", str(Path(result.run) / REPORT))])
    return "\n\n".join([head, accuracies, cost, files])


def _with(value: float, interval: tuple[float, float]) -> str:
    return f"{percent(value)} ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})"
