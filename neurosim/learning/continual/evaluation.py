"""Measure any learner on any stream of tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .learner import Learner
from .matrix import Matrix
from .streams import Stream
from .tasks import Items

Split = Literal["test", "validation"]


def evaluate(
    stream: Stream, learner: Learner, on: Split = "test", on_task: Callable[[int], None] = lambda learned: None
) -> Matrix:
    """Let a learner meet every task of a stream once, in order; return the accuracies on all tasks after each.

        matrix = continual.evaluate(Split().build(seed=0), MyLearner(stream.problem))
        measures(matrix)["acc"]

    Args:
        stream: tasks, `Stream.of(tasks)` or what a recipe of `neurosim.learning.continual.streams` builds.
        learner: one of the package, or a class of your own that keeps the contract of `Learner`. It must not have
            learned a task yet.
        on: the items that accuracies are measured on.
        on_task: called with the number of tasks learned, after each.

    Raises:
        NeurosimInputError: scores of another shape than [items, classes].
        NeurosimError: what learning a task raises.
    """
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
    found = np.empty(len(stream))
    for j, task in enumerate(stream):
        items: Items = getattr(task, on)
        predicted = learner.predict(items.x, j if stream.problem.scenario == "task" else None)
        found[j] = float((predicted == items.y).mean())
    return found
