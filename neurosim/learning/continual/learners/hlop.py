"""Hebbian orthogonal projection: new tasks are learned in directions that earlier ones left unused."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ....base.errors import lookup, require
from ....base.measure.work import LayerCounts
from ....base.optimizers import SGD
from ....base.rules import Count, Natural
from ....engine.result import Result
from ...hlop.export import OUTPUT, run_in_engine
from ...hlop.network import HLOPNetwork
from ...hlop.projected import FEEDBACKS
from ...hlop.trainings import TRAININGS, HLOPTraining
from ...training.scoring import device_of
from ..encoding import spike_counts
from ..learner import Arrays, Learner, Progress, no_progress
from ..tasks import FULL, Problem, Task
from . import common
from .common import ItemBatch
from .state import check_arrays, check_names

# Number of items on which the first weights of convolutional networks are scaled.
CALIBRATED = 128


@dataclass(frozen=True)
class HlopSettings(common.LearnerTraining):
    """The network, its training and its lateral circuits.

    The network and the lateral neurons are those published for permuted MNIST, where the learning rate stays 0.1. A
    learning rate that falls does better there: it leaves the layers at rest when the subspaces see them last.

    Attributes:
        hidden: units of each hidden layer.
        training: "bptt", "online" or "rate".
        steps: number of steps of a still image; recordings have their own. 0: as published for the training, 6 or, by
            rates, 20.
        spiking: whether lateral neurons spike.
        first: lateral neurons of the first task, as fractions of the width of each layer's input, from the first layer
            to the last; the last number stands for all further layers.
        more: lateral neurons of each later task, as fractions of the width of any layer; the last number stands for all
            further tasks. There are at most as many as directions are left.
        epochs, batch, learning_rate: settings of stochastic gradient descent without momentum.
        falls: whether the learning rate falls to 0 within each task, linearly.
        feedback: weights that errors go back through: "exact", "random" (feedback alignment) or "sign"
            (sign-symmetric); see `neurosim.learning.ProjectedLinear`.
        shape: (height, width) or (channels, height, width) of an item, where there are filters.
        filters: numbers of filters of convolutional layers before the hidden ones.
        kernel: side of a filter.
        stride: distance from one place of a filter to the next.
        engine: whether the engine answers, from numbers of spikes in place of drives. The same net learns in torch.
        spikes: number of spikes of a fully driven unit in a step, where the engine answers.
    """

    epochs: int = 1
    batch: int = 64
    learning_rate: float = 0.2
    falls: bool = True
    hidden: tuple[int, ...] = (800, 800)
    training: str = "bptt"
    steps: Natural = 0
    spiking: bool = False
    feedback: str = "exact"
    shape: tuple[int, ...] = ()
    filters: tuple[int, ...] = ()
    kernel: Count = 5
    stride: Count = 2
    first: tuple[float, ...] = (0.1, 0.25, 0.125)
    more: tuple[float, ...] = (0.0875, 0.0875, 0.0625, 0.0625, 0.0625, 0.0375, 0.0375, 0.0375, 0.0125)
    engine: bool = False
    spikes: Count = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        name = "HlopSettings."
        require(not self.hidden or min(self.hidden) >= 1, name + "hidden", "must be >= 1, each", self.hidden)
        lookup(TRAININGS, self.training, name + "training")
        lookup(FEEDBACKS, self.feedback, name + "feedback")
        require(not self.filters or min(self.filters) >= 1, name + "filters", "must be >= 1, each", self.filters)
        good = not self.filters or (len(self.shape) in (2, 3) and min(self.shape) >= 1)
        require(good, name + "shape", "must be (height, width) or (channels, height, width) with filters", self.shape)
        runs = not self.engine or self.training != "rate"
        require(runs, name + "training", "must be bptt or online for the engine to answer", self.training)
        for field in ("first", "more"):
            parts = getattr(self, field)
            good = len(parts) >= 1 and all(0 <= part <= 1 for part in parts)
            require(good, name + field, "must be one part at least, each >= 0 and <= 1", parts)

    def unused(self, images: bool | None) -> dict[str, str]:
        unused: dict[str, str] = {}
        if images is False:
            unused["steps"] = "for recordings, which have their own"
        if not self.filters:
            unused |= dict.fromkeys(("shape", "kernel", "stride"), "without filters")
        if not self.engine:
            unused["spikes"] = "with engine false"
        return unused

    def hlop_training(self) -> HLOPTraining:
        """Return the training, with the number of steps of the settings."""
        kind = TRAININGS[self.training]
        return kind(steps=self.steps) if self.steps else kind()

    def rows(self, task: int, widths: Sequence[int], free: Sequence[int]) -> list[int]:
        """Return the lateral neurons that a task adds to each layer; at most its `free` directions."""
        # The last entry of `more` and of `first` serves all tasks and layers after it.
        if task:
            parts = [self.more[min(task, len(self.more)) - 1]] * len(widths)
        else:
            parts = [self.first[min(i, len(self.first) - 1)] for i in range(len(widths))]
        return [min(round(part * n), limit) for part, n, limit in zip(parts, widths, free, strict=True)]


@final
class Hlop(Learner):
    """Hebbian learning based orthogonal projection (Xiao et al., ICLR 2024); see `neurosim.learning.hlop`.

    Inputs are standardised by mean and deviation of the first task's items. Recordings, which are mostly silence, and
    inputs of the engine, which are spikes, are divided by the deviation alone, so that a pixel without events stays 0.

    Attributes:
        network: weights and lateral circuits.
        scale: [2] shift that is subtracted from the inputs, and their divisor.
    """

    name = "hlop"
    SETTINGS = HlopSettings
    DEVICES = ("cpu", "cuda")

    def __init__(self, problem: Problem, settings: HlopSettings) -> None:
        super().__init__(problem)
        self.settings = settings
        self.network = self._fresh()
        self.scale: NDArray[np.float64] = np.array([0.0, 1.0])

    @property
    def device(self) -> torch.device:
        return device_of(self.network)

    def to(self, device: str) -> None:
        super().to(device)
        self.network.to(device)

    def begin(self, task: Task) -> None:
        if not task.index:
            x = task.train.x
            # Inputs that are mostly 0, or are spikes, stay 0 where nothing happens: they are not centred.
            centred = self.problem.steps == 1 and not self.settings.engine
            shift = x.mean() if centred else 0.0
            self.scale = np.array([shift, max(x.std(), 1.0)]) / FULL
            # Units behind two convolutions would be silent with unscaled weights.
            if self.settings.filters:
                self.network.calibrate(self._driven(common.as_float(x[:CALIBRATED]).to(self.device)))
        self.network.begin_task(self.settings.rows(task.index, self.network.features, self.network.free_directions()))

    def learn(self, task: Task, on_progress: Progress = no_progress) -> None:
        generator = common.torch_generator(self.problem, "train", task.index)
        # Thresholds learn in the first task only.
        parameters = [p for p in self.network.parameters() if p.requires_grad]
        optimizer = SGD(parameters, lr=self.settings.learning_rate)

        def step(batch: ItemBatch, remaining: float) -> Tensor:
            if self.settings.falls:
                optimizer.param_groups[0]["lr"] = self.settings.learning_rate * remaining
            optimizer.zero_grad()
            loss = self.network.gradients(self._driven(batch.x), batch.y, batch.allowed)
            optimizer.step()
            return torch.tensor(loss)

        allowed = common.allowed_classes(self.problem, task.index)
        before = self.network.lateral_updates
        total = common.train(
            self.name, task, task.train, allowed, self.settings, generator, step, on_progress, self.device
        )
        # Every step writes all trained weights; lateral weights count what they write themselves.
        self.updates = total * common.sizes(parameters) + self.network.lateral_updates - before
        self.network.end_task()
        self.learned = task.index + 1

    @torch.no_grad()
    def scores(self, x: NDArray[np.uint8], task: int | None) -> NDArray[Any]:
        if self.settings.engine:
            return np.concatenate(self._run(x).readings[OUTPUT])
        return np.asarray(self.network(self._driven(common.as_float(x).to(self.device))).cpu().numpy())

    def work(self, x: NDArray[np.uint8], task: int | None = None) -> list[LayerCounts]:
        if self.settings.engine:
            return list(self._run(x).work)
        return self.network.work(self._driven(common.as_float(x).to(self.device)))

    def memory_bytes(self) -> dict[str, int]:
        return self.network.memory_bytes()

    def state(self) -> dict[str, NDArray[Any]]:
        return {**self.network.arrays(), "scale": self.scale.copy(), "learned": np.array(self.learned)}

    def restore(self, arrays: Arrays, earlier: Sequence[Task]) -> None:
        check_names(self.name, arrays, self.state())
        # The numbers of lateral neurons differ: the network checks its own arrays.
        own = {"scale": np.array(self.scale), "learned": np.array(self.learned)}
        check_arrays(self.name, {name: arrays[name] for name in own}, own)
        # A new network has the fixed weights of its seed, and no lateral neurons yet: `restore` adds them.
        network = self._fresh().to(self.device)
        network.restore({name: array for name, array in arrays.items() if name not in {"scale", "learned"}})
        self.network = network
        self.scale = np.array(arrays["scale"], np.float64)
        self.learned = int(arrays["learned"])

    def _fresh(self) -> HLOPNetwork:
        """Return the network before the first task."""
        sizes = (self.problem.units, *self.settings.hidden, self.problem.classes)
        seed = common.seed_of(self.problem, "net")
        settings = self.settings
        shape = settings.shape[-2:] if settings.filters else ()
        if settings.filters:
            picture = (self.problem.units // math.prod(shape), *shape)
        else:
            picture = None
        return HLOPNetwork(
            sizes,
            settings.hlop_training(),
            spiking=settings.spiking,
            seed=seed,
            feedback=settings.feedback,
            picture=picture,  # type: ignore[arg-type]
            filters=settings.filters,
            kernel=settings.kernel,
            stride=settings.stride,
        )

    def _run(self, x: NDArray[np.uint8]) -> Result:
        """Compute the scores of items in the engine."""
        if self.problem.steps == 1:
            steps = self.network.training_by.steps
        else:
            steps = self.problem.steps
        # A still image is shown again in every step.
        counts = spike_counts(np.broadcast_to(x, (len(x), steps, x.shape[2])), self.settings.spikes)
        return run_in_engine(self.network, counts, 1 / (self.settings.spikes * float(self.scale[1])))

    def _driven(self, x: Tensor) -> Tensor:
        """Return items [B, steps, units] as the network takes them: images [B, units], others [steps, B, units]."""
        shift, size = self.scale.tolist()
        # Integer numbers of spikes, as the engine gets them.
        if self.settings.engine:
            x = (x * self.settings.spikes).round() / self.settings.spikes
        x = (x - shift) / size
        if x.shape[1] > 1:
            return x.transpose(0, 1)
        if self.problem.steps == 1:
            return x[:, 0]
        # A still image among recordings is shown unchanged for all steps.
        return x.transpose(0, 1).expand(self.problem.steps, -1, -1)
