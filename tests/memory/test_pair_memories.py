"""Memories of pairs of keys and values: Hebbian and delta rules, forgetting, momentum, linear attention."""

import math

import numpy as np
import pytest
from helpers.patterns import overfull
from hypothesis import given
from hypothesis import strategies as st

from neurosim.base import CapacityWarning
from neurosim.memory import FastWeights, PairMemory
from neurosim.memory.associative.pairs import expected_error, keys

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
