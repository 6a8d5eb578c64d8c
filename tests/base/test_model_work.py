"""The work of models alone, synapse by synapse: pooler, temporal memory, associative memories, ELM."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers import bruteforce
from numpy.typing import NDArray

from neurosim.base import NeurosimInputError
from neurosim.engine import LayerCounts, energy
from neurosim.kernels.memory.hopfield.reference import ROUNDING
from neurosim.memory import SDR, DenseHebbian, ELMUnits, FastWeights, Hopfield, SpatialPooler, TemporalMemory
from neurosim.memory.associative.modern import ModernHopfield
from neurosim.memory.associative.sparse import SparseDistributed
from neurosim.network.windowed import WindowTotals


def counts(layer: LayerCounts, names: Any) -> dict[str, Any]:
    return {name: getattr(layer, name) for name in names}


def inputs(steps: int, size: int, active: int) -> list[SDR]:
    return [SDR.random(size, active, 3, i) for i in range(steps)]


def test_a_pooler_counts_connected_synapses_of_active_inputs() -> None:
    pooler = SpatialPooler(40, 30, density=0.1, connected_permanence=0.2, seed=1)
    shown = inputs(6, 40, 9)
    for item in shown:
        pooler.step(item)
    before = pooler.state()
    (layer,) = pooler.work(shown)
    assert all(np.array_equal(array, before[name]) for name, array in pooler.state().items())
    connected = np.nan_to_num(pooler.permanences) >= 0.2
    operations = sum(int(connected[:, item.indices].sum()) for item in shown)
    assert layer.synaptic_operations == operations > 0 and layer.input_events == 6 * 9
    winners = sum(len(pooler.step(item, learn=False)) for item in shown)
    assert layer.output_events == winners and layer.steps == 6
    assert layer.nonzero_weights == connected.sum()
    with pytest.raises(NeurosimInputError, match=r"SpatialPooler\.work: needs an SDR of 40 bits"):
        pooler.work([SDR([1], 41)])


def test_a_temporal_memory_counts_synapses_from_active_cells() -> None:
    memory = TemporalMemory(20, 4, activation_threshold=2, min_threshold=1, initial_permanence=0.6, seed=1)
    song = inputs(5, 20, 4)
    for _ in range(4):
        memory.reset()
        for item in song:
            memory.step(item)
    before = memory.state()
    (layer,) = memory.work(song)
    state = memory.state()
    assert all(np.array_equal(array, before[name]) for name, array in state.items())
    used = np.arange(memory.max_synapses) < state["filled"][:, None]
    sources = state["source"][used & (state["cell"] >= 0)[:, None]]
    operations = 0
    fired = 0
    memory.reset()
    for item in song:
        memory.step(item, learn=False)
        active = memory.active_cells.indices
        operations += int(np.isin(sources, active).sum())
        fired += len(active)
    assert layer.synaptic_operations == operations > 0
    assert (layer.output_events, layer.input_events, layer.steps) == (fired, 5 * 4, 5)
    assert layer.weights == len(sources) == memory.synapses


def relaxed(couplings: NDArray, cue: NDArray, order: NDArray) -> tuple[int, int, int]:
    """Operations, flips and sweeps of a recall: fields are added up once, and after a flip its row."""
    state = cue.copy()
    slack = ROUNDING * np.abs(couplings).sum(axis=1).max()
    operations = np.count_nonzero(couplings)
    flips = 0
    for sweep, row in enumerate(order):
        before = flips
        for i in row:
            if (couplings[i] @ state) * state[i] < -slack:
                state[i] *= -1
                flips += 1
                operations += np.count_nonzero(couplings[i])
        if flips == before:
            return operations, flips, sweep + 1
    return operations, flips, len(order)


def test_a_hopfield_network_counts_the_couplings_that_it_adds() -> None:
    chance = np.random.default_rng(0)
    # Diluted patterns leave couplings at 0.
    patterns = chance.choice([-1, 0, 1], (3, 30), p=[0.3, 0.4, 0.3])
    network = Hopfield.store(patterns)
    cues = chance.choice([-1.0, 1.0], (4, 30))
    draws = np.random.Generator(np.random.Philox(key=5))
    order = np.stack([draws.permutation(30) for _ in range(100)])
    each = [relaxed(network.couplings, cue, order) for cue in cues]
    operations, flips, sweeps = map(sum, zip(*each, strict=True))
    (layer,) = network.work(cues, seed=5)
    assert (layer.synaptic_operations, layer.steps) == (operations, sweeps)
    assert layer.output_events == flips > 0 and layer.input_events == 4 * 30 + flips
    assert 0 < layer.nonzero_weights == np.count_nonzero(network.couplings) < 30 * 29
    assert sum(network.recall(cue, seed=5).operations for cue in cues) == flips * 30
    # Couplings are in double precision, for which the profile has no figure.
    reason = "Hopfield: horowitz45 has no figure for 64-bit float arithmetic"
    assert energy([layer], 4).reasons["compute_only"] == reason
    with pytest.raises(
        NeurosimInputError, match=r"recall.cues: must be an array \[n, 30\] with n >= 1 \(got \(0, 30\)\)"
    ):
        network.work(np.zeros((0, 30)))


def test_a_dense_memory_counts_overlaps_and_fields() -> None:
    chance = np.random.default_rng(1)
    examples = chance.choice([-1, 1], (12, 20))
    memory = DenseHebbian.supervised(examples, np.arange(12) % 3, 3)
    cues = chance.choice([-1.0, 1.0], (5, 20))
    sweeps = sum(memory.recall(cue).sweeps for cue in cues)
    overlaps, fields = memory.work(cues)
    present = np.count_nonzero(memory.vectors)
    assert overlaps.synaptic_operations == fields.synaptic_operations == sweeps * present
    assert overlaps.dense_operations == fields.dense_operations == sweeps * 3 * 20
    assert overlaps.binary_input and not fields.binary_input
    assert overlaps.input_events == sweeps * 20 and fields.output_events == sweeps * 20


def test_a_modern_network_counts_every_pattern_twice_a_sweep() -> None:
    chance = np.random.default_rng(2)
    patterns = chance.normal(size=(9, 20))
    patterns[:, 3] = 0
    memory = ModernHopfield.store(patterns, beta=0.3)
    cues = chance.normal(size=(5, 20))
    sweeps = sum(memory.recall(cue).sweeps for cue in cues)
    overlaps, sums = memory.work(cues)
    # The first sweep of a cue meets 20 numbers; later states are 0 where all patterns are.
    assert overlaps.synaptic_operations == 9 * 19 * sweeps and sums.synaptic_operations == 9 * 19 * sweeps
    assert overlaps.input_events == 19 * sweeps + 5 and overlaps.steps == sums.steps == sweeps > 10
    assert not overlaps.binary_input and not sums.binary_input
    assert memory.recall_many(cues).operations.sum() == 2 * 9 * 20 * sweeps


def test_a_sparse_distributed_memory_counts_comparisons_and_counters() -> None:
    addresses, contents = np.random.default_rng(0).choice([-1, 1], (2, 9, 12))
    memory = SparseDistributed.random(50, 12, 12, p=0.1).write(addresses, contents)
    cues = np.random.default_rng(1).choice([-1.0, 1.0], (5, 12))
    compared, added = memory.work(cues)
    near = ((memory.addresses[None] != cues[:, None]).sum(axis=2) <= memory.radius).astype(int)
    assert compared.synaptic_operations == 5 * 50 * 12 and compared.output_events == added.input_events == near.sum()
    assert added.synaptic_operations == sum(int(np.count_nonzero(memory.content[k])) for _, k in np.argwhere(near)) > 0
    assert compared.weight_bits == 8 and added.weight_bits == 32 and added.binary_input


def test_fast_weights_count_entries_of_keys() -> None:
    memory = FastWeights().memory(6, 4).write(np.eye(6)[:3], np.ones((3, 4)))
    keys = np.random.default_rng(0).random((5, 6)).round(0)
    (layer,) = memory.work(keys)
    expected = bruteforce.count(memory.weights, keys[:, None], memory.read(keys)[:, None])
    assert counts(layer, expected) == expected and layer.nonzero_weights == 12


def test_an_elm_counts_every_product() -> None:
    torch = pytest.importorskip("torch")
    from neurosim.learning.layers.elm import ELM

    elm = ELM(10, 2, memory=5, branches=4, synapses_per_branch=3, seed=1)
    x = (torch.rand(7, 3, 10, generator=torch.Generator().manual_seed(0)) < 0.3).float()
    units = ELMUnits.of(elm)
    decay = np.float32(units.decay)
    drives = []
    hidden = []
    keeps = []
    memories = []
    drive = np.zeros((3, 10), np.float32)
    m = np.zeros((3, 5), np.float32)
    for now in x.numpy():
        drive = decay * drive + now @ units.rows
        kept = units.keep * m
        h = np.maximum(drive + units.hidden_bias + kept @ units.inner, 0)
        m = kept + units.gain * np.float32(1.7159) * np.tanh(np.float32(2 / 3) * (h @ units.outer + units.bias))
        for course, value in zip((drives, hidden, keeps, memories), (drive, h, kept, m), strict=True):
            course.append(value)
    d, h, k, m = (np.stack(course, axis=1) for course in (drives, hidden, keeps, memories))
    y = m @ units.readout.T
    layers = elm.work(x)
    products = [
        (units.rows, x.numpy().transpose(1, 0, 2), h, d),
        (units.inner, k, h),
        (units.outer, h, m, m),
        (units.readout.T, m, y),
    ]
    for layer, arrays in zip(layers, products, strict=True):
        expected = bruteforce.count(*arrays)
        assert counts(layer, expected) == expected
    # In a network the same neuron counts the product with its memories as dense, at rest too.
    state = units.start()
    total = sum(layer.synaptic_operations for layer in layers)
    rest = 3 * units.inner.size
    assert total + rest == int(x.sum()) * 10 + 21 * (50 + 10) + int((h > 0).sum()) * 5
    window = state.layer("ELM", WindowTotals(21, int(x.sum()), 21, total + rest))
    assert window.dense_operations == sum(layer.dense_operations for layer in layers)
