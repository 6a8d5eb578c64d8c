"""Homeostasis: weights follow the specification, alone and beside a learning rule, and rates reach their target."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from neurosim import (
    LIF,
    STDP,
    AllToAll,
    Network,
    OneToOne,
    PoissonSource,
    Population,
    Projection,
    Simulation,
    Spikes,
    SpikeSource,
)
from neurosim.base import NeurosimInputError
from neurosim.engine.compile.rule_vectors import homeostasis_vector
from neurosim.engine.description.dump import description_tree
from neurosim.engine.description.parse import parse_description
from neurosim.kernels.engine.clocked.homeostasis import factor_reference
from neurosim.network import RewardSTDP, SynapticScaling, Uniform
from neurosim.network.plasticity.homeostasis import WeightNormalisation

RNG = np.random.default_rng(3)
SCALING = SynapticScaling(target_rate=15.0, tau_rate=0.05, tau=0.5, interval=0.01)
INPUTS = 6
CELLS = 3


def driven(homeostasis: object, weight: object, delay: object = 1e-3, rule: object = None) -> tuple[Network, Spikes]:
    """Cells that fire exactly when they are told to, and `learned` synapses of inputs that never fire."""
    network = Network(
        [
            Population("drive", CELLS, SpikeSource()),
            Population("inputs", INPUTS, PoissonSource(0.0)),
            Population("reward", 1, PoissonSource(0.0)),
            Population("cells", CELLS, LIF()),
        ],
        [
            Projection("drive", "cells", OneToOne(), 2.0, 1e-3),
            Projection("inputs", "cells", AllToAll(), weight, delay, None, "learned", rule, homeostasis=homeostasis),  # type: ignore[arg-type]
        ],
    )
    times = np.sort(RNG.random(30)) * 0.3
    return network, Spikes(times, RNG.integers(0, CELLS, 30), CELLS, 0.3)


@pytest.mark.parametrize("delay", [1e-3, Uniform(1e-3, 9e-3)], ids=["one delay", "drawn delays"])
@pytest.mark.parametrize("rule", [None, RewardSTDP("reward", w_min=-3.0, w_max=0.5)], ids=["alone", "beside a rule"])
@pytest.mark.parametrize("homeostasis", [SCALING, WeightNormalisation(2.5, 0.007)], ids=lambda h: type(h).__name__)
def test_weights_follow_the_specification(homeostasis: object, rule: object, delay: object) -> None:
    given = RNG.uniform(0.1, 0.4, INPUTS * CELLS)
    network, drive = driven(homeostasis, given, delay, rule)
    result = Simulation(network, {"drive": drive}, precision="float64").run(0.3)
    learned = next(p for p in network.projections if p.name == "learned")
    vector = homeostasis_vector(learned, learned.homeostasis, 1e-3)  # type: ignore[arg-type]
    low, high = (-3.0, 0.5) if rule else (-np.inf, np.inf)
    steps = [np.rint(result.spikes["cells"].times[result.spikes["cells"].units == x] / 1e-3) for x in range(CELLS)]  # type: ignore[union-attr]
    weights = given.reshape(INPUTS, CELLS).copy()
    every = int(vector[0])
    for step in range(every, 300, every):
        for x in range(CELLS):
            factor = factor_reference(vector, [s for s in steps[x] if s < step], step, weights[:, x])
            weights[:, x] = np.clip(weights[:, x] * factor, low, high)
    assert sum(map(len, steps)) > 20 and np.abs(weights.ravel() - given).max() > 0.01
    np.testing.assert_allclose(result.weights["learned"], weights.ravel(), rtol=1e-12)


@pytest.mark.parametrize("delays", [[1e-3] * 6, [1e-3, 2e-3] * 3, [1e-3, 3e-3, 4e-3, 6e-3, 7e-3, 9e-3]])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_sum_is_kept_beside_rewards(delays: list[float], threads: int) -> None:
    """All synapses are up to date before the sum is taken, whatever their delays.

    An arrival changes a weight only through its eligibility trace, so that in the step of a normalisation the sum is
    the total: nothing comes after it.
    """
    rule = RewardSTDP("reward", tau_c=0.5, tau_d=0.02, reward_size=400.0, w_max=10.0)
    home = WeightNormalisation(0.3, interval=0.01)
    network = Network(
        [Population("in", 6, SpikeSource()), Population("reward", 1, SpikeSource()), Population("cells", 1, LIF())],
        [
            Projection("in", "cells", AllToAll(), 0.5, delays, name="learned", plasticity=rule, homeostasis=home),
            Projection("in", "cells", AllToAll(), 2.0, 1e-3, name="drive"),
        ],
    )
    inputs = {
        "in": Spikes.sort(np.repeat(np.arange(10) * 0.01, 6), np.tile(np.arange(6), 10), 6, 0.2),
        "reward": Spikes(np.arange(12, 150, 7) * 1e-3, np.zeros(20, int), 1, 0.2),
    }
    simulation = Simulation(network, inputs, precision="float64", threads=threads)
    earned = []
    for _ in range(15):
        before = simulation.run(9e-3 if simulation.step else 1e-2).weights["learned"].sum()
        earned.append(before)
        simulation.run(1e-3)  # a step that begins with a normalisation
        assert simulation.weights["learned"].sum() == pytest.approx(0.3, rel=1e-12)
    assert max(earned) > 1.0


@pytest.mark.parametrize("fraction", [0.0, 0.5, 1.0])
def test_scaling_follows_the_spikes_at_the_soma(fraction: float) -> None:
    """A rule reads spikes that travel back through the dendrite; the rate is that of the cell, whatever the delays."""
    rule = STDP(a_plus=0.0, a_minus=0.0, w_min=0.0, w_max=10.0)
    home = SynapticScaling(target_rate=50.0, tau_rate=0.02, tau=0.1, interval=0.01)
    network = Network(
        [Population("in", 2, PoissonSource(0.0)), Population("drive", 1, SpikeSource()), Population("cells", 1, LIF())],
        [
            Projection("drive", "cells", AllToAll(), 2.0, 1e-3),
            Projection(
                "in", "cells", AllToAll(), 0.1, [0.02, 0.005], name="learned", plasticity=rule, homeostasis=home,
                dendritic_delay_fraction=fraction,
            ),
        ],
    )  # fmt: skip
    spikes = Spikes(np.array([3, 11, 12, 17, 25, 26, 31, 44]) * 1e-3, np.zeros(8, int), 1, 0.06)
    result = Simulation(network, {"drive": spikes}, precision="float64").run(0.06)
    steps = np.rint(result.spikes["cells"].times / 1e-3)  # type: ignore[union-attr]
    learned = next(projection for projection in network.projections if projection.name == "learned")
    vector = homeostasis_vector(learned, learned.homeostasis, 1e-3)  # type: ignore[arg-type]
    weight = 0.1
    for step in range(10, 60, 10):
        weight *= factor_reference(vector, [s for s in steps if s < step], step, [weight])
    assert len(steps) == 8
    np.testing.assert_allclose(result.weights["learned"], weight, rtol=1e-12)


def test_rates_reach_their_target() -> None:
    """Neurons that start far above and far below 20 spikes/s."""
    rule = SynapticScaling(target_rate=20.0, tau_rate=0.5, tau=1.0, interval=0.05)
    network = Network(
        [Population("in", 100, PoissonSource(20.0)), Population("cells", 40, LIF(t_refractory=2e-3))],
        [Projection("in", "cells", AllToAll(), np.tile(np.linspace(0.005, 0.08, 40), 100), homeostasis=rule)],
    )
    simulation = Simulation(network, seed=1)
    before = simulation.run(0.5).spikes["cells"].counts() / 0.5  # type: ignore[union-attr]
    simulation.run(10.0)
    after = simulation.run(5.0).spikes["cells"].counts() / 5.0  # type: ignore[union-attr]
    assert before.min() < 5 and before.max() > 60
    np.testing.assert_allclose(after, 20.0, rtol=0.2)


def test_a_sum_is_kept_beside_a_learning_rule() -> None:
    rule = STDP(a_plus=0.005, a_minus=0.002, w_max=1.0)
    network = Network(
        [Population("in", 50, PoissonSource(30.0)), Population("cells", 10, LIF())],
        [
            Projection(
                "in", "cells", AllToAll(), 0.08, plasticity=rule, homeostasis=WeightNormalisation(4.0, interval=1.0)
            )
        ],
    )
    simulation = Simulation(network, precision="float64")
    assert simulation.run(1.0).weights["in->cells"].reshape(50, 10).std() > 0.01  # type: ignore[union-attr]
    moved = simulation.weights["in->cells"].reshape(50, 10).sum(axis=0)
    simulation.run(1e-3)  # the step in which they are normalised, and its arrivals
    np.testing.assert_allclose(simulation.weights["in->cells"].reshape(50, 10).sum(axis=0), 4.0, rtol=0.05)
    assert np.abs(moved - 4.0).max() > np.abs(simulation.weights["in->cells"].reshape(50, 10).sum(axis=0) - 4.0).max()


def test_weights_are_set_and_written_down() -> None:
    network, drive = driven(SCALING, 0.2)
    simulation = Simulation(network, {"drive": drive}, precision="float64")
    simulation.set("learned", {"weight": 0.1})
    assert (simulation.weights["learned"] == 0.1).all()
    again = parse_description(description_tree(network), Path(".")).network
    assert next(p for p in again.projections if p.name == "learned").homeostasis == SCALING


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SynapticScaling(-1.0), r"SynapticScaling.target_rate: must be > 0 spikes/s \(got -1.0\)"),
        (lambda: SynapticScaling(1.0, tau=0.01), r"SynapticScaling.tau: must be >= the interval 0.1 s \(got 0.01\)"),
        (lambda: WeightNormalisation(0.0), r"WeightNormalisation.total: must not be 0 \(got 0.0\)"),
        (lambda: WeightNormalisation(1.0, 0.0), r"WeightNormalisation.interval: must be > 0 s"),
        (lambda: driven(1.0, 0.1), r"homeostasis: must be a rule of homeostasis or None \(got 1.0\)"),
        (
            lambda: Simulation(driven(WeightNormalisation(1.0, 1e-5), 0.1)[0], {"drive": driven(SCALING, 0.1)[1]}),
            r"homeostasis.interval: must round to at least one step of 0.001 s \(got 1e-05\)",
        ),
    ],
)
def test_what_breaks_a_rule_is_named(make: object, message: str) -> None:
    with pytest.raises(NeurosimInputError, match=message):
        make()  # type: ignore[operator]
