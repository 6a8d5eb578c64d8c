"""Work of convolutions: their weights are stored once, and dense is every position of the kernel."""

from __future__ import annotations

import numpy as np
import pytest

from neurosim import LIF, Network, Population, Projection, Spikes, SpikeSource, simulate
from neurosim.base import NeurosimInputError
from neurosim.base.measure.estimates import energy
from neurosim.base.measure.traffic import as_run
from neurosim.engine import LayerCounts
from neurosim.network.synapses.base import Side
from neurosim.network.synapses.convolution import Convolution
from neurosim.network.synapses.patterns import AllToAll, FromList

SHAPE = (2, 8, 8)
STEPS = 100


def layer(*projections: Projection) -> LayerCounts:
    rng = np.random.default_rng(0)
    spikes = Spikes(np.sort(rng.uniform(0, 0.1, 300)), rng.integers(0, 128, 300), 128, STEPS * 1e-3, SHAPE)
    other = Spikes(np.array([0.01]), np.array([1]), 5, STEPS * 1e-3)
    populations = [
        Population("camera", SHAPE, SpikeSource()),
        Population("other", 5, SpikeSource()),
        Population("maps", (3, 6, 6), LIF()),
    ]
    result = simulate(Network(populations, projections), {"camera": spikes, "other": other}, count_updates=True)
    return next(each for each in result.work if each.name == "maps")


def test_a_kernel_is_stored_once_and_dense_is_every_position() -> None:
    kernel = np.random.default_rng(1).normal(size=(3, 2, 3, 3))
    convolution = Convolution(kernel)
    alone = layer(Projection("camera", "maps", convolution, 0.1, 1e-3))
    synapses = 3 * 6 * 6 * 2 * 3 * 3
    assert alone.weights == synapses and alone.dense_operations == synapses * STEPS
    assert alone.dense_weights == kernel.size
    # The same synapses as a list share nothing.
    rows = convolution.maker(*sides(), False, 0).rows(0, 128)
    pre = np.repeat(np.arange(128), np.diff(rows.offsets))
    listed = layer(Projection("camera", "maps", FromList(pre, rows.targets), 0.1 * rows.weights, 1e-3))
    assert listed.synaptic_operations == alone.synaptic_operations
    assert listed.shared_bytes is None and listed.memory_bytes == listed.parameter_bytes
    assert listed.dense_operations == 128 * 108 * STEPS and listed.dense_weights == 128 * 108
    # float32: 4 bytes for each weight of the kernel, in the place of those of all synapses and their targets.
    assert alone.shared_bytes is not None
    constants = layer(Projection("other", "maps", FromList([0], [0]), 0.0, 1e-3))
    overhead = alone.shared_bytes - 4 * kernel.size
    assert 0 <= overhead <= constants.parameter_bytes
    assert alone.memory_bytes < alone.parameter_bytes / 10
    assert as_run(alone).weight_bytes == alone.memory_bytes
    estimate = energy([alone], 1)
    assert estimate.memories[0].weights_bytes == alone.memory_bytes


def test_other_projections_beside_it_are_counted_as_before() -> None:
    kernel = np.ones((3, 2, 3, 3))
    both = layer(
        Projection("camera", "maps", Convolution(kernel), 0.1, 1e-3),
        Projection("other", "maps", AllToAll(), 0.1, 1e-3),
    )
    synapses = 3 * 6 * 6 * 2 * 3 * 3
    assert both.dense_operations == (synapses + 5 * 108) * STEPS
    assert both.dense_weights == kernel.size + 5 * 108
    assert both.inputs == 128 + 5


def test_a_negative_size_is_refused() -> None:
    known = layer(Projection("camera", "maps", Convolution(np.ones((3, 2, 3, 3))), 0.1, 1e-3))
    with pytest.raises(NeurosimInputError, match=r"LayerCounts\['maps'\].shared_bytes: must be >= 0"):
        LayerCounts(**{**vars(known), "shared_bytes": -1})


def sides() -> tuple[Side, Side]:
    return Side(SHAPE), Side((3, 6, 6))
