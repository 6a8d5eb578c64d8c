"""The interface of learners of a stream of tasks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...base.errors import NeurosimInputError, require
from ...base.measure.work import COUNTS, LayerCounts
from .tasks import Problem, Task

# Steps of the present task: (done, total).
Progress = Callable[[int, int], None]
Arrays = Mapping[str, NDArray[Any]]
# Items that are scored together: bounds memory and changes no answer.
BATCH = 500


def no_progress(done: int, total: int) -> None:
    """Do nothing: the default of `on_progress`."""


class Learner(ABC):
    """A method that learns tasks one after the other: `begin`, then `learn` for each.

    A learner of the package has settings of its own, a frozen dataclass in `SETTINGS`, and is made as
    `Kind(problem, settings)`. It sees each task once, when it learns it; which items it keeps is up to the learner
    (joint training, the reference, keeps all). Everything random is keyed by `problem.seed` and the task's index, so
    that a learner restored from `state` goes on exactly as one that was never stopped.

    `SETTINGS` may have a method `unused(images)`, which returns the settings that count for nothing beside the others,
    each with the reason in words, "without shape"; a run refuses them. `images`: whether all items have one step; None:
    not known before they are read.

    Attributes:
        problem: facts about the stream that are known before the first task.
        learned: number of tasks learned so far.
        updates: numbers written into weights while the last task was learned: one for each weight at each step of an
            optimiser, one for each weight or counter that an item changed elsewhere. None: the learner does not count.
        DEVICES: kinds of device that it can learn and answer on.
        TASK_FREE: whether it learns without task boundaries. On a problem without boundaries `learn` takes a piece of
            the sequence in its order, once, and results do not depend on where the sequence is cut into pieces.
    """

    SETTINGS: ClassVar[Any]
    DEVICES: ClassVar[tuple[str, ...]] = ("cpu",)
    TASK_FREE: ClassVar[bool] = False
    updates: int | None = None

    def __init__(self, problem: Problem) -> None:
        name = f"{type(self).__name__}: the boundaries of the problem"
        rule = "must be given, because it learns task by task; only learners with TASK_FREE need none"
        require(problem.boundaries or self.TASK_FREE, name, rule, problem.boundaries)
        self.problem = problem
        self.learned = 0

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.learned} tasks learned)"

    def to(self, device: str) -> None:
        """Move weights to a device of `DEVICES`; items, and the arrays of `state`, stay in memory of the host.

        Raises:
            NeurosimInputError: a device on which the learner does not run.
        """
        if device not in self.DEVICES:
            raise NeurosimInputError(f"{type(self).__name__}: runs on {' or '.join(self.DEVICES)} only (got {device})")

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

    def work(self, x: NDArray[np.uint8], task: int | None = None) -> list[LayerCounts]:
        """Return the work of answering items [n, steps, units] as `scores` does, by layer.

        A learner that does not count its work has one layer of unknown counts, its weights being the arrays of `state`.
        """
        # Floats are weights; integers are counters and facts of the problem.
        arrays = [array for array in self.state().values() if array.dtype.kind == "f"]
        name = type(self).__name__
        return [
            LayerCounts(
                name=name,
                inputs=self.problem.units,
                outputs=self.problem.classes,
                weights=sum(array.size for array in arrays),
                nonzero_weights=sum(int(np.count_nonzero(array)) for array in arrays),
                weight_bits=8 * max((array.itemsize for array in arrays), default=4),
                **dict.fromkeys(COUNTS),  # type: ignore[arg-type]
                binary_input=False,
                state_bytes=0,
                parameter_bytes=sum(array.nbytes for array in arrays),
                spiking=False,
                reasons=dict.fromkeys(COUNTS, f"{name} does not count its work"),
            )
        ]

    def memory_bytes(self) -> dict[str, int]:
        """Return the bytes of a learner between tasks, by part: weights, and all other state.

        Gradients and the state of optimisers end with a task and are left out.
        """
        return {"state": sum(array.nbytes for array in self.state().values())}

    def predict(self, x: NDArray[np.uint8], task: int | None = None) -> NDArray[np.int64]:
        """Return [n] the best allowed class (`Problem.allowed`) of each item [n, steps, units].

        Ties go to the lowest class.

        Raises:
            NeurosimInputError: scores of another shape than [n, classes].
        """
        # Classes that an item cannot be of never win, whatever their scores.
        allowed = self.problem.allowed(task, self.learned)
        predicted = np.empty(len(x), np.int64)
        for first in range(0, len(x), BATCH):
            items = x[first : first + BATCH]
            scores = np.asarray(self.scores(items, task), np.float64)
            shape = (len(items), self.problem.classes)
            rule = f"must be [items, classes] = {list(shape)}"
            require(scores.shape == shape, f"{type(self).__name__}.scores", rule, list(scores.shape))
            predicted[first : first + BATCH] = np.where(allowed, scores, -np.inf).argmax(axis=1)
        return predicted
