"""The interface of synthetic tasks on sequences: batches of any size, losses and scores.

Sizes (pairs, tokens, per cent) are drawn in training; a trained model is tested on others, too.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ....base.errors import require

BATCH = (8, 64)  # minimum and maximum of sequences of a training batch


def batch_of(length: int, tokens: int) -> int:
    """Return the number of sequences of `length` tokens, 8 to 64, that have about `tokens` tokens together."""
    return min(max(BATCH[0], tokens // length), BATCH[1])


@dataclass(frozen=True, eq=False)
class TaskBatch:
    """Sequences with their answers.

    Attributes:
        inputs: [B, T, fields] integers, or [B, T, channels] numbers.
        targets: [B, T] classes, or [B, T, outputs] numbers.
        loss_mask: [B, T] true where the target is an answer: in the loss and in the score.
    """

    inputs: Tensor
    targets: Tensor
    loss_mask: Tensor


@dataclass(frozen=True, kw_only=True)
class SequenceTask(ABC):
    """A task on sequences whose tokens are integers, one of each field, or vectors.

    Attributes:
        trained: lowest and highest size of the sequences that a model is trained on, all equally likely.
        sizes: sizes that it is tested on.
        size_name: unit of a size, in the plural.
        measure: "accuracy", or "error" of tasks that are answered by numbers.
        min_tested: minimum number of sequences of each size that a model is tested on.
    """

    size_name: ClassVar[str] = "tokens"
    measure: ClassVar[str] = "accuracy"
    min_tested: ClassVar[int] = 64

    trained: tuple[int, int]
    sizes: tuple[int, ...]

    def __post_init__(self) -> None:
        name = type(self).__name__
        smallest, largest = self.bounds
        low, high = self.trained
        rule = f"must be {smallest} <= low <= high <= {largest} {self.size_name}"
        require(smallest <= low <= high <= largest, f"{name}.trained", rule, self.trained)
        in_range = len(self.sizes) > 0 and all(smallest <= size <= largest for size in self.sizes)
        require(in_range, f"{name}.sizes", f"must be {smallest} to {largest} {self.size_name} each", self.sizes)

    @property
    def bounds(self) -> tuple[int, int]:
        """Smallest and largest size."""
        return 1, 100_000

    @property
    @abstractmethod
    def fields(self) -> tuple[int, ...]:
        """Numbers of values of each field; empty where tokens are vectors."""

    @property
    def channels(self) -> int:
        """Channels of a vector."""
        return 0

    @property
    @abstractmethod
    def outputs(self) -> int:
        """Number of classes, or of numbers."""

    @abstractmethod
    def length(self, size: int) -> int:
        """Return the number of tokens of a sequence of that size."""

    @abstractmethod
    def draw(self, size: int, batch: int, generator: torch.Generator) -> TaskBatch:
        """Draw `batch` sequences."""

    def references(self, batch: TaskBatch, size: int) -> dict[str, float]:
        """Return the scores of known algorithms on a batch of that size, by name; empty where there are none."""
        return {}

    def training_batch(self, generator: torch.Generator, tokens: int = 1024) -> TaskBatch:
        """Draw a size, then 8 to 64 sequences of it, of about `tokens` tokens together."""
        low, high = self.trained
        # Small sizes are drawn, too: with the largest alone some kinds learn nothing for a long time.
        size = int(torch.randint(low, high + 1, (), generator=generator))
        return self.draw(size, batch_of(self.length(size), tokens), generator)

    def loss(self, scores: Tensor, batch: TaskBatch) -> Tensor:
        """Return the cross-entropy of the answers, nats; for numbers the squared error over the targets' power."""
        predicted = scores[batch.loss_mask]
        targets = batch.targets[batch.loss_mask]
        if self.measure == "accuracy":
            return F.cross_entropy(predicted, targets)
        return (predicted - targets).square().mean() / targets.square().mean()

    def score(self, scores: Tensor, batch: TaskBatch) -> float:
        """Return the accuracy of the answers; for numbers the squared error over the targets' power."""
        if self.measure == "error":
            return float(self.loss(scores, batch))
        return float((scores[batch.loss_mask].argmax(-1) == batch.targets[batch.loss_mask]).double().mean())
