"""A spiking net without any method against forgetting."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from .common import ItemBatch
from .spiking import Spiking, TaskLearner


@final
class Plain(TaskLearner):
    """A net without any method against forgetting: the baseline."""

    name = "plain"
    SETTINGS = Spiking
    TASK_FREE = True

    def objective(self, batch: ItemBatch, generator: torch.Generator) -> Tensor:
        return self.loss(batch)
