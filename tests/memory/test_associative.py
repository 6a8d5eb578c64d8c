"""Associative memories of patterns against their theory, by simulation: recall, capacity, examples, hierarchies."""

import math

import numpy as np
import pytest
from helpers.patterns import overfull, signs

from neurosim.base import CapacityWarning, NeurosimInputError
from neurosim.memory import DenseHebbian, Hopfield
from neurosim.memory.associative.dense import dense_bit_error, dense_capacity
from neurosim.memory.associative.hopfield import hopfield_capacity, hopfield_overlap
from neurosim.memory.associative.modern import ModernHopfield
from neurosim.memory.associative.multitasking import max_hierarchical_dilution, multitasking_overlaps, parallel_overlap


def test_recall_never_raises_the_energy():
    net = Hopfield.store(signs(0, 12, 100))
    cue = signs(1, 100)
    end = net.recall(cue, seed=2)
    assert net.energy(end.state) < net.energy(cue)
    again = net.recall(end.state, seed=3)
    assert np.array_equal(again.state, end.state) and again.sweeps == 1 and again.operations == 0


@pytest.mark.parametrize("memory", [Hopfield.store(signs(0, 5, 90)), DenseHebbian.store(signs(0, 5, 90), 3)])
def test_many_cues_recall_what_each_does_alone(memory):
    cues = signs(1, 7, 90)
    many = memory.recall_many(cues)
    for k, cue in enumerate(cues):
        alone = memory.recall(cue)
        assert np.array_equal(many.states[k], alone.state)
        assert (many.sweeps[k], many.operations[k]) == (alone.sweeps, alone.operations)
        np.testing.assert_allclose(many.overlap(signs(0, 5, 90))[k], alone.overlap(signs(0, 5, 90)))
    assert len({state.tobytes() for state in many.states}) > 1
    with pytest.raises(NeurosimInputError, match=r"recall.cues: must be an array \[n, 90\] with n >= 1"):
        memory.recall_many(cues[:, :80])


def test_a_modern_network_recalls_more_patterns_than_it_has_units():
    patterns = signs(0, 2000, 40)
    memory = ModernHopfield.store(patterns, beta=2.0)
    cues = patterns[:50].copy()
    cues[:, :5] *= -1
    many = memory.recall_many(cues)
    # Five wrong bits of 40: nearly every one is put right, where an order of 2 or 3 is lost.
    assert np.mean(np.sign(many.states) == patterns[:50]) > 0.97
    for k in (0, 30):
        alone = memory.recall(cues[k])
        np.testing.assert_allclose(alone.state, many.states[k], atol=1e-12)
        assert alone.sweeps == many.sweeps[k] and alone.overlap(patterns[k])[0] > 0.97


def test_a_modern_update_is_attention_within_the_bound_of_its_paper():
    """Ramsauer et al. 2021, theorem 4: |f(s) - x_i| <= 2 (K - 1) M exp(-beta (gap - 2 M |s - x_i|))."""
    patterns = np.random.default_rng(0).normal(size=(12, 60))
    beta = 0.4
    memory = ModernHopfield.store(patterns[:5], beta).add(patterns[5:])
    longest = np.linalg.norm(patterns, axis=1).max()
    cue = patterns[3] + 0.01
    scores = [math.exp(beta * float(x @ cue)) for x in patterns]
    expected = sum(score * x for score, x in zip(scores, patterns, strict=True)) / sum(scores)
    end = memory.recall(cue, sweeps=1)
    np.testing.assert_allclose(end.state, expected)
    gap = patterns[3] @ patterns[3] - max(float(x @ patterns[3]) for k, x in enumerate(patterns) if k != 3)
    bound = 2 * 11 * longest * math.exp(-beta * (gap - 2 * longest * float(np.linalg.norm(cue - patterns[3]))))
    assert np.linalg.norm(end.state - patterns[3]) < bound < 0.1
    assert 0 <= memory.energy(end.state) < memory.energy(cue)
    # A small beta recalls the mean of all patterns.
    mean = ModernHopfield.store(patterns, 1e-6).recall(cue)
    np.testing.assert_allclose(mean.state, patterns.mean(axis=0), atol=1e-3)


def test_a_modern_network_refuses_what_it_cannot_store(tmp_path):
    with pytest.raises(NeurosimInputError, match=r"ModernHopfield.beta: must be > 0 and finite \(got 0\)"):
        ModernHopfield.store(np.eye(3), 0)
    with pytest.raises(NeurosimInputError, match=r"ModernHopfield.patterns: must be finite"):
        ModernHopfield.store([[1.0, np.inf]])
    memory = ModernHopfield.store(np.eye(3), 2.0)
    with pytest.raises(NeurosimInputError, match=r"ModernHopfield.add: needs patterns \[K, 3\] \(got \(2, 2\)\)"):
        memory.add(np.eye(2))
    memory.save(tmp_path / "memory")
    again = ModernHopfield.load(tmp_path / "memory")
    assert np.array_equal(again.patterns, np.eye(3)) and again.beta == 2.0


