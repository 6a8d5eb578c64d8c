"""Random networks over all features: `guard.networks` draws them, `guard.reference` says what is right.

Each runs once on one thread and once on one or two, half of the second runs saved and loaded on the way: every spike,
state and weight has the same bits. Spikes are those of the reference; float64 states and weights within 1e-9.
"""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
import pytest

from guard.compare import check, compared, referred, simulated
from guard.kinds import KINDS
from guard.networks import AXES, case
from guard.pairs_networks import COMPARED, COMPARED_TIMES, MIN_TIMES, NETWORKS, count, table
from neurosim.engine.compile.network import compile_network
from neurosim.kernels.engine.clocked import deliver
from neurosim.network.neurons import MODELS

# Synapses of HodgkinHuxley may be shorter than a step.
pytestmark = pytest.mark.filterwarnings("ignore:simulate.clock")
# Few kinds, so that few steps are compiled; the slow tests have all of them.
QUICK = ("LIF", "CubaLIF", "CobaLIF", "DendriticLIF", "equations Heun")


@pytest.mark.parametrize("first", range(0, 16, 8))
def test_networks_of_few_kinds_are_as_the_reference_has_them(first: int) -> None:
    for seed in range(first, first + 8):
        made = case(seed, QUICK)
        verdict = check(made)
        assert not verdict.differences or verdict.tie, (str(made), verdict.differences)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, COMPARED, 100))
def test_networks_of_all_kinds_are_as_the_reference_has_them(first: int) -> None:
    ties = 0
    for seed in range(first, first + 100):
        made = case(seed)
        verdict = check(made)
        assert not verdict.differences or verdict.tie, (str(made), verdict.differences)
        ties += verdict.tie
    assert ties <= 4


@pytest.mark.slow
def test_every_pair_of_features_meets_ten_times_and_here_three_times() -> None:
    assert MIN_TIMES == 10 and COMPARED_TIMES == 3
    pairs = table(COMPARED, COMPARED_TIMES)
    assert pairs.missing() == []
    count(pairs, range(COMPARED, NETWORKS))
    assert pairs.cases == NETWORKS == 1400
    pairs.least = MIN_TIMES
    assert pairs.missing() == []
    assert pairs.contradictions() == []


def test_all_models_and_rules_of_the_package_are_drawn() -> None:
    from neurosim.network.plasticity import HOMEOSTASIS, RULES
    from neurosim.network.stimuli import STIMULI

    assert {kind.model.__name__ for kind in KINDS.values()} >= set(MODELS)
    assert set(AXES["rule"]) >= set(RULES)
    assert set(AXES["homeostasis"]) == set(HOMEOSTASIS)
    assert set(AXES["stimulus"]) >= set(STIMULI)


@pytest.mark.slow
def test_all_forms_of_rows_are_among_the_networks() -> None:
    forms: Counter[int] = Counter()
    for made in (case(seed, ("LIF", "CubaLIF", "CobaLIF")) for seed in range(200)):
        compiled = compile_network(made.network, made.dt, made.seed, np.dtype(made.precision))
        forms.update(table.form for table in compiled.row_tables)
    assert set(forms) == {deliver.BITS, deliver.COUNTS, deliver.SUMS, deliver.QUEUE, deliver.GROUPS}
    assert min(forms.values()) >= 10, forms


def test_a_seed_gives_one_network_and_another_seed_another() -> None:
    a = case(3)
    again = case(3)
    b = case(4)
    assert str(a) == str(again)
    assert a.groups == again.groups
    assert all(np.array_equal(a.played[name], again.played[name]) for name in a.played)
    assert str(a) != str(b)


def test_a_wrong_weight_or_spike_is_told() -> None:
    cases = (case(seed, ("LIF",), precision="float64") for seed in range(100))
    made = next(each for each in cases if {"fixed", "STDP"} <= each.features())
    results = simulated(made, 1, None)
    record = referred(made, results)
    assert compared(made, results, record).differences == []
    name = next(name for name, learned in results[0].weights.items() if learned.any())
    off = {**record.weights, name: record.weights[name] * (1 + 1e-5)}
    assert "weight" in compared(made, results, dataclasses.replace(record, weights=off)).differences[0]
    cells = next(iter(record.margins))
    spikes = {**record.spikes, cells: 1 - record.spikes[cells]}
    verdict = compared(made, results, dataclasses.replace(record, spikes=spikes))
    assert verdict.differences[0].startswith("step 0: spikes of")
    assert not verdict.tie
