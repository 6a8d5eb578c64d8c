"""Measures of every point of a curve, measured again for `neurosim measure`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ....base.errors import NeurosimInputError
from ....base.measure import estimates
from ....base.measure.estimates import EnergyEstimates
from ....base.measure.measures import Measures
from ..frame.folder import METRICS
from ..frame.measured import MeasuredRun
from ..frame.tables import grid, joules, quantity
from .result import ConvertResult, CurveResult

HEADS = ("scheme", "strength", "footprint", "operations", "dense", "energy", "with memory")


@dataclass(frozen=True, kw_only=True)
class MeasuredPoint:
    """Measures and energy of a converted model of a curve."""

    scheme: str
    strength: float
    measures: Measures
    energy: EnergyEstimates


@dataclass(frozen=True, kw_only=True)
class MeasuredCurve(MeasuredRun):
    """Measures of a curve, with energy under another profile.

    Attributes:
        points: in the order of the run.
    """

    points: tuple[MeasuredPoint, ...]

    def table(self) -> str:
        """Return a line for each point, and why energies are unknown."""
        rows = []
        for point in self.points:
            operations = point.measures.synaptic_operations
            figures = (operations.effective, operations.Dense)
            energies = (point.energy.compute_only, point.energy.memory_aware)
            footprint = quantity(point.measures.footprint, "B")
            own = (f"{point.strength:g}", footprint, *map(quantity, figures), *map(joules, energies))
            rows.append((point.scheme, *own))
        reasons = sorted({words for point in self.points for words in point.energy.reasons.values()})
        about = f"  of a byte of text (estimate, {self.points[0].energy.profile})"
        head = f"{self.heading['network']}, from {self.run}"
        return "\n".join([head, "", grid(HEADS, rows), "", about, *(f"  - {words}" for words in reasons)])


def measured_curve(
    heading: Mapping[str, object], run: str, result: ConvertResult, profile: str
) -> MeasuredCurve | None:
    """Return the measures of the points of a curve under a profile, None for another result.

    Raises:
        NeurosimInputError: the curve's results lack the counts.
    """
    if not isinstance(result, CurveResult):
        return None
    points = tuple(
        MeasuredPoint(
            scheme=point.scheme,
            strength=point.strength,
            measures=point.measures,
            energy=estimates.energy(point.measures.layers, point.measures.samples, profile),
        )
        for point in result.points
        if point.measures is not None
    )
    if not points:
        raise NeurosimInputError(f"{run}/{METRICS}: lacks the counts of the points ('measures'); run again")
    return MeasuredCurve(heading=heading, run=run, points=points)
