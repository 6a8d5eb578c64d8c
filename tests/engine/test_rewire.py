"""Structural plasticity: synapses that go and come are those of the rule, and all else goes on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import pytest

from neurosim import (
    LIF,
    STDP,
    AllToAll,
    FixedNumberPre,
    FromList,
    Network,
    PoissonSource,
    Population,
    Probe,
    Projection,
    Simulation,
    Spikes,
    SpikeSource,
)
from neurosim.base import NeurosimInputError
from neurosim.network import LI, RewardSTDP, ShortTermPlasticity, Uniform
from neurosim.network.plasticity.base import LearningRule
from neurosim.network.plasticity.structural import PruneAndRegrow, Rewired, StructuralRule, Synapses

RULE = PruneAndRegrow(below=0.3, weight=0.5)
REWARDED = RewardSTDP("reward", a_plus=0.05, reward_size=5.0)
QUANTA = ShortTermPlasticity(0.6, 0.2, sites=4)


def network(rule: LearningRule | ShortTermPlasticity | None, delay: object = 3e-3) -> Network:
    change = {"short_term" if isinstance(rule, ShortTermPlasticity) else "plasticity": rule}
    return Network(
        [
            Population("in", 60, PoissonSource(30.0)),
            Population("x", 20, LIF()),
            Population("reward", 1, PoissonSource(9.0)),
        ],
        [
            Projection("in", "x", FixedNumberPre(20), Uniform(0.0, 1.0), delay, **change),  # type: ignore[arg-type]
            Projection("x", "x", FixedNumberPre(3), 0.1, 2e-3),
        ],
    )


@pytest.mark.parametrize("rule", [None, STDP(), REWARDED, QUANTA], ids=["fixed", "STDP", "rewarded", "quanta"])
def test_weak_synapses_go_and_as_many_come(rule: LearningRule | ShortTermPlasticity | None, tmp_path: Path) -> None:
    simulation = Simulation(network(rule), seed=8, threads=1)
    simulation.run(0.2)
    before = simulation.connections("in->x")
    after = simulation.rewire("in->x", RULE)
    old, new = (dict(zip(zip(c.pre, c.post, strict=True), c.weight, strict=True)) for c in (before, after))
    stay = {pair: weight for pair, weight in old.items() if weight >= 0.3}
    assert 50 < len(stay) < len(old) - 50
    assert {pair: new[pair] for pair in stay} == pytest.approx(stay, abs=1e-6)
    come = set(new) - set(stay)
    assert not come & set(old) and {new[pair] for pair in come} == {0.5}
    np.testing.assert_array_equal(np.bincount(after.post), 20)
    simulation.save(tmp_path / "state")
    rest = simulation.run(0.2)
    again = Simulation.load(tmp_path / "state", network(rule), threads=2)
    assert again.run(0.2).spikes["x"].digest() == rest.spikes["x"].digest()
    np.testing.assert_array_equal(again.connections("in->x").weight, simulation.connections("in->x").weight)


@final
@dataclass(frozen=True)
class Nothing(StructuralRule):
    def rewire(self, synapses: Synapses, generator: np.random.Generator) -> Rewired:
        none = np.empty(0, np.int64)
        return Rewired(np.ones(len(synapses.pre), np.bool_), none, none, np.empty(0))


@pytest.mark.parametrize("rule", [None, STDP(), REWARDED, QUANTA], ids=["fixed", "STDP", "rewarded", "quanta"])
def test_a_rule_that_decides_nothing_changes_nothing(rule: LearningRule | ShortTermPlasticity | None) -> None:
    whole = Simulation(network(rule), seed=3, precision="float64").run(0.3)
    simulation = Simulation(network(rule), seed=3, precision="float64")
    first = simulation.run(0.1505)
    simulation.rewire("in->x", Nothing())
    rest = simulation.run(0.1495)
    times = np.concatenate([first.spikes["x"].times, rest.spikes["x"].times])  # type: ignore[union-attr]
    np.testing.assert_array_equal(times, whole.spikes["x"].times)  # type: ignore[union-attr]
    for name, weights in whole.weights.items():
        np.testing.assert_allclose(rest.weights[name], weights, rtol=1e-12)


@final
@dataclass(frozen=True)
class Swap(StructuralRule):
    def rewire(self, synapses: Synapses, generator: np.random.Generator) -> Rewired:
        return Rewired(np.zeros(1, np.bool_), np.zeros(1, np.int64), np.ones(1, np.int64), np.full(1, 7.0))


def test_a_spike_on_its_way_arrives_where_it_was_sent() -> None:
    cells = [Population("in", 1, SpikeSource()), Population("x", 2, LI(tau_mem=1e9))]
    described = Network(cells, [Projection("in", "x", AllToAll(), 1.0, 5e-3)])
    simulation = Simulation(described, Spikes([0.001, 0.008], [0, 0], 1, 0.02), probes=[Probe("x", "v")])
    simulation.run(0.004)
    with pytest.raises(NeurosimInputError, match=r"Swap.rewire: keep: must be \[2\], one a synapse"):
        simulation.rewire("in->x", Swap())
    simulation.rewire("in->x", PruneAndRegrow(below=2.0, weight=3.0))
    assert len(simulation.connections("in->x")) == 0  # every source reached every target already
    v = simulation.run(0.016).states["x.v"]
    assert v[-1].tolist() == [1.0, 1.0]  # type: ignore[index]


@pytest.mark.parametrize(
    ("name", "rule", "message"),
    [
        ("in-x", RULE, r"unknown name 'in-x'; did you mean 'in->x'"),
        ("in->x", STDP(), r"Simulation.rewire.rule: must be a structural rule"),
        ("in->x", RULE, r"Projection\['in->x'\].delay: must be one to rewire synapses that learn or .* \(got \d\)"),
        ("x->x", RULE, r"Simulation.rewire.projection: must have no probe, which numbers its synapses \(got x->x\)"),
    ],
)
def test_what_cannot_be_rewired_is_named(name: str, rule: StructuralRule, message: str) -> None:
    described = network(STDP(), Uniform(1e-3, 5e-3))
    learns = Projection("x", "x", FixedNumberPre(3), 0.1, plasticity=STDP())
    described = Network(described.populations, [described.projections[0], learns])
    with pytest.raises(NeurosimInputError, match=message):
        Simulation(described, probes=[Probe("x->x", "weight")]).rewire(name, rule)


def test_a_projection_without_synapses_runs() -> None:
    """Also one whose delays are a vector of none, as after the last of several went."""
    none = np.empty(0)
    cells = [Population("in", 2, PoissonSource(50.0)), Population("x", 2, LI(tau_mem=1e9))]
    described = Network(cells, [Projection("in", "x", FromList([], []), none, none)])
    simulation = Simulation(described, probes=[Probe("x", "v")], threads=1)
    assert not simulation.run(0.05).states["x.v"].any()  # type: ignore[union-attr]
    simulation.rewire("in->x", Nothing())
    assert len(simulation.connections("in->x")) == 0 and not simulation.run(0.05).states["x.v"].any()  # type: ignore[union-attr]


@final
@dataclass(frozen=True)
class Replace(StructuralRule):
    """Remove all synapses, add three or none: their delays are those of others."""

    comes: bool

    def rewire(self, synapses: Synapses, generator: np.random.Generator) -> Rewired:
        new = np.arange(3 if self.comes else 0)
        return Rewired(np.zeros(len(synapses.pre), np.bool_), new, new, np.ones(len(new)))


@pytest.mark.parametrize(
    ("delay", "expected"),
    [(2e-3, {2}), (Uniform(3e-3, 6e-3), {3, 4, 5, 6}), (np.array([1e-3, 4e-3, 9e-3]), {4})],
    ids=["number", "drawn", "array"],
)
def test_delays_outlive_the_last_synapse(delay: object, expected: set[int]) -> None:
    """Synapses that come when all are gone have the delay of the projection, or one of those that were in an array."""
    cells = [Population("in", 3, PoissonSource(50.0)), Population("x", 3, LI(tau_mem=1e9))]
    described = Network(cells, [Projection("in", "x", FromList([0, 1, 2], [0, 1, 2]), 1.0, delay)])  # type: ignore[arg-type]
    simulation = Simulation(described, threads=1)
    for comes in (False, False, True):
        simulation.run(0.01)
        simulation.rewire("in->x", Replace(comes))
    assert set(np.rint(simulation.connections("in->x").delay / 1e-3).astype(int)) <= expected


def test_a_rule_sets_delays_where_none_was_ever_known() -> None:
    cells = [Population("in", 3, PoissonSource(50.0)), Population("x", 3, LI())]
    none = np.empty(0)
    simulation = Simulation(Network(cells, [Projection("in", "x", FromList([], []), none, none)]), threads=1)
    with pytest.raises(NeurosimInputError, match=r"Replace.rewire: delay: must be set, for no synapse has one"):
        simulation.rewire("in->x", Replace(comes=True))


@final
@dataclass(frozen=True)
class Given(StructuralRule):
    """The first synapse goes; two come, with delays of their own or of others."""

    own: bool

    def rewire(self, synapses: Synapses, generator: np.random.Generator) -> Rewired:
        keep = np.arange(len(synapses.pre)) > 0
        delay = np.array([2e-3, 9e-3]) if self.own else None
        return Rewired(keep, np.array([0, 1]), np.array([1, 1]), np.array([100.0, 1000.0]), delay)


@pytest.mark.parametrize("own", [True, False])
def test_synapses_with_delays_of_their_own(own: bool) -> None:
    """Each spike of a source arrives with weight and delay of its time: integrators without leak count them."""
    pattern = FromList([0, 0, 1], [0, 1, 0])
    delays = np.array([3e-3, 6e-3, 4e-3])
    weights = np.array([1.0, 2.0, 4.0])
    cells = [Population("in", 2, SpikeSource()), Population("x", 2, LI(tau_mem=1e9))]
    described = Network(cells, [Projection("in", "x", pattern, weights, delays)])
    times = np.array([1, 4, 5, 12, 13]) * 1e-3
    units = np.array([0, 0, 1, 0, 1])
    simulation = Simulation(described, Spikes(times, units, 2, 0.03), probes=[Probe("x", "v")], threads=1)
    first = simulation.run(0.006).states["x.v"]
    now = simulation.rewire("in->x", Given(own))
    order = np.argsort(now.weight)
    assert now.weight[order].tolist() == [2, 4, 100, 1000] and now.pre[order].tolist() == [0, 1, 0, 1]
    new = np.rint(now.delay[order][2:] / 1e-3)
    assert new.tolist() == [2, 9] if own else np.isin(new, [3, 4, 6]).all()
    expected = np.zeros((30, 2))
    for step, unit in zip(np.rint(times * 1e3).astype(int), units, strict=True):
        before = [(0, 0, 1.0, 3e-3), (0, 1, 2.0, 6e-3), (1, 0, 4.0, 4e-3)]
        after = list(zip(now.pre, now.post, now.weight, now.delay, strict=True))
        for pre, post, weight, delay in before if step < 6 else after:
            if pre == unit and step + round(delay * 1e3) + 1 < 30:
                expected[step + round(delay * 1e3) + 1 :, post] += weight
    found = np.concatenate([first, simulation.run(0.024).states["x.v"]])  # type: ignore[arg-type]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
