"""The network that is trained: spiking layers and a readout."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import final

import torch
from torch import Tensor, nn

from ...base.errors import require
from ...base.random import torch_seed
from ..layers.base import NeuronLayer, NeuronOptions
from ..layers.linear import SpikeList
from ..layers.neurons import CurrentLIFLayer, LeakyIntegrator, LIFLayer, SEAdLIFLayer
from ..layers.start import START_RATE, gain_for_rate
from ..layers.surrogates import SURROGATES, Surrogate
from .classifier import READOUTS, Classifier, LayerActivity
from .connections import Conv, Dense, LayerConnection
from .norm import ScaleNorm
from .specs import NetworkSpec

# Integers of up to 24 bits are exact in float32, and so are their sums.
EXACT_BITS = 24
# Assumed limit of an entry, in events, of an input that counts them.
MAX_COUNT = 32


@final
class Block(nn.Module):
    """A layer of neurons, the synapses into it, and perhaps a norm between them."""

    norm: ScaleNorm | None

    def __init__(self, connection: LayerConnection, neurons: NeuronLayer, normalise: bool = False) -> None:
        super().__init__()
        self.connection = connection
        self.neurons = neurons
        if normalise:
            self.norm = ScaleNorm(len(connection.weight))
        else:
            self.norm = None

    def forward(self, x: Tensor | SpikeList) -> Tensor:
        out: Tensor = self.neurons(self.current(x))[0]
        return out

    def current(self, x: Tensor | SpikeList) -> Tensor:
        """Return the input of the neurons."""
        current: Tensor = self.connection(x)
        if self.norm is not None:
            current = self.norm(current)
        return current


@final
class SpikingNet(Classifier):
    """Spiking layers in a row, whose dense ones may feed back to themselves, and a readout of classes.

    Attributes:
        shape: shape of the input: (units,), (height, width) or (planes, height, width).
        spec: layers, neurons and readout.
        blocks: the spiking layers in order.
        readout: the last layer.

    Raises:
        NeurosimInputError: a spec that does not fit the input.
    """

    def __init__(
        self, shape: tuple[int, ...], classes: int, spec: NetworkSpec | None = None, dt: float = 0.01, seed: int = 0
    ) -> None:
        super().__init__(shape, classes, dt)
        spec = spec or NetworkSpec()
        require(1 <= len(shape) <= 3, "SpikingNet.shape", "must have one to three dimensions", shape)
        require(classes >= 2, "SpikingNet.classes", "must be at least 2", classes)
        self.spec = spec
        # Missing dimensions in front are 1.
        planes, height, width = (1,) * (3 - len(shape)) + tuple(shape)
        before = (planes, height, width)
        # Each part of the network takes the next of a thousand seeds.
        seeds = map(torch_seed, range(1000 * seed, 1000 * seed + 1000))
        # The input comes `taps` times, each later than the one before; other layers see only the present.
        delays = tuple(spec.tap_steps * k for k in range(spec.taps))
        blocks = []
        for filters in spec.filters:
            connection: LayerConnection = Conv(
                before=before, filters=filters, kernel=spec.kernel, stride=spec.stride, delays=delays, seed=next(seeds)
            )
            blocks.append(Block(connection, neurons(spec, connection.units, dt, False, next(seeds)), spec.normalise))
            before = connection.shape
            delays = (0,)
        for units in spec.hidden:
            connection = Dense(math.prod(before), units, delays, next(seeds))
            layer = neurons(spec, units, dt, spec.recurrent, next(seeds))
            blocks.append(Block(connection, layer, spec.normalise))
            before = connection.shape
            delays = (0,)
        self.blocks = nn.ModuleList(blocks)
        last: NeuronLayer = LeakyIntegrator(classes, spec.tau_out, dt, train_tau=spec.train_tau)
        if spec.readout == "count":
            last = neurons(spec, classes, dt, False, next(seeds))
        self.readout = Block(Dense(math.prod(before), classes, (0,), next(seeds)), last)

    @property
    def layers(self) -> list[Block]:
        """All layers, the readout last."""
        return [*self.blocks, self.readout]

    @property
    def takes_lists(self) -> bool:
        connection = self.layers[0].connection
        return isinstance(connection, Dense) and len(connection.delays) == 1

    def trace(
        self, x: Tensor | SpikeList, lengths: Tensor | None = None, masks: Sequence[Tensor] = ()
    ) -> LayerActivity:
        good = x.ndim == 3 and x.shape[-1] == self.units
        require(good, "SpikingNet", f"input must be [T, B, {self.units}]", tuple(x.shape))
        spikes = []
        for k, block in enumerate(self.blocks):
            out = block(x)
            spikes.append(out)
            x = out * masks[k] if masks else out
        out = self.readout(x)
        return LayerActivity(tuple(spikes), out, READOUTS[self.spec.readout](out, lengths))

    def dropout(self, items: int, seed: int) -> list[Tensor]:
        """Return masks [items, units] of every spiking layer: 0, or the factor that preserves the mean.

        The list is empty without dropout.
        """
        rate = self.spec.dropout
        if rate == 0:
            return []
        generator = torch.Generator().manual_seed(seed)
        sizes = [(items, block.connection.units) for block in self.layers[:-1]]
        return [(torch.rand(size, generator=generator) >= rate).float() / (1 - rate) for size in sizes]

    @torch.no_grad()
    def calibrate(self, x: Tensor, rate: float = START_RATE) -> None:
        """Scale the weights into each spiking layer so that units fire at `rate` spikes a step on these recordings.

        In a layer with a norm the gain is scaled, and its mean squares begin with these recordings. With unscaled
        random weights deep layers are silent or saturated, and no gradient passes.
        """
        for block in self.layers:
            # Integrators have no rate.
            if block is self.readout and self.spec.readout != "count":
                return
            scaled = block.connection.weight
            if block.norm is not None:
                block.norm.begin(block.connection(x))
                scaled = block.norm.gain
            current = block.current(x)
            rate_at = partial(_rate, block.neurons, current)
            scaled.mul_(gain_for_rate(rate_at, rate))
            x = block(x)

    @torch.no_grad()
    def fold(self) -> None:
        """Multiply the weights into each layer by the factors of its norm, and remove the norms."""
        for block in self.blocks:
            assert isinstance(block, Block)
            if block.norm is not None:
                weight = block.connection.weight
                weight.mul_(block.norm.factor().view(-1, *(1 for _ in weight.shape[1:])))
                block.norm = None
        self.spec = replace(self.spec, normalise=False)

    @torch.no_grad()
    def round_for_exact_sums(self, max_count: int = 1) -> None:
        """Fold norms, and round the weights of each layer so that their sums are exact in float32, in any order.

        The input of a unit is then the same number whether a matrix product or a loop over events sums it. Weights
        become multiples of 2^-24 times the next power of two above the largest input that a unit can get.

        Args:
            max_count: largest entry of the input, events; 0: it counts them, up to 32.
        """
        self.fold()
        for weights, bound in self.sums(max_count):
            # Any sum is below 2^ceil(log2 bound): in these steps an integer of at most 23 bits.
            step = 2.0 ** (math.ceil(math.log2(max(bound, 2.0**-60))) + 1 - EXACT_BITS)
            for weight in weights:
                weight.copy_(torch.round(weight.double() / step).double() * step)

    def sums(self, max_count: int) -> Iterator[tuple[list[Tensor], float]]:
        """Yield the matrices of weights into each layer, and the largest input that a unit of it can get."""
        max_entry = torch.tensor(float(max_count or MAX_COUNT))
        for block in self.layers:
            weights = [block.connection.weight]
            bound = block.connection.max_input(max_entry)
            if block.neurons.recurrent is not None:
                weights.append(block.neurons.recurrent.weight)
                bound += float(weights[-1].abs().sum(dim=1).max())
            yield weights, bound
            # The inputs of further layers are spikes.
            max_entry = torch.tensor(1.0)


def _rate(layer: NeuronLayer, current: Tensor, gain: float) -> float:
    """Return the mean spikes of a unit in a step, with the current scaled by `gain`."""
    return float(layer(current * gain)[0].mean())


def neurons(spec: NetworkSpec, units: int, dt: float, recurrent: bool, seed: int) -> NeuronLayer:
    """Return a layer of the spec's neurons."""
    surrogate = Surrogate(SURROGATES[spec.surrogate].shape, spec.slope)
    options = NeuronOptions(reset=spec.reset, surrogate=surrogate, dt=dt, recurrent=recurrent, seed=seed)
    return LAYERS[spec.neuron](spec, units, options)


