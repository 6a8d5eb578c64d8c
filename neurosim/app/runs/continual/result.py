"""The results of a continual run, and of a comparison of several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ....base.measure import estimates
from ....base.measure.estimates import EnergyEstimates
from ....base.measure.measures import Measures, measure
from ....base.measure.work import sum_counts
from ....base.plain import Record
from ....learning.continual.learner import Learner
from ....learning.continual.matrix import Estimate
from ..frame.kind import RunResult

UNCOUNTED = "the learner does not count what it writes"


@dataclass(frozen=True, kw_only=True)
class TaskWork(Record):
    """Work of a learner on a task: learning it, and answering its items right after.

    Attributes:
        task: its name.
        updates: numbers written into weights while it was learned (`Learner.updates`), the mean over seeds.
        memory: bytes that the learner then holds, by part (`Learner.memory_bytes`), the largest over seeds.
        measures: of answering, as `engine.measure` returns them; the layers are summed over seeds.
        energy: of answering an item, as `engine.energy` returns it; None in the results of a trial.
        reasons: why a figure is None, by its name.
    """

    task: str
    updates: float | None = None
    memory: Mapping[str, int] = field(default_factory=dict)
    measures: Measures
    energy: EnergyEstimates | None = None
    reasons: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, name: str, learner: Learner, x: NDArray[np.uint8], task: int | None) -> TaskWork:
        """Return the work of a learner that has just learned the task `name`, and answers its items x."""
        return cls(
            task=name,
            updates=learner.updates,
            memory=learner.memory_bytes(),
            measures=measure(learner.work(x, task), len(x), 0.0, int(np.count_nonzero(x))),
            reasons={} if learner.updates is not None else {"updates": UNCOUNTED},
        )

    @classmethod
    def over_seeds(cls, works: Sequence[TaskWork], profile: str) -> TaskWork:
        """Return the work of all seeds on one task, with energy estimates under a profile."""
        every = [work.measures for work in works]
        # Counts are sums; measures divide them by the samples of all seeds together.
        layers = [sum_counts(parts) for parts in zip(*(each.layers for each in every), strict=True)]
        events = sum(round((each.events_in or 0) * each.samples) for each in every)
        updates = [work.updates for work in works if work.updates is not None]
        return replace(
            works[0],
            # Unknown if one seed lacks it: a mean over others would hide that.
            updates=sum(updates) / len(updates) if len(updates) == len(works) else None,
            memory={part: max(work.memory.get(part, 0) for work in works) for part in works[0].memory},
            measures=measure(layers, sum(each.samples for each in every), 0.0, events),
        ).under(profile)

    def under(self, profile: str) -> TaskWork:
        """Return the same work with energy estimates under a profile."""
        return replace(self, energy=estimates.energy(self.measures.layers, self.measures.samples, profile))


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
        work: on each task; none in runs of versions that did not count it.
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
    work: tuple[TaskWork, ...] = ()

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
        first = self.failures[0]
        others = len(self.failures) - 1
        return f"{first.row}, seed {first.seed}: {first.reason}" + (f" (and {others} more)" if others else "")
