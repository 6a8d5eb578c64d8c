"""Kernels of memories: each compiled form against its plain reference, on odd sizes."""

from __future__ import annotations

import numpy as np
import pytest

from neurosim.kernels.memory.expansion.launch import expand
from neurosim.kernels.memory.expansion.reference import expand_reference
from neurosim.kernels.memory.hopfield.launch import heat, relax
from neurosim.kernels.memory.hopfield.reference import heat_reference, relax_reference
from neurosim.kernels.memory.label_counts import cpu as labels_cpu
from neurosim.kernels.memory.label_counts import reference as labels_reference
from neurosim.kernels.memory.lateral import cpu as lateral_cpu
from neurosim.kernels.memory.lateral import reference as lateral_reference
from neurosim.kernels.memory.packed import launch as packed_launch
from neurosim.kernels.memory.packed.reference import overlap_reference, pack
from neurosim.kernels.memory.pooler import cpu as pooler_cpu
from neurosim.kernels.memory.pooler import reference as pooler_reference
from neurosim.kernels.memory.readout import cpu as readout_cpu
from neurosim.kernels.memory.readout import reference as readout_reference
from neurosim.kernels.memory.segment_trials import cpu as trials_cpu
from neurosim.kernels.memory.segment_trials import reference as trials_reference
from neurosim.kernels.memory.segments import launch as segments_launch
from neurosim.kernels.memory.segments import reference as segments_reference
from neurosim.memory import DendriticSegments, Hopfield, SpatialPooler
from neurosim.memory.dendrites.segments import SegmentUnits

RNG = np.random.default_rng(5)


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_overlaps_with_a_bank(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_launch, "WORDS_PER_THREAD", 8)
    rng = np.random.default_rng(0)
    bank = pack(rng.random((131, 333)) < 0.2)
    query = pack(rng.random(333) < 0.2)
    assert np.array_equal(packed_launch.overlap(query, bank, threads), overlap_reference(query, bank))


@pytest.mark.parametrize(("size", "fan", "active"), [(7, 1, 1), (33, 5, 32), (200, 16, 20)])
def test_expansion(size: int, fan: int, active: int) -> None:
    rng = np.random.default_rng(size)
    # Small integers, so that many sums are equal.
    x = rng.integers(-2, 3, (9, 11)).astype(np.float32)
    table = rng.integers(11, size=(size, fan)).astype(np.int32)
    scale = rng.integers(0, 3, size).astype(np.float32)
    assert np.array_equal(expand(x, table, scale, active), expand_reference(x, table, scale, active))
    y = rng.normal(size=(9, 11)).astype(np.float32)
    scale = rng.random(size).astype(np.float32)
    assert np.array_equal(expand(y, table, scale, active), expand_reference(y, table, scale, active))


def test_relaxation() -> None:
    rng = np.random.default_rng(0)
    net = Hopfield.store(rng.choice([-1.0, 1.0], (8, 61)))
    cues = rng.choice([-1.0, 1.0], (5, 61))
    orders = np.stack([rng.permutation(61) for _ in range(30)])
    flipped = np.zeros(61, np.int64)
    states, flips, sweeps = relax(net.couplings, cues, orders, flipped)
    for k, cue in enumerate(cues):
        state, flipped_alone, swept = relax_reference(net.couplings, cue, orders)
        assert np.array_equal(states[k], state) and (flips[k], sweeps[k]) == (flipped_alone, swept)
    assert flipped.sum() == flips.sum() > 0 and np.array_equal(flipped % 2 == 1, (states != cues).sum(axis=0) % 2 == 1)


def test_label_counts_and_votes() -> None:
    chance = np.random.default_rng(0)
    codes = chance.integers(-1, 5, (7, 2, 3, 4)).astype(np.int32)
    labels = chance.integers(0, 3, 7)
    plain, fast = np.zeros((2, 2, 3, 4, 5, 3), np.uint32)
    labels_reference.associate_reference(codes, labels, plain)
    labels_cpu.associate(codes, labels, fast)
    assert np.array_equal(plain, fast) and fast.sum() == (codes >= 0).sum()
    logs = chance.random((2, 3, 4, 5, 3)).astype(np.float32)
    out = np.zeros((7, 3))
    labels_cpu.votes(codes, logs, out)
    assert np.allclose(out, labels_reference.votes_reference(codes, logs))


