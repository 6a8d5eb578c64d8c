"""Overview of one-shot episodes: the accuracy of each method by the number of examples, and its cost."""

from __future__ import annotations

from .....base.shown import counted
from ....report import numbers
from ....report.sections import between
from ...frame.facts import Fact, Overview, Table, digest, energies, named
from .result import EpisodesResult, ShotResult


def overview_of(result: EpisodesResult) -> Overview:
    """Return what page and terminal show of a run."""
    return Overview(
        title=f"{named(result.title, result.dataset, 'Episodes')}: a few examples",
        lead=[
            f"{numbers.plain(result.episodes)} episodes of {numbers.plain(result.ways)} of "
            f"{numbers.plain(result.classes)} classes",
            f"{numbers.plain(result.queries)} queries a class",
            f"chance {numbers.percent(result.chance)}",
        ],
        facts=[
            *(_fact(row) for row in result.rows),
            *energies(result.energy, "per query"),
            digest("Accuracy digest", result.digest),
        ],
        tables={
            "accuracy": Table(
                "Accuracy, means over episodes with their 95 % intervals",
                ("Examples a class", "Macrocolumn", "Nearest stored item", "Nearest class mean"),
                [_row(row) for row in result.rows],
            )
        },
    )


def _fact(row: ShotResult) -> Fact:
    return Fact(
        label=f"{counted(row.shots, 'example')} a class",
        value=row.memory,
        format=numbers.percent,
        note=f"{between(row.memory_interval)}; nearest stored item {numbers.percent(row.nearest)}",
    )


def _row(row: ShotResult) -> tuple[str, ...]:
    return (
        numbers.plain(row.shots),
        _within(row.memory, row.memory_interval),
        _within(row.nearest, row.nearest_interval),
        _within(row.prototype, row.prototype_interval),
    )


def _within(mean: float, ends: tuple[float, float]) -> str:
    return f"{numbers.percent(mean)} ({numbers.percent(ends[0])} to {numbers.percent(ends[1])})"
