"""A hypernetwork: a net that writes the weights of the spiking net for each task, from an embedding of the task."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ....base.errors import NeurosimInputError, require
from ....base.measure.work import LayerCounts, sum_counts
from ....base.rules import Count, Natural, Rule
from ..learner import Arrays, Progress, no_progress
from ..tasks import Problem, Task
from . import common
from .common import ItemBatch
from .penalties import fisher
from .spiking import Net, Spiking, TaskLearner
from .weight_writer import WeightWriter


@dataclass(frozen=True)
class HypernetworkSettings(Spiking):
    """Settings of `Spiking` and of the hypernetwork.

    Attributes:
        strength: beta, of the penalty on changes of what it writes for earlier tasks.
        embedding: numbers that stand for a task, and for a chunk of weights.
        width: units of its hidden layer, or of its LSTM.
        chunk: weights that it writes at once.
        dependency: an LSTM writes the chunks in order, so that each depends on those before it, and weights of earlier
            tasks are kept by their importance.
        by: step of the LSTM, "chunk" or "layer". By layer it takes one for each layer of the spiking net; relu units
            write the chunks of a layer from its state and their embeddings.
        samples: items of a task that the importance, and the loss of `ceiling`, are estimated from.
        grow_every: tasks after which `width` grows by `grow` units; 0 for never.
        ceiling: loss on training items, nats, above which a task is learned again with `grow` more units; 0 for never.
        grow: units of a growth.
        recurrent: lambda, of the penalty on changes of the LSTM's recurrent weights; 0 for none.
    """

    strength: Annotated[float, Rule("finite and >= 0")] = 0.01
    embedding: Count = 32
    width: Count = 100
    chunk: Count = 4000
    dependency: bool = False
    by: Literal["chunk", "layer"] = "chunk"
    samples: Count = 200
    grow_every: Natural = 0
    ceiling: Annotated[float, Rule("finite and >= 0")] = 0.0
    grow: Count = 25
    recurrent: Annotated[float, Rule("finite and >= 0")] = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        rule = "must be {} without dependency, which has the LSTM"
        name = type(self).__name__
        require(self.dependency or self.by == "chunk", f"{name}.by", rule.format("'chunk'"), self.by)
        require(self.dependency or not self.recurrent, f"{name}.recurrent", rule.format(0), self.recurrent)

    def unused(self, images: bool | None) -> dict[str, str]:
        unused = super().unused(images)
        if not self.dependency and not self.ceiling:
            unused["samples"] = "with dependency false and ceiling 0"
        if not self.grow_every and not self.ceiling:
            unused["grow"] = "with grow_every 0 and ceiling 0"
        return unused


class _WrittenNet(nn.Module):
    """The spiking net of a task as a function of the parameters of its writer."""

    def __init__(self, learner: Hypernetwork, task: int) -> None:
        super().__init__()
        # Only the writer is a submodule: the target's own parameters are not read.
        self.writer = learner.net
        self.answer = learner.answer
        self.task = task

    def forward(self, x: Tensor) -> Tensor:
        """Return scores [B, classes] of items."""
        return self.answer(self.writer(self.writer.tasks[self.task : self.task + 1])[0], x)


@final
class Hypernetwork(TaskLearner):
    """A hypernetwork that preserves the weights of earlier tasks (von Oswald et al. 2020, ICLR, arXiv 1906.00695).

    The loss of a task gets beta / t sum over the t tasks before of |theta_k' - theta_k|^2, theta_k' being the weights
    written for task k before this task. An item that comes with its task is answered by the net of that task, an item
    that comes alone by the net whose answer has the lowest entropy. No item is stored.

    With `dependency` it is the dependency-preserving form (Chandra et al. 2022, arXiv 2209.07712): an LSTM, and in the
    penalty each weight is weighted by its Fisher information, of mean 1 over the weights of a task. It grows, as in
    that paper: after numbers of tasks (`grow_every`), or when a task is learned badly (`ceiling`). With `recurrent`,
    the LSTM's weights from state to state are kept by an importance of their own, lambda / 2 sum F (w - w')^2, w' the
    weights before this task, F the sum over earlier tasks of their Fisher information, through what they write.

    Attributes:
        net: the hypernetwork. The spiking net that it writes is `target`.
        extra: importance [tasks, weights] with `dependency`, and F with `recurrent`.
    """

    name = "hypernetwork"
    SETTINGS = HypernetworkSettings
    DEVICES = ("cpu",)
    settings: HypernetworkSettings

    def __init__(self, problem: Problem, settings: HypernetworkSettings) -> None:
        super().__init__(problem, settings)
        # `net` is the module that learns and is saved: here the writer, in place of the net that it writes.
        self.target: Net = self.net
        self.shapes = {name: p.shape for name, p in self.target.named_parameters()}
        by_layer = itertools.groupby(self.target.named_parameters(), lambda item: item[0].rpartition(".")[0])
        layers = [torch.cat([p.detach().flatten() for _, p in layer]) for _, layer in by_layer]
        writer = WeightWriter(
            layers,
            problem.tasks,
            common.seed_of(problem, "hypernetwork"),
            embedding=settings.embedding,
            width=settings.width,
            chunk=settings.chunk,
            dependency=settings.dependency,
            by_layer=settings.by == "layer",
        )
        self.net: Any = writer
        if settings.dependency:
            self.extra["importance"] = {"weights": torch.ones(problem.tasks, len(writer.first))}
        if settings.recurrent:
            self.extra["recurrent"] = {"fisher": torch.zeros_like(writer.recurrent)}
        self._before = torch.zeros(0, len(writer.first))
        self._recurrent_before = torch.zeros(0)
        self._grown_for = 0

    def begin(self, task: Task) -> None:
        every = self.settings.grow_every
        # Once, also where a task is begun again.
        if every and task.index % every == 0 and task.index != self._grown_for:
            self._grow()
            self._grown_for = task.index
        super().begin(task)
        with torch.no_grad():
            self._before = self.net(self.net.tasks[: task.index])
        if self.settings.recurrent:
            self._recurrent_before = self.net.recurrent.detach().clone()

    def learn(self, task: Task, on_progress: Progress = no_progress) -> None:
        super().learn(task, on_progress)
        if not self.settings.ceiling or self._training_loss(task) <= self.settings.ceiling:
            return
        updates = self.updates or 0
        self._grow()
        # The second pass is of the same task: its penalty is on the tasks before it.
        self.learned = task.index
        super().learn(task, on_progress)
        self.updates = updates + (self.updates or 0)

    def _grow(self) -> None:
        """Widen the writer by the units of a growth, and F by zeros: new weights are free."""
        units = self.settings.grow
        if self.settings.recurrent:
            self.extra["recurrent"]["fisher"] = self.net.padded(self.extra["recurrent"]["fisher"], units)
            if len(self._recurrent_before):
                self._recurrent_before = self.net.padded(self._recurrent_before, units)
        self.net.grow(units, common.seed_of(self.problem, f"growth from {self.net.width}"))

    @torch.no_grad()
    def _training_loss(self, task: Task) -> float:
        """Return the cross-entropy on `samples` training items of the task that was learned last, nats."""
        generator = common.torch_generator(self.problem, "ceiling", task.index)
        rows = torch.randperm(len(task.train), generator=generator)[: self.settings.samples].numpy()
        allowed = common.allowed_classes(self.problem, task.index)
        batch = ItemBatch.of(task.train.select(rows), allowed, common.CPU)
        self._write(task.index)
        return float(common.loss_of(self.target(batch.x), batch))

    def restore(self, arrays: Arrays, earlier: Sequence[Task]) -> None:
        # The arrays have the width that the writer had for the last learned task.
        shape = np.shape(arrays.get("net.output.weight", ()))
        good = len(shape) == 2 and shape[0] == self.net.output.out_features
        before = copy.deepcopy((self.net, self.extra, self._recurrent_before))
        while good and self.net.width < shape[1]:
            self._grow()
        try:
            super().restore(arrays, earlier)
        except NeurosimInputError:
            self.net, self.extra, self._recurrent_before = before
            raise

    def objective(self, batch: ItemBatch, generator: torch.Generator) -> Tensor:
        now = self.learned
        before = self._before
        # Embeddings of earlier tasks do not change.
        earlier = self.net.tasks[:now].detach()
        written = self.net(torch.cat([earlier, self.net.tasks[now : now + 1]]))
        # Through the written weights, so that the gradient reaches the writer.
        loss = common.loss_of(self.answer(written[-1], batch.x), batch)
        if not now:
            return loss
        change = (written[:-1] - before).square()
        if self.settings.dependency:
            change = change * self.extra["importance"]["weights"][:now]
        # beta / t sum |theta_k' - theta_k|^2
        loss = loss + self.settings.strength / now * change.sum()
        if self.settings.recurrent:
            moved = self.net.recurrent - self._recurrent_before
            loss = loss + self.settings.recurrent / 2 * (self.extra["recurrent"]["fisher"] * moved.square()).sum()
        return loss

    def answer(self, weights: Tensor, x: Tensor) -> Tensor:
        """Return scores [B, classes] of items by the spiking net with these weights."""
        scores: Tensor = torch.func.functional_call(self.target, self._named(weights), (x,))
        return scores

    def after_task(self, task: Task) -> None:
        if not self.settings.dependency:
            return
        generator = common.torch_generator(self.problem, "fisher", task.index)
        rows = torch.randperm(len(task.train), generator=generator)[: self.settings.samples].numpy()
        self._write(task.index)
        allowed = common.allowed_classes(self.problem, task.index)
        by_name = fisher(self.target, common.as_float(task.train.x[rows]), allowed, generator)
        information = torch.cat([by_name[name].flatten() for name in self.shapes])
        self.extra["importance"]["weights"][task.index] = information / information.mean().clamp_min(1e-30)
        if self.settings.recurrent:
            written = _WrittenNet(self, task.index)
            of_writer = fisher(written, common.as_float(task.train.x[rows]), allowed, generator)
            self.extra["recurrent"]["fisher"] += of_writer["writer.lstm.weight_hh_l0"]

    @torch.no_grad()
    def scores(self, x: NDArray[np.uint8], task: int | None) -> NDArray[np.floating]:
        items = common.as_float(x)
        met = max(self.learned, 1)
        if task is not None:
            self._write(min(task, met - 1))
            return np.asarray(self.target(items).numpy())
        answers = []
        entropies = []
        for k in range(met):
            self._write(k)
            answer = self.target(items)
            # A net answers with the classes of its own task.
            own = torch.from_numpy(self.problem.allowed(k, met))
            logs = answer[:, own].log_softmax(dim=1)
            entropies.append(-(logs.exp() * logs).sum(dim=1))
            answers.append(answer.masked_fill(~own, torch.finfo(torch.float32).min))
        # The lowest entropy, item by item; on ties the earliest task.
        surest = torch.stack(entropies).argmin(dim=0)
        return np.asarray(torch.stack(answers)[surest, torch.arange(len(items))].numpy())

    def work(self, x: NDArray[np.uint8], task: int | None = None) -> list[LayerCounts]:
        """Return the work by layer of writing each net that answers, once for all items, and of these nets."""
        met = max(self.learned, 1)
        # Without its task, an item is answered by the nets of all tasks.
        if task is None:
            tasks = range(met)
        else:
            tasks = range(min(task, met - 1), min(task, met - 1) + 1)
        parts = []
        for k in tasks:
            self._write(k)
            parts.append([*self.net.work(k), *self.target.work(common.as_float(x))])
        return [sum_counts(layers) for layers in zip(*parts, strict=True)]

    def _named(self, weights: Tensor) -> dict[str, Tensor]:
        """Return weights by the names of the parameters of the target."""
        parts = weights.split([shape.numel() for shape in self.shapes.values()])
        return {name: part.view(shape) for (name, shape), part in zip(self.shapes.items(), parts, strict=True)}

    @torch.no_grad()
    def _write(self, task: int) -> None:
        """Write the weights of a task into the target."""
        named = self._named(self.net(self.net.tasks[task : task + 1])[0])
        for name, p in self.target.named_parameters():
            p.copy_(named[name])