@pytest.mark.parametrize("kind", [readout_reference.COUNTS, readout_reference.ROOTS, readout_reference.TRACES])
def test_features_of_a_recording(kind: int) -> None:
    decay = 0.7 if kind == readout_reference.TRACES else 0.0
    rules = readout_reference.FeatureRules(kind, 13, 3, decay, 0.5)
    plain, fast = ((np.zeros(39), np.zeros(39, np.float32)) for _ in range(2))
    changed = np.zeros(13, np.int64)
    delta = np.zeros(13)
    for window in range(5):
        units = np.flatnonzero(RNG.uniform(size=13) < 0.4).astype(np.int32)
        counts = RNG.integers(1, 5, len(units))
        n = readout_cpu.arrive(rules, window, units, counts, *fast, changed, delta)
        places, changes = readout_reference.arrive_reference(rules, window, units, counts, *plain)
        assert changed[:n].tolist() == places.tolist() and delta[:n].tolist() == changes.tolist()
        assert np.array_equal(fast[0], plain[0]) and np.array_equal(fast[1], plain[1])
    assert np.count_nonzero(fast[1]) > 20


def test_products_of_readouts() -> None:
    weights = RNG.normal(size=(7, 31)).astype(np.float32)
    x = RNG.normal(size=31).astype(np.float32)
    changed = np.array([2, 3, 11, 30])
    delta = RNG.normal(size=4)
    fast, plain = np.ones((2, 7))
    readout_cpu.respond(weights, changed, delta, fast)
    readout_reference.respond_reference(weights, changed, delta, plain)
    np.testing.assert_allclose(fast, plain, rtol=1e-12)
    readout_cpu.product(weights, x, fast)
    readout_reference.product_reference(weights, x, plain)
    np.testing.assert_allclose(fast, plain, rtol=1e-12)
    learned = weights.copy()
    readout_cpu.change(learned, fast, 0.3, x.astype(float))
    readout_reference.change_reference(weights, fast, 0.3, x.astype(float))
    np.testing.assert_allclose(learned, weights, rtol=1e-5, atol=1e-6)


def test_pairs_of_features() -> None:
    parts = RNG.normal(size=(31, 31))
    plain = parts + parts.T
    fast = plain.copy()
    x = np.where(RNG.random(31) < 0.5, RNG.normal(size=31), 0.0).astype(np.float32)
    related, expected = np.ones((2, 31))
    readout_cpu.relate(fast, x, related)
    readout_reference.relate_reference(plain, x, expected)
    np.testing.assert_allclose(related, expected, rtol=1e-12, atol=1e-12)
    readout_cpu.unlearn(fast, related, 3.7)
    readout_reference.unlearn_reference(plain, related, 3.7)
    np.testing.assert_allclose(fast, plain, rtol=1e-12, atol=1e-12)
    assert np.array_equal(fast, fast.T)


@pytest.mark.parametrize("level", [0.0, 0.25])
@pytest.mark.parametrize("kind", [lateral_reference.HEBBIAN, lateral_reference.DEFLATION])
def test_lateral_circuit(kind: int, level: float) -> None:
    rules = lateral_reference.LateralRules(kind, rate=0.02, momentum=0.9, iterations=3, level=level, levels=20)
    frozen, fast = np.split(RNG.normal(size=(7, 19)).astype(np.float32) / 4, [4])
    plain = fast.copy()
    fast_state = [np.zeros((3, 19), np.float32), np.zeros(3)]
    plain_state = [array.copy() for array in fast_state]
    for _ in range(20):
        x = RNG.normal(size=19).astype(np.float32) * 3
        left, expected = np.tile(x.astype(float), (2, 1))
        y = np.zeros(4)
        lateral_cpu.answer(rules, frozen, x, y)
        np.testing.assert_allclose(y, lateral_reference.answer_reference(rules, frozen, x), rtol=1e-9)
        lateral_cpu.subtract(frozen, y, left)
        lateral_reference.subtract_reference(frozen, y, expected)
        np.testing.assert_allclose(left, expected, rtol=1e-9, atol=1e-9)
        if kind == lateral_reference.HEBBIAN:
            lateral_cpu.hebbian(rules, fast, fast_state[0], x, left)
            lateral_reference.hebbian_reference(rules, plain, plain_state[0], x, left)
        else:
            lateral_cpu.deflate(rules, fast, fast_state[1], x, left)
            lateral_reference.deflate_reference(rules, plain, plain_state[1], x, left)
        np.testing.assert_allclose(fast, plain, rtol=1e-4, atol=1e-5)


def test_gram_schmidt_and_dependent_rows() -> None:
    rows = RNG.normal(size=(9, 40)).astype(np.float32)
    rows[:4] = np.linalg.qr(rows[:4].T)[0].T
    plain = rows.copy()
    lateral_reference.orthonormalise_reference(plain, 4)
    lateral_cpu.orthonormalise(rows, 4)
    np.testing.assert_allclose(rows, plain, atol=1e-6)
    assert np.abs(rows.astype(float) @ rows.T.astype(float) - np.eye(9)).max() < 1e-6
    rows[8] = rows[2] + 3 * rows[5]
    lateral_cpu.orthonormalise(rows, 8)
    assert not rows[8].any()


