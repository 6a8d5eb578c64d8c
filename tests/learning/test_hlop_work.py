"""The work of an HLOP network, counted entry by entry for every training."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import pytest
from helpers import bruteforce
from numpy.typing import NDArray

torch = pytest.importorskip("torch")

from neurosim.base.measure.work import LayerCounts
from neurosim.learning import HLOPNetwork
from neurosim.learning.hlop.rates import RateUnits
from neurosim.learning.hlop.trainings import TRAININGS


def fired(name: str, current: NDArray, threshold: float) -> tuple[NDArray, NDArray]:
    """Spikes of height 1 and membranes of a layer, for a current [B, T, N], one unit and step at a time."""
    spikes = np.zeros(current.shape)
    membranes = np.zeros(current.shape, np.float32)
    u = np.zeros(current[:, 0].shape, np.float32)
    decay = np.float32(math.exp(-0.05) if name == "rate" else 0.5)
    for t in range(current.shape[1]):
        if name == "rate":
            u = u * decay + np.float32(1 - math.exp(-0.05)) * current[:, t]
            spikes[:, t] = u >= np.float32(0.3 * threshold)
        else:
            u = decay * u + current[:, t]
            spikes[:, t] = u > threshold
        u = u - spikes[:, t].astype(np.float32) * np.float32(threshold)
        membranes[:, t] = u
    return spikes, membranes


PRODUCTS = ("synaptic_operations", "dense_operations", "input_events", "binary_input")
UNITS = ("output_events", "output_entries", "membrane_updates", "dense_membrane_updates", "steps")


def assert_counts(layer: LayerCounts, expected: dict[str, object], keys: Iterable[str]) -> None:
    assert {key: getattr(layer, key) for key in keys} == {key: expected[key] for key in keys}


@pytest.mark.parametrize("constant", [True, False])
@pytest.mark.parametrize("name", TRAININGS)
def test_work_of_every_training(name: str, constant: bool) -> None:
    net = HLOPNetwork((6, 9, 8, 3), TRAININGS[name](steps=4), seed=3)
    with torch.no_grad():
        net.layers[1].weight *= 4  # so that its units fire
    x = 3 * torch.randn(5, 6, generator=torch.Generator().manual_seed(1))
    inputs = x.numpy()[:, None]
    if not constant:
        x = torch.stack([x, x * 0, -x])
        inputs = x.numpy().transpose(1, 0, 2)
    *hidden, last = net.work(x)
    weights = [layer.weight.detach().numpy().T for layer in net.layers]
    height = 1.0
    for k, counts in enumerate(hidden):
        threshold = float(net.units[k].threshold.detach()) if name == "rate" else 1.0
        current = inputs @ (weights[k] * np.float32(height))
        if constant and k == 0:
            current = np.repeat(current, 4, axis=1)
        spikes, membranes = fired(name, current, threshold)
        assert spikes.any()
        # The product of a constant input is taken once, whatever the number of steps.
        assert_counts(counts, bruteforce.count(weights[k], inputs, spikes[:, : inputs.shape[1]]), PRODUCTS)
        silent = np.zeros((*spikes.shape[:2], len(weights[k])))
        assert_counts(counts, bruteforce.count(weights[k], silent, spikes, membranes), UNITS)
        inputs = spikes
        if name == "rate":
            height = threshold / 0.05
    expected = bruteforce.count(weights[2], inputs, inputs @ (weights[2] * np.float32(height)))
    assert_counts(last, expected, expected)


def test_memory_of_weights_and_lateral_neurons() -> None:
    net = HLOPNetwork((6, 9, 3))
    assert net.memory_bytes() == {"weights": 4 * (6 * 9 + 9 * 3), "lateral": 0}
    net.begin_task([2, 1])
    # Rows that learn have a momentum; frozen ones have none.
    assert net.memory_bytes()["lateral"] == 2 * 4 * (2 * 6 + 9)
    net.gradients(torch.ones(4, 6), torch.zeros(4, dtype=torch.int64))
    assert net.lateral_updates == 5 * (2 * 6 + 9)
    net.end_task()
    assert net.memory_bytes()["lateral"] == 4 * (2 * 6 + 9)


def test_membranes_of_rate_units_are_read_without_changing_the_spikes() -> None:
    units = RateUnits(0.3, 1.0, 0.05, 0.3)
    current = torch.rand(7, 3, 5, generator=torch.Generator().manual_seed(0))
    spikes, membranes = units.each_step(current)
    assert torch.equal(spikes, units.fire(current)) and membranes.shape == (7, 1, 3, 5)
