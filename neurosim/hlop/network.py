"""A feed-forward spiking network that learns one task after another by Hebbian orthogonal projection."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import require
from .projected import ProjectedLinear
from .subspace import Subspace
from .trainings import BPTT, Scores, Training

# Steps of the lateral weights, published: inputs of larger norm need a smaller one.
FIRST_LR, HIDDEN_LR = 0.001, 0.01


@final
class HLOPNetwork(nn.Module):
    """Layers of spiking units, each with a lateral circuit that knows what earlier tasks have used.

    `begin_task(rows)` adds lateral neurons, `gradients` teaches them a minibatch and has the gradients for an
    optimizer, `end_task` freezes them. From the second task on weights change only where no frozen lateral neuron
    looks, and thresholds no longer change.

    Args:
        sizes: units from the inputs to the classes, published for permuted MNIST (784, 800, 800, 10).
        training: a `BPTT`, `Online` or `Rate`.
        spiking: whether the lateral neurons spike (`Subspace`).
        projects: without it nothing is projected and no subspace learned: plain training, for comparison.

    Raises:
        NeurosimInputError: on construction, naming the argument and its rule.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        training: Training | None = None,
        spiking: bool = False,
        scale: float = 20.0,
        levels: int = 40,
        projects: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__()
        require(len(sizes) >= 2 and min(sizes) >= 1, "HLOPNetwork.sizes", "must be two or more, each >= 1", list(sizes))
        self.sizes, self.training_by, self.projects = tuple(sizes), training or BPTT(), projects
        layers = []
        for i, (inputs, outputs) in enumerate(pairwise(sizes)):
            lr = HIDDEN_LR if i else FIRST_LR
            # Seeds that no other layer has, nor another kind of weights.
            own = seed * 1009 + 2 * i
            subspace = Subspace(inputs, lr, spiking=spiking, scale=scale, levels=levels, seed=own + 1)
            layers.append(ProjectedLinear(inputs, outputs, subspace, seed=own))
        self.layers = nn.ModuleList(layers)
        self.units = nn.ModuleList(self.training_by.units(n) for n in self.sizes[1:-1])

    def left(self) -> list[int]:
        """Directions that each layer has left: how many lateral neurons it can still get."""
        return [layer.subspace.features - len(layer.subspace.weights) for layer in self._layers()]

    def begin_task(self, rows: Sequence[int]) -> None:
        """New lateral neurons, `rows[i]` for layer i.

        Raises:
            NeurosimInputError: not one number a layer, or more than directions are left.
        """
        require(len(rows) == len(self.layers), "begin_task.rows", f"must be {len(self.layers)} numbers", list(rows))
        if self.projects:
            for layer, more in zip(self._layers(), rows, strict=True):
                layer.subspace.grow(more)

    def end_task(self) -> None:
        """All lateral neurons are frozen from here on, and so are thresholds."""
        for layer in self._layers():
            layer.subspace.merge()
        self._freeze()

    def forward(self, x: Tensor) -> Tensor:
        """[B, classes] scores from x [B, N], a constant current, or [T, B, N]."""
        return torch.stack([scores.mean(0) * part for scores, part in self._outputs(x, False)]).sum(0)

    def gradients(self, x: Tensor, y: Tensor, allowed: Tensor | None = None) -> float:
        """Add the gradients of the mean cross-entropy of a minibatch; the subspaces learn. Returns that loss.

        Args:
            x: as in `forward`.
            y: [B] classes.
            allowed: [classes] bool, those that compete; None for all.
        """
        total = 0.0
        for scores, part in self._outputs(x, self.projects):
            fair = scores if allowed is None else scores.masked_fill(~allowed, -torch.inf)
            loss = F.cross_entropy(fair.flatten(0, 1), y.repeat(len(scores))) * part
            loss.backward()
            total += float(loss.detach())
        return total

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """All that was learned, for `restore`; names are `weight.0`, `old.0`, ..., `units.0.threshold`."""
        found = {f"units.{name}": p.detach().cpu().numpy().copy() for name, p in self.units.named_parameters()}
        for i, layer in enumerate(self._layers()):
            found[f"weight.{i}"] = layer.weight.detach().cpu().numpy().copy()
            found |= {f"{name}.{i}": array for name, array in layer.subspace.arrays().items()}
        return found

    @torch.no_grad()
    def restore(self, arrays: Mapping[str, NDArray[np.float32]]) -> None:
        """Go on from `arrays()` of a network of the same sizes.

        Raises:
            NeurosimInputError: an array is missing or of another shape.
        """
        for i, layer in enumerate(self._layers()):
            self._copy(layer.weight, arrays, f"weight.{i}")
            ours = {name.rpartition(".")[0]: a for name, a in arrays.items() if name.rpartition(".")[2] == str(i)}
            layer.subspace.restore(ours)
        for name, p in self.units.named_parameters():
            self._copy(p, arrays, f"units.{name}")
        self._freeze()

    def _outputs(self, x: Tensor, learn: bool) -> Iterator[Scores]:
        return self.training_by.outputs(self._layers(), list(self.units), x, learn)

    def _layers(self) -> list[ProjectedLinear]:
        return [layer for layer in self.layers if isinstance(layer, ProjectedLinear)]

    def _freeze(self) -> None:
        """Thresholds are no longer learned once something is frozen."""
        self.units.requires_grad_(not any(len(layer.subspace.old) for layer in self._layers()))

    def _copy(self, into: Tensor, arrays: Mapping[str, NDArray[np.float32]], name: str) -> None:
        require(name in arrays, "HLOPNetwork.restore", f"needs the array '{name}'", sorted(arrays))
        shape = arrays[name].shape
        require(shape == tuple(into.shape), f"HLOPNetwork.restore.{name}", f"must be {tuple(into.shape)}", shape)
        into.copy_(torch.as_tensor(arrays[name]))
