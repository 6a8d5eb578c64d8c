"""Reconstruction of dynamical systems: gradients against autograd, orbits by hand, measures of pairs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurosim.base import NeurosimInputError

torch = pytest.importorskip("torch")


def network(rng: np.random.Generator, units: int = 8) -> tuple[Any, Any, Any]:
    w = rng.normal(size=(units, units)) / units
    return rng.uniform(0.3, 0.7, units), w, rng.normal(size=units) / 10


@pytest.mark.slow
@pytest.mark.parametrize("every, linear", [(7, 6), (1, 8), (100, 0)])
def test_forced_orbits_against_autograd(every: int, linear: int) -> None:
    from neurosim.kernels.layers.almost_linear.cpu import forced
    from neurosim.kernels.layers.almost_linear.reference import forced_reference

    rng = np.random.default_rng(0)
    x = rng.normal(size=(41, 3, 5))
    given = (x, *network(rng), rng.normal(size=(5, 3)), linear, every)
    for one, other in zip(forced(*given), forced_reference(*given), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-13)


def test_orbits_and_symbols() -> None:
    from neurosim.learning.training.reconstruction import AlmostLinearNetwork

    rng = np.random.default_rng(1)
    a, w, h = network(rng)
    found = AlmostLinearNetwork(a, w * 3, h, np.ones((5, 3)), 2, 3)
    states = found.orbit(np.ones(3), 60)
    z = np.array([1.0] * 3 + [3.0] * 5)
    for state in states:
        f = np.concatenate([z[:6], np.maximum(z[6:], 0)])
        z = a * z + w @ f * 3 + h
        np.testing.assert_allclose(state, z, rtol=1e-9, atol=1e-12)
    symbols = found.symbols(states)
    assert symbols.tolist() == [int(s[6] > 0) + 2 * int(s[7] > 0) for s in states] and len(set(symbols)) > 1
    moves = found.transitions(states)
    assert moves.shape == (4, 4) and moves.sum() == 59
    assert moves[symbols[0], symbols[1]] >= 1
    with pytest.raises(NeurosimInputError, match=r"AlmostLinearNetwork.w: must be \[8, 8\], and h \[8\]"):
        AlmostLinearNetwork(a, w[:5], h, np.ones((5, 3)), 2, 3)


def test_measures_of_known_pairs() -> None:
    from neurosim.learning.training.reconstruction import spectrum_distance, state_space_divergence

    rng = np.random.default_rng(0)
    t = np.arange(20_000)
    circle = np.stack([np.sin(t / 20), np.cos(t / 20)], 1)
    assert state_space_divergence(circle, circle) < 1e-3
    assert spectrum_distance(circle, circle) == pytest.approx(0, abs=1e-6)
    fast = np.stack([np.sin(t / 5), np.cos(t / 5)], 1)
    assert state_space_divergence(circle, fast) < 0.05  # the same places in another order
    assert spectrum_distance(circle, fast) == pytest.approx(1, abs=0.01)
    # Normal against normal of twice the deviation in two dimensions: KL = 2 (ln 2 - 3 / 8).
    one = rng.normal(size=(200_000, 2))
    other = 2 * rng.normal(size=(200_000, 2))
    assert state_space_divergence(one, other, 30) == pytest.approx(2 * (math.log(2) - 3 / 8), rel=0.15)
    # Two boxes, visited once each against the first twice: 1e-5 of a visit to the second stands for none.
    twice = state_space_divergence(np.array([[0.0], [1.0]]), np.zeros((2, 1)), 2)
    assert twice == pytest.approx(0.5 * math.log(0.5) + 0.5 * math.log(0.5 / 5e-6), rel=1e-4)
    lost = np.full_like(circle, np.inf)
    assert state_space_divergence(circle, lost) == math.inf and spectrum_distance(circle, lost) == 1


def test_visits_are_a_histogram_of_what_is_inside() -> None:
    from neurosim.learning.training.reconstruction import SMOOTHING, visits

    orbit = np.random.default_rng(4).normal(size=(3000, 3))
    low = np.array([-1.0, -0.5, orbit[:, 2].min()])
    high = np.array([1.5, 1.0, orbit[:, 2].max()])
    counts = np.histogramdd(orbit, [np.linspace(a, b, 8) for a, b in zip(low, high, strict=True)])[0].ravel()
    assert counts.sum() < 2500 and counts[6::7].any()  # some are outside, and the last has the greatest
    np.testing.assert_allclose(visits(orbit, low, high, 7), (counts + SMOOTHING) / (counts + SMOOTHING).sum())
    # A channel that is constant has one box.
    flat = np.stack([orbit[:, 0], np.zeros(len(orbit))], 1)
    shares = visits(flat, flat.min(0), flat.max(0), 7).reshape(7, 7)
    np.testing.assert_allclose(shares[:, 0], visits(flat[:, :1], flat.min(0)[:1], flat.max(0)[:1], 7), rtol=1e-6)
    assert shares[:, 1:].max() < 1e-6


def test_the_lorenz_system_has_its_attractor() -> None:
    from neurosim.learning.training.reconstruction import lorenz63

    orbit = lorenz63(5000, seed=3)
    assert orbit.shape == (5000, 3)
    np.testing.assert_allclose(orbit.std(0), 1)
    assert np.array_equal(orbit, lorenz63(5000, seed=3)) and not np.array_equal(orbit, lorenz63(5000, seed=4))
    assert 10 < np.count_nonzero(np.diff(orbit[:, 0] > 0)) < 200  # it changes its wing every second or so


@pytest.mark.slow
def test_a_training_learns_is_a_function_of_its_seed_and_is_kept(tmp_path: Path) -> None:
    from neurosim.learning.training.reconstruction import reconstruct
    from neurosim.learning.training.specs import ReconstructionSpec

    t = np.arange(3000)
    data = np.stack([np.sin(t / 10), np.cos(t / 10)], 1) * 2**0.5
    spec = ReconstructionSpec(units=6, updates=400, length=50, learning_rate=1e-2, noise=0.02)
    losses: list[float] = []
    made = reconstruct(data, spec, lambda update, loss: losses.append(loss))
    assert len(losses) == 4 and losses[-1] < 0.7 * losses[0]
    assert np.array_equal(made.w, reconstruct(data, spec).w)
    made.save(tmp_path / "network.safetensors")
    assert np.array_equal(type(made).load(tmp_path / "network.safetensors").orbit(data[0], 9), made.orbit(data[0], 9))
    with pytest.raises(NeurosimInputError, match="data: must be"):
        reconstruct(data[:40], spec)


def test_the_network_of_the_nearest_orbit_is_returned() -> None:
    from neurosim.learning.training.reconstruction import lorenz63, reconstruct, state_space_divergence
    from neurosim.learning.training.specs import ReconstructionSpec

    data = lorenz63(2000)
    distances = []
    spec = {"units": 5, "length": 20, "batch": 4, "learning_rate": 0.05, "last_learning_rate": 0.05}
    for updates in (10, 20, 30):
        last = reconstruct(data, ReconstructionSpec(updates=updates, **spec))
        distances.append(state_space_divergence(data, last.orbit(data[0], 21_000)[1000:, :3]))
    best = reconstruct(data, ReconstructionSpec(updates=30, compared_every=10, **spec))
    assert state_space_divergence(data, best.orbit(data[0], 21_000)[1000:, :3]) == min(distances)
    assert len(set(distances)) == 3


@pytest.mark.slow
@pytest.mark.parametrize("every, linear", [(7, 6), (100, 0)])
def test_normal_equations_are_the_gradient_and_its_jacobian(every: int, linear: int) -> None:
    from neurosim.kernels.layers.almost_linear.cpu import forced, normal_equations
    from neurosim.kernels.layers.almost_linear.reference import normal_equations_reference

    rng = np.random.default_rng(2)
    x = rng.normal(size=(13, 3, 2))
    parts = [*network(rng), rng.normal(size=(5, 3))]
    loss, gradient, curvature = normal_equations(x, *parts, linear, every)
    expected = forced(x, *parts, linear, every)
    assert loss == pytest.approx(expected[0], rel=1e-12)
    np.testing.assert_allclose(gradient, np.concatenate([g.ravel() for g in expected[1:]]), rtol=1e-10, atol=1e-13)
    plain = normal_equations_reference(x, *parts, linear, every)
    assert loss == pytest.approx(plain[0], rel=1e-12)
    np.testing.assert_allclose(gradient, plain[1], rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(curvature, plain[2], rtol=1e-10, atol=1e-13)


def test_orbits_and_boxes_are_their_references() -> None:
    from neurosim.kernels.layers.almost_linear.cpu import box_counts, orbit
    from neurosim.kernels.layers.almost_linear.reference import box_counts_reference, orbit_reference

    rng = np.random.default_rng(3)
    a, w, h = network(rng)
    z = rng.normal(size=8)
    np.testing.assert_allclose(orbit(z, a, w, h, 5, 90), orbit_reference(z, a, w, h, 5, 90), rtol=1e-9, atol=1e-13)
    points = rng.normal(size=(400, 2))
    low = np.array([-1.0, -0.5])
    high = np.array([1.5, 1.0])
    counts = box_counts(points, low, high, 7 / (high - low), 7)
    np.testing.assert_array_equal(counts, box_counts_reference(points, low, high, 7))
    assert 0 < counts.sum() < 400


@pytest.mark.slow
def test_refinement_lowers_the_error_then_finds_nearer_orbits() -> None:
    """A circle: with few errors the orbit still falls into a fixed point, and the search finds one that stays."""
    from neurosim.learning.training.reconstruction import reconstruct, state_space_divergence
    from neurosim.learning.training.refinement import refine
    from neurosim.learning.training.specs import ReconstructionSpec, RefinementSpec

    t = np.arange(3000)
    data = np.stack([np.sin(t / 10), np.cos(t / 10)], 1) * 2**0.5
    short = ReconstructionSpec(units=4, rectified=1, updates=200, length=50, learning_rate=1e-2, noise=0.02)
    made = reconstruct(data, short)
    settings: Any = {"every": 16, "length": 50, "batch": 4, "steps": 3000, "candidates": 16, "chosen": 4, "seed": 1}
    updates = RefinementSpec(updates=300, generations=0, **settings)
    search = RefinementSpec(updates=0, generations=30, **settings)
    losses: list[float] = []
    distances: list[float] = []
    better = refine(made, data, updates, lambda update, loss: losses.append(loss))
    assert len(losses) == 3 and losses[2] < 0.1 * losses[0]
    again = refine(better, data, search, lambda generation, distance: distances.append(distance))
    assert len(distances) == 3 and np.isfinite(distances).all()

    def far(found: Any) -> float:
        return state_space_divergence(data, found.orbit(data[0], 4000)[1000:, :2])

    assert far(again) < 0.5 * far(better)
    assert np.array_equal(again.start, better.start) and not np.array_equal(again.a, better.a)
    assert np.array_equal(again.w, refine(better, data, search).w)
    with pytest.raises(NeurosimInputError, match=r"RefinementSpec.chosen: must be at most the 32 candidates"):
        RefinementSpec(chosen=33)
    with pytest.raises(NeurosimInputError, match="data: must be"):
        refine(better, data[:40])


def test_a_search_is_narrowed_while_its_candidates_leave_the_system() -> None:
    from neurosim.learning.training.reconstruction import AlmostLinearNetwork
    from neurosim.learning.training.refinement import refine
    from neurosim.learning.training.specs import RefinementSpec

    t = np.arange(400)
    data = np.stack([np.sin(t / 10), np.cos(t / 10)], 1) * 2**0.5
    turn = np.array([[0.0, 0.1], [-0.1, 0.0]])
    given = AlmostLinearNetwork(np.full(2, 0.99), turn, np.zeros(2), np.zeros((0, 2)), 0, 2)
    settings: Any = {"length": 20, "every": 8, "updates": 0, "candidates": 4, "chosen": 2, "steps": 300, "orbits": 1}
    wide = refine(given, data, RefinementSpec(generations=5, spread=1e4, last_spread=1e4, **settings))
    np.testing.assert_allclose(wide.w, given.w, rtol=1e-6)  # none of them says where to go
    found = refine(given, data, RefinementSpec(generations=40, spread=1e4, last_spread=1e4, **settings))
    assert not np.allclose(found.w, given.w, rtol=1e-6) and np.isfinite(found.orbit(data[0], 2000)).all()
    with pytest.raises(NeurosimInputError, match=r"RefinementSpec.candidates: must be even"):
        RefinementSpec(candidates=5, chosen=2)
