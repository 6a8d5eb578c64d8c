"""Functions of all learners: random numbers by task, the training loop, the state of torch modules as arrays."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ....base.errors import NeurosimError
from ....base.random import rng_key
from ....base.rules import Count, LearningRate, check_rules
from ..learner import Arrays, Progress
from ..tasks import FULL, Items, Problem, Task

CPU = torch.device("cpu")


@dataclass(frozen=True)
class LearnerTraining:
    """Training of a network on a task; the optimiser starts anew with each task.

    Attributes:
        epochs: passes over the task.
        batch: items of a step.
        learning_rate: step size of the optimiser.
    """

    epochs: Count = 5
    batch: Count = 32
    learning_rate: LearningRate = 2e-3

    def __post_init__(self) -> None:
        check_rules(self)


@dataclass(frozen=True, eq=False)
class ItemBatch:
    """Items of one step, on the device of the network.

    Attributes:
        items: the items, in memory of the host.
        x: [B, steps, units] float32 in 0..1.
        y: [B] classes.
        allowed: [B, classes] or [classes] bool, the possible classes of each item.
    """

    items: Items
    x: Tensor
    y: Tensor
    allowed: Tensor

    @classmethod
    def of(cls, items: Items, allowed: Tensor, device: torch.device) -> ItemBatch:
        """Return a batch of all these items."""
        y = torch.from_numpy(np.asarray(items.y, np.int64))
        return cls(items, as_float(items.x).to(device), y.to(device), allowed.to(device))


def torch_generator(problem: Problem, purpose: str, task: int = 0) -> torch.Generator:
    """Return the generator of a problem's seed for a purpose and a task; draws do not depend on earlier draws."""
    # Without the highest bit, a key of 64 bits is a seed of torch, which is signed.
    return torch.Generator().manual_seed(rng_key(problem.seed, "learner", purpose, str(task)) & (2**63 - 1))


def seed_of(problem: Problem, purpose: str) -> int:
    """Return a seed of 31 bits for a purpose."""
    return rng_key(problem.seed, "learner", purpose) & (2**31 - 1)


def as_float(x: NDArray[np.uint8]) -> Tensor:
    """Return items [n, steps, units] as float32 in 0..1."""
    return torch.from_numpy(np.ascontiguousarray(x)).float().div_(FULL)


def allowed_classes(problem: Problem, task: int) -> Tensor:
    """Return [classes] bool, the possible classes of an item of a task while the task is learned."""
    # Only in the scenario "task" an item says which task it is of.
    number = task if problem.scenario == "task" else None
    return torch.from_numpy(problem.allowed(number, task + 1))


def batches(
    items: Items, allowed: Tensor, training: LearnerTraining, generator: torch.Generator, device: torch.device = CPU
) -> Iterator[ItemBatch]:
    """Yield every item once an epoch, in random order; `allowed` is [classes], or [n, classes] of each item."""
    for _ in range(training.epochs):
        for rows in torch.randperm(len(items), generator=generator).split(training.batch):
            if allowed.ndim == 1:
                possible = allowed
            else:
                possible = allowed[rows]
            yield ItemBatch.of(items.select(rows.numpy()), possible, device)


def train(
    name: str,
    task: Task,
    items: Items,
    allowed: Tensor,
    training: LearnerTraining,
    generator: torch.Generator,
    step: Callable[[ItemBatch, float], Tensor],
    on_progress: Progress,
    device: torch.device = CPU,
) -> int:
    """Take a step for each batch; return the number of steps.

    Args:
        name: name of the learner in errors.
        items, allowed, training, generator, device: arguments of `batches`.
        step: function of a batch and of the fraction of the training that is left (1 at the first step); computes the
            loss, moves the weights, and returns the loss.
        on_progress: called every ten steps with the number of steps so far, and of all steps.

    Raises:
        NeurosimError: a loss is not finite.
    """
    # The last batch of an epoch may be smaller.
    total = training.epochs * -(-len(items) // training.batch)
    for k, batch in enumerate(batches(items, allowed, training, generator, device), start=1):
        loss = step(batch, 1 - (k - 1) / total)
        # In every step, so that the error names the step in which training diverged.
        check_finite_loss(loss, name, k, total, task)
        if k % 10 == 0 or k == total:
            on_progress(k, total)
    return total


def loss_of(scores: Tensor, batch: ItemBatch) -> Tensor:
    """Return the cross-entropy over the possible classes of each item."""
    # Other classes have probability 0.
    return nn.functional.cross_entropy(scores.masked_fill(~batch.allowed, -torch.inf), batch.y)


def check_finite_loss(loss: Tensor, name: str, step: int, total: int, task: Task) -> None:
    """Raise `NeurosimError` if a loss is not finite; the error says at which step."""
    value = float(loss.detach())
    if not math.isfinite(value):
        raise NeurosimError(
            f"{name}: the loss is {value} at step {step} of {total} of task {task.index} ({task.name}); nothing of "
            f"this task is kept. Lower learners.{name}.learning_rate, or its penalty"
        )


def check_finite_weights(module: nn.Module, name: str, total: int, task: Task) -> None:
    """Raise `NeurosimError` if a weight is not finite: the last step may diverge, and no loss shows it."""
    if not all(bool(torch.isfinite(p).all()) for p in module.parameters()):
        raise NeurosimError(
            f"{name}: weights are not finite after step {total} of {total} of task {task.index} ({task.name}); nothing "
            f"of this task is kept. Lower learners.{name}.learning_rate, or its penalty"
        )


def arrays_of(module: nn.Module) -> dict[str, NDArray[Any]]:
    """Return the parameters and buffers of a module by name."""
    return {f"net.{name}": value.detach().cpu().numpy().copy() for name, value in module.state_dict().items()}


def load_arrays(module: nn.Module, arrays: Arrays) -> None:
    """Load the values that `arrays_of` returned for a module of the same shape; they must have been checked."""
    module.load_state_dict({name: torch.from_numpy(np.array(arrays[f"net.{name}"])) for name in module.state_dict()})


def sizes(tensors: Iterable[Tensor]) -> int:
    """Return the number of entries of tensors."""
    return sum(tensor.numel() for tensor in tensors)


def nbytes(tensors: Iterable[Tensor]) -> int:
    """Return the bytes of tensors."""
    return sum(tensor.nbytes for tensor in tensors)
