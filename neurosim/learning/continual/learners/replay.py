"""Learners that store items of earlier tasks: experience replay and dark experience replay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ....base.rules import Count, Rule
from ..tasks import Items, Problem, Task, in_turn
from . import common
from .common import ItemBatch
from .spiking import Spiking, TaskLearner


@dataclass(frozen=True)
class ReplaySettings(Spiking):
    """Settings of `Spiking`, and the size of the memory.

    Attributes:
        memory: items kept in all, shared equally by the tasks learned and within a task by its classes.
    """

    memory: Annotated[int, Rule(">= 1 items")] = 200


class ItemMemory(TaskLearner):
    """A learner with a memory of items of earlier tasks.

    Attributes:
        memory: number of places.
        x: [memory, ...] stored items, as `coded` returns them.
        y: [memory] their classes.
        task: [memory] their tasks; -1 for an empty place.
    """

    def __init__(self, problem: Problem, settings: ReplaySettings) -> None:
        super().__init__(problem, settings)
        n = settings.memory
        self.memory = n
        self.x: NDArray[np.uint8] = np.zeros((n, *self.coded_shape()), np.uint8)
        self.y: NDArray[np.int64] = np.zeros(n, np.int64)
        self.task: NDArray[np.int64] = np.full(n, -1, np.int64)
        self.extra["memory"] = {name: torch.from_numpy(getattr(self, name)) for name in ("x", "y", "task")}

    def coded_shape(self) -> tuple[int, ...]:
        """Return the shape of an item as it is stored."""
        return self.problem.steps, self.problem.units

    def coded(self, x: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return items [n, steps, units] as they are stored."""
        return np.broadcast_to(x, (len(x), *self.coded_shape()))

    def draw(self, count: int, generator: torch.Generator) -> NDArray[np.int64]:
        """Return [count] places of stored items; none if all places are empty."""
        full = np.flatnonzero(self.task >= 0)
        # Before the first task ends nothing is stored.
        if not len(full):
            return full
        return np.asarray(full[torch.randint(len(full), (count,), generator=generator).numpy()])

    def stored(self, places: NDArray[np.int64], batch: ItemBatch) -> ItemBatch:
        """Return the items of some places.

        Their possible classes are the classes of their own task in the scenario "task", else of `batch`.
        """
        if self.problem.scenario == "task":
            allowed = torch.stack([common.allowed_classes(self.problem, int(t)) for t in self.task[places]])
        else:
            allowed = batch.allowed
        return ItemBatch.of(Items(self.x[places], self.y[places]), allowed, self.device)


class EvenMemory(ItemMemory):
    """A memory that every task shares equally, and within a task its classes; it is filled after each task."""

    def after_task(self, task: Task) -> None:
        """Add items of the task; every earlier task keeps its first items, which were drawn evenly over its classes."""
        tasks = task.index + 1
        # Places of each task so far; they differ by one where the memory does not divide.
        shares = [len(part) for part in np.array_split(np.arange(self.memory), tasks)]
        old = [np.flatnonzero(self.task == t)[:share] for t, share in enumerate(shares[:-1])]
        order = torch.randperm(len(task.train), generator=common.torch_generator(self.problem, "memory", task.index))
        # Classes take turns, so that any first part of them is even, too: later tasks cut it shorter.
        new = in_turn(task.train.y, order.numpy())[: shares[-1]]
        rows = np.concatenate([np.empty(0, np.int64), *old])
        n = len(rows) + len(new)
        # The right-hand sides are copies, as items that move up overwrite places of others.
        self.x[:n] = np.concatenate([self.x[rows], self.coded(task.train.x[new])])
        self.y[:n] = np.concatenate([self.y[rows], task.train.y[new]])
        self.task[:n] = np.concatenate([self.task[rows], np.full(len(new), task.index)])
        self.task[n:] = -1


