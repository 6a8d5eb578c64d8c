"""A learner that keeps the mean of each class, and a stream of tasks that get darker."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neurosim.learning import Items, Learner, Stream, StreamRecipe, Task
from neurosim.learning.continual.sources import load


@dataclass(frozen=True)
class MeansSettings:
    """Settings of `Means`: prior: number of dark items that each mean starts with."""

    prior: float = 0.0


class Means(Learner):
    """Distance to the mean of each class."""

    SETTINGS = MeansSettings
    TASK_FREE = True  # sums do not care where a task begins

    def __init__(self, problem, settings):
        super().__init__(problem)
        self.sums = np.zeros((problem.classes, problem.units))
        self.counts = np.full(problem.classes, settings.prior)

    def begin(self, task):
        """Do nothing: a network would grow here."""

    def learn(self, task, on_progress=None):
        for label in np.unique(task.train.y):
            rows = task.train.x[task.train.y == label]
            self.sums[label] += rows.sum(axis=(0, 1))
            self.counts[label] += len(rows)
        self.learned = task.index + 1

    def scores(self, x, task):
        means = self.sums / np.maximum(self.counts, 1)[:, None]
        return -((x.sum(axis=1)[:, None] * 1.0 - means) ** 2).sum(axis=2)

    def state(self):
        return {"sums": self.sums.copy(), "counts": self.counts.copy(), "learned": np.array(self.learned)}

    def restore(self, arrays, earlier):
        self.sums = arrays["sums"].copy()
        self.counts = arrays["counts"].copy()
        self.learned = int(arrays["learned"])


@dataclass(frozen=True)
class Darker(StreamRecipe):
    """Digits at half of the brightness in each further task."""

    tasks: int = 3

    def check(self):
        """Accept all settings."""

    def build(self, seed):
        base = load("digits")
        tasks = []
        for k in range(self.tasks):
            train = Items(base.train.x >> k, base.train.y)
            test = Items(base.test.x >> k, base.test.y)
            learned = train.select(np.arange(400))
            held = train.select(np.arange(1000, len(train)))
            tasks.append(Task(f"brightness 1/{2**k}", k, tuple(range(10)), learned, held, test))
        return Stream.of(tasks, seed=seed, boundaries=self.boundaries)
