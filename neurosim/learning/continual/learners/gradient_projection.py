"""Gradient projection memory: new tasks change weights only in directions that inputs of earlier tasks do not use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, final

import torch
from torch import Tensor, nn

from ....base.optimizers import SGD
from ....base.rules import Count, Rule
from ..tasks import Problem, Task
from . import common
from .common import ItemBatch
from .spiking import Spiking, TaskLearner


@dataclass(frozen=True)
class GpmSettings(Spiking):
    """Settings of `Spiking` and of the projection.

    The optimiser is gradient descent without momentum: another one would leave the projected directions.

    Attributes:
        threshold: part of the squared length of a layer's inputs that the stored directions must hold.
        growth: increase of the threshold with each further task, up to 1.
        samples: items of a task that directions are taken from.
    """

    learning_rate: float = 0.1
    threshold: Annotated[float, Rule("> 0 and <= 1")] = 0.97
    growth: Annotated[float, Rule("finite and >= 0")] = 0.003
    samples: Count = 200


@final
class GradientProjection(TaskLearner):
    """Gradient projection memory (Saha, Garg & Roy 2021, ICLR, arXiv 2103.09762), on a spiking net.

    The inputs u of a layer in all steps, with a 1 for the bias, span the directions that the layer must not change.
    After each task their most important directions join an orthonormal basis M, as many as the threshold needs; a
    gradient G of the weights [outputs, inputs + 1] becomes G - G M M^T. It is the batch form of `hlop`, computed by an
    eigenvalue decomposition.

    Attributes:
        basis: by layer [inputs + 1, inputs + 1]; its first `rank` columns are M.
        rank: by layer [1].
    """

    name = "gpm"
    SETTINGS = GpmSettings
    settings: GpmSettings

    def __init__(self, problem: Problem, settings: GpmSettings) -> None:
        super().__init__(problem, settings)
        widths = [layer.in_features + 1 for layer in self._layers()]
        self.basis = {str(k): torch.zeros(width, width) for k, width in enumerate(widths)}
        self.rank = {str(k): torch.zeros(1, dtype=torch.int64) for k in range(len(widths))}
        self.extra.update(basis=self.basis, rank=self.rank)

    def optimizer(self) -> torch.optim.Optimizer:
        return SGD(self.net.parameters(), lr=self.settings.learning_rate)

    def objective(self, batch: ItemBatch, generator: torch.Generator) -> Tensor:
        return self.loss(batch)

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        for k, layer in enumerate(self._layers()):
            weight = layer.weight.grad
            bias = layer.bias.grad
            basis = self.directions(k)
            if basis.shape[1] and weight is not None and bias is not None:
                # G M M^T, the bias being the last column of G
                along = (weight @ basis[:-1] + torch.outer(bias, basis[-1])) @ basis.T
                weight -= along[:, :-1]
                bias -= along[:, -1]
        optimizer.step()

    def directions(self, layer: int) -> Tensor:
        """Return M [inputs + 1, rank] of a layer."""
        return self.basis[str(layer)][:, : int(self.rank[str(layer)])]

    def after_task(self, task: Task) -> None:
        generator = common.torch_generator(self.problem, "directions", task.index)
        rows = torch.randperm(len(task.train), generator=generator)[: self.settings.samples].numpy()
        part = min(1.0, self.settings.threshold + self.settings.growth * task.index)
        for k, gram in enumerate(self.grams(common.as_float(task.train.x[rows]).to(self.device))):
            basis = self.directions(k)
            new = new_directions(gram, basis.double(), part).float()
            first = basis.shape[1]
            end = basis.shape[1] + new.shape[1]
            self.basis[str(k)][:, first:end] = new
            self.rank[str(k)].fill_(end)

    @torch.no_grad()
    def grams(self, x: Tensor) -> list[Tensor]:
        """Return for each layer [inputs + 1, inputs + 1] the sum over items and steps of u u^T, u its input and 1."""
        grams: list[Tensor] = []

        def add(layer: nn.Module, arguments: tuple[Tensor, ...]) -> None:
            inputs = arguments[0].flatten(0, -2).double()
            u = torch.cat([inputs, torch.ones_like(inputs[:, :1])], 1)
            grams.append(u.T @ u)

        hooks = [layer.register_forward_pre_hook(add) for layer in self._layers()]
        try:
            self.net(x)
        finally:
            for hook in hooks:
                hook.remove()
        return grams

    def memory_bytes(self) -> dict[str, int]:
        parts = super().memory_bytes()
        # Only the columns of the basis that are used count.
        parts["basis"] = common.nbytes(map(self.directions, range(len(self.basis))))
        if not self.learned:
            del parts["basis"]
        return parts

    def _layers(self) -> list[nn.Linear]:
        return [*self.net.weights, self.net.output]


def new_directions(gram: Tensor, known: Tensor, part: float) -> Tensor:
    """Return [n, k] the smallest number of further orthonormal directions that reach a part of the inputs.

    Args:
        gram: [n, n], sum of u u^T over inputs u.
        known: [n, m] orthonormal directions so far.
        part: fraction of the squared length of the inputs that all directions together must span, in 0..1.
    """
    # (1 - M M^T) gram (1 - M M^T): the inputs without the known directions.
    rest = gram - known @ (known.T @ gram)
    rest = rest - (rest @ known) @ known.T
    total = torch.trace(gram)
    lengths, vectors = torch.linalg.eigh((rest + rest.T) / 2)
    lengths = lengths.flip(0).clamp_min(0)
    vectors = vectors.flip(1)
    # Squared length that is spanned by the known directions and the first 0, 1, 2, .. new ones.
    spanned_before = total - lengths.sum()
    spanned = torch.cat([spanned_before[None], spanned_before + lengths.cumsum(0)])
    # Smaller lengths are rounding errors.
    free = int((lengths > 1e-9 * total).sum())
    enough = torch.nonzero(spanned >= part * total)
    if not len(enough):
        return vectors[:, :free]
    return vectors[:, : min(free, int(enough[0]))]
