"""Penalties on changes of important weights: elastic weight consolidation, synaptic intelligence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, final

import torch
from torch import Tensor, nn

from ....base.rules import Count, Positive, Rule
from ..tasks import Items, Problem, Task
from . import common
from .common import ItemBatch
from .spiking import Spiking, SpikingLearner, TaskLearner

Tensors = dict[str, Tensor]


def penalty(net: nn.Module, importance: Tensors, weights: Tensors) -> Tensor:
    """Return the sum of importance (w - w_then)^2 over all weights w."""
    sums = [(importance[name] * (p - weights[name]).square()).sum() for name, p in net.named_parameters()]
    return torch.stack(sums).sum()


@dataclass(frozen=True)
class EwcSettings(Spiking):
    """Settings of `Spiking` and of the penalty.

    Attributes:
        strength: lambda, weight of the penalty.
        samples: number of items of a task for the estimate of its Fisher information.
    """

    strength: Annotated[float, Rule("finite and >= 0")] = 100.0
    samples: Count = 200

    def unused(self, images: bool | None) -> dict[str, str]:
        unused = super().unused(images)
        if not self.strength:
            unused["samples"] = "with strength 0"
        return unused


@final
class Ewc(TaskLearner):
    """Elastic weight consolidation (Kirkpatrick et al. 2017, PNAS 114:3521).

    The loss of a task gets lambda / 2 sum_k F_k (w - w_k)^2 over the tasks k before, F_k being the diagonal of the
    Fisher information of the net on task k (labels drawn from its own answers) and w_k its weights then. Up to a
    constant this is lambda / 2 F (w - m)^2 with F = sum_k F_k and m = sum_k F_k w_k / F, so two values a weight are
    stored for any number of tasks.

    Attributes:
        fisher: F by parameter.
        mean: m by parameter.
    """

    name = "ewc"
    SETTINGS = EwcSettings

    def __init__(self, problem: Problem, settings: EwcSettings) -> None:
        super().__init__(problem, settings)
        self.strength = settings.strength
        self.samples = settings.samples
        self.fisher: Tensors = {name: torch.zeros_like(p) for name, p in self.net.named_parameters()}
        self.mean: Tensors = {name: torch.zeros_like(p) for name, p in self.net.named_parameters()}
        self.extra.update(fisher=self.fisher, mean=self.mean)

    def objective(self, batch: ItemBatch, generator: torch.Generator) -> Tensor:
        loss = self.loss(batch)
        # lambda / 2 F (w - m)^2
        if self.learned:
            return loss + self.strength / 2 * penalty(self.net, self.fisher, self.mean)
        return loss

    def after_task(self, task: Task) -> None:
        generator = common.torch_generator(self.problem, "fisher", task.index)
        rows = torch.randperm(len(task.train), generator=generator)[: self.samples].numpy()
        new = fisher(
            self.net,
            common.as_float(task.train.x[rows]).to(self.device),
            common.allowed_classes(self.problem, task.index).to(self.device),
            generator,
        )
        with torch.no_grad():
            for name, p in self.net.named_parameters():
                # F' = F + F_k, m' = m + F_k / F' (w_k - m)
                total = self.fisher[name] + new[name]
                step = torch.where(total > 0, new[name] / total, torch.zeros_like(total))
                self.mean[name] += step * (p - self.mean[name])
                self.fisher[name] = total


def fisher(net: nn.Module, x: Tensor, allowed: Tensor, generator: torch.Generator) -> Tensors:
    """Return the diagonal of the Fisher information by parameter.

    It is the mean over items of squared gradients of log p(label), each label drawn from the net's own answer among the
    `allowed` classes.
    """
    information = {name: torch.zeros_like(p) for name, p in net.named_parameters()}
    # One item at a time: the mean gradient of a batch does not give the mean of squares.
    for item in x.split(1):
        logs = net(item).masked_fill(~allowed, -torch.inf).log_softmax(dim=1)
        label = torch.multinomial(logs.detach().exp().cpu(), 1, generator=generator)
        net.zero_grad()
        logs[0, int(label)].backward()
        for name, p in net.named_parameters():
            if p.grad is not None:
                information[name] += p.grad.square() / len(x)
    net.zero_grad()
    return information


@dataclass(frozen=True)
class SiSettings(Spiking):
    """Settings of `Spiking` and of the penalty.

    Attributes:
        strength: c, weight of the penalty.
        damping: xi, which bounds the importance of weights that hardly moved.
    """

    strength: Annotated[float, Rule("finite and >= 0")] = 0.1
    damping: Positive = 1e-3

    def unused(self, images: bool | None) -> dict[str, str]:
        unused = super().unused(images)
        if not self.strength:
            unused["damping"] = "with strength 0"
        return unused


@final
class SynapticIntelligence(SpikingLearner):
    """Synaptic intelligence (Zenke, Poole & Ganguli 2017, ICML, arXiv 1703.04200).

    A weight's share in lowering the loss of a task is o = -sum over steps of g dw, g being the gradient of the task's
    own loss. After the task its importance O grows by o / (D^2 + xi), D being its change in the task; the loss of the
    tasks that follow gets c sum O (w - w_then)^2.

    Attributes:
        importance: O by parameter.
        before: weights after the last task, by parameter.
        share: o so far in this task, by parameter.
    """

    name = "si"
    SETTINGS = SiSettings

    def __init__(self, problem: Problem, settings: SiSettings) -> None:
        super().__init__(problem, settings)
        self.strength = settings.strength
        self.damping = settings.damping
        parameters = dict(self.net.named_parameters())
        self.importance: Tensors = {name: torch.zeros_like(p) for name, p in parameters.items()}
        self.before: Tensors = {name: p.detach().clone() for name, p in parameters.items()}
        self.share: Tensors = {name: torch.zeros_like(p) for name, p in parameters.items()}
        self.extra.update(importance=self.importance, before=self.before)

    def move(self, device: torch.device) -> None:
        super().move(device)
        self.share.update({name: share.to(device) for name, share in self.share.items()})

    def training_items(self, task: Task) -> tuple[Items, Tensor]:
        return task.train, common.allowed_classes(self.problem, task.index)

    def objective(self, batch: ItemBatch, generator: torch.Generator) -> Tensor:
        loss = self.loss(batch)
        # c sum O (w - w_then)^2
        if self.learned:
            return loss + self.strength * penalty(self.net, self.importance, self.before)
        return loss

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        parameters = {name: p for name, p in self.net.named_parameters() if p.grad is not None}
        # dw is known after the step only, and the optimiser may have scaled the gradient.
        old = {name: p.detach().clone() for name, p in parameters.items()}
        optimizer.step()
        with torch.no_grad():
            for name, p in parameters.items():
                assert p.grad is not None
                # g: the gradient without the penalty, 2 c O (w - w_then).
                own = p.grad - 2 * self.strength * self.importance[name] * (old[name] - self.before[name])
                self.share[name] -= own * (p - old[name])

    def after_task(self, task: Task) -> None:
        with torch.no_grad():
            for name, p in self.net.named_parameters():
                distance = (p - self.before[name]).square() + self.damping
                # O += o / (D^2 + xi); a weight that raised the loss has no importance.
                self.importance[name] += self.share[name].clamp_min(0) / distance
                self.before[name] = p.detach().clone()
                self.share[name] = torch.zeros_like(p)

    def after_restore(self, earlier: Sequence[Task]) -> None:
        # A state is saved between tasks, where o is 0.
        for share in self.share.values():
            share.zero_()
