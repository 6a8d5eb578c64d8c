"""Synaptic elements: calcium and growth in closed form, pairs that keep to the elements, rates that reach a target."""

from __future__ import annotations

import math

import numpy as np
import pytest

from neurosim import LIF, FixedNumberPre, Network, PoissonInput, Population, Projection, Simulation, Spikes
from neurosim.base import NeurosimInputError
from neurosim.network.plasticity.growth import GaussianGrowth, LinearGrowth, PairElements, SynapticElements
from neurosim.network.plasticity.structural import Synapses


def test_calcium_and_linear_growth_are_their_equations() -> None:
    """Against Euler's method with steps of .1 ms, in two pieces."""
    curve = LinearGrowth(rate=2.0, target=0.3)
    tau = 0.5
    beta = 0.1
    times = np.array([0.05, 0.2, 0.21, 0.9, 1.3])
    units = np.array([0, 1, 0, 0, 1])
    grown = SynapticElements(2, curve, tau=tau, beta=beta, elements=np.array([1.0, 5.0]))
    grown.follow(Spikes(times[:3], units[:3], 2, 0.6))
    grown.follow(Spikes(times[3:], units[3:], 2, 1.5), start=0.6)
    calcium = np.zeros(2)
    elements = np.array([1.0, 5.0])
    dt = 1e-4
    for step in range(15_000):
        elements += dt * 2.0 * (1 - calcium / 0.3)
        calcium *= math.exp(-dt / tau)
        np.add.at(calcium, units[np.rint(times / dt) == step + 1], beta)
    np.testing.assert_allclose(grown.calcium, calcium, rtol=1e-6)
    np.testing.assert_allclose(grown.elements, elements, rtol=1e-3)


def test_the_gaussian_curve_is_zero_at_its_ends() -> None:
    curve = GaussianGrowth(rate=3.0, low=0.1, target=0.5)
    np.testing.assert_allclose(curve.slope(np.array([0.1, 0.3, 0.5])), [0, 3, 0], atol=1e-12)
    assert curve.slope(np.array([0.0]))[0] < 0 and curve.slope(np.array([0.7]))[0] < 0


def test_no_unit_has_more_synapses_than_elements() -> None:
    rng = np.random.default_rng(0)
    pairs = rng.permutation(40 * 40)[:300]
    synapses = Synapses(pairs // 40, pairs % 40, rng.random(300), (40, 40), True)
    axonal = rng.uniform(0, 20, 40)
    dendritic = rng.uniform(0, 20, 40)
    found = PairElements(axonal, dendritic, 7.0).rewire(synapses, np.random.default_rng(1))
    pre = np.concatenate([synapses.pre[found.keep], found.pre])
    post = np.concatenate([synapses.post[found.keep], found.post])
    for units, elements in ((pre, axonal), (post, dendritic)):
        assert (np.bincount(units, minlength=40) <= np.floor(elements)).all()
    assert len(np.unique(pre * 40 + post)) == len(pre) and (found.pre != found.post).all()
    assert np.count_nonzero(~found.keep) > 20 and len(found.pre) > 20
    # Where all have room, nothing goes.
    roomy = PairElements(np.full(40, 40.0), np.full(40, 40.0), 7.0).rewire(synapses, np.random.default_rng(1))
    assert roomy.keep.all()


def test_a_network_grows_until_it_fires_at_its_target() -> None:
    network = Network(
        [Population("E", 60, LIF(tau_mem=0.02))],
        [Projection("E", "E", FixedNumberPre(1), 0.1, 2e-3)],
        [PoissonInput("E", rate=1000.0, weight=0.048)],
    )
    simulation = Simulation(network, seed=1, threads=1)
    target = 25.0
    tau = 0.5
    beta = 1.0
    grown = SynapticElements(60, LinearGrowth(8.0, beta * tau * target), tau=tau, beta=beta, elements=1.0)
    rates = []
    for _ in range(60):
        result = simulation.run(0.1)
        elements = grown.follow(result.spikes["E"], result.start)  # type: ignore[arg-type]
        rates.append(len(result.spikes["E"]) / 60 / 0.1)
        simulation.rewire("E->E", PairElements(elements, elements, 0.1))
    assert rates[0] < 0.75 * target
    assert np.mean(rates[-20:]) == pytest.approx(target, rel=0.15)
    assert len(simulation.connections("E->E")) > 120


def test_what_cannot_grow_is_named() -> None:
    grown = SynapticElements(3, LinearGrowth(1.0, 1.0))
    with pytest.raises(NeurosimInputError, match=r"LinearGrowth.target: must be > 0"):
        LinearGrowth(1.0, -1.0)
    with pytest.raises(NeurosimInputError, match=r"GaussianGrowth.low: must be < the target 1 \(got 2.0\)"):
        GaussianGrowth(1.0, 2.0, 1.0)
    with pytest.raises(NeurosimInputError, match=r"follow.spikes: must be of 3 units \(got 2\)"):
        grown.follow(Spikes([0.1], [0], 2, 1.0))
    with pytest.raises(NeurosimInputError, match=r"follow.start: must be where the piece starts \(got 0.5\)"):
        grown.follow(Spikes([0.1], [0], 3, 1.0), start=0.5)
    with pytest.raises(NeurosimInputError, match=r"PairElements.axonal: must be \[2\] numbers >= 0"):
        none = np.empty(0, np.int64)
        PairElements(np.ones(3), np.ones(2), 1.0).rewire(
            Synapses(none, none, np.empty(0), (2, 2), True), np.random.default_rng(0)
        )
