"""Associative memories against their theory, by simulation and by brute force; what they store survives the file."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurosim.base import CapacityWarning, NeurosimFormatError, NeurosimInputError, NeurosimMissingError
from neurosim.memory import DenseHebbian, FastWeights, Hopfield, PairMemory
from neurosim.memory.associative.dense import dense_bit_error, dense_capacity
from neurosim.memory.associative.hopfield import (
    hopfield_capacity,
    hopfield_overlap,
)
from neurosim.memory.associative.modern import ModernHopfield
from neurosim.memory.associative.multitasking import (
    max_hierarchical_dilution,
    multitasking_overlaps,
    parallel_overlap,
)
from neurosim.memory.associative.pairs import expected_error, keys
from neurosim.memory.associative.sparse import SparseDistributed, _within_both, sparse_bit_error
from neurosim.memory.associative.tail import OPTIMIZERS, newton_schulz, polar, tail_expected, tail_run

overfull = pytest.mark.filterwarnings("ignore::neurosim.base.CapacityWarning")


def signs(seed, *shape):
    return np.random.default_rng(seed).choice([-1.0, 1.0], shape)


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


@pytest.mark.parametrize("kappa", [0, 2])
def test_a_sparse_distributed_memory_is_its_definition(kappa):
    memory = SparseDistributed.random(40, 12, 7, p=0.2, kappa=kappa, seed=3)
    addresses = signs(0, 30, 12)
    values = signs(1, 30, 7)
    counters = np.zeros((40, 7), int)
    for address, value in zip(addresses, values, strict=True):
        for place, bits in enumerate(memory.addresses):
            if np.count_nonzero(bits != address) <= memory.radius:
                counters[place] += value.astype(int)
                if kappa:
                    counters[place] = counters[place].clip(-kappa, kappa)
    written = memory.write(addresses[:11], values[:11]).write(addresses[11:], values[11:])
    assert np.array_equal(written.content, counters) and written.stored == 30 and not memory.content.any()
    cues = signs(2, 6, 12)
    for cue, read in zip(cues, written.read(cues), strict=True):
        near = [place for place, bits in enumerate(memory.addresses) if np.count_nonzero(bits != cue) <= memory.radius]
        assert np.array_equal(read, np.sign(counters[near].sum(axis=0)))


def test_a_sparse_distributed_memory_cleans_a_noisy_pattern_and_is_saved(tmp_path):
    patterns = signs(0, 20, 256)
    memory = SparseDistributed.random(1000, 256, 256, p=0.02).write(patterns, patterns)
    cues = np.where(np.arange(256) < 20, -patterns, patterns)
    many = memory.recall_many(cues)
    assert np.mean(many.states == patterns) > 0.999 and many.sweeps.max() > 1
    alone = memory.recall(cues[4])
    assert np.array_equal(alone.state, many.states[4])
    assert (alone.sweeps, alone.operations) == (many.sweeps[4], many.operations[4])
    memory.save(tmp_path / "memory")
    again = SparseDistributed.load(tmp_path / "memory")
    assert np.array_equal(again.read(cues), memory.read(cues)) and again.stored == 20


def test_within_both_counts_addresses():
    every = 1 - 2 * (np.arange(2**7)[:, None] >> np.arange(7) & 1)
    first = np.ones(7)
    for distance in (0, 1, 4, 7):
        second = np.where(np.arange(7) < distance, -1, 1)
        for radius in (0, 2, 4):
            inside = ((every != first).sum(axis=1) <= radius) & ((every != second).sum(axis=1) <= radius)
            assert _within_both(7, radius, distance) == pytest.approx(inside.mean())


def test_bits_of_a_sparse_distributed_memory_without_noise():
    # One content: wrong only where no address answers, and then in half of the bits.
    p = _within_both(20, 5, 0)
    assert sparse_bit_error(50, 20, 5, 1) == pytest.approx(0.5 * (1 - p) ** 50)
    assert sparse_bit_error(50, 20, 5, 1, flips=20) == pytest.approx(0.5)
    errors = [sparse_bit_error(1000, 64, 22, contents) for contents in (1, 10, 100, 1000)]
    assert errors == sorted(errors) and errors[-1] > 1000 * errors[0]


def test_a_sparse_distributed_memory_refuses_what_does_not_fit():
    memory = SparseDistributed.random(10, 8, 5)
    with pytest.raises(NeurosimInputError, match=r"SparseDistributed.write: needs values \[2, 5\] \(got \(2, 4\)\)"):
        memory.write(signs(0, 2, 8), signs(1, 2, 4))
    with pytest.raises(NeurosimInputError, match=r"recall.cues: must be an array \[n, 8\] with n >= 1"):
        memory.read(signs(0, 2, 7))
    with pytest.raises(NeurosimInputError, match=r"SparseDistributed.recall: needs contents of 8 bits \(got 5\)"):
        memory.recall(signs(0, 8))
    with pytest.raises(NeurosimInputError, match=r"SparseDistributed.p: must be in 0..1, 0 excluded \(got 0\)"):
        SparseDistributed.random(10, 8, 5, p=0)
    with pytest.raises(NeurosimInputError, match=r"SparseDistributed.radius: must be in 0..8 \(got 9\)"):
        SparseDistributed(memory.addresses, memory.content, 9)


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


RULES = [
    FastWeights(),
    FastWeights(forgetting=0.05),
    FastWeights(momentum=0.5, forgetting=0.1, learning_rate=0.5),
    FastWeights(delta=True),
    FastWeights(delta=True, learning_rate=0.5, forgetting=0.05),
]


@overfull
@pytest.mark.parametrize("kind", ["random", "orthogonal"])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("pairs", [8, 40])
def test_pairs_are_recalled_as_the_formula_says(rule, kind, pairs):
    errors = []
    for seed in range(150):
        k = keys(kind, pairs, 16, seed)
        v = np.random.default_rng(seed).normal(size=(pairs, 20))
        errors.append(rule.memory(16, 20).write(k, v).error(k, v))
    expected = expected_error(rule, pairs, 16, kind)
    assert np.mean(errors) == pytest.approx(expected, abs=4 * np.std(errors) / math.sqrt(150) + 1e-12)


def test_the_plain_formulas():
    assert expected_error(FastWeights(), 33, 64) == pytest.approx(32 / 64)
    assert expected_error(FastWeights(), 64, 64, "orthogonal") == 0
    assert expected_error(FastWeights(), 65, 64, "orthogonal") == pytest.approx(2 / 65)
    assert expected_error(FastWeights(delta=True), 33, 64) < 32 / 64


def test_the_delta_rule_comes_to_recall_any_independent_keys():
    k = keys("random", 12, 16)
    v = np.random.default_rng(0).normal(size=(12, 8))
    rule = FastWeights(delta=True)
    once = rule.memory(16, 8).write(k, v).error(k, v)
    with pytest.warns(CapacityWarning):
        often = rule.memory(16, 8).write(np.tile(k, (300, 1)), np.tile(v, (300, 1)))
    assert often.error(k, v) < 1e-6 < once < FastWeights().memory(16, 8).write(k, v).error(k, v)


def test_a_delta_step_is_a_gradient_step_on_the_recall_loss():
    rng = np.random.default_rng(1)
    k = rng.normal(size=4)
    v = rng.normal(size=3)
    before = rng.normal(size=(4, 3))

    def loss(s):
        return 0.5 * np.sum((s.T @ k - v) ** 2)

    gradient = np.zeros_like(before)
    for i in np.ndindex(*before.shape):
        up = before.copy()
        down = before.copy()
        up[i] += 1e-6
        down[i] -= 1e-6
        gradient[i] = (loss(up) - loss(down)) / 2e-6
    start = PairMemory(FastWeights(delta=True, learning_rate=0.3), before, np.zeros_like(before))
    np.testing.assert_allclose(start.write([k], [v]).weights, before - 0.3 * gradient, atol=1e-8)


def test_linear_attention_is_the_hebbian_rule():
    """Reading with query q is sum over past pairs of (q . k) v: attention without its softmax."""
    rng = np.random.default_rng(0)
    k = rng.normal(size=(9, 12))
    v = rng.normal(size=(9, 5))
    q = rng.normal(size=(3, 12))
    np.testing.assert_allclose(FastWeights().memory(12, 5).write(k, v).read(q), (q @ k.T) @ v, atol=1e-12)


def test_forgetting_and_momentum():
    k = np.eye(3)[[0, 1]]
    v = np.ones((2, 1))
    np.testing.assert_allclose(FastWeights(forgetting=0.25).memory(3, 1).write(k, v).weights[:, 0], [0.75, 1, 0])
    np.testing.assert_allclose(FastWeights(momentum=0.5).memory(3, 1).write(k, v).weights[:, 0], [1.5, 1, 0])


@overfull
@given(st.integers(0, 30), st.booleans(), st.floats(0, 0.9), st.floats(0, 0.9))
def test_writing_in_parts_is_writing_at_once(cut, delta, momentum, forgetting):
    rng = np.random.default_rng(0)
    k = rng.normal(size=(30, 5)) / 3
    v = rng.normal(size=(30, 2))
    empty = FastWeights(delta, 0.5, momentum, forgetting).memory(5, 2)
    whole = empty.write(k, v)
    parts = empty.write(k[:cut], v[:cut]).write(k[cut:], v[cut:])
    assert np.array_equal(whole.weights, parts.weights) and np.array_equal(whole.velocity, parts.velocity)
    assert whole.stored == parts.stored == 30


def worst(optimizer, ratio, seed=0):
    """The probability of the worst class at the end of a training."""
    return float(tail_run(optimizer, ratio, seed=seed).worst[-1])


@pytest.mark.parametrize(
    ("optimizer", "common", "rare", "spread"),
    [("gradient", 0.83, 0.04, 0.006), ("sign", 0.77, 0.02, 0.03), ("muon", 0.99, 0.99, 0.006)],
)
def test_rare_classes_need_an_orthogonalised_gradient(optimizer, common, rare, spread):
    """The anchors. Only the sign of a gradient depends on how embeddings are rotated: there it is a mean over six."""
    for ratio, anchor in ((0.1, common), (0.01, rare)):
        found = np.mean([worst(optimizer, ratio, seed) for seed in range(6 if optimizer == "sign" else 1)])
        assert found == pytest.approx(anchor, abs=spread if anchor > 0.5 else 0.006)


@pytest.mark.parametrize("ratio", [1, 0.3, 0.1, 0.01])
def test_gradient_descent_follows_the_formula_of_its_flow(ratio):
    assert worst("gradient", ratio) == pytest.approx(tail_expected(ratio), abs=1e-3)


def test_adam_lies_between():
    assert worst("gradient", 0.1) < worst("adam", 0.1) < worst("muon", 0.1)
    assert set(OPTIMIZERS) == {"gradient", "sign", "adam", "muon", "muon-ns"}


@pytest.mark.parametrize("correlation", [0.0, 0.5])
def test_adam_depends_on_the_basis_of_the_embeddings_and_muon_does_not(correlation):
    found = {
        (way, basis): tail_run(way, 0.1, 32, seed=3, basis=basis, correlation=correlation).worst
        for way in ("adam", "muon")
        for basis in ("axes", "random")
    }
    np.testing.assert_allclose(found["muon", "axes"], found["muon", "random"], atol=1e-9)
    assert found["adam", "axes"][-1] > found["adam", "random"][-1] + 0.02
    with pytest.raises(NeurosimInputError, match=r"tail_run\.correlation: must be in 0\.\.1, 1 excluded"):
        tail_run("muon", 0.1, correlation=1.0)


def test_newton_schulz_comes_near_the_polar_factor():
    g = np.random.default_rng(0).normal(size=(20, 20))
    np.testing.assert_allclose(polar(g) @ polar(g).T, np.eye(20), atol=1e-12)
    # Nearest orthogonal matrix: the sum of singular values is what it has in common with g.
    assert np.sum(polar(g) * g) == pytest.approx(np.linalg.svd(g, compute_uv=False).sum())
    values = np.linalg.svd(newton_schulz(g), compute_uv=False)
    assert values.min() > 0.5 and values.max() < 1.3
    assert worst("muon-ns", 0.01) > 0.95


def test_a_run_shows_the_way_to_the_end():
    run = tail_run("gradient", 0.1, classes=8)
    assert run.best[0] == run.worst[0] == pytest.approx(1 / 8)
    assert run.best[-1] >= 0.99 > run.best[-2] and np.all(np.diff(run.best) > 0) and len(run.best) == len(run.worst)


def test_what_is_too_much_is_said_with_the_recall_to_expect():
    with pytest.warns(CapacityWarning) as said:
        Hopfield.store(signs(0, 20, 100))
        DenseHebbian.store(signs(0, 400, 100), 3)
        FastWeights().memory(8, 1).write(keys("random", 9, 8), np.ones((9, 1)))
    texts = [str(warning.message) for warning in said]
    assert texts == [
        "Hopfield: 20 patterns are more than the 14 that 100 units recall (alpha_c = 0.1379); expected recall: an "
        "overlap of 0 in a large network, where no pattern is a stable state",
        "DenseHebbian: 400 patterns are more than the 362 that 100 units of order 3 recall without error; expected "
        "recall: 0.19% of the bits wrong after one update",
        "PairMemory: 9 pairs are more than the 8 independent keys of this width; expected recall: a mean squared error "
        "of 1 of the values' square with random keys of unit length",
    ]
    assert {warning.filename for warning in said} == {__file__}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Hopfield.store(signs(0, 13, 100))
        DenseHebbian.store(signs(0, 300, 100), 3)
        FastWeights().memory(8, 1).write(keys("random", 8, 8), np.ones((8, 1)))


@overfull
def test_memories_survive_the_file(tmp_path):
    path = tmp_path / "memory.safetensors"
    hopfield = Hopfield.store(signs(0, 3, 20))
    hopfield.save(path)
    assert np.array_equal(Hopfield.load(path).couplings, hopfield.couplings) and Hopfield.load(path).stored == 3
    dense = DenseHebbian.store(signs(0, 3, 20), 4)
    dense.save(path)
    assert np.array_equal(DenseHebbian.load(path).vectors, dense.vectors) and DenseHebbian.load(path).order == 4
    rng = np.random.default_rng(0)
    k = rng.normal(size=(20, 6))
    v = rng.normal(size=(20, 4))
    empty = FastWeights(True, 0.1, 0.5, 0.01).memory(6, 4)
    empty.write(k[:7], v[:7]).save(path)
    after = PairMemory.load(path).write(k[7:], v[7:])
    whole = empty.write(k, v)
    assert np.array_equal(after.weights, whole.weights) and after.stored == 20 and after.rule == empty.rule


@overfull
def test_files_that_hold_no_such_memory_are_refused(tmp_path):
    path = tmp_path / "memory.safetensors"
    Hopfield.store(signs(0, 3, 20)).save(path)
    whole = path.read_bytes()
    with pytest.raises(NeurosimFormatError, match=r"must hold a DenseHebbian \(got Hopfield\); load it"):
        DenseHebbian.load(path)
    path.write_bytes(whole[:-5])
    with pytest.raises(NeurosimFormatError, match="is not a complete neurosim Hopfield file"):
        Hopfield.load(path)
    path.write_bytes(whole[:-9] + b"\x01" + whole[-8:])
    with pytest.raises(NeurosimFormatError, match="do not match its digest"):
        Hopfield.load(path)
    path.write_bytes(whole.replace(b'\\"version\\": 1', b'\\"version\\": 9'))
    with pytest.raises(NeurosimFormatError, match=r"format up to 1 is known \(got 9\); upgrade neurosim"):
        Hopfield.load(path)
    with pytest.raises(NeurosimMissingError, match=r"no such file; give a Hopfield that neurosim saved"):
        Hopfield.load(tmp_path / "none")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Hopfield.store([[1, 2]]), "patterns: must hold only -1, 0 and 1 (got 2.0)"),
        (lambda: Hopfield.store([1, -1]), "patterns: must be an array [K, N] (got (2,))"),
        (lambda: Hopfield.store([[1] * 9]).add([[1]]), "Hopfield.add: needs patterns of 9 units (got 1)"),
        (lambda: Hopfield.store([[1] * 9]).recall([1]), "recall.cue: must be an array [9] (got (1,))"),
        (lambda: Hopfield.store([[1] * 9]).recall([0] * 9), "recall.cue: must hold only -1 and 1 (got 0.0)"),
        (lambda: Hopfield.store([[1] * 9]).recall([1] * 9, sweeps=0), "recall.sweeps: must be >= 1 (got 0)"),
        (lambda: Hopfield(np.eye(2)), "Hopfield.couplings: must have a zero diagonal (got nonzero entries)"),
        (
            lambda: Hopfield(200),
            "Hopfield.couplings: must be an array [N, N]; Hopfield.store makes it from patterns (got 200)",
        ),
        (
            lambda: DenseHebbian([[1, -1]], 2),
            "DenseHebbian.vectors: must be an array [K, N]; DenseHebbian.store makes it from patterns (got [[1, -1]])",
        ),
        (
            lambda: ModernHopfield(np.zeros(3)),
            "ModernHopfield.patterns: must be an array [K, N]; ModernHopfield.store makes it from patterns (got (3,))",
        ),
        (lambda: DenseHebbian.store([[1, -1]], 1), "DenseHebbian.order: must be >= 2 (got 1)"),
        (lambda: DenseHebbian.supervised([[1]], [0, 1], 2), "DenseHebbian.supervised: needs 1 labels (got (2,))"),
        (lambda: dense_bit_error(10, 2, 1, quality=0), "dense_bit_error.quality: must be in 0..1, 0 excluded (got 0)"),
        (lambda: FastWeights(momentum=1.0), "FastWeights.momentum: must be in 0..1, 1 excluded (got 1.0)"),
        (lambda: FastWeights().memory(2, 1).write([[1]], [[1]]), "PairMemory: needs keys [n, 2] (got (1, 1))"),
        (
            lambda: FastWeights().memory(1, 1).write([[1]], [[1, 2]]),
            "PairMemory.write: needs values [1, 1] for these keys (got (1, 2))",
        ),
        (
            lambda: expected_error(FastWeights(True, momentum=0.5), 3, 3),
            "expected_error: has no formula for the delta rule with momentum (got 0.5)",
        ),
        (lambda: keys("odd", 3, 3), "keys: unknown name 'odd'; choose from orthogonal, random"),
        (lambda: tail_run("muon", 0), "tail_run.ratio: must be in 0..1, 0 excluded (got 0)"),
        (
            lambda: tail_run("mun", 1),
            "tail_run.optimizer: unknown name 'mun'; did you mean 'muon'? choose from adam, gradient, muon, muon-ns, "
            "sign",
        ),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(NeurosimInputError) as error:
        call()
    assert str(error.value) == message


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
