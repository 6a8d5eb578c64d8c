"""Learning without forgetting: on new items, the answers over old classes stay as they were before the task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ....base.rules import Positive, Rule
from ..tasks import Problem, Task
from . import common
from .common import ItemBatch
from .spiking import Spiking, TaskLearner


@dataclass(frozen=True)
class LwfSettings(Spiking):
    """Settings of `Spiking` and of the distillation.

    Attributes:
        strength: weight of the distillation; the loss of the task has weight 1.
        temperature: T, divisor of both scores.
    """

    strength: Annotated[float, Rule("finite and >= 0")] = 1.0
    temperature: Positive = 2.0

    def unused(self, images: bool | None) -> dict[str, str]:
        unused = super().unused(images)
        if not self.strength:
            unused["temperature"] = "with strength 0"
        return unused


@final
class LearningWithoutForgetting(TaskLearner):
    """Learning without forgetting (Li & Hoiem 2016, ECCV, arXiv 1606.09282): nothing of earlier tasks is stored.

    The loss gets strength T^2 KL(softmax(s' / T) | softmax(s / T)), s being the scores of the task's items and s' their
    scores by the net before the task. The softmax is over the classes of earlier tasks; in the scenario "task" there is
    one for the classes of each earlier task, and the terms are summed.

    Attributes:
        teacher: the weights before the task, by parameter.
    """

    name = "lwf"
    SETTINGS = LwfSettings
    settings: LwfSettings

    def __init__(self, problem: Problem, settings: LwfSettings) -> None:
        super().__init__(problem, settings)
        self.teacher = {name: p.detach().clone() for name, p in self.net.named_parameters()}
        self.extra["teacher"] = self.teacher

    def objective(self, batch: ItemBatch, generator: torch.Generator) -> Tensor:
        scores = self.net(batch.x)
        loss = common.loss_of(scores, batch)
        if not self.learned:
            return loss
        # The net before the task, on the items of the task: no item of an earlier one is needed.
        with torch.no_grad():
            before = torch.func.functional_call(self.net, self.teacher, (batch.x,))
        return loss + self.settings.strength * self.distillation(scores, before)

    def distillation(self, scores: Tensor, before: Tensor) -> Tensor:
        """Return the mean over items of T^2 KL(before | scores), summed over the groups of earlier classes."""
        temperature = self.settings.temperature
        loss = scores.new_zeros(())
        for classes in self._groups():
            # T^2 makes up for the gradient, which a temperature shrinks by 1 / T^2 (Hinton et al. 2015).
            now, then = ((s[:, classes] / temperature).log_softmax(dim=1) for s in (scores, before))
            loss = loss + temperature**2 * F.kl_div(now, then, reduction="batchmean", log_target=True)
        return loss

    def _groups(self) -> list[Tensor]:
        """Return the classes whose answers are compared with each other."""
        tasks: list[int | None] = [None]
        if self.problem.scenario == "task":
            tasks = list(range(self.learned))
        groups = [np.flatnonzero(self.problem.allowed(task, self.learned)) for task in tasks]
        return [torch.from_numpy(classes).to(self.device) for classes in groups]

    def after_task(self, task: Task) -> None:
        with torch.no_grad():
            for name, p in self.net.named_parameters():
                self.teacher[name].copy_(p)
