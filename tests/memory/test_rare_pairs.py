"""Pairs of rare classes, learned by gradients: what gradient descent, Adam and Muon recall of them."""

import numpy as np
import pytest

from neurosim.base import NeurosimInputError
from neurosim.memory.associative.tail import OPTIMIZERS, newton_schulz, polar, tail_expected, tail_run


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
