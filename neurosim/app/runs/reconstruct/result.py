"""The results of a reconstruction."""

from __future__ import annotations

from dataclasses import dataclass

from ..frame.kind import RunResult

ORBIT = "orbit.csv"
NETWORK = "network.safetensors"


@dataclass(frozen=True, kw_only=True)
class ReconstructResult(RunResult):
    """The results of a reconstruction.

    Attributes:
        dataset: name of the series or of the table.
        names: of its channels.
        seed: key of every random draw.
        steps: number of steps that were learned, and `compared`, that were compared.
        units, rectified: of the network.
        updates, generations: of the training and of the refinement.
        d_stsp: divergence in nats of the states that the series and the free orbit visit.
        d_h: Hellinger distance of their power spectra, 0 to 1.
        same_d_stsp, same_d_h: the same of the series that was learned and the one that is compared.
        visits: share of the orbit's steps in each region.
        transitions: share of the steps from each region that lead to each other.
    """

    kind: str = "reconstruct"
    dataset: str = ""
    names: tuple[str, ...] = ()
    seed: int | None = None
    steps: int = 0
    compared: int = 0
    units: int = 0
    rectified: int = 0
    updates: int = 0
    generations: int = 0
    d_stsp: float | None = None
    d_h: float | None = None
    same_d_stsp: float | None = None
    same_d_h: float | None = None
    visits: tuple[float, ...] = ()
    transitions: tuple[tuple[float, ...], ...] = ()

    @property
    def regions(self) -> tuple[int, ...]:
        """Regions with more than a thousandth of the steps, the most visited first."""
        visited = [region for region, share in enumerate(self.visits) if share > 1e-3]
        return tuple(sorted(visited, key=lambda region: -self.visits[region]))

    def symbol(self, region: int) -> str:
        """Return the name of a region: + for each rectified unit above 0, - for each other, the first on the left."""
        return "".join("+" if region >> k & 1 else "-" for k in range(self.rectified)) or "all"
