"""`continual.evaluate` on a learner of one's own, and what it refuses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from neurosim.base import NeurosimInputError
from neurosim.learning import Learner, Problem, Task
from neurosim.learning.continual.evaluation import evaluate
from neurosim.learning.continual.learner import Arrays, Progress, no_progress
from neurosim.learning.continual.matrix import measures
from neurosim.learning.continual.streams import Permuted, Split

LIMITS = {"train_limit": 200, "validation_limit": 20, "test_limit": 60}


class ClassMeans(Learner):
    """Answers with the class whose mean item is the nearest."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.means = np.full((problem.classes, problem.units), np.inf)
        self.met: list[str] = []

    def begin(self, task: Task) -> None:
        self.met.append(task.name)

    def learn(self, task: Task, on_progress: Progress = no_progress) -> None:
        for label in np.unique(task.train.y):
            self.means[label] = task.train.x[task.train.y == label].mean(axis=(0, 1))
        self.learned = task.index + 1

    def scores(self, x: Any, task: int | None) -> Any:
        return -np.linalg.norm(x.mean(axis=1)[:, None] - np.where(np.isinf(self.means), 1e9, self.means), axis=2)

    def state(self) -> dict[str, Any]:
        return {"means": self.means}

    def restore(self, arrays: Arrays, earlier: Sequence[Task]) -> None:
        self.means = arrays["means"]


def test_a_learner_of_ones_own_meets_every_task_once() -> None:
    stream = Split(scenario="class", **LIMITS).build(0)
    told = []
    learner = ClassMeans(stream.problem)
    matrix = evaluate(stream, learner, on_task=told.append)
    assert learner.met == list(stream.names) and told == [1, 2, 3, 4, 5]
    # Means of classes do not change after their task: what is lost is lost to new classes only.
    assert np.isfinite(matrix.values).all() and (np.diff(matrix.values[1:], axis=0)[np.tril_indices(4)] <= 0).all()
    found = measures(matrix, forward=False)
    assert found["acc"] == pytest.approx(matrix.values[-1].mean()) and found["acc"] > 0.75
    by_hand = np.mean(learner.predict(stream[3].test.x) == stream[3].test.y)
    assert matrix.values[5, 3] == by_hand


def test_items_of_validation() -> None:
    stream = Permuted(tasks=2, **LIMITS).build(0)
    matrix = evaluate(stream, ClassMeans(stream.problem), on="validation")
    assert set(np.unique(np.round(matrix.values * 20, 6) % 1)) == {0}  # of twenty items each


def test_scores_of_another_shape_are_refused() -> None:
    class Short(ClassMeans):
        def scores(self, x: Any, task: int | None) -> Any:
            return super().scores(x, task)[:, :-1]

    stream = Permuted(tasks=2, **LIMITS).build(0)
    words = r"Short.scores: must be \[items, classes\] = \[60, 10\] \(got \[60, 9"
    with pytest.raises(NeurosimInputError, match=words):
        evaluate(stream, Short(stream.problem))
