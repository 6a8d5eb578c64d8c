"""Trained networks in the event-driven engine: the same spikes, event by event, with their work counted."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray

from ...base.errors import NeurosimInputError, lookup, require
from ...base.shown import Shown
from ...base.values import Value
from ...data.recordings import Recordings
from ...engine.batch import simulate as run
from ...engine.probe import Probe
from ...engine.result import Progress, Result
from ...network.network import Network
from ...network.neurons.base import Neuron
from ...network.neurons.by_unit import rows
from ...network.neurons.current import CubaLIF
from ...network.neurons.lif import LI
from ...network.neurons.lif import LIF as EngineLIF
from ...network.neurons.seadlif import SEAdLIF as EngineSEAdLIF
from ...network.population import Population
from ...network.projection import Projection
from ...network.stimuli import SpikeSource
from ...network.synapses.convolution import Convolution
from ...network.synapses.patterns import AllToAll
from ..layers.base import NeuronLayer
from ..layers.neurons import CurrentLIFLayer, LeakyIntegrator, LIFLayer, SEAdLIFLayer
from ..layers.unit_parameter import UnitParameter
from .classifier import READOUTS
from .connections import Conv
from .net import EXACT_BITS, Block, SpikingNet

INPUT = "input"
READOUT = "readout"


@final
@dataclass(frozen=True, eq=False)
class EventNet(Shown):
    """A trained network as the engine runs it, made by `EventNet.of(net)`. It may be copied and pickled.

    In training, spikes act on the next layer in the same step; in the engine they take one step to arrive. So step t of
    layer k (from 1) is step t + k here.

    Attributes:
        network: network of the engine: populations "input", "layer1", ..., "readout".
        net: the trained network.
        exact: whether every spike and membrane is the same number as the net's; False if the sums of its weights are
            not exact (see `SpikingNet.round_for_exact_sums`).
    """

    network: Network
    net: SpikingNet
    exact: bool

    @classmethod
    def of(cls, net: SpikingNet, max_count: int = 1, *, portable: bool = False) -> EventNet:
        """Return the event-driven form of a network.

        Args:
            max_count: largest entry of its input, events; 0: it counts them.
            portable: refuse neurons that NIR does not know.

        Raises:
            NeurosimInputError: neurons that NIR does not know, if `portable`.
        """
        return cls(to_network(net, portable=portable), net, has_exact_sums(net, max_count))

    @property
    def depth(self) -> int:
        """Steps by which the readout lags behind the input."""
        return len(self.net.layers)

    @property
    def names(self) -> list[str]:
        """Names of the populations, in the order of the net's layers."""
        return [*(f"layer{k + 1}" for k in range(len(self.net.blocks))), READOUT]

    def run(
        self,
        recordings: Recordings,
        *,
        threads: int | None = None,
        count_updates: bool = False,
        progress: Callable[[Progress], object] | None = None,
    ) -> Result[Recordings, list[NDArray[Any]]]:
        """Run recordings made by `Binning.recordings`.

        Returns:
            Spikes of every spiking layer, in the engine's time; membranes of the readout at every step; the work by
            layer.

        Raises:
            NeurosimInputError: recordings of other units.
        """
        dt = self.net.dt
        # One more step: a membrane is sampled at the start of a step.
        longer = replace(recordings, durations=recordings.durations + (self.depth + 1) * dt)
        counts = self.net.spec.readout == "count"
        result = run(
            self.network,
            longer,
            clock=dt,
            threads=threads,
            probes=() if counts else (Probe(READOUT, "v", dt),),
            count_updates=count_updates,
            progress=progress,
        )
        work = {layer.name: layer for layer in result.work}
        if not counts:
            # The output is a membrane for each class and step, not events.
            readout = work[READOUT]
            work[READOUT] = replace(readout, spiking=False, output_events=readout.output_entries)
        return replace(result, work=[work[name] for name in self.names])

    def spikes(self, result: Result, layer: int) -> Recordings:
        """Return spikes of layer `layer` (from 0) in the net's time, with the durations of the recordings that ran."""
        name = self.names[layer]
        recorded = result.spikes[name]
        lag = layer + 1
        dt = self.net.dt
        assert isinstance(recorded, Recordings)  # as the input is
        lengths = np.round(recorded.durations / dt).astype(np.int64) - self.depth - 1
        recording = np.repeat(np.arange(len(recorded)), np.diff(recorded.offsets))
        ticks = recorded.ticks - lag
        inside = (ticks >= 0) & (ticks < lengths[recording])
        sizes = np.bincount(recording[inside], minlength=len(recorded))
        return replace(
            recorded,
            ticks=ticks[inside],
            units=recorded.units[inside],
            offsets=np.concatenate([[0], np.cumsum(sizes)]),
            durations=lengths * dt,
        )

    def scores(self, result: Result) -> NDArray[np.float32]:
        """Return [n, classes] scores, as the net's."""
        lag = self.depth
        kind = self.net.spec.readout
        if kind == "count":
            grids = [spikes.to_grid(self.net.dt) for spikes in self.spikes(result, lag - 1)]
        else:
            # Sample t + 1 is the membrane after step t.
            grids = [states[lag + 1 :] for states in result.states[f"{READOUT}.v"]]
        scores = []
        for grid in grids:
            # [steps, 1, classes]: a batch of one recording, all of whose steps count.
            outputs = torch.from_numpy(np.ascontiguousarray(grid, np.float32))[:, None]
            scores.append(READOUTS[kind](outputs, None))
        return torch.cat(scores).numpy()