@final
class Replay(EvenMemory):
    """Every step trains on as many stored items as new ones (Chaudhry et al. 2019, arXiv 1902.10486)."""

    name = "replay"
    SETTINGS = ReplaySettings

    def objective(self, batch: ItemBatch, generator: torch.Generator) -> Tensor:
        places = self.draw(len(batch.y), generator)
        loss = self.loss(batch)
        if len(places):
            # The mean, so that a step is as long as without stored items.
            return (loss + self.loss(self.stored(places, batch))) / 2
        return loss


@dataclass(frozen=True)
class DarkSettings(ReplaySettings):
    """Settings of `ReplaySettings`, and the weights of the two further losses.

    Defaults are for one pass without boundaries: steps are few there, so that batches are small. Split MNIST, 1,000
    items a task, validation items of another seed: .864; batches of 32 with alpha = beta = .5 had .729.

    Attributes:
        alpha: weight of the distance to the scores that were stored.
        beta: weight of the loss of stored items by their labels; 0 makes it DER without the second plus.
    """

    batch: Count = 8
    alpha: Annotated[float, Rule("finite and >= 0")] = 0.2
    beta: Annotated[float, Rule("finite and >= 0")] = 1.0


@final
class DarkReplay(ItemMemory):
    """Dark experience replay, DER++ (Buzzega et al. 2020, NeurIPS, arXiv 2004.07211).

    The loss of a step is the loss of new items, + alpha |s(x') - s'|^2 / classes over stored items x' whose scores were
    s' when they were stored, + beta times the loss of other stored items by their labels. Each item is stored with the
    same probability (a reservoir: Vitter 1985), with the scores of that moment. The method needs no task boundaries;
    with alpha = 0 and beta = 1 it is experience replay from a reservoir.

    Attributes:
        stored_scores: [memory, classes].
        seen: [1], number of items that were offered to the reservoir.
    """

    name = "derpp"
    SETTINGS = DarkSettings
    TASK_FREE = True
    settings: DarkSettings

    def __init__(self, problem: Problem, settings: DarkSettings) -> None:
        super().__init__(problem, settings)
        self.seen = torch.zeros(1, dtype=torch.int64)
        self.extra["memory"] |= {"scores": torch.zeros(self.memory, problem.classes), "seen": self.seen}

    @property
    def stored_scores(self) -> Tensor:
        return self.extra["memory"]["scores"]

    def objective(self, batch: ItemBatch, generator: torch.Generator) -> Tensor:
        scores = self.net(batch.x)
        loss = common.loss_of(scores, batch)
        if self.seen:
            # Two draws, as published: one for scores, one for labels.
            first = self.draw(len(batch.y), generator)
            second = self.draw(len(batch.y), generator)
            now = self.net(common.as_float(self.x[first]).to(self.device))
            then = self.stored_scores[first]
            # alpha |s(x') - s'|^2 / classes
            loss = loss + self.settings.alpha * torch.nn.functional.mse_loss(now, then)
            # beta times the loss of other stored items
            loss = loss + self.settings.beta * self.loss(self.stored(second, batch))
        # Offered after the draws: an item is not replayed in the step in which it comes.
        self.store(batch, scores.detach(), generator)
        return loss

    def store(self, batch: ItemBatch, scores: Tensor, generator: torch.Generator) -> None:
        """Offer the items of a batch to the reservoir, one after the other."""
        # Item number k (from 0) goes to a place drawn from 0..k, if that is one of the memory's.
        numbers = int(self.seen) + torch.arange(len(batch.y))
        drawn = (torch.rand(len(numbers), generator=generator, dtype=torch.float64) * (numbers + 1)).long()
        places = torch.where(numbers < self.memory, numbers, drawn)
        for item in torch.nonzero(places < self.memory)[:, 0].tolist():
            place = int(places[item])
            self.x[place] = batch.items.x[item]
            self.y[place] = batch.items.y[item]
            if self.problem.boundaries:
                self.task[place] = self.learned
            else:
                self.task[place] = 0
            self.stored_scores[place] = scores[item]
        self.seen += len(numbers)
