"""The spiking net of the learners that follow a gradient, and its training on one task after the other."""

from __future__ import annotations

import itertools
import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...errors import require
from ...layers import LIF, SpikeLinear
from ..learner import Arrays, Learner, Progress, silent
from ..tasks import Items, Problem, Task
from . import common
from .common import Batch, Training
from .state import check_arrays

DT = 0.01  # s, a step


@dataclass(frozen=True)
class Spiking(Training):
    """A spiking net and its training.

    Attributes:
        hidden: units of each hidden layer.
        steps: that a still image is shown for; recordings have their own.
        tau_mem: s, of the membranes; a step is 10 ms.
        v_threshold: of the membranes.
        epochs, batch, rate: as in `Training`.
    """

    hidden: tuple[int, ...] = (200,)
    steps: int = 8
    tau_mem: float = 0.02
    v_threshold: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        name = type(self).__name__
        good = len(self.hidden) >= 1 and min(self.hidden) >= 1
        require(good, f"{name}.hidden", "must be one layer at least, each of a unit at least", self.hidden)
        require(self.steps >= 1, f"{name}.steps", "must be >= 1", self.steps)
        for what in ("tau_mem", "v_threshold"):
            require(0 < getattr(self, what) < math.inf, f"{name}.{what}", "must be > 0", getattr(self, what))


class Net(nn.Module):
    """Layers of LIF neurons, and scores that are linear in the mean rates of the last.

    A still image is a constant current for `settings.steps` steps, so its product with the weights is taken once.
    """

    def __init__(self, problem: Problem, settings: Spiking) -> None:
        super().__init__()
        self.steps = settings.steps if problem.steps == 1 else problem.steps
        sizes = [problem.units, *settings.hidden]
        seed = common.seed_of(problem, "net")
        self.weights = nn.ModuleList(
            SpikeLinear(a, b, seed=seed + k) for k, (a, b) in enumerate(itertools.pairwise(sizes))
        )
        self.neurons = nn.ModuleList(
            LIF(b, settings.tau_mem, settings.v_threshold, DT, reset="subtract") for b in settings.hidden
        )
        self.output = SpikeLinear(sizes[-1], problem.classes, seed=seed + len(sizes))

    def forward(self, x: Tensor) -> Tensor:
        """[B, classes] scores of items [B, steps, units]."""
        spikes = x.transpose(0, 1)
        for weights, neurons in zip(self.weights, self.neurons, strict=True):
            current = weights(spikes)
            if len(current) == 1 < self.steps:
                current = current.expand(self.steps, *current.shape[1:]).contiguous()
            spikes = neurons(current)[0]
        return self.output(spikes.mean(dim=0))


class SpikingLearner(Learner):
    """Learns a task by the gradient of its loss, and what its kind adds against forgetting.

    Attributes:
        name: in messages.
        net: the spiking net.
        settings: of it and its training.
    """

    name: str

    def __init__(self, problem: Problem, settings: Spiking) -> None:
        super().__init__(problem)
        self.settings = settings
        self.net = Net(problem, settings)

    @abstractmethod
    def walked(self, task: Task) -> tuple[Items, Tensor]:
        """What one epoch walks through: items, and what each can be of, [classes] or [n, classes]."""

    @abstractmethod
    def objective(self, batch: Batch, chance: torch.Generator) -> Tensor:
        """What a step descends."""

    @abstractmethod
    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """Take a step, the gradients being there."""

    @abstractmethod
    def finished(self, task: Task) -> None:
        """Keep what is to be kept of a task that is learned."""

    @abstractmethod
    def kept(self) -> dict[str, NDArray]:
        """What it keeps beside the net, as arrays of fixed names and shapes."""

    @abstractmethod
    def keep(self, arrays: Arrays, earlier: Sequence[Task]) -> None:
        """Take what another kept; the arrays have been checked."""

    def begin(self, task: Task) -> None:
        self.net.train()

    def learn(self, task: Task, progress: Progress = silent) -> None:
        items, may = self.walked(task)
        chance = common.draws(self.problem, "train", task.index)
        optimizer = torch.optim.Adam(self.net.parameters(), lr=self.settings.rate)
        total = common.steps(items, self.settings)
        tell = common.reporter(progress, total)
        for k, batch in enumerate(common.batches(items, may, self.settings, chance), start=1):
            optimizer.zero_grad()
            loss = self.objective(batch, chance)
            common.still_a_number(loss, self.name, k, total, task)
            loss.backward()
            self.step(optimizer)
            tell(k, total)
        common.still_finite(self.net, self.name, total, task)
        self.finished(task)
        self.learned = task.index + 1

    @torch.no_grad()
    def scores(self, x: NDArray[np.uint8], task: int | None) -> NDArray:
        return np.asarray(self.net(common.shown(x)).numpy())

    def loss(self, batch: Batch) -> Tensor:
        """Of a batch, nothing added."""
        return common.loss_of(self.net(batch.x), batch)

    def state(self) -> dict[str, NDArray]:
        return {**common.arrays_of(self.net), **self.kept(), "learned": np.array(self.learned)}

    def restore(self, arrays: Arrays, earlier: Sequence[Task]) -> None:
        check_arrays(self.name, arrays, self.state())
        common.load_arrays(self.net, arrays)
        self.learned = int(arrays["learned"])
        self.keep(arrays, earlier)