def to_network(*nets: SpikingNet, portable: bool = False) -> Network:
    """Return a trained network as a network of the engine, to run with steps of `net.dt`.

    Several networks with one input become one: the second's populations are "net2.layer1" and so on.

    Args:
        portable: refuse neurons that NIR does not know.

    Raises:
        NeurosimInputError: neurons that NIR does not know, with `portable`; networks of different inputs, or whose
            norms are not folded.
    """
    folded = not any(net.spec.normalise for net in nets)
    require(folded, "to_network", "needs norms folded into weights: call net.fold() after training", "normalise=True")
    shape = nets[0].shape
    dt = nets[0].dt
    alike = all(net.shape == shape and net.dt == dt for net in nets)
    require(alike, "to_network", "needs networks of one input", [(net.shape, net.dt) for net in nets])
    planes = (1,) * (3 - len(shape)) + shape
    populations = [Population(INPUT, planes, SpikeSource())]
    projections = []
    for number, net in enumerate(nets, start=1):
        source = INPUT
        prefix = f"net{number}." if number > 1 else ""
        for k, block in enumerate(net.layers):
            if block is net.readout:
                name = prefix + READOUT
            else:
                name = f"{prefix}layer{k + 1}"
            if isinstance(block.connection, Conv):
                units: tuple[int, ...] = block.connection.shape
            else:
                units = (block.connection.units,)
            populations.append(Population(name, units, cell(block.neurons, portable=portable)))
            projections += [*_synapses(block, source, name, dt)]
            source = name
    return Network(populations, projections)


def cell(layer: NeuronLayer, *, portable: bool = False) -> Neuron:
    """Return neurons of the engine that equal the neurons of a layer; parameters that differ between units are vectors.

    Raises:
        NeurosimInputError: NIR has no such neurons, with `portable`; a reset that the engine lacks.
    """
    kind = type(layer).__name__
    if portable:
        lookup(dict.fromkeys(NIR_LAYERS), kind, "to_network: neurons that NIR knows")
        hard = kind != CurrentLIFLayer.__name__ or not _soft(layer)
        require(hard, "to_network: CurrentLIFLayer.reset", "must be zero for NIR's CubaLIF", "subtract")
    return _CELLS[kind](layer)


@torch.no_grad()
def has_exact_sums(net: SpikingNet, max_count: int = 1) -> bool:
    """Return whether sums of each layer's weights are exact in float32, in any order.

    `SpikingNet.round_for_exact_sums` makes them so.
    """
    for weights, bound in net.sums(max_count):
        # Integers of 24 bits in units of 2^ceil(log2 bound) / 2^24; weights of 0 are exact in any unit.
        if bound:
            scale = 2.0 ** (EXACT_BITS - math.ceil(math.log2(bound)))
        else:
            scale = 0.0
        if any(bool((w.double() * scale % 1 != 0).any()) for w in weights):
            return False
    return True


