"""Work of every learner on every task, measured again for `neurosim measure`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ....base.errors import NeurosimInputError
from ..frame.folder import METRICS
from ..frame.measured import MeasuredRun
from ..frame.tables import grid, joules, quantity
from .result import ContinualResult, TaskWork

HEADS = ("learner", "task", "updates", "memory", "operations", "dense", "energy", "with memory")
ABOUT = (
    "updates: weights written while the task was learned; memory: held then, in all;\n"
    "  operations, dense operations and energy of answering an item of the task"
)


@dataclass(frozen=True, kw_only=True)
class LearnerWork:
    """Work of one learner on each task."""

    name: str
    work: tuple[TaskWork, ...]


@dataclass(frozen=True, kw_only=True)
class MeasuredLearners(MeasuredRun):
    """Work of the learners of a finished run, with energy under another profile.

    Attributes:
        learners: in the order of the run.
    """

    learners: tuple[LearnerWork, ...]

    @classmethod
    def of(cls, heading: Mapping[str, object], run: str, result: ContinualResult, profile: str) -> MeasuredLearners:
        """Return the work of the learners of a run, with energy under a profile.

        Raises:
            NeurosimInputError: the run's results lack the counts.
        """
        learners = tuple(
            LearnerWork(name=row.name, work=tuple(work.under(profile) for work in row.work))
            for row in result.rows
            if row.work
        )
        if not learners:
            raise NeurosimInputError(f"{run}/{METRICS}: lacks the counts of the learners ('work'); run again")
        return cls(heading=heading, run=run, learners=learners)

    def table(self) -> str:
        """Return a line for each learner and task; below, the reasons of figures that are unknown."""
        tasks = [(row.name, work) for row in self.learners for work in row.work]
        rows = [(name, *task_cells(work)) for name, work in tasks]
        reasons = {f"{name}: {words}" for name, work in tasks for words in unknown(work)}
        profile = next(work.energy.profile for _, work in tasks if work.energy)
        head = f"work of {len(self.learners)} learners, from {self.run}"
        about = f"  {ABOUT} (estimate, {profile})"
        return "\n".join([head, "", grid(HEADS, rows), "", about, *(f"  - {words}" for words in sorted(reasons))])


def task_cells(work: TaskWork) -> tuple[str, ...]:
    """Return the task of a line, and its figures."""
    operations = work.measures.synaptic_operations
    energy = work.energy
    # Energy of arithmetic alone, and with every bit moved.
    alone, moved = (energy.compute_only, energy.memory_aware) if energy else (None, None)
    return (
        work.task,
        quantity(work.updates),
        quantity(sum(work.memory.values()), "B"),
        quantity(operations.effective),
        quantity(operations.Dense),
        joules(alone),
        joules(moved),
    )


def unknown(work: TaskWork) -> list[str]:
    """Return the reasons of the figures in a line that are unknown."""
    of_energy = work.energy.reasons if work.energy else {}
    if work.updates is None:
        reasons = [work.reasons.get("updates")]
    else:
        reasons = []
    reasons += [words for name, words in work.measures.reasons.items() if name.startswith("synaptic_operations")]
    reasons += [of_energy.get(name) for name in ("compute_only", "memory_aware")]
    return sorted({words for words in reasons if words})