def _taus(spec: NetworkSpec, tau: float) -> float | tuple[float, float]:
    """Return a time constant, or the ends between which the time constant of each unit is drawn."""
    if spec.tau_spread == 1:
        return tau
    return (tau, spec.tau_spread * tau)


def _lif(spec: NetworkSpec, units: int, options: NeuronOptions) -> NeuronLayer:
    return LIFLayer(units, _taus(spec, spec.tau_mem), train_tau=spec.train_tau, **options)


def _current(spec: NetworkSpec, units: int, options: NeuronOptions) -> NeuronLayer:
    taus = _taus(spec, spec.tau_mem), _taus(spec, spec.tau_syn)
    return CurrentLIFLayer(units, *taus, train_tau=spec.train_tau, **options)


def _adaptive(spec: NetworkSpec, units: int, options: NeuronOptions) -> NeuronLayer:
    taus = (spec.tau_mem / 4, spec.tau_mem), (spec.tau_adapt / 5, spec.tau_adapt)
    return SEAdLIFLayer(units, *taus, q=spec.adaptation * spec.tau_adapt / options["dt"], **options)


LAYERS: dict[str, Callable[[NetworkSpec, int, NeuronOptions], NeuronLayer]] = {
    "LIF": _lif,
    "CurrentLIF": _current,
    "SEAdLIF": _adaptive,
}
