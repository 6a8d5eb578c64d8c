"""Networks of Hebbian orthogonal projection in the engine: the same spikes, with their work counted."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from ...base.errors import NeurosimInputError
from ...data.spikes import Recordings
from ...engine.batch import simulate
from ...engine.result import Result
from ...network.network import Link, Network, Population, Projection, SpikeSource
from ...network.neurons.lif import LIF
from ...network.synapses.patterns import AllToAll
from ...network.windowed import Windowed
from ..layers.neurons import LIFLayer
from ..readouts.linear import LinearReadout
from .network import HLOPNetwork
from .projected import ProjectedPicture

INPUT = "input"
OUTPUT = "output"
# Length of a step, s: the units have a decay for each step, and no time constant in seconds.
STEP = 1e-3


@torch.no_grad()
def to_network(net: HLOPNetwork, steps: int, size: float = 1.0) -> Network:
    """Return a trained network for the engine: populations "input", "hidden 1", ..., "output".

    A spike takes a step from layer to layer. "output" acts once, at the end of step `steps` plus the number of hidden
    layers, and its readings are the scores.

    Args:
        net: network trained with `BPTT` or `Online`.
        steps: number of steps of its input.
        size: entry of the input that a spike stands for.

    Raises:
        NeurosimInputError: units of `Rate`, which the engine does not have; convolutions.
    """
    if any(isinstance(layer, ProjectedPicture) for layer in net.layers):
        raise NeurosimInputError("to_network: a network with filters cannot run in the engine; leave filters out")
    names = _names(net)
    populations = [Population(INPUT, net.sizes[0], SpikeSource())]
    projections = []
    weights = [layer.weight.cpu().numpy() for layer in net.layers]  # type: ignore[operator]
    weights[0] = weights[0] * np.float32(size)
    for units, (source, name), weight in zip(net.units, pairwise(names), weights, strict=False):
        if not isinstance(units, LIFLayer):
            raise NeurosimInputError(
                f"to_network: {type(units).__name__} cannot run in the engine; train with BPTT or Online"
            )
        tau_mem = float(units.tau_mem()) / units.dt * STEP
        model = LIF(tau_mem, float(units.v_threshold()), soft_reset=True)
        populations.append(Population(name, len(weight), model))
        projections.append(Projection(source, name, AllToAll(), weight.T.ravel().astype(np.float64), STEP))
    readout = LinearReadout(weights[-1][:, None], gain=1 / steps)
    window = (steps + len(net.units)) * STEP
    populations.append(Population(OUTPUT, readout.outputs, Windowed(readout, window)))
    return Network(populations, projections, links=[Link(names[-1], OUTPUT)])


def run_in_engine(net: HLOPNetwork, counts: NDArray[np.int64], size: float = 1.0) -> Result:
    """Compute the scores of items in the engine.

    Args:
        net: see `to_network`.
        counts: [items, steps, inputs] spikes in each step.
        size: entry of the input that a spike stands for.

    Returns:
        Readings of "output" are the scores, a row for each item, equal to `net(size * counts)` up to rounding; the work
        is in the order of the layers.
    """
    items, steps, inputs = counts.shape
    # One entry for each spike, sorted by item and step.
    item, step, unit = np.nonzero(counts)
    item, step, unit = (np.repeat(places, counts[counts > 0]) for places in (item, step, unit))
    offsets = np.concatenate([[0], np.cumsum(np.bincount(item, minlength=items))])
    durations = np.full(items, (steps + len(net.units)) * STEP)
    played = Recordings((step + 0.5) * STEP, unit.astype(np.int32), offsets, durations, inputs)
    network = to_network(net, steps, size)
    result = simulate(network, played, clock=STEP, threads=1, record=[], count_updates=True)
    work = {layer.name: layer for layer in result.work}
    return replace(result, work=[work[name] for name in [*_names(net)[1:], OUTPUT]])


def _names(net: HLOPNetwork) -> list[str]:
    return [INPUT, *(f"hidden {k + 1}" for k in range(len(net.units)))]
