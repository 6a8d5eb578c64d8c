"""The trained network: spiking layers and a readout, one object from training to the event-driven engine."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from ..errors import require
from ..layers import LIF, CurrentLIF, LeakyIntegrator, NeuronLayer, SEAdLIF, Surrogate
from ..layers.surrogates import SURROGATES
from .design import Design
from .joints import Convolved, Joint, Matrix

START_RATE = 0.08  # spikes a unit and step that the weights are scaled to before training
# Whole numbers of up to so many bits are exact in float32, and so are their sums.
EXACT_BITS = 24
COUNTED = 32  # events that an entry of an input that counts them is taken to hold at most


@dataclass(frozen=True)
class Trace:
    """All that a network did with a batch.

    Attributes:
        spikes: [T, B, units] of each spiking layer.
        readout: [T, B, classes] membranes of the integrators, or spikes of the classes.
        scores: [B, classes].
    """

    spikes: tuple[Tensor, ...]
    readout: Tensor
    scores: Tensor


@final
class Block(nn.Module):
    """Synapses and the neurons they end on."""

    def __init__(self, joint: Joint, neurons: NeuronLayer) -> None:
        super().__init__()
        self.joint, self.neurons = joint, neurons

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.neurons(self.joint(x))[0]
        return out


@final
class SpikingNet(nn.Module):
    """A feed-forward stack of spiking layers, or one with feed-back in its dense layers, and a readout of classes.

    `scores = net(x, lengths)`: x [T, B, units] events in each step, lengths [B] steps that each recording lasts (None:
    T) to scores [B, classes], the largest of which wins.

    Attributes:
        shape: of the input, (units,), (height, width) or (planes, height, width).
        classes: how many.
        design: what it is made of.
        dt: s, a step.
        blocks: the spiking layers in turn.
        readout: the last layer.

    Raises:
        NeurosimInputError: a design that does not fit the input.
    """

    def __init__(
        self, shape: tuple[int, ...], classes: int, design: Design | None = None, dt: float = 0.01, seed: int = 0
    ) -> None:
        super().__init__()
        design = design or Design()
        require(1 <= len(shape) <= 3, "SpikingNet.shape", "must have one to three dimensions", shape)
        require(classes >= 2, "SpikingNet.classes", "must be at least 2", classes)
        self.shape, self.classes, self.design, self.dt = tuple(shape), classes, design, float(dt)
        planes, height, width = ((1,) * (3 - len(shape)) + tuple(shape))[-3:]
        before, seeds = (planes, height, width), iter(range(1000 * seed, 1000 * seed + 1000))
        delays = tuple(design.tap_steps * k for k in range(design.taps))
        blocks = []
        for filters in design.filters:
            joint: Joint = Convolved(before, filters, design.kernel, design.stride, delays, next(seeds))
            blocks.append(Block(joint, neurons(design, joint.units, dt, False, next(seeds))))
            before, delays = joint.shape, (0,)
        for units in design.hidden:
            joint = Matrix(math.prod(before), units, delays, next(seeds))
            blocks.append(Block(joint, neurons(design, units, dt, design.recurrent, next(seeds))))
            before, delays = joint.shape, (0,)
        self.blocks = nn.ModuleList(blocks)
        last: NeuronLayer = LeakyIntegrator(classes, design.tau_out, dt, train_tau=design.train_tau)
        if design.readout == "count":
            last = neurons(design, classes, dt, False, next(seeds))
        self.readout = Block(Matrix(math.prod(before), classes, (0,), next(seeds)), last)

    @property
    def layers(self) -> list[Block]:
        """All of them, the readout last."""
        return [*self.blocks, self.readout]

    @property
    def units(self) -> int:
        """Of the input."""
        return math.prod(self.shape)

    def forward(self, x: Tensor, lengths: Tensor | None = None, masks: Sequence[Tensor] = ()) -> Tensor:
        return self.trace(x, lengths, masks).scores

    def trace(self, x: Tensor, lengths: Tensor | None = None, masks: Sequence[Tensor] = ()) -> Trace:
        """What the network does with a batch; with `masks` of `dropout`, as in training.

        Raises:
            NeurosimInputError: an input of other units.
        """
        good = x.ndim == 3 and x.shape[-1] == self.units
        require(good, "SpikingNet", f"input must be [T, B, {self.units}]", tuple(x.shape))
        spikes = []
        for k, block in enumerate(self.blocks):
            x = block(x)
            spikes.append(x)
            x = x * masks[k] if masks else x
        out = self.readout(x)
        return Trace(tuple(spikes), out, READ[self.design.readout](out, lengths))

    def dropout(self, items: int, seed: int) -> list[Tensor]:
        """Masks [items, units] of every spiking layer, drawn from `seed`: 0, or what keeps the mean; none without."""
        rate = self.design.dropout
        if rate == 0:
            return []
        draws = torch.Generator().manual_seed(seed)
        sizes = [(items, block.joint.units) for block in self.layers[:-1]]
        return [(torch.rand(size, generator=draws) >= rate).float() / (1 - rate) for size in sizes]

    @torch.no_grad()
    def calibrate(self, x: Tensor, rate: float = START_RATE) -> None:
        """Scale the weights into each spiking layer so that units fire at `rate` a step on these recordings.

        Random weights leave deep layers silent or saturated, where no gradient passes; here every layer starts alike.
        """
        last = self.layers[-1] if self.design.readout == "count" else None
        for block in self.layers:
            if block is self.readout and last is None:
                return
            current, start, low, high = block.joint(x), block.joint.weight.clone(), -8.0, 8.0
            for _ in range(12):
                middle = (low + high) / 2
                found = float(block.neurons(current * 2.0**middle)[0].mean())
                low, high = (middle, high) if found < rate else (low, middle)
            block.joint.weight.copy_(start * 2.0 ** ((low + high) / 2))
            x = block(x)

    @torch.no_grad()
    def settle(self, most: int = 1) -> None:
        """Round the weights of each layer to a grid so fine that sums of them are exact in float32 in any order.

        What arrives at a unit is then the same number whatever sums it: a matrix product of any library, a loop over
        events. The step of the grid is 2^-24 times the next power of two above what can arrive at a unit at most.

        Args:
            most: events that an entry of the input holds at most; 0: it counts them.
        """
        reach = torch.tensor(float(most or COUNTED))
        for block in self.layers:
            weights, bound = [block.joint.weight], block.joint.into(reach)
            if block.neurons.recurrent is not None:
                back = block.neurons.recurrent.weight
                weights.append(back)
                bound += float(back.abs().sum(dim=1).max())
            step = 2.0 ** (math.ceil(math.log2(max(bound, 2.0**-60))) + 1 - EXACT_BITS)
            for weight in weights:
                weight.copy_(torch.round(weight.double() / step).double() * step)
            reach = torch.tensor(1.0)


def neurons(design: Design, units: int, dt: float, recurrent: bool, seed: int) -> NeuronLayer:
    """A layer of the design's neurons."""
    surrogate = Surrogate(SURROGATES[design.surrogate].shape, design.slope)
    return MAKE[design.neuron](design, units, dt, recurrent, seed, surrogate)


