"""Active dendrites: the context of a task, its mean input, selects a sub-network by the segments it excites."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...dendrites import Prototypes
from ...dendrites.torch_layer import DendriteNetwork
from ...errors import check_fields
from ...measure import LayerCounts, count, sum_counts
from ..learner import Arrays, Learner, Progress, no_progress
from ..tasks import Problem, Task
from . import common
from .common import ItemBatch, LearnerTraining
from .one_context import OneContext
from .state import check_arrays


@dataclass(frozen=True)
class DendriteSettings(LearnerTraining):
    """The network of Iyer et al. 2022 and its training.

    Attributes:
        units: of each of its two layers.
        density: part of them that wins.
        sparsity: part of the weights that is zero.
        learning_rate: falls to 0 within each task, because later tasks start from the weights that a task ends with.
    """

    units: int = 512
    density: float = 0.05
    sparsity: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fields(self, {"units": ">= 1", "density": "> 0 and <= 1", "sparsity": ">= 0 and < 1"})


@final
class Dendrites(Learner):
    """A layer's units are gated by dendritic segments that see the context of a task (Iyer et al. 2022, Frontiers in
    Neurorobotics 16); Adam starts anew with each task and nothing is replayed.

    The context of a task is the mean of its training inputs. An item that comes with its task is answered under that
    context, one that comes alone under the nearest context met so far. A unit has as many segments as there are tasks.

    Attributes:
        net: the network.
        contexts: [tasks, inputs], zero for tasks not met.
        level: [2] mean and spread of the first task's inputs, by which all are standardised.
    """

    SETTINGS = DendriteSettings

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
        )
        self.contexts: NDArray[np.float32] = np.zeros((problem.tasks, inputs), np.float32)
        self.level: NDArray[np.float32] = np.array([0.0, 1.0], np.float32)
        self.met = 0

    def begin(self, task: Task) -> None:
        if task.index == 0:
            x = common.as_float(task.train.x)
            self.level = np.array([float(x.mean()), max(float(x.std()), 1e-6)], np.float32)
        self.contexts[task.index] = self._inputs(task.train.x).mean(dim=0).numpy()
        self.met = task.index + 1

    def learn(self, task: Task, on_progress: Progress = no_progress) -> None:
        generator = common.torch_generator(self.problem, "train", task.index)
        self.net.train()
        net = OneContext(self.net, torch.from_numpy(self.contexts[task.index]))
        optimizer = torch.optim.Adam(net.trained(), lr=self.settings.learning_rate, fused=True)

        def step(batch: ItemBatch, left: float) -> Tensor:
            optimizer.param_groups[0]["lr"] = self.settings.learning_rate * left
            optimizer.zero_grad()
            loss = common.loss_of(net(self._standard(batch.x)), batch)
            loss.backward()
            optimizer.step()
            net.rezero(optimizer)
            return loss

        allowed = common.allowed_classes(self.problem, task.index)
        total = common.train("dendrites", task, task.train, allowed, self.settings, generator, step, on_progress)
        net.store()
        common.check_finite_weights(self.net, "dendrites", total, task)
        absent = sum(int((~layer.mask).sum()) for layer in net.layers)
        self.updates = total * (common.sizes(net.trained()) - absent)
        self.learned = task.index + 1

    @torch.no_grad()
    def scores(self, x: NDArray[np.uint8], task: int | None) -> NDArray[Any]:
        self.net.eval()
        inputs = self._inputs(x)
        under = self._under(inputs, task)
        found = np.empty((len(x), self.problem.classes), np.float32)
        # One context serves all the items under it.
        for t in np.unique(under):
            rows = np.flatnonzero(under == t)
            found[rows] = self.net(inputs[rows], torch.from_numpy(self.contexts[t])).numpy()
        return found

    @torch.no_grad()
    def work(self, x: NDArray[np.uint8], task: int | None = None) -> list[LayerCounts]:
        """Return the work by layer; segments are counted once for each context, which serves all items under it."""
        self.net.eval()
        inputs = self._inputs(x)
        under = self._under(inputs, task)
        groups = [
            self.net.work(inputs[np.flatnonzero(under == t)], torch.from_numpy(self.contexts[t]))
            for t in np.unique(under)
        ]
        layers = [sum_counts(parts) for parts in zip(*groups, strict=True)]
        return layers if task is not None else [self._choice(inputs, under), *layers]

    def memory_bytes(self) -> dict[str, int]:
        buffers = common.nbytes(self.net.buffers())
        contexts = self.contexts.nbytes + self.level.nbytes
        return {"weights": common.nbytes(self.net.parameters()), "masks": buffers, "contexts": contexts}

    def state(self) -> dict[str, NDArray[Any]]:
        own = {"contexts": self.contexts.copy(), "level": self.level.copy(), "learned": np.array(self.learned)}
        return {**common.arrays_of(self.net), **own}

    def restore(self, arrays: Arrays, earlier: Sequence[Task]) -> None:
        check_arrays("dendrites", arrays, self.state())
        common.load_arrays(self.net, arrays)
        self.contexts, self.level = np.array(arrays["contexts"]), np.array(arrays["level"])
        self.learned = self.met = int(arrays["learned"])

    def _under(self, inputs: Tensor, task: int | None) -> NDArray[np.int64]:
        """Return [n] the context of each item."""
        met = max(self.met, 1)
        return np.full(len(inputs), min(task, met - 1)) if task is not None else self._nearest(inputs, met)

    def _choice(self, inputs: Tensor, under: NDArray[np.int64]) -> LayerCounts:
        """Return the work of finding the nearest context: its distance to every one met."""
        met = self.contexts[: max(self.met, 1)]
        chosen = under[:, None, None] == np.arange(len(met))
        none = np.zeros((*chosen.shape, 0), np.float32)
        return count("contexts", met.T, inputs.numpy()[:, None], chosen, none)

    def _nearest(self, inputs: Tensor, met: int) -> NDArray[np.int64]:
        return Prototypes(self.contexts[:met]).infer(inputs.numpy())

    def _inputs(self, x: NDArray[np.uint8]) -> Tensor:
        return self._standard(common.as_float(x))

    def _standard(self, x: Tensor) -> Tensor:
        """Return [n, inputs] standardised; a still image among recordings is shown unchanged for all steps."""
        x = x.expand(len(x), self.problem.steps, x.shape[2]).reshape(len(x), -1)
        return (x - float(self.level[0])) / float(self.level[1])
