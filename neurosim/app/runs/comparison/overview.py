"""Overview of a comparison: the runs, their figures, and the settings in which they differ."""

from __future__ import annotations

from collections.abc import Sequence

from ....base.shown import counted
from ...report import numbers
from ..frame.facts import Fact, Overview, Table
from .result import ComparedRow, ComparedRun, ComparisonResult

HEADS = ("Run", "Status", "Seed", "Started", "Took")
FIGURES = "Figures"
SETTINGS = "Settings that differ"
ORIGINS = "Versions, machines and data that differ"
MAX_CELL = 24  # characters of a cell of the terminal and the page; a digest, a path or a list is cut


def overview_of(result: ComparisonResult) -> Overview:
    """Return what page and terminal show of a comparison."""
    labels = [each.label for each in result.compared]
    equal = sum(not row.differs for row in result.figures)
    return Overview(
        title=f"{counted(len(result.compared), 'run')} of the kind {result.of or 'unknown'}",
        lead=["side by side"],
        facts=[
            Fact(label="Figures that are equal", value=equal, note=f"of {len(result.figures)}"),
            Fact(label="Settings that differ", value=len(result.settings)),
        ],
        tables={
            "runs": Table("Runs", HEADS, [_run(each) for each in result.compared]),
            "figures": _table(FIGURES, "Figure", labels, result.figures),
            "settings": _table(SETTINGS, "Setting", labels, result.settings),
            "origins": _table(ORIGINS, "Origin", labels, result.origins),
        },
    )


def _run(each: ComparedRun) -> tuple[str, ...]:
    seed = numbers.plain(each.seed)
    return each.label, each.status, seed, numbers.date(each.started) or numbers.DASH, numbers.seconds(each.seconds)


def _table(caption: str, head: str, labels: Sequence[str], rows: Sequence[ComparedRow]) -> Table:
    cells = [(row.name, *(_cell(text) for text in row.texts)) for row in rows]
    return Table(caption, (head, *labels), cells)


def _cell(text: str) -> str:
    if not text:
        return numbers.DASH
    return text if len(text) <= MAX_CELL else f"{text[: MAX_CELL - 3]}..."
