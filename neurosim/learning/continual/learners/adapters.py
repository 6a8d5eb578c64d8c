"""A frozen spiking net with small adapters on its hidden layers, which are added where items are new."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ....base.errors import CapacityWarning, require
from ....base.measure.work import LayerCounts
from ....base.optimizers import Adam
from ....base.rules import Count, Rule
from ...layers.counts import count_linear
from ..learner import Progress, no_progress
from ..sources import load
from ..tasks import Items, Problem, Task, in_turn
from . import common
from .common import ItemBatch
from .spiking import Net, Spiking, SpikingLearner


@dataclass(frozen=True)
class AdaptersSettings(Spiking):
    """Settings of `Spiking` and of the adapters.

    Attributes:
        width: units of an adapter.
        descriptor: units of the autoencoder that says what an adapter knows.
        threshold: standard deviations of an autoencoder's error, beyond which items are new to its adapter.
        samples: last errors of a descriptor that its mean and deviation are taken over, and items that decide whether
            a task is new.
        backbone: source of the images or recordings that the net is trained on before the first task, of as many units
            as the stream's: a key of `SOURCES`, or as for a stream; empty: the first task trains the net.
        backbone_items: maximum number of these items, even over their classes.
    """

    width: Count = 32
    descriptor: Count = 64
    threshold: Annotated[float, Rule("finite and > 0")] = 1.2
    samples: Count = 500
    backbone: str = ""
    backbone_items: Count = 10_000

    def unused(self, images: bool | None) -> dict[str, str]:
        unused = super().unused(images)
        if not self.backbone:
            unused["backbone_items"] = "without backbone"
        return unused


class AdapterLayer(nn.Module):
    """Adapters of one hidden layer: sum_i p_i A_i(r), r the mean rates [B, units], p = softmax(R r + b).

    A_i is a layer norm, down, relu, up; up starts at 0. D_i, the descriptor, is an autoencoder of r: down, relu, up.

    Attributes:
        count: [1] number of adapters so far, at most one a task.
        level: [tasks, 2] mean and standard deviation of each descriptor's last errors while it learned.
    """

    count: Tensor
    level: Tensor

    def __init__(self, units: int, tasks: int, settings: AdaptersSettings) -> None:
        super().__init__()
        # The adapters of all tasks are drawn at once: their weights do not depend on the growth.
        self.adapters = nn.ModuleList([_adapter(units, settings.width) for _ in range(tasks)])
        self.descriptors = nn.ModuleList(
            [nn.Sequential(*_bottleneck(units, settings.descriptor)) for _ in range(tasks)]
        )
        self.routers = nn.ModuleList([nn.Linear(units, 1) for _ in range(tasks)])
        self.register_buffer("count", torch.zeros(1, dtype=torch.int64))
        self.register_buffer("level", torch.tensor([[0.0, 1.0]]).repeat(tasks, 1))

    def forward(self, rates: Tensor) -> Tensor:
        """Return [B, units], the sum of the adapters so far; 0 without adapters."""
        count = int(self.count)
        if not count:
            return torch.zeros_like(rates)
        # p = softmax(R r + b) over the adapters so far.
        share = torch.cat([self.routers[i](rates) for i in range(count)], 1).softmax(1)
        total: Tensor = sum(share[:, i : i + 1] * self.adapters[i](rates) for i in range(count))
        return total

    def errors(self, rates: Tensor, i: int) -> Tensor:
        """Return [B] squared errors of descriptor i."""
        return (self.descriptors[i](rates) - rates).square().sum(1)

    @torch.no_grad()
    def novelty(self, rates: Tensor) -> float:
        """Return the minimum over adapters of the mean |error - mean| / deviation; infinite without adapters."""
        smallest = float("inf")
        for i in range(int(self.count)):
            mean, deviation = self.level[i]
            # How unusual the items are for this adapter, in standard deviations of its own task.
            z = (self.errors(rates, i) - mean).abs() / deviation
            smallest = min(smallest, float(z.mean()))
        return smallest

    def newest(self) -> Iterator[nn.Parameter]:
        """Yield the parameters of the newest adapter and of its router."""
        last = int(self.count) - 1
        yield from self.adapters[last].parameters()
        yield from self.routers[last].parameters()


class AdapterStack(nn.Module):
    """A spiking net with `AdapterLayer` on each hidden layer.

    r_k are the mean rates of hidden layer k, and a_k the sum of its adapters. Layer k + 1 gets W (s_k + a_k), a_k in
    every step beside the spikes s_k; scores = W_out (r_K + a_K) of the last layer K.
    """

    def __init__(self, problem: Problem, settings: AdaptersSettings) -> None:
        super().__init__()
        self.backbone = Net(problem, settings)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(common.seed_of(problem, "adapters"))
            self.layers = nn.ModuleList(AdapterLayer(units, problem.tasks, settings) for units in settings.hidden)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores [B, classes] of items [B, steps, units]."""
        return self.read(self.rates(x))

    def rates(self, x: Tensor) -> list[Tensor]:
        """Return r_k [B, units] of every hidden layer for items [B, steps, units]."""
        net = self.backbone
        spikes = x.transpose(0, 1)
        adapted = None
        rates: list[Tensor] = []
        for weights, neurons, layer in zip(net.weights, net.neurons, self.layers, strict=True):
            current = net.in_time(weights(spikes))
            if adapted is not None:
                current = current + nn.functional.linear(adapted, weights.weight)  # type: ignore[arg-type]
            spikes = neurons(current)[0]
            rates.append(spikes.mean(dim=0))
            adapted = layer(rates[-1])
        return rates

    def read(self, rates: Sequence[Tensor]) -> Tensor:
        """Return scores [B, classes] of the rates of every hidden layer."""
        scores: Tensor = self.backbone.output(rates[-1] + self.layers[-1](rates[-1]))
        return scores

    def take_over(self, net: Net) -> None:
        """Copy the hidden layers of a net; the head stays."""
        self.backbone.weights.load_state_dict(net.weights.state_dict())
        self.backbone.neurons.load_state_dict(net.neurons.state_dict())


