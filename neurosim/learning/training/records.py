"""Progress and results of a training."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...base.plain import Record
from ...base.shown import Shown


@dataclass(frozen=True)
class EpochProgress:
    """Progress within an epoch.

    Attributes:
        epoch: number of the epoch, from 1.
        done, total: number of steps so far, and of the epoch.
        loss, accuracy: means so far.
    """

    epoch: int
    done: int
    total: int
    loss: float
    accuracy: float


@dataclass(frozen=True, kw_only=True)
class EpochRecord(Record):
    """Results of an epoch.

    Attributes:
        loss, accuracy: means over the training recordings, augmented as in training.
        rate: spikes of a unit in a step.
        learning_rate: learning rate at the end of the epoch.
        validation_loss, validation_accuracy: None without validation.
        seconds: wall-clock time.
        layer_seconds: part of it in which the layers ran, forward and backward.
    """

    loss: float
    accuracy: float
    rate: float
    learning_rate: float
    validation_loss: float | None = None
    validation_accuracy: float | None = None
    seconds: float = 0.0
    layer_seconds: float = 0.0

    def is_better_than(self, other: EpochRecord) -> bool:
        """Return whether validation has a higher accuracy, or the same with a lower loss."""
        return self._rank > other._rank

    @property
    def _rank(self) -> tuple[float, float]:
        # Of equal accuracies, frequent on small validation sets, the lower loss.
        return self.validation_accuracy or 0.0, -(self.validation_loss or 0.0)


@dataclass
class TrainingState(Shown):
    """Progress of a training.

    Attributes:
        epoch: number of completed epochs.
        step: number of optimiser steps.
        history: results of the epochs, the first one first.
        best: epoch (from 1) with the best validation so far; 0 before the first.
        stopped: whether training has ended because validation has not improved for `patience` epochs.
    """

    epoch: int = 0
    step: int = 0
    history: list[EpochRecord] = field(default_factory=list)
    best: int = 0
    stopped: bool = False
