"""A spiking net that is frozen after its first task, with small adapters that are added where items are new."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ....base.errors import require
from ....base.measure.work import LayerCounts
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
        samples: items of a task that errors are taken over.
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


class AdapterStack(nn.Module):
    """scores = W (r + sum_i p_i A_i(r)), r the mean rates of the last hidden layer of the backbone, p softmax(R r + b).

    A_i is down, relu, up; up starts at 0. D_i, the descriptor, is an autoencoder of r of the same form.

    Attributes:
        count: [1] number of adapters so far, at most one a task.
        level: [tasks, 2] mean and standard deviation of each descriptor's error on the items of its task.
    """

    count: Tensor
    level: Tensor

    def __init__(self, problem: Problem, settings: AdaptersSettings) -> None:
        super().__init__()
        self.backbone = Net(problem, settings)
        hidden = settings.hidden[-1]
        tasks = problem.tasks
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(common.seed_of(problem, "adapters"))
            # The adapters of all tasks are drawn at once: their weights do not depend on the growth.
            self.adapters = nn.ModuleList([_bottleneck(hidden, settings.width) for _ in range(tasks)])
            self.descriptors = nn.ModuleList([_bottleneck(hidden, settings.descriptor) for _ in range(tasks)])
            self.routers = nn.ModuleList([nn.Linear(hidden, 1) for _ in range(tasks)])
        # A new adapter changes nothing before it learns.
        for adapter in self.adapters:
            nn.init.zeros_(adapter[2].weight)  # type: ignore[index]
        self.register_buffer("count", torch.zeros(1, dtype=torch.int64))
        self.register_buffer("level", torch.tensor([[0.0, 1.0]]).repeat(tasks, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return scores [B, classes] of items [B, steps, units]."""
        scores: Tensor = self.backbone.output(self.adapted(self.rates(x)))
        return scores

    def rates(self, x: Tensor) -> Tensor:
        """Return r [B, hidden] of items [B, steps, units]."""
        return self.backbone.through(x.transpose(0, 1)).mean(dim=0)

    def adapted(self, rates: Tensor) -> Tensor:
        """Return [B, hidden] rates plus the outputs of the adapters."""
        count = int(self.count)
        if not count:
            return rates
        # p = softmax(R r + b) over the adapters so far.
        share = torch.cat([self.routers[i](rates) for i in range(count)], 1).softmax(1)
        return rates + sum(share[:, i : i + 1] * self.adapters[i](rates) for i in range(count))

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

    def take_over(self, net: Net) -> None:
        """Copy the hidden layers of a net; the head stays."""
        self.backbone.weights.load_state_dict(net.weights.state_dict())
        self.backbone.neurons.load_state_dict(net.neurons.state_dict())

    def trained(self, *, grows: bool, first: bool) -> Iterator[nn.Parameter]:
        """Yield the parameters that a task trains: the head, a new adapter, and where it is the first the backbone."""
        if first:
            yield from self.backbone.parameters()
        else:
            yield from self.backbone.output.parameters()
        if grows:
            last = int(self.count) - 1
            for modules in (self.adapters, self.descriptors, self.routers):
                yield from modules[last].parameters()


def _bottleneck(size: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(size, width), nn.ReLU(), nn.Linear(width, size, bias=False))


