"""Counting by looking at every entry: what the measures of the package are compared with. Small networks only."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def count(
    weights: NDArray, inputs: NDArray, outputs: NDArray, potentials: NDArray | None = None
) -> dict[str, int | bool]:
    """Return the counts of one layer, by the names of `LayerCounts`; arrays as in `neurosim.engine.count`."""
    found = dict.fromkeys(
        ("weights", "nonzero_weights", "input_events", "output_events", "output_entries", "steps"), 0
    ) | dict.fromkeys(("synaptic_operations", "dense_operations", "membrane_updates", "dense_membrane_updates"), 0)
    found["binary_input"] = True
    for row in weights:
        for weight in row:
            found["weights"] += 1
            found["nonzero_weights"] += weight != 0
    for sample, step in np.ndindex(*inputs.shape[:2]):
        found["steps"] += 1
        for i, entry in enumerate(inputs[sample][step]):
            found["input_events"] += entry != 0
            found["binary_input"] &= entry in (-1, 0, 1)
            for weight in weights[i]:
                found["dense_operations"] += 1
                found["synaptic_operations"] += entry != 0 and weight != 0
        for j, entry in enumerate(outputs[sample][step]):
            found["output_entries"] += 1
            found["output_events"] += entry != 0
            if potentials is not None:
                now = potentials[sample][step][j]
                found["dense_membrane_updates"] += 1
                found["membrane_updates"] += step == 0 or now != potentials[sample][step - 1][j]
    return {name: value if isinstance(value, bool) else int(value) for name, value in found.items()}


def lif(weights: NDArray, inputs: NDArray, decay: float = 0.5, threshold: float = 1.0) -> tuple[NDArray, NDArray]:
    """A plain clocked layer: spikes and potentials after each step, [samples, steps, outputs]."""
    samples, steps, _ = inputs.shape
    spikes = np.zeros((samples, steps, weights.shape[1]))
    potentials = np.zeros_like(spikes)
    for sample in range(samples):
        v = np.zeros(weights.shape[1])
        for step in range(steps):
            v = decay * v + inputs[sample, step] @ weights
            spikes[sample, step] = v >= threshold
            v = np.where(v >= threshold, 0.0, v)
            potentials[sample, step] = v
    return spikes, potentials


def network(
    seed: int, sizes: Sequence[int], samples: int = 3, steps: int = 12, density: float = 0.5
) -> list[tuple[NDArray, NDArray, NDArray, NDArray]]:
    """A random stack of LIF layers driven by random spikes: (weights, inputs, spikes, potentials) of each."""
    rng = np.random.default_rng(seed)
    events = (rng.random((samples, steps, sizes[0])) < 0.3).astype(np.float64)
    layers = []
    for fan_in, fan_out in itertools.pairwise(sizes):
        weights = rng.normal(0.3, 0.5, (fan_in, fan_out)) * (rng.random((fan_in, fan_out)) < density)
        spikes, potentials = lif(weights, events)
        layers.append((weights, events, spikes, potentials))
        events = spikes
    return layers
