"""Networks of Hebbian orthogonal projection in the engine: the same spikes, with their work counted."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ...base.errors import NeurosimInputError
from ...data.recordings import Recordings
from ...engine.batch import simulate
from ...engine.result import Result
from ...network.network import Network
from ...network.neurons.lif import LIF
from ...network.population import Population
from ...network.projection import Link, Projection
from ...network.stimuli import SpikeSource
from ...network.synapses.convolution import Convolution
from ...network.synapses.patterns import AllToAll
from ...network.windowed import Windowed
from ..layers.neurons import LIFLayer
from ..readouts.linear import LinearReadout
from .network import HLOPNetwork
from .projected import ProjectedLinear, ProjectedPicture

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
        NeurosimInputError: units of `Rate`, which the engine does not have.
    """
    names = _names(net)
    first = net.layers[0]
    # Units of a picture lie in the order of its planes, rows and columns.
    shape: tuple[int, ...] = (net.sizes[0],)
    if isinstance(first, ProjectedPicture):
        shape = first.shape
    populations = [Population(INPUT, shape, SpikeSource())]
    projections = []
    scales = [np.float32(size), *(np.float32(1) for _ in net.units)]
    for units, (source, name), layer, scale in zip(net.units, pairwise(names), net.layers, scales, strict=False):
        if not isinstance(units, LIFLayer):
            raise NeurosimInputError(
                f"to_network: {type(units).__name__} cannot run in the engine; train with BPTT or Online"
            )
        tau_mem = float(units.tau_mem()) / units.dt * STEP
        model = LIF(tau_mem, float(units.v_threshold()), soft_reset=True)
        shape, pattern, weight = _synapses(layer, scale)
        populations.append(Population(name, shape, model))
        projections.append(Projection(source, name, pattern, weight=weight, delay=STEP))
    weights = net.layers[-1].weight.cpu().numpy() * scales[len(net.units)]  # type: ignore[operator]
    readout = LinearReadout(weights[:, None], gain=1 / steps)
    window = (steps + len(net.units)) * STEP
    populations.append(Population(OUTPUT, readout.outputs, Windowed(readout, window)))
    return Network(populations, projections, links=[Link(names[-1], OUTPUT)])


def _synapses(
    layer: nn.Module, scale: np.float32
) -> tuple[tuple[int, ...], Convolution | AllToAll, NDArray[np.float64] | float]:
    """Return the shape of a layer's units, and the pattern and weights of the synapses into them, times `scale`."""
    if isinstance(layer, ProjectedPicture):
        conv = layer.conv
        filters = layer.out_shape[0]
        # A patch has the entries of a channel's places side by side, as a kernel.
        kernel = layer.linear.weight.cpu().numpy().reshape(filters, layer.shape[0], conv.kernel, conv.kernel)
        return layer.out_shape, Convolution(kernel * scale, conv.stride, conv.padding), 1.0
    assert isinstance(layer, ProjectedLinear)
    weight = layer.weight.cpu().numpy() * scale
    return (len(weight),), AllToAll(), weight.T.ravel().astype(np.float64)


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
    played = Recordings(
        ticks=(step + 0.5) * STEP, units=unit.astype(np.int32), offsets=offsets, durations=durations, size=inputs
    )
    network = to_network(net, steps, size)
    result = simulate(network, played, clock=STEP, threads=1, record=[], count_updates=True)
    work = {layer.name: layer for layer in result.work}
    return replace(result, work=[work[name] for name in [*_names(net)[1:], OUTPUT]])


def _names(net: HLOPNetwork) -> list[str]:
    return [INPUT, *(f"hidden {k + 1}" for k in range(len(net.units)))]
