"""Layers of active dendrites as windowed populations of the engine, one window an item."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from ....data.spikes import Spikes
from ....engine.batch import simulate
from ....engine.result import Result
from ....memory.dendrites.layer import DendriteLayer
from ....memory.dendrites.torch_layer import DendriteNetwork
from ....network.network import Network
from ....network.population import Population
from ....network.projection import Link
from ....network.stimuli import SpikeSource
from ....network.windowed import Windowed, WindowModel
from ...readouts.linear import LinearReadout

# Length of a step, s.
CLOCK = 1e-3
OUTPUT = "output"
CONTEXTS = "contexts"


@dataclass(frozen=True)
class Scale:
    """Conversion of spikes to inputs of a net: x = size c - shift for c spikes.

    Attributes:
        spikes: spikes of a fully driven input.
        size: input of a spike.
        shift: minus the input without spikes.
    """

    spikes: int
    size: float
    shift: float


@torch.no_grad()
def run_layers(net: DendriteNetwork, scale: Scale, counts: NDArray[np.int64], context: NDArray[np.int64]) -> Result:
    """Compute the scores of items under one context, which spikes in the first window and holds.

    Args:
        net: network whose layers have a level.
        scale: scale of the inputs and contexts with which `net` was trained.
        counts: [items, inputs] spikes of each item.
        context: [inputs] spikes of the context.

    Returns:
        Readings of "output" are the scores of each item; the work has the layers "first", "second" and "output".
    """
    first = _scaled(net.first.frozen(), scale)
    second = _scaled(net.second.frozen(), scale)
    # W (size c - shift) + b = (size W) c + (b - shift W 1)
    shift = np.float32(scale.shift) * first.weights.sum(axis=1)
    first = replace(first, weights=first.weights * np.float32(scale.size), bias=first.bias - shift)
    # A spike of the first layer stands for its level.
    second = replace(second, weights=second.weights * np.float32(first.level))
    layers: dict[str, WindowModel] = {"first": first, "second": second}
    weights = net.output.weight.detach().cpu().numpy()
    bias = net.output.bias.detach().cpu().numpy()
    # Traces with a decay of 0: the scores of a window depend on its own spikes alone.
    layers[OUTPUT] = LinearReadout(weights[:, None], bias, features="traces", gain=second.level)
    links = [Link("input", "first"), Link("first", "second"), Link("second", OUTPUT)]
    links += [Link("context", name, "context") for name in ("first", "second")]
    return _run(layers, links, {"input": counts, "context": np.append(context, 1)[None]}, scale.spikes)


def nearest_means(means: NDArray[np.float32], scale: Scale, counts: NDArray[np.int64]) -> Result:
    """Compare items with means [tasks, inputs]; the readings are x . m - |m|^2 / 2, largest for the nearest mean."""
    # |x - m|^2 = |x|^2 - 2 (x . m - |m|^2 / 2)
    m = means.astype(np.float64)
    bias = -np.square(m).sum(axis=1) / 2 - scale.shift * m.sum(axis=1)
    model = LinearReadout(means[:, None] * np.float32(scale.size), bias, features="traces")
    return _run({CONTEXTS: model}, [Link("input", CONTEXTS)], {"input": counts}, scale.spikes)


def _scaled(layer: DendriteLayer, scale: Scale) -> DendriteLayer:
    """Return a layer for contexts of spikes; one more input of the context is always on and has the shift as weight."""
    shift = layer.segments.sum(axis=2, keepdims=True) * np.float32(-scale.shift)
    return replace(layer, segments=np.concatenate([layer.segments * np.float32(scale.size), shift], axis=2))


def _run(
    models: dict[str, WindowModel], links: list[Link], played: dict[str, NDArray[np.int64]], spikes: int
) -> Result:
    """Run models with windows of `spikes` steps; row k of the counts in `played` falls into window k."""
    window = spikes * CLOCK
    items = len(played["input"])
    populations = [Population(name, counts.shape[1], SpikeSource()) for name, counts in played.items()]
    populations += [
        Population(name, model.outputs, Windowed(model, window, learn=False)) for name, model in models.items()
    ]
    inputs = {name: _spikes(counts, spikes, items * window) for name, counts in played.items()}
    result = simulate(Network(populations, links=links), inputs, clock=CLOCK, threads=1, record=[])
    work = {layer.name: layer for layer in result.work}
    return replace(result, work=[work[name] for name in models])


def _spikes(counts: NDArray[np.int64], spikes: int, duration: float) -> Spikes:
    """Return rows of counts as spikes, one row a window of `spikes` steps: c spikes in its first c steps."""
    item, step, unit = np.nonzero(np.arange(spikes)[:, None] < counts[:, None])
    return Spikes((item * spikes + step + 0.5) * CLOCK, unit.astype(np.int32), counts.shape[1], duration)
