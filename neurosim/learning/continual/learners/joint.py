"""Joint training, the reference of a stream: one training on all tasks so far, as `neurosim train` trains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ....base.errors import NeurosimError
from ....base.rules import Natural
from ...layers.start import START_RATE, gain_for_rate
from ...training.augment import Augment
from ...training.binning import EventBatch
from ...training.classifier import LayerActivity
from ...training.records import EpochProgress
from ...training.specs import TrainingSpec
from ...training.trainer import Trainer
from ..learner import Progress, no_progress
from ..tasks import FULL, Items, Problem, Task
from . import common
from .common import ItemBatch
from .spiking import DT, Net, Spiking, TaskLearner


@dataclass(frozen=True)
class JointSettings(Spiking):
    """A spiking net, and its training by the names and defaults of `training.TrainingSpec`.

    Attributes:
        epochs: largest number of passes over all items met so far.
        patience: epochs without better validation before training stops; 0: never.
    """

    epochs: int = 40
    learning_rate: float = 5e-3
    patience: Natural = 15

    def training_spec(self) -> TrainingSpec:
        """Return the settings of the trainer; those that are not named here are its defaults."""
        return TrainingSpec(
            epochs=self.epochs, batch=self.batch, learning_rate=self.learning_rate, patience=self.patience
        )


@dataclass(frozen=True, eq=False)
class TrainerItems:
    """Items with the interface of recordings.

    Attributes:
        x: [n, steps, units] uint8.
        labels: [n] classes.
    """

    x: NDArray[np.uint8]
    labels: NDArray[np.int64]

    @classmethod
    def of(cls, parts: Sequence[Items]) -> TrainerItems:
        """Return all items of `parts`; still images among recordings are repeated for the steps of those."""
        steps = max(items.x.shape[1] for items in parts)
        x = [np.broadcast_to(items.x, (len(items), steps, items.x.shape[2])) for items in parts]
        return cls(np.concatenate(x), np.concatenate([items.y for items in parts]))

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def durations(self) -> NDArray[np.float64]:
        """Duration of each item, s."""
        return np.full(len(self), self.x.shape[1] * DT)


@dataclass(frozen=True)
class ItemBatches:
    """Conversion of items to tensors, with the interface of `training.Binning`."""

    units: int

    def batch(
        self,
        recordings: TrainerItems,
        chosen: NDArray[np.int64],
        augment: Augment | None = None,
        seed: int = 0,
        epoch: int = 0,
    ) -> EventBatch:
        """Return the `chosen` items. They hold drives and no events, so that there is nothing to augment."""
        # [steps, items, units], as the trainer takes them.
        x = recordings.x[chosen].transpose(1, 0, 2).astype(np.float32) / np.float32(FULL)
        labels = recordings.labels[chosen]
        lengths = np.full(len(chosen), len(x), np.int64)
        return EventBatch(x=x, lengths=lengths, labels=labels, others=labels, shares=np.zeros(len(chosen), np.float32))


class TrainableItemNet(nn.Module):
    """The net of a learner, with the interface that `Trainer` needs.

    Attributes:
        units, classes: numbers of units and classes of the problem.
        spec: none; a `training.SpikingNet` has one.
    """

    spec = None

    def __init__(self, net: Net, problem: Problem) -> None:
        super().__init__()
        self.net = net
        self.units = problem.units
        self.classes = problem.classes

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return scores [B, classes] of items [steps, B, units]."""
        return self.net.read(self.net.through(x))

    def trace(self, x: Tensor, lengths: Tensor, masks: Sequence[Tensor] = ()) -> LayerActivity:
        """Return the scores; spikes are left out, because the loss has no term of them."""
        scores = self(x, lengths)
        return LayerActivity((), scores, scores)

    def dropout(self, items: int, seed: int) -> list[Tensor]:
        """Return no masks: there is no dropout."""
        return []

    @torch.no_grad()
    def calibrate(self, x: Tensor, rate: float = START_RATE) -> None:
        """Scale the weights of each hidden layer so that its units fire at `rate` spikes a step on these items."""
        for weights, neurons in zip(self.net.weights, self.net.neurons, strict=True):
            current = self.net.in_time(weights(x))
            gain = gain_for_rate(partial(_rate, neurons, current), rate)
            # Weights and biases: the current is scaled as a whole.
            for parameter in weights.parameters():
                parameter.mul_(gain)
            x = neurons(current * gain)[0]


def _rate(neurons: nn.Module, current: Tensor, gain: float) -> float:
    return float(neurons(current * gain)[0].mean())


@final
class Joint(TaskLearner):
    """The net of `plain`, trained on all items so far together: a reference for learners.

    After each task a new net is trained by the `Trainer` of `neurosim train`: weights scaled to a rate of spikes at the
    start, AdamW, a learning rate that rises and falls, smoothed labels, and the epoch that is best on the validation
    items of all tasks so far. It is not an upper bound: another net can be better.

    Attributes:
        tasks: all learned tasks, with their items.
    """

    name = "joint"
    SETTINGS = JointSettings

    def __init__(self, problem: Problem, settings: JointSettings) -> None:
        super().__init__(problem, settings)
        self.training_spec = settings.training_spec()
        self.tasks: list[Task] = []

    def objective(self, batch: ItemBatch, generator: torch.Generator) -> Tensor:
        return self.loss(batch)

    def learn(self, task: Task, on_progress: Progress = no_progress) -> None:
        tasks = [*self.tasks, task]
        net = Net(self.problem, self.settings).to(self.device)
        trainer = Trainer(
            # The trainer needs the interface of a `Classifier`, which this net has without being one.
            net=cast(Any, TrainableItemNet(net, self.problem)),
            binning=ItemBatches(self.problem.units),
            train=TrainerItems.of([t.train for t in tasks]),
            validation=TrainerItems.of([t.validation for t in tasks]),
            spec=self.training_spec,
            seed=common.seed_of(self.problem, "train"),
        )

        def report(progress: EpochProgress) -> None:
            done = (progress.epoch - 1) * progress.total + progress.done
            on_progress(done, self.settings.epochs * progress.total)

        try:
            state = trainer.run(report)
        except NeurosimError as error:
            raise NeurosimError(
                f"{self.name}: task {task.index} ({task.name}), with those before: {error}. Lower "
                f"learners.{self.name}.learning_rate"
            ) from None
        # Training may have stopped before its last epoch.
        on_progress(state.step, state.step)
        # A net of its own for each task: nothing of the one before is used.
        self.net = net
        self.updates = state.step * common.sizes(net.parameters())
        self.tasks = tasks
        self.learned = task.index + 1

    def memory_bytes(self) -> dict[str, int]:
        items = [part for task in self.tasks for part in (task.train, task.validation)]
        size = sum(part.x.nbytes + part.y.nbytes for part in items)
        return {**super().memory_bytes(), "tasks": size}

    def after_restore(self, earlier: Sequence[Task]) -> None:
        self.tasks = list(earlier)
