"""Active dendrites: the context of a task excites segments, which select a sub-network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ....base.errors import lookup
from ....base.measure.activity import count
from ....base.measure.work import LayerCounts, sum_counts
from ....base.optimizers import Adam
from ....base.random import rng_key
from ....base.rules import Count, Rule
from ....engine.result import Result
from ....memory.dendrites.layer import LEVEL, Prototypes
from ....memory.dendrites.torch_layer import DendriteNetwork
from ...training.scoring import device_of
from ..encoding import spike_counts
from ..learner import Arrays, Learner, Progress, no_progress
from ..tasks import Problem, Task
from . import common, engine_dendrites
from .common import ItemBatch, LearnerTraining
from .one_context import OneContext
from .state import check_arrays

# Items whose layers are in memory at a time.
AT_A_TIME = 1000


@dataclass(frozen=True)
class DendriteSettings(LearnerTraining):
    """The network of Iyer et al. 2022 and its training.

    Attributes:
        units: number of units of each of the two layers.
        density: fraction of the units that win.
        sparsity: fraction of the weights that are zero.
        learning_rate: learning rate of Adam, which starts anew with each task.
        falls: whether the learning rate falls to 0 within each task, linearly, because later tasks start from the
            weights that a task ends with; published: it does not.
        context_density: segments start uniform in +- 1 / sqrt(context_density x inputs); published: .1.
        sparse_output: whether `sparsity` of the output's weights is zero, too; published: it is.
        context: input of the segments in a task: the "mean" input of the task, as published; or "drawn", a code drawn
            for the task, which tells apart tasks whose means are alike. An input of a code is fully on with a chance of
            the first task's mean drive, else off, so that codes are orthogonal on average.
        prototypes: means with which an item without its task is compared: one of each "task", as published, or one of
            each "class" of each task.
        engine: whether the engine answers, by spikes alone: inputs and contexts are numbers of spikes, and a winner
            sends a burst to which its value is rounded. The same net, rounded in the same way, learns in torch.
        spikes: number of spikes of a fully driven input, where the engine answers.
    """

    units: Count = 512
    density: Annotated[float, Rule("> 0 and <= 1")] = 0.05
    sparsity: Annotated[float, Rule(">= 0 and < 1")] = 0.5
    falls: bool = True
    context_density: Annotated[float, Rule("> 0 and <= 1")] = 1.0
    sparse_output: bool = False
    context: Literal["mean", "drawn"] = "mean"
    prototypes: Literal["task", "class"] = "task"
    engine: bool = False
    spikes: Count = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        lookup(dict.fromkeys(("mean", "drawn")), self.context, "DendriteSettings.context")
        lookup(dict.fromkeys(("task", "class")), self.prototypes, "DendriteSettings.prototypes")

    def unused(self, images: bool | None) -> dict[str, str]:
        return {} if self.engine else {"spikes": "with engine false"}


@final
class Dendrites(Learner):
    """Units gated by dendritic segments that see the context of a task, without replay.

    The context of a task is the mean of its training inputs, or a code drawn for it. An item that comes with its task
    is answered under the context of this task, an item that comes alone under the context of the task with the nearest
    mean so far. A unit has a segment for each task. Adam starts anew with each task. Source: Iyer et al. 2022,
    Frontiers in Neurorobotics 16.

    Attributes:
        net: the network.
        contexts: [tasks, inputs] input of the segments, zero for later tasks.
        means: [tasks, n, inputs] means for the comparison with items: the mean of each class of a task, or of the task,
            n = 1. A class without items has the mean of the task. Equal to `contexts`, if these are means.
        level: [2] mean and spread of the first task's inputs, by which all are standardised.
    """

    SETTINGS = DendriteSettings
    DEVICES = ("cpu", "cuda")

    def __init__(self, problem: Problem, settings: DendriteSettings) -> None:
        super().__init__(problem)
        self.settings = settings
        inputs = problem.steps * problem.units
        self.net = DendriteNetwork(
            inputs,
            problem.classes,
            contexts=inputs,
            segments=problem.tasks,
            units=settings.units,
            density=settings.density,
            sparsity=settings.sparsity,
            seed=common.seed_of(problem, "net"),
            level=LEVEL if settings.engine else 0.0,
            context_density=settings.context_density,
            sparse_output=settings.sparse_output,
        )
        self.contexts: NDArray[np.float32] = np.zeros((problem.tasks, inputs), np.float32)
        if settings.prototypes == "class":
            count = problem.classes
        else:
            count = 1
        self.means: NDArray[np.float32] = np.zeros((problem.tasks, count, inputs), np.float32)
        self.level: NDArray[np.float32] = np.array([0.0, 1.0], np.float32)
        # Tasks whose context is known: one more than the learned ones from `begin` to the end of `learn`.
        self.met = 0
        # [tasks so far, units] of each layer, computed when items are answered.
        self._gates: tuple[Tensor, ...] = ()

    @property
    def device(self) -> torch.device:
        return device_of(self.net)

    def to(self, device: str) -> None:
        super().to(device)
        self.net.to(device)
        self._gates = ()

    def begin(self, task: Task) -> None:
        if task.index == 0:
            x = common.as_float(task.train.x)
            # Of the first task alone: later inputs are standardised by it, and contexts stay comparable.
            self.level = np.array([float(x.mean()), max(float(x.std()), 1e-6)], np.float32)
        inputs = self._inputs(task.train.x)
        means = self.means[task.index]
        # A class without items has the mean of the task.
        means[:] = inputs.mean(dim=0).numpy()
        if self.settings.context == "mean":
            self.contexts[task.index] = means[0]
        else:
            self.contexts[task.index] = self._code(task.index)
        if self.settings.prototypes == "class":
            for c in np.unique(task.train.y):
                means[c] = inputs[torch.from_numpy(task.train.y == c)].mean(dim=0).numpy()
        self.met = task.index + 1
        self._gates = ()

    def learn(self, task: Task, on_progress: Progress = no_progress) -> None:
        generator = common.torch_generator(self.problem, "train", task.index)
        self.net.train()
        # Under one context only the segments that it selects learn.
        net = OneContext(self.net, self._there(self._context(task.index)))
        optimizer = Adam(net.trained(), lr=self.settings.learning_rate, fused=True)

        def step(batch: ItemBatch, remaining: float) -> Tensor:
            if self.settings.falls:
                optimizer.param_groups[0]["lr"] = self.settings.learning_rate * remaining
            optimizer.zero_grad()
            loss = common.loss_of(net(self._standard(batch.x)), batch)
            loss.backward()
            optimizer.step()
            # Absent weights stay 0, and a segment that another has overtaken gives way to it.
            net.rezero(optimizer)
            return loss

        allowed = common.allowed_classes(self.problem, task.index)
        total = common.train(
            "dendrites",
            task,
            items=task.train,
            allowed=allowed,
            training=self.settings,
            generator=generator,
            step=step,
            on_progress=on_progress,
            device=self.device,
        )
        net.store()
        self._gates = ()
        common.check_finite_weights(self.net, "dendrites", total, task)
        self.updates = total * (common.sizes(net.trained()) - self.net.absent())
        self.learned = task.index + 1

    @torch.no_grad()
    def scores(self, x: NDArray[np.uint8], task: int | None) -> NDArray[Any]:
        self.net.eval()
        under = self._under(x, task)
        if not self.settings.engine:
            answers: NDArray[np.float32] = self._answers(self._inputs(x).to(self.device), under).cpu().numpy()
            return answers
        scores = np.empty((len(x), self.problem.classes), np.float32)
        # One context serves all the items under it.
        for t in np.unique(under):
            rows = np.flatnonzero(under == t)
            scores[rows] = self._run(x[rows], t).readings[engine_dendrites.OUTPUT]
        return scores

    def _answers(self, x: Tensor, under: NDArray[np.int64]) -> Tensor:
        """Return scores of items [n, inputs], each under the context of a task.

        Gates are computed once for all tasks: a hundred tasks have a gigabyte of segments.
        """
        if not self._gates:
            self._gates = self.net.gates(self._there(self.contexts[: max(self.met, 1)]))
        contexts = torch.from_numpy(under).to(self.device)
        scores = []
        for items, tasks in zip(x.split(AT_A_TIME), contexts.split(AT_A_TIME), strict=True):
            # The gates of both layers under the context of each item.
            first, second = (gate[tasks] for gate in self._gates)
            scores.append(self.net.gated(items, first, second))
        return torch.cat(scores)

    @torch.no_grad()
    def work(self, x: NDArray[np.uint8], task: int | None = None) -> list[LayerCounts]:
        """Return the work by layer; segments are counted once for each context, which serves all items under it."""
        self.net.eval()
        under = self._under(x, task)
        groups = []
        for t in np.unique(under):
            rows = np.flatnonzero(under == t)
            if self.settings.engine:
                groups.append(self._run(x[rows], t).work)
            else:
                items = self._inputs(x[rows]).to(self.device)
                groups.append(self.net.work(items, self._there(self._context(t))))
        layers = [sum_counts(parts) for parts in zip(*groups, strict=True)]
        if task is not None:
            return layers
        # An item without its task is compared with the means first.
        return [self._choice(x), *layers]

    def memory_bytes(self) -> dict[str, int]:
        buffers = common.nbytes(self.net.buffers())
        contexts = self.contexts.nbytes + self.level.nbytes
        if self._separate:
            contexts += self.means.nbytes
        return {"weights": common.nbytes(self.net.parameters()), "masks": buffers, "contexts": contexts}

    def state(self) -> dict[str, NDArray[Any]]:
        own = {"contexts": self.contexts.copy(), "level": self.level.copy(), "learned": np.array(self.learned)}
        means = {"means": self.means.copy()} if self._separate else {}
        return {**common.arrays_of(self.net), **own, **means}

    def restore(self, arrays: Arrays, earlier: Sequence[Task]) -> None:
        check_arrays("dendrites", arrays, self.state())
        common.load_arrays(self.net, arrays)
        self.contexts = np.array(arrays["contexts"])
        self.level = np.array(arrays["level"])
        if self._separate:
            self.means = np.array(arrays["means"])
        else:
            self.means = self.contexts[:, None].copy()
        self.learned = int(arrays["learned"])
        self.met = self.learned
        self._gates = ()

    def _under(self, x: NDArray[np.uint8], task: int | None) -> NDArray[np.int64]:
        """Return [n] the context of each item."""
        met = max(self.met, 1)
        if task is not None:
            # A task that has not begun has no context: it takes the context of the last task.
            return np.full(len(x), min(task, met - 1))
        if self.settings.engine:
            nearest = np.asarray(self._nearest(x).readings[engine_dendrites.CONTEXTS]).argmax(axis=1)
        else:
            nearest = self._nearest_mean(x)
        # The means of a task are consecutive.
        return nearest // self.means.shape[1]

    def _nearest_mean(self, x: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Return [n] the number of the nearest of the means so far to each item."""
        return Prototypes(self._met_means()).infer(self._inputs(x).numpy())

    def _met_means(self) -> NDArray[np.float32]:
        """Return [n, inputs] the means of the tasks so far, in their order."""
        return np.concatenate(self.means[: max(self.met, 1)])

    @property
    def _separate(self) -> bool:
        """Return whether items are compared with other arrays than `contexts`."""
        return self.settings.context == "drawn" or self.settings.prototypes == "class"

    def _code(self, task: int) -> NDArray[np.float32]:
        """Return [inputs] the code drawn for a task, in the inputs' scale."""
        key = rng_key(self.problem.seed, "learner", "dendrites context", str(task))
        uniform = np.random.Generator(np.random.Philox(key=key)).random(self.contexts.shape[1])
        mean, spread = self.level
        # Fully on with the chance of the mean drive, and standardised as inputs are.
        return ((uniform < mean) - mean).astype(np.float32) / spread

    def _choice(self, x: NDArray[np.uint8]) -> LayerCounts:
        """Return the work of finding the nearest mean: the distances to all means so far."""
        if self.settings.engine:
            return self._nearest(x).work[0]
        means = self._met_means()
        winners = self._nearest_mean(x)[:, None, None] == np.arange(len(means))
        # A comparison has no membranes.
        none = np.zeros((*winners.shape, 0), np.float32)
        return count("contexts", means.T, self._inputs(x).numpy()[:, None], winners, none)

    def _there(self, array: NDArray[np.float32]) -> Tensor:
        """Return an array on the device of the net."""
        return torch.from_numpy(array).to(self.device)

    def _context(self, task: int) -> NDArray[np.float32]:
        """Return [inputs] the context of a task; in the engine rounded to spikes."""
        mean = self.contexts[task]
        if not self.settings.engine:
            return mean
        # Rounded to spikes and back, so that torch trains under the context that the engine plays.
        return (self._spikes_of(mean) * self._scale.size - self._scale.shift).astype(np.float32)

    def _run(self, x: NDArray[np.uint8], task: int) -> Result:
        """Compute the scores of items under the context of a task, in the engine."""
        context = self._spikes_of(self.contexts[task])
        return engine_dendrites.run_layers(self.net, self._scale, self._counts(x), context)

    def _spikes_of(self, mean: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return [inputs] numbers of spikes of a context."""
        return np.rint((mean + self._scale.shift) / self._scale.size).astype(np.int64)

    def _nearest(self, x: NDArray[np.uint8]) -> Result:
        return engine_dendrites.nearest_means(self._met_means(), self._scale, self._counts(x))

    @property
    def _scale(self) -> engine_dendrites.Scale:
        mean, spread = self.level.tolist()
        return engine_dendrites.Scale(self.settings.spikes, 1 / (self.settings.spikes * spread), mean / spread)

    def _counts(self, x: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Return [n, inputs] numbers of spikes."""
        shape = len(x), self.problem.steps, self.problem.units
        return spike_counts(np.broadcast_to(x, shape).reshape(len(x), -1), self.settings.spikes)

    def _inputs(self, x: NDArray[np.uint8]) -> Tensor:
        return self._standard(common.as_float(x))

    def _standard(self, x: Tensor) -> Tensor:
        """Return [n, inputs] standardised; a still image among recordings is shown unchanged for all steps."""
        x = x.expand(len(x), self.problem.steps, x.shape[2]).reshape(len(x), -1)
        if self.settings.engine:
            x = (x * self.settings.spikes).round() / self.settings.spikes
        return (x - float(self.level[0])) / float(self.level[1])
