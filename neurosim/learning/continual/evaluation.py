"""Measure any learner on any stream of tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .learner import Learner
from .matrix import Matrix
from .recipe import Stream
from .tasks import Items

Split = Literal["test", "validation"]


def evaluate(
    stream: Stream, learner: Learner, on: Split = "test", on_task: Callable[[int], None] = lambda learned: None
) -> Matrix:
    """Train a learner on every task of a stream once, in order; return the accuracies on all tasks after each.

        matrix = continual.evaluate(Split().build(seed=0), MyLearner(stream.problem))
        measures(matrix)["acc"]

    Args:
        stream: tasks, from `Stream.of(tasks)` or from a recipe of `neurosim.learning.continual.streams`.
        learner: one of the package, or a class of your own that keeps the contract of `Learner`. It must not have
            learned a task yet.
        on: the items that accuracies are measured on.
        on_task: called with the number of tasks learned, after each.

    Raises:
        NeurosimInputError: scores of another shape than [items, classes].
        NeurosimError: as `Learner.learn`.
    """
    # Row i: accuracies on all tasks after learning i of them.
    values = np.full((len(stream) + 1, len(stream)), np.nan)
    values[0] = accuracies(learner, stream, on)
    for index, task in enumerate(stream):
        learner.begin(task)
        learner.learn(task)
        values[index + 1] = accuracies(learner, stream, on)
        on_task(index + 1)
    return Matrix(values, stream.problem.seed)


def accuracies(learner: Learner, stream: Stream, on: str) -> NDArray[np.float64]:
    """Return [tasks] accuracies of a learner; items come with the number of their task in the scenario "task"."""
    values = np.empty(len(stream))
    for j, task in enumerate(stream):
        items: Items = getattr(task, on)
        # In other scenarios the learner is not told the task.
        number = j if stream.problem.scenario == "task" else None
        predicted = learner.predict(items.x, number)
        values[j] = float((predicted == items.y).mean())
    return values
