"""The one interface of everything that learns a stream of tasks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .tasks import Problem, Task

Progress = Callable[[int, int], None]  # (done, of how many) steps of the task at hand
Arrays = Mapping[str, NDArray[Any]]
# Items that are asked about at once: bounds memory and changes no answer.
BATCH = 500


def no_progress(done: int, total: int) -> None:
    """A progress callback that does nothing."""


class Learner(ABC):
    """Learns tasks one after the other: for each, `begin` and then `learn`; between tasks it is asked and saved.

    A learner of the package has settings of its own, a frozen dataclass in `SETTINGS`, and is made as
    `Kind(problem, settings)`. It sees each task once, when it learns it; what it keeps of it is its own affair (the
    joint learner, an upper bound, keeps all). Everything random is keyed by `problem.seed` and the task's index, so
    that a learner restored from `state` goes on exactly as one that was never stopped.

    Attributes:
        problem: the stream's, as it is known before the first task.
        learned: number of tasks learned so far.
    """

    SETTINGS: ClassVar[Any]

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.learned = 0

    @abstractmethod
    def begin(self, task: Task) -> None:
        """Make ready for a task: new segments, a larger head, contexts. Called once, before `learn`."""

    @abstractmethod
    def learn(self, task: Task, on_progress: Progress = no_progress) -> None:
        """Learn from `task.train`; `task.validation` may be used to stop, `task.test` never.

        Raises:
            NeurosimError: the loss is no number any more; says at which step.
        """

    @abstractmethod
    def scores(self, x: NDArray[np.uint8], task: int | None) -> NDArray[np.floating]:
        """[n, classes] how well each class fits items [n, steps, units]; the largest wins.

        `task` is the task they come with, which may be one not learned yet; None: not known.
        """

    @abstractmethod
    def state(self) -> dict[str, NDArray[Any]]:
        """Everything that learning has changed, as arrays that `restore` takes."""

    @abstractmethod
    def restore(self, arrays: Arrays, earlier: Sequence[Task]) -> None:
        """Take up the state of another learner of this problem and settings.

        Args:
            arrays: what its `state` gave.
            earlier: the tasks it had learned; only a learner that keeps whole tasks looks at them.

        Raises:
            NeurosimInputError: arrays of another learner or problem; nothing is changed then.
        """

    def predict(self, x: NDArray[np.uint8], task: int | None = None) -> NDArray[np.int64]:
        """[n] the best class of each item [n, steps, units] that it can be of (`Problem.allowed`); of equal ones the
        lowest."""
        allowed = self.problem.allowed(task, self.learned)
        found = np.empty(len(x), np.int64)
        for first in range(0, len(x), BATCH):
            part = np.asarray(self.scores(x[first : first + BATCH], task), np.float64)
            found[first : first + BATCH] = np.where(allowed, part, -np.inf).argmax(axis=1)
        return found