@torch.no_grad()
def _synapses(block: Block, source: str, target: str, dt: float) -> list[Projection]:
    """Return the projections of a block, one for each delay, and its recurrent one."""
    projections = []
    for delay, weight in zip(block.connection.delays, block.connection.by_delay(), strict=True):
        name = f"{source}->{target}"
        if delay:
            name += f"@{delay}"
        values = weight.detach().double().numpy()
        # One step more than in training: a spike arrives a step after it is sent.
        arrival = (1 + delay) * dt
        if isinstance(block.connection, Conv):
            pattern = Convolution(values, block.connection.stride)
            projections.append(Projection(source, target, pattern, weight=1.0, delay=arrival, name=name))
        else:
            # In the order of sources, then targets.
            projections.append(
                Projection(source, target, AllToAll(), weight=values.T.ravel(), delay=arrival, name=name)
            )
    if block.neurons.recurrent is not None:
        back = block.neurons.recurrent.weight.double().numpy().T.ravel()
        projections.append(Projection(target, target, AllToAll(), weight=back, delay=dt))
    return projections


def _constants(layer: NeuronLayer) -> NDArray[np.float64]:
    """Return [constants, units] of a step, rounded to float32 as in training."""
    return layer.constants().detach().float().double().numpy()


def _values(parameter: UnitParameter, units: int) -> NDArray[np.float64]:
    return parameter().detach().double().expand(units).numpy()


def _tau(parameter: UnitParameter, decay: NDArray[np.float64], dt: float) -> Value:
    """Return the time constants whose decay in a step is, in float32, the same number as in training.

    A trained time constant went through torch's exponential: the logarithm of the decay gives the number again.
    """
    taus = _values(parameter, len(decay))
    if parameter.trained:
        inside = (decay > 0) & (decay < 1)
        taus = np.where(inside, -dt / np.log(np.where(inside, decay, 0.5)), taus)
    return _short(taus)


def _short(values: NDArray[np.float64]) -> Value:
    """Return one number if all units have the same, else a vector."""
    if (values == values[0]).all():
        return float(values[0])
    return np.array(values)


@torch.no_grad()
def _lif(layer: NeuronLayer) -> Neuron:
    assert isinstance(layer, LIFLayer)
    decay, threshold = _constants(layer)
    return EngineLIF(_tau(layer.tau_mem, decay, layer.dt), _short(threshold), soft_reset=_soft(layer))


@torch.no_grad()
def _current(layer: NeuronLayer) -> Neuron:
    assert isinstance(layer, CurrentLIFLayer)
    decay, threshold, syn_decay, charge = _constants(layer)
    taus = _tau(layer.tau_mem, decay, layer.dt), _tau(layer.tau_syn, syn_decay, layer.dt)
    r = _values(layer.r, layer.units)
    model = CubaLIF(*taus, v_threshold=_short(threshold), r=_short(r), soft_reset=_soft(layer))
    # The charge of the membrane by a current in a step is proportional to r, and training computes it in another
    # order: where the float32 numbers differ, r is corrected.
    own_charge = rows(model, lambda unit: unit.constants(layer.dt))[2] + np.zeros(layer.units)
    same = own_charge.astype(np.float32) == charge
    return replace(model, r=_short(np.where(same, r, r * charge / own_charge)))


@torch.no_grad()
def _adaptive(layer: NeuronLayer) -> Neuron:
    assert isinstance(layer, SEAdLIFLayer)
    decay, threshold, slow_decay, by_v, by_spike = _constants(layer)
    taus = _tau(layer.tau_mem, decay, layer.dt), _tau(layer.tau_adapt, slow_decay, layer.dt)
    q = _values(layer.q, layer.units)
    # The constants are q a and q b.
    a, b = (_short(np.divide(by, q, out=np.zeros_like(q), where=q != 0)) for by in (by_v, by_spike))
    return EngineSEAdLIF(*taus, a, b, _short(q), _short(threshold), _soft(layer))


@torch.no_grad()
def _integrator(layer: NeuronLayer) -> Neuron:
    assert isinstance(layer, LeakyIntegrator)
    (decay,) = _constants(layer)
    return LI(_tau(layer.tau_mem, decay, layer.dt))


def _soft(layer: NeuronLayer) -> bool:
    from ...kernels.layers.scan.kinds import SUBTRACT, ZERO

    soft = {SUBTRACT: True, ZERO: False}
    if layer.how.reset not in soft:
        raise NeurosimInputError(
            f"{type(layer).__name__}.reset: must be subtract or zero to run in the engine (got subtract_late)"
        )
    return soft[layer.how.reset]


_CELLS: dict[str, Callable[[NeuronLayer], Neuron]] = {
    LIFLayer.__name__: _lif,
    CurrentLIFLayer.__name__: _current,
    SEAdLIFLayer.__name__: _adaptive,
    LeakyIntegrator.__name__: _integrator,
}
NIR_LAYERS = (LIFLayer.__name__, CurrentLIFLayer.__name__, LeakyIntegrator.__name__)
