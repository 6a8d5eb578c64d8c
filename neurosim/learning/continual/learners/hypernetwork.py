"""A hypernetwork: a net that writes the weights of the spiking net for each task, from an embedding of the task."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, cast, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ....base.measure.work import LayerCounts, sum_counts
from ....base.rules import Count, Natural, Rule
from ...layers.counts import count_linear
from ..learner import Arrays
from ..tasks import Problem, Task
from . import common
from .common import ItemBatch
from .penalties import fisher
from .spiking import Net, Spiking, TaskLearner

# Factor of the usual first weights of the last layer: the net begins near its own first weights.
SMALL = 0.1


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
        samples: items of a task that the importance is estimated from.
        grow_every: tasks after which `width` grows by `grow` units; 0 for never.
        grow: units of a growth.
    """

    strength: Annotated[float, Rule("finite and >= 0")] = 0.01
    embedding: Count = 32
    width: Count = 100
    chunk: Count = 4000
    dependency: bool = False
    samples: Count = 200
    grow_every: Natural = 0
    grow: Count = 25


class WeightWriter(nn.Module):
    """A net that writes the weights of another net for task k, chunk by chunk: theta_k = theta_0 + f(e_k, c_1 .. c_J).

    theta_0 are the weights drawn from a seed. f is a layer of relu units and a linear layer for each chunk by itself,
    or an LSTM over the chunks and a linear layer.

    Attributes:
        tasks: e [tasks, embedding].
        chunks: c [J, embedding].
        first: theta_0, [weights].
    """

    first: Tensor

    def __init__(self, first: Tensor, tasks: int, settings: HypernetworkSettings, seed: int) -> None:
        super().__init__()
        self.register_buffer("first", first, persistent=False)
        size = settings.embedding
        width = settings.width
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.tasks = nn.Parameter(torch.randn(tasks, size))
            self.chunks = nn.Parameter(torch.randn(math.ceil(len(first) / settings.chunk), size))
            self.hidden = None
            self.lstm = None
            if settings.dependency:
                self.lstm = nn.LSTM(2 * size, width, batch_first=True)
            else:
                self.hidden = nn.Linear(2 * size, width)
            self.output = nn.Linear(width, settings.chunk)
            # Little is added to theta_0 at the start: the net begins nearly as one that is trained directly.
            with torch.no_grad():
                self.output.weight.mul_(SMALL)
                self.output.bias.zero_()

    def forward(self, tasks: Tensor) -> Tensor:
        """Return [n, weights] from embeddings [n, embedding]."""
        written = self.output(self._states(self._embeddings(tasks))).flatten(1)
        # The last chunk may reach beyond the last weight.
        return self.first + written[:, : len(self.first)]

    @property
    def width(self) -> int:
        """Number of units of the hidden layer or of the LSTM."""
        return self.output.in_features

    @torch.no_grad()
    def grow(self, units: int, seed: int) -> None:
        """Add units whose own weights are drawn and which nothing reads yet: what is written does not change."""
        old = self.width
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            output = nn.Linear(old + units, self.output.out_features)
            if self.lstm is not None:
                self.lstm = self._grown_lstm(nn.LSTM(self.lstm.input_size, old + units, batch_first=True), old)
            elif self.hidden is not None:
                hidden = nn.Linear(self.hidden.in_features, old + units)
                hidden.weight[:old] = self.hidden.weight
                hidden.bias[:old] = self.hidden.bias
                self.hidden = hidden
        output.weight[:, :old] = self.output.weight
        output.weight[:, old:] = 0.0
        output.bias.copy_(self.output.bias)
        self.output = output

    def _grown_lstm(self, lstm: nn.LSTM, old: int) -> nn.LSTM:
        """Return a wider LSTM whose first `old` units are those of the present one, and read no other."""
        for name, value in cast(nn.LSTM, self.lstm).named_parameters():
            # The rows of each of four gates lie together.
            wider = lstm.get_parameter(name).unflatten(0, (4, -1))
            known = value.unflatten(0, (4, -1))
            if name.startswith("weight_hh"):
                wider[:, :old, :old] = known
                wider[:, :old, old:] = 0.0
            else:
                wider[:, :old] = known
        return lstm

    def _embeddings(self, tasks: Tensor) -> Tensor:
        """Return [n, J, 2 embedding], the embeddings of each task and chunk side by side."""
        task = tasks[:, None].expand(-1, len(self.chunks), -1)
        chunk = self.chunks.expand(len(tasks), -1, -1)
        return torch.cat([task, chunk], -1)

    def _states(self, embeddings: Tensor) -> Tensor:
        """Return [n, J, width] of the hidden layer or the LSTM."""
        if self.lstm is not None:
            states: Tensor = self.lstm(embeddings)[0]
            return states
        assert self.hidden is not None
        return torch.relu(self.hidden(embeddings))

    @torch.no_grad()
    def work(self, task: int) -> list[LayerCounts]:
        """Return the work of writing the weights of a task once, by layer."""
        embeddings = self._embeddings(self.tasks[task : task + 1])
        states = self._states(embeddings)
        layers = []
        if self.lstm is not None:
            # The LSTM reads its own states, one chunk later.
            before = torch.cat([torch.zeros_like(states[:, :1]), states[:, :-1]], 1)
            for name, x in (("ih", embeddings), ("hh", before)):
                weight = getattr(self.lstm, f"weight_{name}_l0")
                bias = getattr(self.lstm, f"bias_{name}_l0")
                layers.append(count_linear(f"writer {name}", weight, x, x @ weight.T, bias=bias.numel()))
        else:
            assert self.hidden is not None
            layers.append(
                count_linear("writer hidden", self.hidden.weight, embeddings, states, bias=self.hidden.bias.numel())
            )
        out = self.output
        return [*layers, count_linear("writer output", out.weight, states, out(states), bias=out.bias.numel())]