def test_connected_synapses_of_a_pooler() -> None:
    pooler = SpatialPooler(37, 21, density=0.1)
    field = pooler._field
    field.permanence[:] = RNG.integers(-1, 10_001, field.permanence.shape)
    pooler_cpu.connect(pooler._rules, field)
    fast = field.connected.copy()
    pooler_reference.connect_reference(pooler._rules, field)
    assert np.array_equal(fast, field.connected) and 0 < fast.mean() < 1


@pytest.mark.parametrize("active", [0, 1, 30, 203])
def test_overlaps_of_segments(active: int) -> None:
    rng = np.random.default_rng(0)
    table = np.stack([rng.permutation(203)[:7] for _ in range(15)]).reshape(3, 5, 7)
    table[0, 0, 4:] = -1
    synapses = SegmentUnits(table, 203, 2).synapses
    dense = np.zeros(203, bool)
    dense[rng.permutation(203)[:active]] = True
    expected = segments_reference.overlaps_reference(synapses, dense)
    assert np.array_equal(segments_launch.overlaps(synapses, dense), expected)


@pytest.mark.parametrize("seed", range(4))
def test_segments_that_learn_contexts(seed: int) -> None:
    model = DendriticSegments(
        9, 40, segments_per_unit=3, synapses_per_segment=7, activation_threshold=3, min_threshold=2,
        max_new_synapses=5, predicted_decrement=0.05 * (seed % 2), seed=seed,
    )  # fmt: skip
    rules = model._rules()
    shape = (9, 3, 7)
    forms = (
        (segments_launch.learn, segments_launch.update_overlaps),
        (segments_reference.learn_reference, segments_reference.update_overlaps_reference),
    )
    both = []
    for learn, update_overlaps in forms:
        rng = np.random.default_rng(seed)
        own = segments_reference.Segments(
            source=np.full(shape, segments_reference.NONE, np.int32),
            permanence=np.zeros(shape, np.int16),
            learned=np.zeros(shape[:2], np.int64),
            overlaps=np.zeros(shape[:2], np.int32),
            matches=np.zeros(shape[:2], np.int32),
        )
        before = np.empty(0, np.int32)
        connected = []
        patterns = [np.sort(rng.choice(40, 8, replace=False)).astype(np.int32) for _ in range(3)]
        for window in range(1, 80):
            soma = np.flatnonzero(rng.random(9) < 0.4)
            learn(rules, own, 40, before, soma, window)
            if rng.random() < 0.8:
                context = patterns[window % 3]
            else:
                context = np.sort(rng.choice(40, 6, False)).astype(np.int32)
            connected.append(update_overlaps(rules, own, 40, context))
            before = context
        both.append((*own, np.array(connected)))
    for compiled, plain in zip(*both, strict=True):
        assert np.array_equal(compiled, plain)
    assert (both[0][3] >= rules.activation).any()


def test_trials_of_random_segments() -> None:
    key = 2**40 + 3
    size = 70
    active = 9
    trials = 50
    drawn = trials_cpu.subsets(key, trials, size, active)
    assert drawn.tolist() == trials_reference.subsets_reference(key, trials, size, active)
    synapses = drawn[:, :6].copy()
    synapses[::7, -1] = -1
    other = key + 1
    hits, union = trials_cpu.random_hits(synapses, size, active, 5, 3, other)
    expected = trials_reference.random_hits_reference(synapses, size, active, 5, 3, other)
    assert 0 < hits < trials and (hits, union.tolist()) == expected
    misses = trials_cpu.noisy_misses(synapses, drawn, size, 4, 4, other)
    assert 0 < misses < trials
    assert misses == trials_reference.noisy_misses_reference(synapses, drawn, size, 4, 4, other)


def test_heat_draws_units_by_their_fields() -> None:
    patterns = RNG.choice([-1.0, 1.0], (3, 37))
    couplings = Hopfield.store(patterns).couplings
    states = RNG.choice([-1.0, 1.0], (3, 37))
    orders = np.stack([RNG.permutation(37) for _ in range(7)])
    chances = RNG.random((7, 37))
    for temperature in (0.1, 0.9):
        means, flips = heat(couplings, states, orders, chances, temperature)
        for k, state in enumerate(states):
            mean, flipped = heat_reference(couplings, state, orders, chances, temperature)
            np.testing.assert_array_equal(means[k], mean)
            assert flips[k] == flipped
