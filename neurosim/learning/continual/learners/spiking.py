"""Spiking net of the learners that follow a gradient, and its training on one task after the other."""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ....base.errors import require
from ....base.measure.work import LayerCounts
from ....base.optimizers import Adam
from ....base.rules import Count, Positive
from ...layers.counts import count_linear
from ...layers.linear import SpikeLinear
from ...layers.neurons import LIFLayer
from ...training.scoring import device_of
from ..learner import Arrays, Learner, Progress, no_progress
from ..tasks import Items, Problem, Task
from . import common
from .common import ItemBatch, LearnerTraining
from .state import check_arrays

# Length of a step, s.
DT = 0.01
# Moments in the state of Adam, as torch names them.
MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class Spiking(LearnerTraining):
    """A spiking net and its training.

    Attributes:
        hidden: units of each hidden layer.
        steps: number of steps of a still image; recordings have their own. A step is 10 ms.
        tau_mem: time constant of the membranes, s.
        v_threshold: threshold of the membranes.
    """

    hidden: tuple[int, ...] = (200,)
    steps: Count = 8
    tau_mem: Positive = 0.02
    v_threshold: Positive = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        good = len(self.hidden) >= 1 and min(self.hidden) >= 1
        rule = "must be at least one layer, each of at least one unit"
        require(good, f"{type(self).__name__}.hidden", rule, self.hidden)

    def unused(self, images: bool | None) -> dict[str, str]:
        return {"steps": "for recordings, which have their own"} if images is False else {}


class Net(nn.Module):
    """Layers of LIF neurons, and scores that are linear in the mean rates of the last.

    A still image is a constant current for `settings.steps` steps, so its product with the weights is taken once.
    """

    def __init__(self, problem: Problem, settings: Spiking) -> None:
        super().__init__()
        if problem.steps == 1:
            self.steps = settings.steps
        else:
            self.steps = problem.steps
        sizes = [problem.units, *settings.hidden]
        seed = common.seed_of(problem, "net")
        # Each layer has a seed of its own, so that another depth leaves the weights of the first layers as they are.
        self.weights = nn.ModuleList(
            SpikeLinear(a, b, seed=seed + k) for k, (a, b) in enumerate(itertools.pairwise(sizes))
        )
        self.neurons = nn.ModuleList(
            LIFLayer(b, settings.tau_mem, settings.v_threshold, dt=DT) for b in settings.hidden
        )
        self.output = SpikeLinear(sizes[-1], problem.classes, seed=seed + len(sizes))

    def forward(self, x: Tensor) -> Tensor:
        """Return scores [B, classes] of items [B, steps, units]."""
        return self.read(self.through(x.transpose(0, 1)))

    def through(self, spikes: Tensor, first: int = 0, last: int | None = None) -> Tensor:
        """Return the spikes [steps, B, units] of hidden layer `last` - 1, driven by the inputs of layer `first`."""
        for weights, neurons in zip(self.weights[first:last], self.neurons[first:last], strict=True):
            spikes = neurons(self.in_time(weights(spikes)))[0]
        return spikes

    def read(self, spikes: Tensor) -> Tensor:
        """Return scores [B, classes] of the last hidden layer's spikes."""
        scores: Tensor = self.output(spikes.mean(dim=0))
        return scores

    @torch.no_grad()
    def work(self, x: Tensor) -> list[LayerCounts]:
        """Return the work of `forward` by layer: products of a constant input are counted once."""
        spikes = x.transpose(0, 1)
        layers = []
        for k, (weights, neurons) in enumerate(zip(self.weights, self.neurons, strict=True), start=1):
            assert isinstance(weights, SpikeLinear) and isinstance(neurons, LIFLayer)
            inputs = spikes
            spikes, states = neurons.each_step(self.in_time(weights(inputs)))
            # Biases and the constants of the neurons are read as well.
            stored = weights.bias.numel() + neurons.constants().numel()
            layers.append(count_linear(f"hidden {k}", weights.weight, x=inputs, out=spikes, states=states, bias=stored))
        # The readout is one product of the mean rates, not one a step.
        rates = spikes.mean(dim=0, keepdim=True)
        out = self.output
        return [*layers, count_linear("output", out.weight, rates, out(rates), bias=out.bias.numel())]

    def in_time(self, current: Tensor) -> Tensor:
        """Return [steps, B, units] of a current; a current of one step is repeated."""
        if len(current) == 1 and self.steps > 1:
            return current.expand(self.steps, *current.shape[1:]).contiguous()
        return current