@final
class Hypernetwork(TaskLearner):
    """A hypernetwork that preserves the weights of earlier tasks (von Oswald et al. 2020, ICLR, arXiv 1906.00695).

    The loss of a task gets beta / t sum over the t tasks before of |theta_k' - theta_k|^2, theta_k' being the weights
    written for task k before this task. An item that comes with its task is answered by the net of that task, an item
    that comes alone by the net whose answer has the lowest entropy. No item is stored.

    With `dependency` it is the dependency-preserving form (Chandra et al. 2022, arXiv 2209.07712): an LSTM, and in the
    penalty each weight is weighted by its Fisher information, of mean 1 over the weights of a task. With `grow_every`
    its net grows, as in that paper; there it grows when a task is learned badly, and its old recurrent weights are kept
    by an importance of their own. Here what it wrote for earlier tasks is kept, by the penalty alone.

    Attributes:
        net: the hypernetwork. The spiking net that it writes is `target`.
        importance: [tasks, weights] with `dependency`.
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
        first = torch.cat([p.detach().flatten() for p in self.target.parameters()])
        writer = WeightWriter(first, problem.tasks, settings, common.seed_of(problem, "hypernetwork"))
        self.net: Any = writer
        if settings.dependency:
            self.extra["importance"] = {"weights": torch.ones(problem.tasks, len(first))}
        self._before = torch.zeros(0, len(first))

    def begin(self, task: Task) -> None:
        self._grow(task.index)
        super().begin(task)
        with torch.no_grad():
            self._before = self.net(self.net.tasks[: task.index])

    def _grow(self, task: int) -> None:
        """Bring the writer to its width while task number `task` is learned."""
        every = self.settings.grow_every
        times = task // every if every else 0
        while self.net.width < self.settings.width + times * self.settings.grow:
            self.net.grow(self.settings.grow, common.seed_of(self.problem, f"growth from {self.net.width}"))

    def restore(self, arrays: Arrays, earlier: Sequence[Task]) -> None:
        # The arrays are those of the width that the writer had for the last learned task.
        self._grow(max(len(earlier) - 1, 0))
        super().restore(arrays, earlier)

    def objective(self, batch: ItemBatch, generator: torch.Generator) -> Tensor:
        now = self.learned
        before = self._before
        # Embeddings of earlier tasks do not change.
        earlier = self.net.tasks[:now].detach()
        written = self.net(torch.cat([earlier, self.net.tasks[now : now + 1]]))
        # Through the written weights, so that the gradient reaches the writer.
        scores = torch.func.functional_call(self.target, self._named(written[-1]), (batch.x,))
        loss = common.loss_of(scores, batch)
        if not now:
            return loss
        change = (written[:-1] - before).square()
        if self.settings.dependency:
            change = change * self.extra["importance"]["weights"][:now]
        # beta / t sum |theta_k' - theta_k|^2
        return loss + self.settings.strength / now * change.sum()

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
