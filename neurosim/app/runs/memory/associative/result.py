"""The results of an experiment on an associative memory."""

from __future__ import annotations

from dataclasses import dataclass

from .....memory.associative.phase_maps import PhaseMap
from ...frame.kind import RunResult


@dataclass(frozen=True, kw_only=True)
class PointResult:
    """A point of a curve.

    Attributes:
        series: name of its curve.
        x: place on the axis.
        theory: expected value; None: none is known.
        simulated: mean over seeds.
        standard_error: of that mean.
    """

    series: str
    x: float
    theory: float | None
    simulated: float
    standard_error: float


@dataclass(frozen=True, kw_only=True)
class AssociativeResult(RunResult):
    """The results of an experiment.

    Attributes:
        experiment, title, source: its name, a line for people, and papers of the theory.
        x_name, y_name, log_x: names of the axes, and whether x has a logarithmic one.
        seed, seeds: the first seed, and their number.
        points: of all curves.
        maps: phase diagrams.
    """

    kind: str = "associative"
    experiment: str = ""
    title: str = ""
    source: str = ""
    x_name: str = ""
    y_name: str = ""
    log_x: bool = False
    seed: int | None = None
    seeds: int = 0
    points: tuple[PointResult, ...] = ()
    maps: tuple[PhaseMap, ...] = ()

    @property
    def farthest(self) -> PointResult | None:
        """The point that is farthest from its theory; None: no point has one."""
        known = [point for point in self.points if point.theory is not None]
        return max(known, key=distance, default=None)


def distance(point: PointResult) -> float:
    """Return the distance of a point from its theory."""
    assert point.theory is not None
    return abs(point.simulated - point.theory)