class SpikingLearner(Learner):
    """A spiking net that follows the gradient of a loss; each kind adds a term or items against forgetting.

    Attributes:
        name: name in messages.
        net: the spiking net.
        settings: settings of the net and its training.
        extra: state apart from the net, tensors of fixed shapes by kind and name; they are changed in place. Floats are
            on the device of the net, items and numbers in memory of the host. On a problem without boundaries it
            includes the state of the optimiser, which continues from piece to piece.
    """

    DEVICES: ClassVar[tuple[str, ...]] = ("cpu", "cuda")
    name: str

    def __init__(self, problem: Problem, settings: Spiking) -> None:
        super().__init__(problem)
        self.settings = settings
        self.net = Net(problem, settings)
        self.extra: dict[str, dict[str, Tensor]] = {}
        if not problem.boundaries:
            self.extra["steps"] = {"done": torch.zeros(1, dtype=torch.int64)}
            for moment in MOMENTS:
                self.extra[moment] = {name: torch.zeros_like(p) for name, p in self.net.named_parameters()}

    @property
    def device(self) -> torch.device:
        return device_of(self.net)

    def to(self, device: str) -> None:
        super().to(device)
        self.move(torch.device(device))

    def move(self, device: torch.device) -> None:
        """Move the net, and the floats of `extra`."""
        self.net.to(device)
        for tensors in self.extra.values():
            # The dictionary stays the same object: learners have it under names of their own.
            tensors.update({name: t.to(device) for name, t in tensors.items() if t.is_floating_point()})

    @abstractmethod
    def training_items(self, task: Task) -> tuple[Items, Tensor]:
        """Return the items of one epoch, and their possible classes, [classes] or [n, classes]."""

    @abstractmethod
    def objective(self, batch: ItemBatch, generator: torch.Generator) -> Tensor:
        """Return the loss of a step."""

    @abstractmethod
    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """Move the weights along the gradients, which are computed."""

    def optimizer(self) -> torch.optim.Optimizer:
        """Return the optimiser of a task."""
        return Adam(self.trained(), lr=self.settings.learning_rate)

    def trained(self) -> list[nn.Parameter]:
        """Return the parameters that the present task changes."""
        return list(self.net.parameters())

    def after_task(self, task: Task) -> None:
        """Store the data of a learned task that later tasks need."""

    def after_restore(self, earlier: Sequence[Task]) -> None:
        """Restore state that is not in the arrays, from the learned tasks."""

    def begin(self, task: Task) -> None:
        self.net.train()

    def learn(self, task: Task, on_progress: Progress = no_progress) -> None:
        if not self.problem.boundaries:
            self._learn_piece(task, on_progress)
            return
        items, allowed = self.training_items(task)
        generator = common.torch_generator(self.problem, "train", task.index)
        optimizer = self.optimizer()

        def step(batch: ItemBatch, remaining: float) -> Tensor:
            optimizer.zero_grad()
            loss = self.objective(batch, generator)
            loss.backward()
            self.step(optimizer)
            return loss

        total = common.train(self.name, task, items, allowed, self.settings, generator, step, on_progress, self.device)
        common.check_finite_weights(self.net, self.name, total, task)
        # Every step writes every trained weight, also where its gradient is 0.
        self.updates = total * common.sizes(self.trained())
        self.after_task(task)
        self.learned = task.index + 1

    def _learn_piece(self, task: Task, on_progress: Progress) -> None:
        """Take a step for each batch of a piece of the sequence, in its order; the optimiser continues its state."""
        items, allowed = self.training_items(task)
        optimizer = self.optimizer()
        done = self.extra["steps"]["done"]
        for name, p in self.net.named_parameters():
            # Adam changes the tensors of `extra` in place, so they are saved with the learner.
            moments = {moment: self.extra[moment][name] for moment in MOMENTS}
            optimizer.state[p] = {"step": torch.tensor(float(done)), **moments}
        size = self.settings.batch
        rows = np.array_split(np.arange(len(items)), range(size, len(items), size))
        for k, batch_rows in enumerate(rows, start=1):
            # Keyed by the number of steps of the whole sequence, wherever it is cut into pieces.
            generator = common.torch_generator(self.problem, "sequence", int(done))
            optimizer.zero_grad()
            batch = ItemBatch.of(items.select(batch_rows), allowed, self.device)
            loss = self.objective(batch, generator)
            loss.backward()
            self.step(optimizer)
            # In place: the number of steps is saved with the learner.
            done += 1
            common.check_finite_loss(loss, self.name, step=k, total=len(rows), task=task)
            on_progress(k, len(rows))
        common.check_finite_weights(self.net, self.name, len(rows), task)
        self.updates = len(rows) * common.sizes(self.trained())
        self.learned = task.index + 1

    @torch.no_grad()
    def scores(self, x: NDArray[np.uint8], task: int | None) -> NDArray[np.floating]:
        return np.asarray(self.net(common.as_float(x).to(self.device)).cpu().numpy())

    def work(self, x: NDArray[np.uint8], task: int | None = None) -> list[LayerCounts]:
        return self.net.work(common.as_float(x).to(self.device))

    def memory_bytes(self) -> dict[str, int]:
        extra = {kind: common.nbytes(tensors.values()) for kind, tensors in self.extra.items()}
        return {"weights": common.nbytes(self.net.state_dict().values()), **extra}

    def loss(self, batch: ItemBatch) -> Tensor:
        """Return the cross-entropy of a batch, without further terms."""
        return common.loss_of(self.net(batch.x), batch)

    def state(self) -> dict[str, NDArray[Any]]:
        extra = {name: tensor.cpu().numpy().copy() for name, tensor in self._extra_by_name()}
        return {**common.arrays_of(self.net), **extra, "learned": np.array(self.learned)}

    def restore(self, arrays: Arrays, earlier: Sequence[Task]) -> None:
        check_arrays(self.name, arrays, self.state())
        common.load_arrays(self.net, arrays)
        for name, tensor in self._extra_by_name():
            tensor.copy_(torch.from_numpy(np.array(arrays[name])))
        self.learned = int(arrays["learned"])
        self.after_restore(earlier)

    def _extra_by_name(self) -> list[tuple[str, Tensor]]:
        by_name = []
        for kind, tensors in self.extra.items():
            by_name += [(f"{kind}.{name}", tensor) for name, tensor in tensors.items()]
        return by_name


class TaskLearner(SpikingLearner):
    """A spiking learner that trains on the items of the present task, with plain steps of the optimiser."""

    def training_items(self, task: Task) -> tuple[Items, Tensor]:
        return task.train, common.allowed_classes(self.problem, task.index)

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        optimizer.step()