@final
class Adapters(SpikingLearner):
    """Self-expansion with modularised adaptation (SEMA: Wang et al. 2024, arXiv 2403.18886), in one layer.

    A task whose items are new to the descriptors of all adapters gets an adapter, which alone is trained with its own,
    its router and the head's rows of the task's classes; the others, and after the first task the spiking net, stay.
    The paper freezes a net that was trained on other data, as with `backbone`, and expands several of its layers.
    """

    name = "sema"
    SETTINGS = AdaptersSettings
    DEVICES = ("cpu",)
    settings: AdaptersSettings

    def __init__(self, problem: Problem, settings: AdaptersSettings) -> None:
        super().__init__(problem, settings)
        self.net: Any = AdapterStack(problem, settings)
        self._grows = False

    def training_items(self, task: Task) -> tuple[Items, Tensor]:
        # Only rows of the task's classes are trained: others are not possible, and have no gradient.
        own = torch.zeros(self.problem.classes, dtype=torch.bool)
        own[list(task.classes)] = True
        return task.train, own

    def optimizer(self) -> torch.optim.Optimizer:
        parameters = list(self.net.trained(grows=self._grows, first=self._trains_backbone))
        return torch.optim.Adam(parameters, lr=self.settings.learning_rate)

    def objective(self, batch: ItemBatch, generator: torch.Generator) -> Tensor:
        rates = self.net.rates(batch.x)
        loss = common.loss_of(self.net.backbone.output(self.net.adapted(rates)), batch)
        if not self._grows:
            return loss
        # The descriptor learns the rates and does not move them.
        return loss + self.net.errors(rates.detach(), int(self.net.count) - 1).mean()

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        optimizer.step()

    @property
    def _trains_backbone(self) -> bool:
        return not self.learned and not self.settings.backbone

    def begin(self, task: Task) -> None:
        super().begin(task)
        if self.settings.backbone and not self.learned:
            self._pretrain()
        self._grows = self.net.novelty(self._rates(task)) > self.settings.threshold
        self.net.count += int(self._grows)

    def learn(self, task: Task, on_progress: Progress = no_progress) -> None:
        first = self._trains_backbone
        super().learn(task, on_progress)
        assert self.updates is not None
        # Only the trained parameters are written, the same number in each step.
        trained = common.sizes(self.net.trained(grows=self._grows, first=first))
        self.updates = self.updates // common.sizes(self.net.parameters()) * trained

    @torch.no_grad()
    def after_task(self, task: Task) -> None:
        if self._grows:
            last = int(self.net.count) - 1
            errors = self.net.errors(self._rates(task), last)
            # Of the trained descriptor on its own task; later tasks are compared with it.
            self.net.level[last] = torch.stack([errors.mean(), errors.std().clamp_min(1e-12)])

    def after_restore(self, earlier: Sequence[Task]) -> None:
        self._grows = False

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
        optimizer = torch.optim.Adam(net.parameters(), lr=self.settings.learning_rate)
        allowed = torch.from_numpy(problem.allowed(None, 0))

        def step(batch: ItemBatch, remaining: float) -> Tensor:
            optimizer.zero_grad()
            loss = common.loss_of(net(batch.x), batch)
            loss.backward()
            optimizer.step()
            return loss

        task = Task(source, 0, classes, items, items, items)
        generator = common.torch_generator(self.problem, "backbone")
        common.train(self.name, task, items, allowed, self.settings, generator, step, no_progress)
        common.check_finite_weights(net, self.name, 0, task)
        self.net.take_over(net)

    @torch.no_grad()
    def work(self, x: NDArray[np.uint8], task: int | None = None) -> list[LayerCounts]:
        items = common.as_float(x)
        net = self.net
        rates = net.rates(items)[None]
        layers = net.backbone.work(items)[:-1]
        for i in range(int(net.count)):
            down = net.adapters[i][0]
            up = net.adapters[i][2]
            router = net.routers[i]
            hidden = torch.relu(down(rates))
            layers += [
                count_linear(f"router {i + 1}", router.weight, rates, router(rates), bias=1),
                count_linear(f"adapter {i + 1} down", down.weight, rates, hidden, bias=down.bias.numel()),
                count_linear(f"adapter {i + 1} up", up.weight, hidden, up(hidden)),
            ]
        adapted = net.adapted(rates[0])[None]
        out = net.backbone.output
        return [*layers, count_linear("output", out.weight, adapted, out(adapted), bias=out.bias.numel())]

    @torch.no_grad()
    def _rates(self, task: Task) -> Tensor:
        """Return the rates of the first items of a task."""
        rates: Tensor = self.net.rates(common.as_float(task.train.x[: self.settings.samples]))
        return rates
