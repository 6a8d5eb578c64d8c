"""Segments against brute force and against the exact probabilities of sparse codes."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from neurosim.base import NeurosimInputError
from neurosim.kernels.memory.segment_trials.cpu import subsets
from neurosim.memory import SDR, DendriteLayer, Prototypes, false_positive
from neurosim.memory.dendrites.segments import (
    HitCount,
    SegmentUnits,
    measure_false_negatives,
    measure_false_positives,
    measure_union_false_positives,
)


def random_units() -> SegmentUnits:
    """Return three neurons of five segments with seven synapses, the first with four, on 203 cells."""
    rng = np.random.default_rng(0)
    rows = [rng.permutation(203)[:7] for _ in range(15)]
    table = np.reshape(rows, (3, 5, 7))
    table[0, 0, 4:] = -1
    return SegmentUnits(table, 203, 2)


@pytest.mark.parametrize("active", [0, 1, 30, 203])
def test_overlaps_are_those_of_sets(active: int) -> None:
    units = random_units()
    code = SDR.random(units.size, active, seed=1)
    cells = set(code.indices.tolist())
    found = units.overlaps(code)
    for n, s in np.ndindex(*found.shape):
        assert found[n, s] == len(cells & set(units.synapses[n, s].tolist()))
    np.testing.assert_array_equal(units.active_segments(code), found >= 2)
    np.testing.assert_array_equal(units.recognise(code), (found >= 2).any(axis=1))


def test_an_input_without_active_cells_is_recognised_by_none() -> None:
    units = random_units()
    assert not units.recognise([]).any()
    assert not units.overlaps(SDR([], units.size)).any()


def test_stored_patterns_are_recognised_by_the_neuron_that_stored_them() -> None:
    patterns = [[SDR.random(2048, 40, seed=2, index=10 * n + i) for i in range(4)] for n in range(6)]
    units = SegmentUnits.store(patterns, synapses=20, threshold=12, seed=3)
    assert units.synapses.shape == (6, 4, 20)
    for n, own in enumerate(patterns):
        for i, pattern in enumerate(own):
            assert units.overlaps(pattern)[n, i] == 20
            np.testing.assert_array_equal(units.recognise(pattern), np.arange(6) == n)
            assert units.recognise(pattern.noise(0.2, seed=4))[n]  # at most 8 of 20 synapses are lost: 12 remain


def test_mixed_segments_hear_part_of_each_pattern() -> None:
    patterns = [[SDR.random(100, 20, seed=2, index=10 * n + i) for i in range(6)] for n in range(2)]
    units = SegmentUnits.store(patterns, synapses=8, threshold=8, seed=3, mixed=3)
    assert units.synapses.shape == (2, 2, 24)
    for n, own in enumerate(patterns):
        for i, pattern in enumerate(own):
            assert units.active_segments(pattern)[n, i // 3]
        for s in range(2):
            heard = set(units.synapses[n, s].tolist()) - {-1}
            union = own[3 * s].union(*own[3 * s + 1 : 3 * s + 3])
            assert heard <= set(union.indices.tolist())
    # 3 x 8 bits of codes as dense as these share some: one synapse each, and so fewer than 24.
    assert (units.synapses == -1).any()


def test_mixed_segments_answer_as_one_of_all_their_synapses() -> None:
    """A segment that mixes M patterns answers by chance as one with M s synapses."""
    patterns = [[SDR.random(4000, 40, seed=5, index=i) for i in range(400)]]
    units = SegmentUnits.store(patterns, synapses=10, threshold=4, seed=6, mixed=4)
    counts = (units.synapses[0] >= 0).sum(axis=1)
    # Segments of one neuron are drawn apart: against one random code each is a trial of its own.
    hits = sum(int(units.active_segments(SDR.random(4000, 160, seed=7, index=t)).sum()) for t in range(40))
    expected = np.mean([false_positive(4000, 160, int(s), 4) for s in counts])
    assert HitCount(hits, 40 * 100, float(expected)).agrees()


@pytest.mark.parametrize(
    "active, synapses, threshold, noise", [(40, 20, 8, 0.5), (40, 20, 12, 0.4), (40, 20, 16, 0.2), (128, 30, 12, 0.5)]
)
def test_misses_under_noise_agree_with_the_formula(active: int, synapses: int, threshold: int, noise: float) -> None:
    tally = measure_false_negatives(2048, active, synapses, threshold, noise, trials=20_000, seed=1)
    assert tally.agrees(), (tally, tally.band())


@pytest.mark.parametrize("size, active, synapses, threshold", [(300, 64, 24, 12), (300, 128, 24, 12), (2000, 32, 4, 2)])
def test_chance_answers_agree_with_the_formula(size: int, active: int, synapses: int, threshold: int) -> None:
    tally = measure_false_positives(size, active, synapses, threshold, trials=100_000, seed=1)
    assert tally.hits > 50 and tally.agrees(), (tally, tally.band())


@pytest.mark.parametrize("size, patterns", [(1000, 10), (500, 5)])
def test_chance_answers_to_unions_agree_with_the_formula(size: int, patterns: int) -> None:
    tally, formula = measure_union_false_positives(size, 30, 20, 10, patterns, trials=50_000, seed=1)
    assert tally.agrees(), (tally, tally.band())
    assert tally.expected == pytest.approx(formula, rel=0.05)


def test_the_band_is_the_binomial_one() -> None:
    low, high = HitCount(0, 1000, 0.1).band(0.999)
    assert 68 <= low <= 72 and 129 <= high <= 134  # 100 +- 3.29 sqrt(90)
    assert (
        HitCount(100, 1000, 0.1).agrees()
        and not HitCount(150, 1000, 0.1).agrees()
        and not HitCount(50, 1000, 0.1).agrees()
    )


def test_subsets_are_distinct_uniform_and_keyed_by_their_number() -> None:
    rows = subsets(5, 20_000, 9, 4)
    assert all(len(set(row)) == 4 for row in rows.tolist())
    counts = np.bincount(rows.ravel(), minlength=9)
    # Each number is in a row with chance 4/9; 4.5 standard deviations.
    assert np.abs(counts - 20_000 * 4 / 9).max() < 4.5 * np.sqrt(20_000 * 4 / 9 * 5 / 9)
    assert np.abs(np.bincount(rows[:, 0], minlength=9) - 20_000 / 9).max() < 4.5 * np.sqrt(20_000 / 9)
    np.testing.assert_array_equal(subsets(5, 100, 9, 4), rows[:100])
    assert (subsets(6, 100, 9, 4) != rows[:100]).any()


CODES = [[SDR.random(50, 10, seed=0)]]


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: SegmentUnits([[1, 2]], 9, 1), "must be [neurons, segments, synapses] (got (1, 2))"),
        (lambda: SegmentUnits([[[1.5, 2]]], 9, 1), "SegmentUnits.synapses: must be integers (got float64)"),
        (lambda: SegmentUnits([[[1, 9]]], 9, 1), "SegmentUnits.synapses: must be < size 9 (got 9)"),
        (lambda: SegmentUnits([[[1, -2]]], 9, 1), "SegmentUnits.synapses: must be >= 0, or -1 for none (got -2)"),
        (lambda: SegmentUnits([[[4, 3, 4]]], 9, 1), "SegmentUnits.synapses: must not repeat a cell (got [4])"),
        (lambda: SegmentUnits([[[4, 3]]], 9, 3), "SegmentUnits.threshold: must be an integer in 1..2 (got 3)"),
        (lambda: SegmentUnits.store([[]], 3, 2), "SegmentUnits.store: needs as many patterns a neuron (got {0})"),
        (lambda: SegmentUnits.store([CODES[0], CODES[0] * 2], 3, 2), "needs as many patterns a neuron (got {1, 2})"),
        (lambda: SegmentUnits.store(CODES, 11, 2), "SDR.subsample: needs 0 <= active <= 10 (got 11)"),
        (lambda: SegmentUnits.store([CODES[0] * 3], 3, 2, mixed=2), "must divide the 3 patterns of a neuron (got 2)"),
        (lambda: random_units().overlaps(SDR([1], 99)), "SegmentUnits.overlaps: needs an SDR of 203 bits (got 99)"),
        (lambda: random_units().overlaps([203]), "SegmentUnits.overlaps: must be < size 203 (got 203)"),
        (lambda: random_units().overlaps([-1]), "SegmentUnits.overlaps: must be >= 0 (got -1)"),
        (lambda: random_units().overlaps([5, 2, 5]), "SegmentUnits.overlaps: must not repeat a bit (got [5])"),
        (lambda: random_units().overlaps([0.5]), "must be integers; see SDR.from_dense (got float64)"),
        (lambda: random_units().overlaps([[1]]), "must be one list of bits (got (1, 1))"),
        (lambda: measure_false_positives(20, 30, 5, 2), "active: must be in 0..20 (got 30)"),
        (lambda: measure_false_negatives(50, 40, 20, 8, 1.5), "negatives.noise: must be in 0..1 (got 1.5)"),
        (lambda: measure_false_negatives(50, 40, 20, 8, 0.5), "size: must leave 20 bits to move to (got 50)"),
        (lambda: measure_union_false_positives(90, 9, 5, 2, 0), "patterns: must be an integer in 1..1000000"),
        (lambda: measure_false_positives(90, 9, 5, 2, trials=0), "trials: must be an integer in 1..1000000000"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_in_a_line(make, words: str) -> None:
    with pytest.raises(NeurosimInputError, match=re.escape(words)) as caught:
        make()
    assert "\n" not in str(caught.value)


def random_layer(winners: int = 6, boost: float = 0.0) -> DendriteLayer:
    """Return a layer of 37 units of 11 inputs, each with 4 segments that see 5 contexts."""
    rng = np.random.default_rng(3)
    parts = rng.normal(size=(37, 11)), rng.normal(size=37), rng.normal(size=(37, 4, 5))
    return DendriteLayer(*parts, winners, boost)


def test_layer_is_its_equations() -> None:
    """One unit and one sample at a time, in plain loops."""
    layer = random_layer(boost=3.0)
    rng = np.random.default_rng(4)
    x = rng.normal(size=(9, 11))
    context = rng.normal(size=(9, 5))
    duty = rng.random(37)
    out = layer.forward(x, context, duty)
    for sample in range(9):
        values = []
        for i in range(37):
            y = sum(layer.weights[i, n] * x[sample, n] for n in range(11)) + layer.bias[i]
            d = [sum(layer.segments[i, j, c] * context[sample, c] for c in range(5)) for j in range(4)]
            strongest = max(d, key=abs)
            values.append(y / (1 + math.exp(-strongest)))
        ranks = sorted(range(37), key=lambda i: -values[i] * math.exp(-3.0 * duty[i]))
        expected = [values[i] if i in ranks[:6] else 0.0 for i in range(37)]
        np.testing.assert_allclose(out[sample], expected, rtol=1e-12, atol=1e-14)


def test_the_sign_of_the_strongest_answer_is_kept() -> None:
    """A unit whose segments answer -6 and 2 is shut, not opened: 4 sigmoid(-6), and not 4 sigmoid(2)."""
    layer = DendriteLayer(np.array([[4.0]]), np.zeros(1), np.array([[[-3.0], [1.0]]]), winners=1)
    assert layer.forward([[1.0]], [2.0])[0, 0] == pytest.approx(4 / (1 + math.exp(6)))


def test_boost_changes_who_wins_and_not_the_values() -> None:
    layer = DendriteLayer(np.eye(3), np.zeros(3), np.zeros((3, 1, 1)), winners=1, boost=1.0)
    x = [[3.0, 2.0, 1.0]]
    context = [0.0]
    np.testing.assert_allclose(layer.forward(x, context), [[1.5, 0, 0]])
    np.testing.assert_allclose(layer.forward(x, context, [0.5, 0, 0]), [[0, 1.0, 0]])  # 3 e^-.5 = 1.82 < 2


def test_contexts_of_a_batch_and_one_for_all_agree() -> None:
    layer = random_layer()
    x = np.random.default_rng(5).normal(size=(4, 11))
    context = np.arange(5.0)
    np.testing.assert_allclose(layer.forward(x, context), layer.forward(x, np.tile(context, (4, 1))))
    assert layer.forward(np.empty((0, 11)), context).shape == (0, 37)
    big = DendriteLayer(np.ones((1, 1)), np.zeros(1), np.full((1, 1, 1), -1e6), 1)
    with np.errstate(over="raise"):
        assert big.forward([[1.0]], [1.0])[0, 0] == 0.0


def test_prototypes_are_means_and_the_nearest_is_inferred() -> None:
    rng = np.random.default_rng(6)
    centres = rng.normal(size=(5, 20)) * 3
    tasks = [centre + rng.normal(size=(200, 20)) for centre in centres]
    prototypes = Prototypes.of(tasks)
    np.testing.assert_allclose(prototypes.means, [task.mean(axis=0) for task in tasks])
    x = rng.normal(size=(100, 20)) * 3
    distances = ((x[:, None] - prototypes.means) ** 2).sum(axis=-1)
    np.testing.assert_array_equal(prototypes.infer(x), distances.argmin(axis=1))
    assert (prototypes.infer(tasks[3]) == 3).mean() > 0.99


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: DendriteLayer(np.ones((2, 3)), np.ones(3), np.ones((2, 1, 1)), 1), "DendriteLayer.bias: must be [2]"),
        (lambda: DendriteLayer(np.ones((2, 3)), np.ones(2), np.ones((2, 1)), 1), "must be [2, segments, contexts]"),
        (lambda: random_layer(winners=38), "DendriteLayer.winners: must be an integer in 1..37 (got 38)"),
        (lambda: random_layer(boost=-1.0), "DendriteLayer.boost: must be finite and >= 0 (got -1.0)"),
        (lambda: random_layer().forward(np.ones((2, 10)), np.ones(5)), "forward: x: must be [batch, 11] (got (2, 10))"),
        (lambda: random_layer().forward(np.ones((2, 11)), np.ones(4)), "context: must be [5] or [batch, 5] (got (4,))"),
        (lambda: random_layer().forward(np.ones((2, 11)), np.ones(5), np.ones(3)), "duty: must be [37] (got (3,))"),
        (lambda: Prototypes.of([]), "Prototypes.of: needs at least one task (got 0)"),
        (lambda: Prototypes.of([np.ones((3, 2)), np.ones((0, 2))]), "needs inputs [n, 2] of each task (got (0, 2))"),
        (lambda: Prototypes(np.ones((3, 2))).infer(np.ones(2)), "Prototypes.infer: needs [batch, 2] (got (2,))"),
    ],
)  # fmt: skip
def test_bad_layers_are_refused(make, words: str) -> None:
    with pytest.raises(NeurosimInputError, match=re.escape(words)):
        make()