def test_capacity_is_that_of_amit_gutfreund_and_sompolinsky():
    alpha, m = hopfield_capacity()
    assert alpha == pytest.approx(0.137906, abs=1e-6)
    assert m == pytest.approx(0.9674, abs=5e-5)
    assert (1 - m) / 2 == pytest.approx(0.0163, abs=5e-5)
    assert hopfield_overlap(0.14) == 0 and hopfield_overlap(0.01) == pytest.approx(1)


@overfull
@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.2])
def test_recall_follows_the_theory_on_both_sides_of_capacity(alpha):
    xi = signs(0, round(alpha * 1500), 1500)
    net = Hopfield.store(xi)
    m = np.mean([net.recall(xi[i], seed=i).overlap(xi[i])[0] for i in range(6)])
    if alpha < hopfield_capacity()[0]:
        assert m == pytest.approx(hopfield_overlap(alpha), abs=0.01)
    else:
        assert m < 0.7


def test_patterns_added_later_are_the_same_memory():
    xi = signs(0, 5, 40)
    np.testing.assert_allclose(Hopfield.store(xi[:2]).add(xi[2:]).couplings, Hopfield.store(xi).couplings, atol=1e-15)
    assert Hopfield.store(xi[:2]).add(xi[2:]).stored == 5


@pytest.mark.parametrize(
    ("units", "order", "patterns", "error"), [(100, 3, 1000, 0.0339), (60, 4, 1500, 0.00097), (100, 2, 10, 0.000783)]
)
def test_dense_bit_error(units, order, patterns, error):
    assert dense_bit_error(units, order, patterns) == pytest.approx(error, rel=5e-3)


@overfull
def test_dense_memory_errs_as_predicted_and_holds_more_than_it_has_units():
    xi = signs(0, 1000, 100)
    memory = DenseHebbian.store(xi, 3)
    wrong = np.mean([np.sign(memory.field(s)) != s for s in xi[:200]])
    assert wrong == pytest.approx(dense_bit_error(100, 3, 1000), abs=0.004)
    few = signs(1, int(dense_capacity(100, 3) / 2), 100)
    assert len(few) > 0.14 * 100 * 2  # more than twice the pairwise network's capacity
    cubic = DenseHebbian.store(few, 3)
    pairwise = DenseHebbian.store(few, 2)
    cue = few[0].copy()
    cue[:10] *= -1
    assert cubic.recall(cue).overlap(few[0])[0] == 1 > pairwise.recall(cue).overlap(few[0])[0]


@overfull
def test_order_two_is_the_hopfield_field():
    xi = signs(0, 7, 40)
    s = signs(1, 40)
    field = DenseHebbian.store(xi, 2).field(s)
    np.testing.assert_allclose(field, 4 * Hopfield.store(xi).couplings @ s / 40, atol=1e-12)


def test_more_examples_recall_the_archetype_better():
    archetypes = signs(0, 5, 200)

    def quality(count, learn):
        flips = np.random.default_rng(1).random((5, count, 200)) < 0.3
        examples = np.where(flips, -archetypes[:, None], archetypes[:, None]).reshape(-1, 200)
        memory = learn(examples, np.repeat(np.arange(5), count))
        return np.mean([memory.recall(examples[k * count]).overlap(archetypes[k])[0] for k in range(5)])

    for learn in (lambda e, y: DenseHebbian.supervised(e, y, 4), lambda e, _: DenseHebbian.unsupervised(e, 2)):
        few = quality(2, learn)
        many = quality(80, learn)
        assert many > 0.97 and many > few + 0.1


