"""The results of one-shot episodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .....base.measure.estimates import EnergyEstimates
from .....base.measure.measures import Measures
from ...frame.kind import RunResult


@dataclass(frozen=True, kw_only=True)
class ShotResult:
    """Accuracy with a number of stored examples a class: means over episodes, and their 95 % intervals.

    Attributes:
        shots: examples of each class.
        memory: of the macrocolumn, the class being read from the winners of its code.
        nearest: of the stored item that shares most active bits with the query.
        prototype: of the class whose stored items share most active bits with it on average.
    """

    shots: int
    memory: float
    memory_interval: tuple[float, float]
    nearest: float
    nearest_interval: tuple[float, float]
    prototype: float
    prototype_interval: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class EpisodesResult(RunResult):
    """The results of one-shot episodes.

    Attributes:
        dataset, title, split: name and title of the dataset; the split of the items.
        samples: number of queries of the last row.
        classes: number that episodes are drawn from; `ways` of them form an episode.
        episodes, queries: number of episodes, and of queries a class in each.
        rows: one a number of shots.
        digest: SHA-256 of all accuracies.
        measures, energy: of the queries of the last episode, by the macrocolumn.
    """

    kind: str = "episodes"
    dataset: str = ""
    title: str = ""
    split: str = ""
    seed: int | None = None
    samples: int = 0
    classes: int = 0
    ways: int = 0
    episodes: int = 0
    queries: int = 0
    rows: tuple[ShotResult, ...] = ()
    digest: str = ""
    measures: Measures | None = None
    energy: EnergyEstimates | None = None

    @property
    def chance(self) -> float:
        """Accuracy of guessing."""
        return 1 / max(self.ways, 1)

    def notes(self) -> Mapping[str, str]:
        return {"accuracy_digest": self.digest}
