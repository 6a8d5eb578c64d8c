"""Overview of an experiment on an associative memory: every point beside its theory."""

from __future__ import annotations

from collections import Counter

from .....base.shown import counted
from .....memory.associative.phase_maps import PhaseMap
from ...frame.facts import Fact, Overview, Table
from .result import AssociativeResult, PointResult, distance

# Spread below which only the order of sums differed.
ROUNDING = 1e-12


def overview_of(result: AssociativeResult) -> Overview:
    """Return what page and terminal show of a run."""
    farthest = result.farthest
    if farthest is None:
        fact = Fact(label="Farthest from theory", value=None, format=_number, note="no point has a theory")
    else:
        where = f"{farthest.series} at {_number(farthest.x)}: {_number(farthest.simulated)} for "
        fact = Fact(
            label="Farthest from theory",
            value=distance(farthest),
            format=_number,
            note=f"{where}{_number(farthest.theory)}, standard error {_number(farthest.standard_error)}",
        )
    return Overview(
        title=result.title or "An experiment on an associative memory",
        lead=[counted(result.seeds, "seed"), f"after {result.source}" if result.source else ""],
        facts=[Fact(label="Points", value=len(result.points)), fact],
        tables={
            "points": Table(
                f"{result.y_name}: theory, and the mean over seeds with its standard error",
                ("Curve", result.x_name, "Theory", "Simulated", "Standard error"),
                [_row(point) for point in result.points],
            ),
            "phases": Table(
                "Phases: share of the points of each diagram",
                ("Diagram", "Phase", "Share"),
                [row for each in result.maps for row in _shares(each)],
            ),
        },
    )


def _shares(phases: PhaseMap) -> list[tuple[str, ...]]:
    """Return a row for each phase of a diagram, the most common first."""
    names = Counter(name for row in phases.names for name in row)
    points = names.total()
    return [(phases.title, name, f"{count / points:.2f}") for name, count in names.most_common()]


def _row(point: PointResult) -> tuple[str, ...]:
    theory = "-" if point.theory is None else _number(point.theory)
    return point.series, _number(point.x), theory, _number(point.simulated), _number(point.standard_error)


def _number(value: object) -> str:
    if not isinstance(value, int | float):
        return ""
    if abs(value) < ROUNDING:
        return "0"
    return f"{value:.4g}"
