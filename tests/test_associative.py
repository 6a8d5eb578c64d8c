import numpy as np
import pytest

from neurosim.associative import (
    OPTIMIZERS,
    DenseHebbian,
    FastWeights,
    Hopfield,
    dense_bit_error,
    dense_capacity,
    hopfield_capacity,
    hopfield_overlap,
    multitasking_overlaps,
    recall_error,
    tail_class,
)
from neurosim.errors import NeurosimInputError
from neurosim.kernels.settle import settle, settle_reference


def signs(seed, *shape):
    return np.random.default_rng(seed).choice([-1.0, 1.0], shape)


def test_settling_equals_its_reference():
    net = Hopfield.store(signs(0, 12, 61))
    cue = signs(1, 61)
    orders = np.stack([np.random.default_rng(i).permutation(61) for i in range(30)])
    fast, slow = settle(net.couplings, cue, orders), settle_reference(net.couplings, cue, orders)
    assert np.array_equal(fast[0], slow[0]) and fast[1:] == slow[1:] and fast[1] > 0


def test_recall_never_raises_the_energy():
    net = Hopfield.store(signs(0, 30, 100))
    cue = signs(1, 100)
    end = net.recall(cue, seed=2)
    assert end.state @ net.couplings @ end.state > cue @ net.couplings @ cue
    again = net.recall(end.state, seed=3)
    assert np.array_equal(again.state, end.state) and again.sweeps == 1 and again.operations == 0


def test_capacity_is_that_of_amit_gutfreund_and_sompolinsky():
    alpha, m = hopfield_capacity()
    assert alpha == pytest.approx(0.137906, abs=1e-6)
    assert m == pytest.approx(0.9674, abs=5e-5)
    assert (1 - m) / 2 == pytest.approx(0.0163, abs=5e-5)
    assert hopfield_overlap(0.14) == 0 and hopfield_overlap(0.01) == pytest.approx(1)


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.2])
def test_recall_follows_the_theory_on_both_sides_of_capacity(alpha):
    xi = signs(0, round(alpha * 1500), 1500)
    net = Hopfield.store(xi)
    m = np.mean([net.recall(xi[i], seed=i).overlap(xi[i])[0] for i in range(6)])
    if alpha < hopfield_capacity()[0]:
        assert m == pytest.approx(hopfield_overlap(alpha), abs=0.01)
    else:
        assert m < 0.7


@pytest.mark.parametrize(
    ("units", "order", "patterns", "error"), [(100, 3, 1000, 0.0339), (60, 4, 1500, 0.00097), (100, 2, 10, 0.000783)]
)
def test_dense_bit_error(units, order, patterns, error):
    assert dense_bit_error(units, order, patterns) == pytest.approx(error, rel=5e-3)


def test_dense_memory_errs_as_predicted_and_holds_more_than_it_has_units():
    xi = signs(0, 1000, 100)
    memory = DenseHebbian.store(xi, 3)
    wrong = np.mean([np.sign(memory.field(s)) != s for s in xi[:200]])
    assert wrong == pytest.approx(dense_bit_error(100, 3, 1000), abs=0.004)
    few = signs(1, int(dense_capacity(100, 3) / 2), 100)
    assert len(few) > 0.14 * 100 * 2  # more than twice the pairwise network's capacity
    cubic, pairwise = DenseHebbian.store(few, 3), DenseHebbian.store(few, 2)
    cue = few[0].copy()
    cue[:10] *= -1
    assert cubic.recall(cue).overlap(few[0])[0] == 1 > pairwise.recall(cue).overlap(few[0])[0]


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
        few, many = quality(2, learn), quality(80, learn)
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


def test_hebbian_weights_recall_orthogonal_keys_and_the_delta_rule_any_independent_ones():
    rng = np.random.default_rng(0)
    orthogonal = np.linalg.qr(rng.normal(size=(16, 16)))[0]
    values = rng.normal(size=(16, 8))
    assert recall_error(FastWeights().write(orthogonal, values), orthogonal, values) < 1e-25
    keys = rng.normal(size=(12, 16))
    keys /= np.linalg.norm(keys, axis=1, keepdims=True)
    hebbian = recall_error(FastWeights().write(keys, values[:12]), keys, values[:12])
    delta = recall_error(FastWeights(delta=True).write(keys, values[:12]), keys, values[:12])
    passes = FastWeights(delta=True).write(np.tile(keys, (300, 1)), np.tile(values[:12], (300, 1)))
    assert recall_error(passes, keys, values[:12]) < 1e-6 < delta < hebbian


def test_a_delta_step_is_a_gradient_step_on_the_recall_loss():
    rng = np.random.default_rng(1)
    k, v, before = rng.normal(size=4), rng.normal(size=3), rng.normal(size=(4, 3))

    def loss(s):
        return 0.5 * np.sum((s.T @ k - v) ** 2)

    gradient = np.zeros_like(before)
    for i in np.ndindex(*before.shape):
        up = before.copy()
        up[i] += 1e-6
        gradient[i] = (loss(up) - loss(before)) / 1e-6
    # Keys e_1..e_4 write `before` row by row; the last pair is the step under test.
    memory = FastWeights(delta=True, rate=1.0)
    state = memory.write(np.vstack([np.eye(4), k]), np.vstack([before, v]))
    np.testing.assert_allclose(state, before - gradient, atol=1e-4)


def test_forgetting_and_momentum():
    keys, values = np.eye(3)[[0, 1]], np.ones((2, 1))
    np.testing.assert_allclose(FastWeights(forgetting=0.25).write(keys, values)[:, 0], [0.75, 1, 0])
    np.testing.assert_allclose(FastWeights(momentum=0.5).write(keys, values)[:, 0], [1.5, 1, 0])


@pytest.mark.parametrize(
    ("optimizer", "common", "rare"), [("gradient", 0.83, 0.04), ("sign", 0.77, 0.02), ("muon", 0.99, 0.99)]
)
def test_rare_classes_need_an_orthogonalised_gradient(optimizer, common, rare):
    tolerance = 0.03 if optimizer == "sign" else 0.006  # the sign of a rotated gradient depends on the rotation
    assert tail_class(optimizer, 0.1) == pytest.approx(common, abs=tolerance + 0.02 * (optimizer == "sign"))
    assert tail_class(optimizer, 0.01) == pytest.approx(rare, abs=tolerance)


def test_adam_lies_between():
    assert tail_class("gradient", 0.1) < tail_class("adam", 0.1) < tail_class("muon", 0.1)
    assert set(OPTIMIZERS) == {"gradient", "sign", "adam", "muon"}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Hopfield.store([[1, 2]]), "patterns: must hold only -1, 0, 1 (got 2.0)"),
        (lambda: Hopfield.store([1, -1]), "patterns: must be an array [K, N] (got (2,))"),
        (lambda: Hopfield.store([[1, -1]]).recall([1]), "recall.cue: must be an array [2] (got (1,))"),
        (lambda: Hopfield.store([[1, -1]]).recall([1, 0]), "recall.cue: must hold only -1 and 1 (got 0.0)"),
        (lambda: DenseHebbian.store([[1, -1]], 1), "DenseHebbian.order: must be >= 2 (got 1)"),
        (lambda: DenseHebbian.supervised([[1]], [0, 1], 2), "DenseHebbian.supervised: needs 1 labels (got (2,))"),
        (lambda: FastWeights(momentum=1.0), "FastWeights.momentum: must be in 0..1, 1 excluded (got 1.0)"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(NeurosimInputError) as error:
        call()
    assert str(error.value) == message