def _lif(d: Design, units: int, dt: float, recurrent: bool, seed: int, surrogate: Surrogate) -> NeuronLayer:
    how = {"reset": d.reset, "surrogate": surrogate, "train_tau": d.train_tau, "recurrent": recurrent, "seed": seed}
    return LIF(units, d.tau_mem, dt=dt, **how)  # type: ignore[arg-type]


def _current(d: Design, units: int, dt: float, recurrent: bool, seed: int, surrogate: Surrogate) -> NeuronLayer:
    how = {"reset": d.reset, "surrogate": surrogate, "train_tau": d.train_tau, "recurrent": recurrent, "seed": seed}
    return CurrentLIF(units, d.tau_mem, d.tau_syn, dt=dt, **how)  # type: ignore[arg-type]


def _adaptive(d: Design, units: int, dt: float, recurrent: bool, seed: int, surrogate: Surrogate) -> NeuronLayer:
    taus = (d.tau_mem / 4, d.tau_mem), (d.tau_adapt / 5, d.tau_adapt)
    how = {"reset": d.reset, "surrogate": surrogate, "recurrent": recurrent, "seed": seed}
    return SEAdLIF(units, *taus, q=d.adaptation * d.tau_adapt / dt, dt=dt, **how)  # type: ignore[arg-type]


MAKE: dict[str, Callable[[Design, int, float, bool, int, Surrogate], NeuronLayer]] = {
    "LIF": _lif,
    "CurrentLIF": _current,
    "AdaptiveLIF": _adaptive,
}


def _inside(out: Tensor, lengths: Tensor | None) -> Tensor:
    """[T, B, 1] whether a step belongs to its recording."""
    steps, items = out.shape[:2]
    ends = torch.full((items,), steps, device=out.device) if lengths is None else lengths.to(out.device)
    return (torch.arange(steps, device=out.device)[:, None] < ends)[..., None]


def _mean(out: Tensor, lengths: Tensor | None) -> Tensor:
    inside = _inside(out, lengths)
    return (out * inside).sum(dim=0) / inside.sum(dim=0)


def _count(out: Tensor, lengths: Tensor | None) -> Tensor:
    return (out * _inside(out, lengths)).sum(dim=0)


def _max(out: Tensor, lengths: Tensor | None) -> Tensor:
    return out.masked_fill(~_inside(out, lengths), -math.inf).amax(dim=0)


def _last(out: Tensor, lengths: Tensor | None) -> Tensor:
    if lengths is None:
        return out[-1]
    return out[lengths.to(out.device) - 1, torch.arange(out.shape[1], device=out.device)]


READ: dict[str, Callable[[Tensor, Tensor | None], Tensor]] = {
    "mean": _mean,
    "max": _max,
    "last": _last,
    "count": _count,
}
