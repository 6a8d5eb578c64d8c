"""Overview of a sweep: a row for each point of the grid, with every figure over the seeds."""

from __future__ import annotations

from ....base.shown import counted
from ....learning.continual.matrix import estimate
from ...report import numbers
from ..frame.facts import Fact, Overview, Table
from .result import SweepResult

POINTS = "Points of the grid"
SEEDS = "a figure is the mean over seeds, with Student's 95 % interval"


def overview_of(result: SweepResult) -> Overview:
    """Return what page and terminal show of a sweep."""
    points = list(dict.fromkeys(cell.point for cell in result.cells))
    several = len(result.seeds) > 1
    lead = [counted(len(points), "point"), counted(len(result.seeds), "seed")]
    heads = (*(result.keys or ("Point",)), "Runs", *result.headline)
    rows = [
        (*(point or ("-",)), str(len(result.at(point))), *(_shown(result, point, label) for label in result.headline))
        for point in points
    ]
    return Overview(
        title=f"Sweep of {counted(result.runs, 'run')} of the kind {result.of or 'unknown'}",
        lead=lead,
        facts=[
            Fact(label="Runs", value=result.runs),
            Fact(label="Runs that failed", value=len(result.failed)),
        ],
        tables={"points": Table(f"{POINTS}; {SEEDS}" if several else POINTS, heads, rows)},
    )


def _shown(result: SweepResult, point: tuple[str, ...], label: str) -> str:
    """Return a figure of a point: as its page shows it, or the mean over seeds and half the interval."""
    cells = [cell for cell in result.at(point) if cell.figures.get(label) is not None]
    if not cells:
        return numbers.DASH
    if len(cells) == 1:
        return cells[0].texts[label]
    over = estimate([cell.figures[label] or 0.0 for cell in cells])
    half = 0.0 if over.high is None else over.high - over.mean
    return f"{numbers.plain(over.mean)} \N{PLUS-MINUS SIGN} {_margin(half)}"


def _margin(half: float) -> str:
    """Return half an interval with two significant digits, from 100 on as an integer."""
    return f"{half:,.0f}" if half >= 100 else numbers.plain(half, 2)
