"""Two ends of the scale: a net that does nothing against forgetting, and one that sees all tasks together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import numpy as np
import torch
from torch import Tensor

from ..tasks import Items, Problem, Task
from . import common
from .common import ItemBatch
from .spiking import Spiking, SpikingLearner, TaskLearner


@final
class Plain(TaskLearner):
    """A net that does nothing against forgetting: the baseline."""

    name = "plain"
    SETTINGS = Spiking
    TASK_FREE = True

    def objective(self, batch: ItemBatch, generator: torch.Generator) -> Tensor:
        return self.loss(batch)


@final
class Joint(SpikingLearner):
    """A net that keeps every task and learns all of them together: an upper bound, not a continual learner."""

    name = "joint"
    SETTINGS = Spiking

    def __init__(self, problem: Problem, settings: Spiking) -> None:
        super().__init__(problem, settings)
        self.tasks: list[Task] = []

    def training_items(self, task: Task) -> tuple[Items, Tensor]:
        every = [*self.tasks, task]
        # Still images and recordings have different steps: shorter ones are shown unchanged.
        steps = max(t.train.x.shape[1] for t in every)
        x = [np.broadcast_to(t.train.x, (len(t.train), steps, t.train.x.shape[2])) for t in every]
        items = Items(np.concatenate(x), np.concatenate([t.train.y for t in every]))
        if self.problem.scenario != "task":
            return items, common.allowed_classes(self.problem, task.index)
        allowed = [common.allowed_classes(self.problem, t.index).expand(len(t.train), -1) for t in every]
        return items, torch.cat(allowed)

    def objective(self, batch: ItemBatch, generator: torch.Generator) -> Tensor:
        return self.loss(batch)

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        optimizer.step()

    def after_task(self, task: Task) -> None:
        self.tasks.append(task)

    def memory_bytes(self) -> dict[str, int]:
        kept = sum(task.train.x.nbytes + task.train.y.nbytes for task in self.tasks)
        return {**super().memory_bytes(), "tasks": kept}

    def after_restore(self, earlier: Sequence[Task]) -> None:
        self.tasks = list(earlier)