def test_a_diluted_network_recalls_several_patterns_at_once():
    expected = multitasking_overlaps(3, 0.3)
    np.testing.assert_allclose(expected, [0.70, 0.21, 0.063])
    rng = np.random.default_rng(0)
    xi = rng.choice([-1.0, 0.0, 1.0], (3, 20000 // 5), p=[0.35, 0.3, 0.35])
    cue = np.where(xi[0] != 0, xi[0], signs(1, xi.shape[1]))
    # Which pattern comes second, and with which sign, is for the noise to say.
    overlaps = np.sort(np.abs(Hopfield.store(xi).recall(cue).overlap(xi)))[::-1]
    np.testing.assert_allclose(overlaps, expected, atol=4 / np.sqrt(xi.shape[1]))


@overfull
def test_the_second_anchor_of_a_dense_memory_by_simulation():
    """N=60, P=4, K=1500: .00097 by the formula, .00093 simulated elsewhere.

    The noise of so few units has heavier tails than a normal one: over 16 memories it comes to .0012 +- .0001.
    """
    wrong = []
    for seed in range(8):
        xi = signs(seed, 1500, 60)
        memory = DenseHebbian.store(xi, 4)
        wrong.append(np.mean([np.sign(memory.field(pattern)) != pattern for pattern in xi[:60]]))
    assert dense_bit_error(60, 4, 1500) == pytest.approx(0.00097, abs=5e-6)
    assert 0.0006 < np.mean(wrong) < 0.0018


@pytest.mark.parametrize("order", [120, 200, 1000])
def test_orders_whose_formulas_leave_the_range_of_floats(order):
    with pytest.warns(CapacityWarning, match="50.00% of the bits wrong"):
        memory = DenseHebbian.store(signs(0, 4, 60), order)
    assert memory.recall(memory.vectors[0]).state.tolist() == memory.vectors[0].tolist()
    # Of many units, the power of their number is larger than that of the order.
    assert dense_capacity(10**6, order) == math.inf and dense_bit_error(10**6, order, 1000) < 1e-9
    assert dense_bit_error(60, order, 4, quality=0.01, examples=3, supervised=False) == pytest.approx(0.5)


def test_capacity_of_dense_memories():
    assert dense_capacity(100, 2) == pytest.approx(100 / (2 * math.log(100)))
    assert dense_capacity(100, 3) == pytest.approx(100**2 / (2 * 3 * math.log(100)))
    assert dense_capacity(60, 4) == pytest.approx(60**3 / (2 * 15 * math.log(60)))
    # At K_max one bit of N is wrong with a chance that vanishes as N grows: Q(sqrt(2 ln N)) < 1 / N.
    for units in (50, 500, 5000):
        assert dense_bit_error(units, 3, int(dense_capacity(units, 3))) < 1 / units


@pytest.mark.parametrize("supervised", [True, False])
@pytest.mark.parametrize(("examples", "quality"), [(3, 0.6), (10, 0.4), (40, 0.4)])
def test_bit_errors_from_examples_follow_the_theory(supervised, examples, quality):
    units = 400
    archetypes = 6
    draws = np.random.default_rng(examples)
    wrong = []
    for seed in range(12):
        xi = signs(seed, archetypes, units)
        agree = draws.random((archetypes, examples, units)) < (1 + quality) / 2
        eta = np.where(agree, xi[:, None], -xi[:, None]).reshape(-1, units)
        labels = np.repeat(np.arange(archetypes), examples)
        if supervised:
            memory = DenseHebbian.supervised(eta, labels, 2)
        else:
            memory = DenseHebbian.unsupervised(eta, 2)
        wrong.append(np.mean([np.sign(memory.field(x)) != x for x in xi]))
    expected = dense_bit_error(units, 2, archetypes, quality, examples, supervised=supervised)
    assert np.mean(wrong) == pytest.approx(expected, abs=4 * np.std(wrong) / math.sqrt(len(wrong)))


def test_examples_as_good_as_the_archetype_are_patterns():
    assert dense_bit_error(100, 3, 50, 1.0, 7) == pytest.approx(dense_bit_error(100, 3, 50))
    assert dense_bit_error(100, 3, 50, 0.5, 10**9) == pytest.approx(dense_bit_error(100, 3, 50), rel=1e-6)
    assert dense_bit_error(100, 3, 50, 0.5, 10, supervised=False) > dense_bit_error(100, 3, 50, 0.5, 10)


@pytest.mark.parametrize("count", [3, 5, 8])
def test_a_hierarchy_stays_up_to_its_largest_dilution(count):
    """Units that the fields of a hierarchy flip, of 200,000: none below the bound, some above it."""
    bound = max_hierarchical_dilution(count)
    assert 1 - 2 * bound + bound**count == pytest.approx(0, abs=1e-12) and bound < 0.62
    flipped = []
    for dilution in (bound - 0.03, bound + 0.03):
        half = (1 - dilution) / 2
        draws = np.random.default_rng(0)
        patterns = draws.choice([-1, 0, 1], (count, 200_000), p=[half, dilution, half])
        first = (patterns != 0).argmax(axis=0)
        state = patterns[first, np.arange(200_000)]
        overlaps = (patterns * state).mean(axis=1)
        assert overlaps == pytest.approx(multitasking_overlaps(count, dilution), abs=5e-3)
        flipped.append(((overlaps @ patterns) * state < 0).mean())
    assert flipped[0] == 0 < flipped[1]


def test_bounds_of_the_dilution_of_hierarchies():
    assert max_hierarchical_dilution(3) == pytest.approx((5**0.5 - 1) / 2, abs=1e-12)
    assert max_hierarchical_dilution(5) == pytest.approx(0.51879, abs=1e-5)
    assert [max_hierarchical_dilution(count) for count in (1, 2)] == [1.0, 1.0]
    assert max_hierarchical_dilution(200) == pytest.approx(0.5, abs=1e-8)
    with pytest.raises(NeurosimInputError, match=r"max_hierarchical_dilution\.patterns: must be >= 1 \(got 0\)"):
        max_hierarchical_dilution(0)


def test_retrieval_of_all_patterns_alike():
    """Overlaps against a state made of the signs of the sums."""
    draws = np.random.default_rng(0)
    for count, dilution in ((3, 0.4), (20, 0.7)):
        half = (1 - dilution) / 2
        patterns = draws.choice([-1, 0, 1], (count, 100_000), p=[half, dilution, half])
        overlaps = (patterns * np.sign(patterns.sum(0))).mean(axis=1)
        assert overlaps.mean() == pytest.approx(parallel_overlap(count, dilution), abs=2e-3)
    with pytest.raises(NeurosimInputError, match=r"parallel_overlap\.dilution: must be in 0\.\.1"):
        parallel_overlap(3, 1.0)
