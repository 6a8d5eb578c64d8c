"""A feed-forward spiking network that learns one task after another by Hebbian orthogonal projection."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ...base.errors import require
from ...base.measure.work import LayerCounts
from ..layers.counts import count_linear
from ..layers.start import gain_for_rate
from .projected import ProjectedLinear, ProjectedPicture
from .subspace import Subspace
from .trainings import BPTT, HLOPTraining, Scores

# Learning rates of the lateral weights, as published: inputs of larger norm need a smaller one.
INPUT_LEARNING_RATE = 0.001
HIDDEN_LEARNING_RATE = 0.01


@dataclass(frozen=True)
class _Lateral:
    """Lateral neurons of the layers; settings as the arguments of `HLOPNetwork`."""

    spiking: bool
    scale: float
    levels: int
    seed: int

    def weight_seed(self, layer: int) -> int:
        """Return the seed of the weights of a layer; that of its lateral neurons is one more."""
        return self.seed * 1009 + 2 * layer

    def subspace(self, layer: int, features: int) -> Subspace:
        """Return the lateral neurons of a layer with inputs of `features` entries."""
        return Subspace(
            features,
            HIDDEN_LEARNING_RATE if layer else INPUT_LEARNING_RATE,
            spiking=self.spiking,
            scale=self.scale,
            levels=self.levels,
            seed=self.weight_seed(layer) + 1,
        )


@final
class HLOPNetwork(nn.Module):
    """Layers of spiking units, each with lateral neurons that span the inputs of earlier tasks.

    `begin_task(rows)` adds lateral neurons, `gradients` trains them on a minibatch and leaves gradients for an
    optimiser, `end_task` freezes them. From the second task on weights change only orthogonally to the frozen lateral
    neurons, and thresholds no longer change.

    Args:
        sizes: units of each layer from the inputs to the classes; published for permuted MNIST: (784, 800, 800, 10).
            Layers of `filters` come between the inputs and the rest.
        training: a `BPTT`, `Online` or `Rate`.
        spiking, scale, levels: arguments of each `Subspace`.
        projects: False: no projection and no subspaces, for comparison.
        seed: key of all weights.
        feedback: weights that errors go back through; see `ProjectedLinear`.
        picture: (channels, height, width) that the inputs unfold to, where there are filters.
        filters: numbers of filters of convolutional layers, of `kernel` x `kernel` places, one every `stride`.

    Raises:
        NeurosimInputError: on construction, naming the argument and its rule.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        training: HLOPTraining | None = None,
        *,
        spiking: bool = False,
        scale: float = 20.0,
        levels: int = 40,
        projects: bool = True,
        seed: int = 0,
        feedback: str = "exact",
        picture: tuple[int, int, int] | None = None,
        filters: Sequence[int] = (),
        kernel: int = 5,
        stride: int = 2,
    ) -> None:
        super().__init__()
        require(len(sizes) >= 2 and min(sizes) >= 1, "HLOPNetwork.sizes", "must be two or more, each >= 1", list(sizes))
        self.training_by = training or BPTT()
        self.projects = projects

        lateral = _Lateral(spiking, scale, levels, seed)
        layers: list[ProjectedPicture | ProjectedLinear] = []
        widths = [sizes[0]]
        shape = picture
        for count in filters:
            good = shape is not None and math.prod(shape) == widths[-1]
            require(good, "HLOPNetwork.picture", f"must unfold to the {widths[-1]} inputs of filters", picture)
            assert shape is not None
            number = len(layers)
            layer = ProjectedPicture(
                shape=shape,
                filters=count,
                kernel=kernel,
                stride=stride,
                subspace=lateral.subspace(number, shape[0] * kernel**2),
                seed=lateral.weight_seed(number),
                feedback=feedback,
            )
            layers.append(layer)
            shape = layer.out_shape
            widths.append(math.prod(shape))
        # Units of every layer; units of the convolutions lie between the inputs and the rest.
        self.sizes = (*widths, *sizes[1:])
        for inputs, outputs in pairwise(self.sizes[len(filters) :]):
            number = len(layers)
            layers.append(
                ProjectedLinear(
                    inputs=inputs,
                    outputs=outputs,
                    subspace=lateral.subspace(number, inputs),
                    seed=lateral.weight_seed(number),
                    feedback=feedback,
                )
            )
        self.layers = nn.ModuleList(layers)
        self.units = nn.ModuleList(self.training_by.units(n) for n in self.sizes[1:-1])

    def free_directions(self) -> list[int]:
        """Return the number of lateral neurons that each layer can still get."""
        return [layer.subspace.features - len(layer.subspace.weights) for layer in self._layers()]

    @property
    def features(self) -> list[int]:
        """Width of the input of each layer; of a convolution, entries of a patch."""
        return [layer.subspace.features for layer in self._layers()]

    @property
    def lateral_updates(self) -> int:
        """Numbers written into lateral weights so far, by this object."""
        return sum(layer.subspace.updates for layer in self._layers())

    def begin_task(self, rows: Sequence[int]) -> None:
        """Add lateral neurons, `rows[i]` to layer i.

        Raises:
            NeurosimInputError: not one number a layer, or more than directions are left.
        """
        require(len(rows) == len(self.layers), "begin_task.rows", f"must be {len(self.layers)} numbers", list(rows))
        if self.projects:
            for layer, more in zip(self._layers(), rows, strict=True):
                layer.subspace.grow(more)

    def end_task(self) -> None:
        """Freeze all lateral neurons and thresholds."""
        for layer in self._layers():
            layer.subspace.merge()
        self._freeze()

    @torch.no_grad()
    def calibrate(self, x: Tensor) -> None:
        """Scale the weights into each hidden layer so that its units fire at `layers.start.START_RATE` on x.

        Units behind two convolutions are silent with unscaled weights, and nothing is learned.
        """
        steps = len(x) if x.ndim == 3 else self.training_by.steps
        for layer, linear, unit in zip(self.layers, self._layers(), self.units, strict=False):
            current = layer(x).expand(steps, -1, -1)
            # The product is linear: a gain of the weights is a gain of the current.
            gain = gain_for_rate(partial(_rate, unit, current))
            linear.weight.mul_(gain)
            x = _fire(unit, current * gain)

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, classes] scores of x [B, N], a constant current, or [T, B, N]."""
        # The mean over all steps, piece by piece.
        return torch.stack([scores.mean(0) * part for scores, part in self._outputs(x, learn=False)]).sum(0)

    @torch.no_grad()
    def work(self, x: Tensor) -> list[LayerCounts]:
        """Return the work of x, as `forward` takes it, by layer; lateral neurons work in training alone.

        Products of a constant current are counted once. The last layer reads the spikes of each step, whatever the
        training computes it from; spikes of a height other than 1 count as events of height 1, which their weights can
        take over.
        """
        counts: list[LayerCounts] = []
        if x.ndim == 3:
            spikes = x
            steps = len(x)
        else:
            spikes = x[None]
            steps = self.training_by.steps
        for k, (layer, linear) in enumerate(zip(self.layers, self._layers(), strict=True)):
            # Spikes between layers count as events of height 1.
            inputs = (spikes != 0).to(x) if k else spikes
            current = layer(spikes)
            # The last layer has no units: its outputs are the scores.
            if k == len(self.units):
                return [*counts, count_linear("output", linear.weight, inputs, current)]
            unit: Any = self.units[k]
            out, states = unit.each_step(current.expand(steps, -1, -1).contiguous())
            spikes = out
            # A convolution is the product of each patch.
            if isinstance(layer, ProjectedPicture):
                inputs = layer.patches(inputs)
                out = layer.by_place(out)
                states = layer.by_place(states)
            parameters = sum(p.numel() for p in unit.parameters())
            counts.append(count_linear(f"hidden {k + 1}", linear.weight, inputs, out, states, bias=parameters))
        return counts

    def memory_bytes(self) -> dict[str, int]:
        """Return the bytes of "weights" with thresholds, and of "lateral" neurons with their momentum.

        "feedback" are the fixed weights that errors go back through, if there are any.
        """
        subspaces = [layer.subspace for layer in self._layers()]
        lateral = sum(buffer.nbytes for subspace in subspaces for buffer in subspace.buffers())
        fixed = sum(layer.fixed.nbytes for layer in self._layers() if layer.fixed is not None)
        parts = {"weights": sum(p.nbytes for p in self.parameters()), "lateral": lateral}
        if fixed:
            parts["feedback"] = fixed
        return parts

    def gradients(self, x: Tensor, y: Tensor, allowed: Tensor | None = None) -> float:
        """Add the gradients of the mean cross-entropy of a minibatch, train the subspaces, and return the loss.

        Args:
            x: [B, N] or [T, B, N], see `forward`.
            y: [B] classes.
            allowed: [classes] bool, the classes that compete; None for all.
        """
        return sum(float(loss) for loss in self.backward(x, y, allowed))

    def backward(self, x: Tensor, y: Tensor, allowed: Tensor | None = None) -> list[Tensor]:
        """Compute the gradients as `gradients`; return the parts of the loss, on the device of the network."""
        losses = []
        for scores, part in self._outputs(x, self.projects):
            # Classes that do not compete have probability 0.
            if allowed is None:
                logits = scores
            else:
                logits = scores.masked_fill(~allowed, -torch.inf)
            # Scores [steps of this part, B, classes], each step with the labels of all items.
            loss = F.cross_entropy(logits.flatten(0, 1), y.repeat(len(scores))) * part
            # Part by part: online training has a graph of one piece of the steps at a time.
            loss.backward()
            losses.append(loss.detach())
        return losses

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """Return the learned state, for `restore`; names are `weight.0`, `old.0`, ..., `units.0.threshold`."""
        arrays = {f"units.{name}": p.detach().cpu().numpy().copy() for name, p in self.units.named_parameters()}
        for i, layer in enumerate(self._layers()):
            arrays[f"weight.{i}"] = layer.weight.detach().cpu().numpy().copy()
            arrays |= {f"{name}.{i}": array for name, array in layer.subspace.arrays().items()}
        return arrays

    @torch.no_grad()
    def restore(self, arrays: Mapping[str, NDArray[np.float32]]) -> None:
        """Restore the state that `arrays()` of a network of the same sizes returned.

        Raises:
            NeurosimInputError: an array is missing or of another shape; nothing is changed then.
        """
        subspaces = []
        own = {f"weight.{i}": layer.weight for i, layer in enumerate(self._layers())}
        own |= {f"units.{name}": p for name, p in self.units.named_parameters()}
        # All arrays are checked before any of them is written.
        for name, p in own.items():
            self._check(p, arrays, name)
        for i, layer in enumerate(self._layers()):
            suffix = f".{i}"
            learned = {name.removesuffix(suffix): array for name, array in arrays.items() if name.endswith(suffix)}
            layer.subspace.check(learned)
            subspaces.append((layer.subspace, learned))
        for subspace, learned in subspaces:
            subspace.restore(learned)
        for name, p in own.items():
            p.copy_(torch.as_tensor(arrays[name]))
        self._freeze()

    def _outputs(self, x: Tensor, learn: bool) -> Iterator[Scores]:
        return self.training_by.outputs(list(self.layers), list(self.units), x, learn)

    def _layers(self) -> list[ProjectedLinear]:
        """Return the linear layers; a convolution has one, which its patches share."""
        layers = [getattr(layer, "linear", layer) for layer in self.layers]
        return [layer for layer in layers if isinstance(layer, ProjectedLinear)]

    def _freeze(self) -> None:
        """Stop learning thresholds once a lateral neuron is frozen."""
        self.units.requires_grad_(not any(len(layer.subspace.old) for layer in self._layers()))

    def _check(self, into: Tensor, arrays: Mapping[str, NDArray[np.float32]], name: str) -> None:
        require(name in arrays, "HLOPNetwork.restore", f"needs the array '{name}'", sorted(arrays))
        shape = arrays[name].shape
        require(shape == tuple(into.shape), f"HLOPNetwork.restore.{name}", f"must be {tuple(into.shape)}", shape)
        kind = arrays[name].dtype
        require(kind.kind == "f", f"HLOPNetwork.restore.{name}", "must be floating-point numbers", kind.name)


def _fire(unit: Any, current: Tensor) -> Tensor:
    """Return the spikes [T, B, N] of a unit for a current."""
    spikes: Tensor = unit.each_step(current.contiguous())[0]
    return spikes


def _rate(unit: Any, current: Tensor, gain: float) -> float:
    return float((_fire(unit, current * gain) != 0).float().mean())
