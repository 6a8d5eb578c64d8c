"""Experience replay: a few items of every earlier task are learned again beside the new ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...errors import check_fields
from ..tasks import Problem, Task, in_turn
from . import common
from .common import ItemBatch
from .spiking import Spiking, TaskLearner


@dataclass(frozen=True)
class ReplaySettings(Spiking):
    """As `Spiking`, and

    Attributes:
        memory: items kept in all, shared equally by the tasks learned and within a task by its classes.
    """

    memory: int = 200

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fields(self, {"memory": ">= 1 items"})


@final
class Replay(TaskLearner):
    """Every step trains on as many stored items as new ones (Chaudhry et al. 2019, arXiv 1902.10486).

    Attributes:
        memory: places for stored items.
        x, y, task: of them, `memory` places; task -1 where one is empty.
    """

    name = "replay"
    SETTINGS = ReplaySettings

    def __init__(self, problem: Problem, settings: ReplaySettings) -> None:
        super().__init__(problem, settings)
        self.memory = n = settings.memory
        self.x: NDArray[np.uint8] = np.zeros((n, problem.steps, problem.units), np.uint8)
        self.y: NDArray[np.int64] = np.zeros(n, np.int64)
        self.task: NDArray[np.int64] = np.full(n, -1, np.int64)
        self.kept["memory"] = {name: torch.from_numpy(getattr(self, name)) for name in ("x", "y", "task")}

    def objective(self, batch: ItemBatch, generator: torch.Generator) -> Tensor:
        full = np.flatnonzero(self.task >= 0)
        if not len(full):
            return self.loss(batch)
        rows = full[torch.randint(len(full), (len(batch.y),), generator=generator).numpy()]
        if self.problem.scenario == "task":
            allowed = torch.stack([common.allowed_classes(self.problem, int(t)) for t in self.task[rows]])
        else:
            allowed = batch.allowed
        again = ItemBatch(common.as_float(self.x[rows]), torch.from_numpy(self.y[rows]), allowed)
        return (self.loss(batch) + self.loss(again)) / 2

    def after_task(self, task: Task) -> None:
        """Make room: every task keeps its first items, which were drawn evenly over its classes."""
        tasks = task.index + 1
        shares = [len(part) for part in np.array_split(np.arange(self.memory), tasks)]
        old = [np.flatnonzero(self.task == t)[:share] for t, share in enumerate(shares[:-1])]
        order = torch.randperm(len(task.train), generator=common.torch_generator(self.problem, "memory", task.index))
        new = in_turn(task.train.y, order.numpy())[: shares[-1]]
        rows = np.concatenate([np.empty(0, np.int64), *old])
        n = len(rows) + len(new)
        x = np.broadcast_to(task.train.x[new], (len(new), *self.x.shape[1:]))
        # The right-hand sides are copies: what moves up overwrites places that others came from.
        self.x[:n], self.y[:n] = np.concatenate([self.x[rows], x]), np.concatenate([self.y[rows], task.train.y[new]])
        self.task[:n] = np.concatenate([self.task[rows], np.full(len(new), task.index)])
        self.task[n:] = -1
