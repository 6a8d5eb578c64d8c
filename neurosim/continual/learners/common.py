"""What learners share: random numbers by task, the state of torch modules as arrays, a loss that must stay a number."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...errors import NeurosimError, require
from ...random import rng_key
from ..learner import Arrays, Progress
from ..tasks import FULL, Items, Problem, Task


@dataclass(frozen=True)
class Training:
    """How a network is trained on a task, by Adam, begun anew with each.

    Attributes:
        epochs: passes over the task.
        batch: items of a step.
        rate: of learning.
    """

    epochs: int = 5
    batch: int = 32
    rate: float = 2e-3

    def __post_init__(self) -> None:
        name = type(self).__name__
        for what in ("epochs", "batch"):
            require(getattr(self, what) >= 1, f"{name}.{what}", "must be >= 1", getattr(self, what))
        require(0 < self.rate < math.inf, f"{name}.rate", "must be > 0", self.rate)


@dataclass(frozen=True, eq=False)
class Batch:
    """Items of one step.

    Attributes:
        x: [B, steps, units] float32 in 0..1; y: [B] classes.
        allowed: [B, classes] or [classes] bool, what each can be of.
    """

    x: Tensor
    y: Tensor
    allowed: Tensor


def draws(problem: Problem, purpose: str, task: int = 0) -> torch.Generator:
    """Random numbers of a problem's seed for a purpose and a task, whatever was drawn before."""
    return torch.Generator().manual_seed(rng_key(problem.seed, "learner", purpose, str(task)) & (2**63 - 1))


def seed_of(problem: Problem, purpose: str) -> int:
    """A seed of 31 bits for a purpose."""
    return rng_key(problem.seed, "learner", purpose) & (2**31 - 1)


def shown(x: NDArray[np.uint8]) -> Tensor:
    """Items [n, steps, units] as float32 in 0..1."""
    return torch.from_numpy(np.ascontiguousarray(x)).float().div_(FULL)


def allowed(problem: Problem, task: int) -> Tensor:
    """[classes] what an item of a task being learned can be of."""
    return torch.from_numpy(problem.allowed(task if problem.scenario == "task" else None, task + 1))


def batches(items: Items, may: Tensor, training: Training, chance: torch.Generator) -> Iterator[Batch]:
    """Every item once an epoch, in random order; `may` is [classes], or [n, classes] of each item."""
    y = torch.from_numpy(np.asarray(items.y, np.int64))
    for _ in range(training.epochs):
        for rows in torch.randperm(len(items), generator=chance).split(training.batch):
            yield Batch(shown(items.x[rows.numpy()]), y[rows], may if may.ndim == 1 else may[rows])


def steps(items: Items, training: Training) -> int:
    """How many batches that is."""
    return training.epochs * -(-len(items) // training.batch)


def loss_of(scores: Tensor, batch: Batch) -> Tensor:
    """Cross-entropy over the classes that each item can be of."""
    return nn.functional.cross_entropy(scores.masked_fill(~batch.allowed, -torch.inf), batch.y)


def still_a_number(loss: Tensor, name: str, step: int, total: int, task: Task) -> None:
    """Raise where training has run away.

    Raises:
        NeurosimError: the loss is no finite number; says at which step.
    """
    value = float(loss.detach())
    if not math.isfinite(value):
        raise NeurosimError(
            f"{name}: the loss is {value} at step {step} of {total} of task {task.index} ({task.name}); nothing of "
            f"this task is kept. Lower learners.{name}.rate, or its penalty"
        )


def still_finite(module: nn.Module, name: str, total: int, task: Task) -> None:
    """Raise where the last step ran away, which no loss has shown.

    Raises:
        NeurosimError: a weight is no finite number.
    """
    if not all(bool(torch.isfinite(p).all()) for p in module.parameters()):
        raise NeurosimError(
            f"{name}: weights are no numbers after step {total} of {total} of task {task.index} ({task.name}); nothing "
            f"of this task is kept. Lower learners.{name}.rate, or its penalty"
        )


def reporter(progress: Progress, total: int, every: int = 10) -> Progress:
    """Tells only now and then."""

    def tell(done: int, of: int) -> None:
        if done % every == 0 or done == total:
            progress(done, of)

    return tell


def arrays_of(module: nn.Module) -> dict[str, NDArray]:
    """The parameters and buffers of a module by name."""
    return {f"net.{name}": value.detach().cpu().numpy().copy() for name, value in module.state_dict().items()}


def load_arrays(module: nn.Module, arrays: Arrays) -> None:
    """Give a module the values of `arrays_of` another like it; they must have been checked."""
    module.load_state_dict({name: torch.from_numpy(np.array(arrays[f"net.{name}"])) for name in module.state_dict()})
