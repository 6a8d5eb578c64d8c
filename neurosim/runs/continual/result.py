"""The results of a continual run, and of a comparison of several."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ...continual.matrix import Estimate
from ..kind import RunResult


@dataclass(frozen=True, kw_only=True)
class LearnerResult:
    """One learner with one choice of settings on one stream, over seeds.

    Attributes:
        name: in tables, e.g. "replay, memory 100".
        learner, settings: its name in `LEARNERS`, and all its settings.
        stream: `kind` and all settings of the stream.
        scenario, tasks: of the stream: "domain", "task" or "class"; the names of its tasks.
        seeds: those that finished.
        matrices: for each seed the accuracies [tasks + 1, tasks], the first row before any task.
        measures: estimates over seeds, by their names in `MEASURES`; None where a measure has no value.
        each: the measures of each seed.
        seconds: that learning took, for each seed.
    """

    name: str
    learner: str = ""
    settings: Mapping[str, object] = field(default_factory=dict)
    stream: Mapping[str, object] = field(default_factory=dict)
    scenario: str = ""
    tasks: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    matrices: tuple[tuple[tuple[float, ...], ...], ...]
    measures: Mapping[str, Estimate | None] = field(default_factory=dict)
    each: tuple[Mapping[str, float | None], ...] = ()
    seconds: tuple[float, ...] = ()

    @property
    def mean_matrix(self) -> NDArray[np.float64]:
        """[tasks + 1, tasks] mean accuracies over seeds."""
        return np.asarray(np.array(self.matrices, np.float64).mean(axis=0))


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A trial that did not finish: its row, its seed and the error."""

    row: str
    seed: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class ContinualResult(RunResult):
    """The results of a continual run.

    Attributes:
        stream: `kind` and settings, as in the config.
        on: the items that accuracies are measured on: "test" or "validation".
        seed, seeds: the first, and all of them; none for a comparison.
        rows: the learners.
        failures: trials that did not finish.
        compared: the folders of the runs that are compared; None for a run.
    """

    kind: str = "continual"
    stream: Mapping[str, object] = field(default_factory=dict)
    on: str = ""
    seed: int | None = None
    seeds: tuple[int, ...] = ()
    rows: tuple[LearnerResult, ...] = ()
    failures: tuple[Failure, ...] = ()
    compared: tuple[str, ...] | None = None

    def to_dict(self) -> dict[str, object]:
        tree = super().to_dict()
        return {name: value for name, value in tree.items() if value is not None or name != "compared"}

    def failure(self) -> str | None:
        if not self.failures:
            return None
        first, others = self.failures[0], len(self.failures) - 1
        return f"{first.row}, seed {first.seed}: {first.reason}" + (f" (and {others} more)" if others else "")
