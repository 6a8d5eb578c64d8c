"""The interface of learners of a stream of tasks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .tasks import Problem, Task

Progress = Callable[[int, int], None]  # (done, of how many) steps of the task at hand
Arrays = Mapping[str, NDArray[Any]]
# Items that are scored together: bounds memory and changes no answer.
BATCH = 500


def no_progress(done: int, total: int) -> None:
    """A progress callback that does nothing."""


class Learner(ABC):
    """A method that learns tasks one after the other: `begin`, then `learn` for each.

    A learner of the package has settings of its own, a frozen dataclass in `SETTINGS`, and is made as
    `Kind(problem, settings)`. It sees each task once, when it learns it; which items it keeps is up to the learner (the
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
        """Prepare for a task: new segments, a larger head, contexts. Called once, before `learn`."""

    @abstractmethod
    def learn(self, task: Task, on_progress: Progress = no_progress) -> None:
        """Learn from `task.train`; `task.validation` may be used to stop, `task.test` never.

        Raises:
            NeurosimError: the loss is not finite; the error says at which step.
        """

    @abstractmethod
    def scores(self, x: NDArray[np.uint8], task: int | None) -> NDArray[np.floating]:
        """Return scores [n, classes] of items [n, steps, units]; the class with the largest is the answer.

        `task` is the number of their task, which may be one that is not learned yet; None: not known.
        """

    @abstractmethod
    def state(self) -> dict[str, NDArray[Any]]:
        """Return everything that learning changed, as arrays that `restore` takes."""

    @abstractmethod
    def restore(self, arrays: Arrays, earlier: Sequence[Task]) -> None:
        """Restore the state of another learner of this problem and settings.

        Args:
            arrays: the result of its `state`.
            earlier: the tasks that it had learned; only a learner that keeps complete tasks uses them.

        Raises:
            NeurosimInputError: arrays of another learner or problem; nothing is changed then.
        """

    def predict(self, x: NDArray[np.uint8], task: int | None = None) -> NDArray[np.int64]:
        """Return [n] the best allowed class (`Problem.allowed`) of each item [n, steps, units]; the lowest of equal
        ones."""
        allowed = self.problem.allowed(task, self.learned)
        found = np.empty(len(x), np.int64)
        for first in range(0, len(x), BATCH):
            part = np.asarray(self.scores(x[first : first + BATCH], task), np.float64)
            found[first : first + BATCH] = np.where(allowed, part, -np.inf).argmax(axis=1)
        return found