def _bottleneck(size: int, width: int) -> list[nn.Module]:
    return [nn.Linear(size, width), nn.ReLU(), nn.Linear(width, size, bias=False)]


def _adapter(size: int, width: int) -> nn.Sequential:
    adapter = nn.Sequential(nn.LayerNorm(size), *_bottleneck(size, width))
    # A new adapter changes nothing before it learns.
    nn.init.zeros_(adapter[-1].weight)  # type: ignore[arg-type]
    return adapter


@final
class Adapters(SpikingLearner):
    """Self-expansion with modularised adaptation (SEMA: Wang et al. 2025, arXiv 2403.18886).

    The first task gives every hidden layer an adapter. Of a later task batches are shown to the layers from the first
    to the last; the first layer whose rates in some batch are new to all its descriptors gets an adapter. It learns
    together with its router and the head's rows of the task's classes, then its descriptor learns alone; what was
    there before stays. Then the layers are tested again, for the rates behind the new adapter have changed, until no
    layer is left that is new and has no adapter of this task. A task without a new adapter trains the head alone.

    Where items come without their task it warns with a `CapacityWarning`: the classes of tasks are never compared.

    The paper freezes a net that was trained on other data, as with `backbone`; without one the first task trains the
    net too.
    """

    name = "sema"
    SETTINGS = AdaptersSettings
    DEVICES = ("cpu",)
    settings: AdaptersSettings

    def __init__(self, problem: Problem, settings: AdaptersSettings) -> None:
        super().__init__(problem, settings)
        self.net: Any = AdapterStack(problem, settings)

    def training_items(self, task: Task) -> tuple[Items, Tensor]:
        # Only rows of the task's classes are trained: others are not possible, and have no gradient.
        own = torch.zeros(self.problem.classes, dtype=torch.bool)
        own[list(task.classes)] = True
        return task.train, own

    def objective(self, batch: ItemBatch, generator: torch.Generator) -> Tensor:
        return self.loss(batch)

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        optimizer.step()

    def begin(self, task: Task) -> None:
        super().begin(task)
        if self.settings.backbone and not self.learned:
            self._pretrain()

    def learn(self, task: Task, on_progress: Progress = no_progress) -> None:
        if self.learned == 1 and self.problem.scenario == "class":
            # `docs/figures/learning.md`, split MNIST, beside the sums of `random_features`.
            warnings.warn(
                "sema: classes of different tasks are never compared; where items come without their task, expect few "
                "right answers (.24 of split MNIST, learner 'random_features' .95)",
                CapacityWarning,
                stacklevel=2,
            )
        self.updates = 0
        generator = common.torch_generator(self.problem, "train", task.index)
        layers = list(self.net.layers)
        if not self.learned:
            self._expand(layers, task, generator, on_progress)
        else:
            free = layers
            novel = self._first_novel(free, task)
            if novel is None:
                self._train(list(self.net.backbone.output.parameters()), self.loss, task, generator, on_progress)
            while novel is not None:
                self._expand([novel], task, generator, on_progress)
                free = [layer for layer in free if layer is not novel]
                novel = self._first_novel(free, task)
        self.learned = task.index + 1

    def _expand(self, layers: list[AdapterLayer], task: Task, generator: torch.Generator, progress: Progress) -> None:
        """Add an adapter to each of some layers; train them with the head, then their descriptors."""
        trained = list(self.net.backbone.output.parameters())
        if not self.learned and not self.settings.backbone:
            trained = list(self.net.backbone.parameters())
        for layer in layers:
            layer.count += 1
            trained += layer.newest()
        self._train(trained, self.loss, task, generator, progress)
        numbers = [k for k, layer in enumerate(self.net.layers) if layer in layers]
        errors: dict[int, list[Tensor]] = {k: [] for k in numbers}

        def error(batch: ItemBatch) -> Tensor:
            with torch.no_grad():
                rates = self.net.rates(batch.x)
            total = torch.zeros(())
            for k in numbers:
                layer = self.net.layers[k]
                each = layer.errors(rates[k], int(layer.count) - 1)
                errors[k].append(each.detach())
                total = total + each.mean()
            return total

        descriptors = [layer.descriptors[int(layer.count) - 1] for layer in layers]
        self._train([p for d in descriptors for p in d.parameters()], error, task, generator, progress)
        for k in numbers:
            # Of the last items that the descriptor learned from; later tasks are compared with them.
            last = torch.cat(errors[k])[-self.settings.samples :]
            layer = self.net.layers[k]
            layer.level[int(layer.count) - 1] = torch.stack([last.mean(), last.std().clamp_min(1e-12)])

    def _train(
        self,
        parameters: list[nn.Parameter],
        objective: Callable[[ItemBatch], Tensor],
        task: Task,
        generator: torch.Generator,
        progress: Progress,
    ) -> None:
        """Train some parameters on the items of a task; all others stay."""
        items, allowed = self.training_items(task)
        # All off, then some on: what an earlier task left on would be trained, too.
        self.net.requires_grad_(False)
        for parameter in parameters:
            parameter.requires_grad_(True)
        optimizer = Adam(parameters, lr=self.settings.learning_rate)

        def step(batch: ItemBatch, remaining: float) -> Tensor:
            optimizer.zero_grad()
            loss = objective(batch)
            loss.backward()
            optimizer.step()
            return loss

        total = common.train(self.name, task, items, allowed, self.settings, generator, step, progress)
        common.check_finite_weights(self.net, self.name, total, task)
        assert self.updates is not None
        self.updates += total * common.sizes(parameters)

    @torch.no_grad()
    def _first_novel(self, layers: list[AdapterLayer], task: Task) -> AdapterLayer | None:
        """Return the first of some layers that some batch of the first items of a task is new to, or None."""
        x = task.train.x[: self.settings.samples]
        size = self.settings.batch
        # A last batch of a few items says little.
        batches = [x[k : k + size] for k in range(0, max(1, len(x) - size + 1), size)]
        rates = [self.net.rates(common.as_float(batch)) for batch in batches]
        for k, layer in enumerate(self.net.layers):
            if layer in layers and any(layer.novelty(of[k]) > self.settings.threshold for of in rates):
                return layer
        return None

    def _pretrain(self) -> None:
        """Train the net on the items of another source, and take over its hidden layers.

        Raises:
            NeurosimError: as `sources.load`, or items of another number of units.
        """
        source = self.settings.backbone
        items = load(source, self.problem.steps).train
        name = f"{type(self.settings).__name__}.backbone"
        units = items.x.shape[2]
        require(units == self.problem.units, name, f"must have {self.problem.units} units, as the stream", units)
        order = common.torch_generator(self.problem, "backbone items")
        rows = in_turn(items.y, torch.randperm(len(items), generator=order).numpy())[: self.settings.backbone_items]
        items = items.select(rows)
        classes = tuple(np.unique(items.y).tolist())
        problem = Problem(items.x.shape[1], units, (classes,), seed=self.problem.seed)
        # A net with a head of its own, which is not taken over.
        net = Net(problem, self.settings)
        optimizer = Adam(net.parameters(), lr=self.settings.learning_rate)
        allowed = torch.from_numpy(problem.allowed(None, 0))

        def step(batch: ItemBatch, remaining: float) -> Tensor:
            optimizer.zero_grad()
            loss = common.loss_of(net(batch.x), batch)
            loss.backward()
            optimizer.step()
            return loss

        task = Task(name=source, index=0, classes=classes, train=items, validation=items, test=items)
        generator = common.torch_generator(self.problem, "backbone")
        common.train(self.name, task, items, allowed, self.settings, generator, step, no_progress)
        common.check_finite_weights(net, self.name, 0, task)
        self.net.take_over(net)

    @torch.no_grad()
    def work(self, x: NDArray[np.uint8], task: int | None = None) -> list[LayerCounts]:
        net = self.net.backbone
        spikes = common.as_float(x).transpose(0, 1)
        layers: list[LayerCounts] = []
        adapted = None
        for k, (weights, neurons, layer) in enumerate(zip(net.weights, net.neurons, self.net.layers, strict=True), 1):
            current = net.in_time(weights(spikes))
            if adapted is not None:
                # What the adapters add is the same in every step: one product an item.
                extra = nn.functional.linear(adapted, weights.weight)
                layers.append(count_linear(f"adapters into hidden {k}", weights.weight, adapted[None], extra[None]))
                current = current + extra
            out, states = neurons.each_step(current)
            stored = weights.bias.numel() + neurons.constants().numel()
            layers.append(count_linear(f"hidden {k}", weights.weight, spikes, out, states, bias=stored))
            spikes = out
            rates = spikes.mean(dim=0)
            layers += _adapter_work(layer, rates[None], f"hidden {k}")
            adapted = layer(rates)
        assert adapted is not None
        read = (rates + adapted)[None]
        output = net.output
        return [*layers, count_linear("output", output.weight, read, output(read), bias=output.bias.numel())]


def _adapter_work(layer: AdapterLayer, rates: Tensor, name: str) -> list[LayerCounts]:
    """Return the work of the adapters of a layer for rates [1, B, units]."""
    counts = []
    for i in range(int(layer.count)):
        adapter: Any = layer.adapters[i]
        router: Any = layer.routers[i]
        norm, down, relu, up = adapter
        inputs = norm(rates)
        hidden = relu(down(inputs))
        title = f"{name} adapter {i + 1}"
        stored = down.bias.numel() + common.sizes(norm.parameters())
        counts += [
            count_linear(f"{name} router {i + 1}", router.weight, rates, router(rates), bias=1),
            count_linear(f"{title} down", down.weight, inputs, hidden, bias=stored),
            count_linear(f"{title} up", up.weight, hidden, up(hidden)),
        ]
    return counts
