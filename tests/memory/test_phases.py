"""Associative memories at a temperature: dynamics and phases against closed forms, plain loops and simulations."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from neurosim.app.runs.memory.associative import page
from neurosim.app.runs.memory.associative.overview import overview_of
from neurosim.app.runs.memory.associative.result import AssociativeResult
from neurosim.base import CapacityWarning, NeurosimInputError
from neurosim.memory import DenseHebbian, Hopfield
from neurosim.memory.associative.common import tail
from neurosim.memory.associative.dense import dense_bit_error
from neurosim.memory.associative.dense_phases import dense_state, lowest_quality
from neurosim.memory.associative.multitasking import (
    max_hierarchical_dilution,
    multitasking_overlaps,
    multitasking_phase,
    multitasking_state,
)
from neurosim.memory.associative.pairs import chain_error, propagated_error
from neurosim.memory.associative.phase_maps import PhaseMap
from neurosim.memory.associative.simulations import learned_overlap, warm_overlap


def signs(seed, *shape):
    return np.random.default_rng(seed).choice([-1.0, 1.0], shape)


def magnetisation(temperature, power=1):
    """Return m = tanh(power' m^power / T) by plain iteration from 1, for a field of (power + 1) / 2 m^power."""
    m = 1.0
    for _ in range(10_000):
        m = math.tanh((power + 1) / 2 * m**power / temperature)
    return m


@pytest.mark.parametrize("temperature", [0.4, 0.8])
def test_one_pattern_at_a_temperature_is_a_magnet(temperature):
    pattern = signs(0, 1, 800)
    expected = magnetisation(temperature)
    for memory, options in ((Hopfield.store(pattern), {}), (DenseHebbian.store(pattern, 2), {"sweeps": 100})):
        recall = memory.recall(pattern[0], temperature=temperature, **options)
        assert recall.overlap(pattern)[0] == pytest.approx(expected, abs=0.03) and recall.sweeps == 100
    if temperature > 0.5:
        # The same field of order 3, 3 m^2 / 2, has no such state above .79.
        cubic = DenseHebbian.store(pattern, 3).recall(pattern[0], 100, 0.6)
        assert cubic.overlap(pattern)[0] == pytest.approx(magnetisation(0.6, 2), abs=0.02)


def test_little_heat_is_none():
    patterns = signs(0, 4, 120)
    cue = patterns[0] * np.where(np.arange(120) < 20, -1, 1)
    for memory in (Hopfield.store(patterns), DenseHebbian.store(patterns, 3)):
        cold = memory.recall(cue)
        warm = memory.recall(cue, temperature=1e-9)
        assert np.array_equal(warm.state, cold.state) and np.array_equal(cold.state, patterns[0])
        assert not np.array_equal(memory.recall(cue, temperature=0.5).state, cold.state)
        with pytest.raises(NeurosimInputError, match=r"recall\.temperature: must be >= 0 \(got -1\)"):
            memory.recall(cue, temperature=-1)


def test_cues_at_a_temperature_recall_what_each_does_alone():
    patterns = signs(0, 3, 60)
    for memory in (Hopfield.store(patterns), DenseHebbian.store(patterns, 4)):
        many = memory.recall_many(patterns, temperature=0.6, seed=5)
        for k, pattern in enumerate(patterns):
            alone = memory.recall(pattern, temperature=0.6, seed=5)
            assert np.array_equal(many.states[k], alone.state) and many.operations[k] == alone.operations
        assert not np.array_equal(memory.recall(patterns[0], temperature=0.6, seed=6).state, many.states[0])


def free_energy(overlaps, dilution, temperature):
    """Return m . m / 2 - T E log 2 cosh(m . xi / T) by a loop over all entries."""
    total = 0.0
    for entries in itertools.product((-1, 0, 1), repeat=len(overlaps)):
        chance = math.prod(dilution if x == 0 else (1 - dilution) / 2 for x in entries)
        field = sum(x * m for x, m in zip(entries, overlaps, strict=True))
        total += chance * temperature * math.log(2 * math.cosh(field / temperature))
    return sum(m * m for m in overlaps) / 2 - total


def test_a_state_of_many_patterns_is_a_minimum_of_its_free_energy():
    state = multitasking_state(0.7, 0.06, multitasking_overlaps(3, 0.7))
    assert state.free_energy == pytest.approx(free_energy(state.overlaps, 0.7, 0.06), abs=1e-12)
    for step in np.vstack([np.eye(3), -np.eye(3)]) * 1e-3:
        assert free_energy(state.overlaps + step, 0.7, 0.06) > state.free_energy
    cold = multitasking_state(0.5, 0.0, multitasking_overlaps(3, 0.5))
    assert cold.overlaps == pytest.approx(multitasking_overlaps(3, 0.5), abs=1e-12)
    assert cold.free_energy == pytest.approx(-(cold.overlaps @ cold.overlaps) / 2, abs=1e-12)
    pure = multitasking_state(0.4, 0.3, [0.6, 0, 0])
    assert pure.overlaps[0] == pytest.approx(0.6 * magnetisation(0.3 / 0.6), abs=1e-9)


def test_phases_of_three_patterns():
    assert [multitasking_phase(3, 0.7, share * 0.3) for share in (0.1, 0.2, 0.4, 0.8)] == [
        "hierarchy",
        "hierarchy",
        "parallel",
        "parallel",
    ]
    assert [multitasking_phase(3, 0.5, share * 0.5) for share in (0.1, 0.4, 0.7, 1.1)] == [
        "hierarchy",
        "mixed",
        "pure",
        "none",
    ]
    # Beyond the bound the overlaps still differ, and are not those of the hierarchy.
    bound = max_hierarchical_dilution(3)
    for dilution, same in ((bound - 0.02, True), (bound + 0.02, False)):
        overlaps = multitasking_state(dilution, 0.0, multitasking_overlaps(3, dilution)).overlaps
        assert np.allclose(overlaps, multitasking_overlaps(3, dilution), atol=1e-9) == same
    with pytest.raises(NeurosimInputError, match=r"multitasking_phase\.patterns: must be 1 to 8 \(got 9\)"):
        multitasking_phase(9, 0.5, 0.1)
    with pytest.raises(NeurosimInputError, match=r"multitasking_state\.temperature: must be >= 0"):
        multitasking_state(0.5, -0.1, [0.5])


def test_patterns_learned_from_examples():
    """Couplings are sums over pairs of units, in loops; whole examples are patterns; overlaps are near the equation."""
    draws = np.random.default_rng(0)
    archetypes = draws.choice([-1.0, 0.0, 1.0], (2, 24))
    labels = [0] * 3 + [1] * 4
    examples = archetypes[labels] * draws.choice([-1.0, 1.0], (7, 24), p=[0.2, 0.8])
    supervised = Hopfield.supervised(examples, labels, 0.6)
    unsupervised = Hopfield.unsupervised(examples, 2, 0.6)
    for i, j in itertools.combinations(range(24), 2):
        first = examples[:3, i].mean() * examples[:3, j].mean() / (0.36 + 0.64 / 3)
        second = examples[3:, i].mean() * examples[3:, j].mean() / (0.36 + 0.64 / 4)
        assert supervised.couplings[i, j] == pytest.approx((first + second) / 24, abs=1e-15)
        product = np.mean(examples[:, i] * examples[:, j])
        assert unsupervised.couplings[i, j] == pytest.approx(2 * product / 0.36 / 24, abs=1e-15)
    whole = Hopfield.store(archetypes).couplings
    for memory in (Hopfield.supervised(archetypes, [0, 1], 1.0), Hopfield.unsupervised(archetypes, 2, 1.0)):
        np.testing.assert_allclose(memory.couplings, whole, rtol=0, atol=1e-15)
    state = multitasking_state(0.3, 0.0, multitasking_overlaps(3, 0.3), 0.4, 31)
    for kind in (True, False):
        found = [learned_overlap(rank, 0.3, 31, 0.4, supervised=kind, units=1000)(1) for rank in range(3)]
        assert found == pytest.approx(np.sort(np.abs(state.overlaps))[::-1], abs=0.06)
    with pytest.raises(NeurosimInputError, match=r"Hopfield\.supervised: needs 7 labels \(got \(2,\)\)"):
        Hopfield.supervised(examples, [0, 1], 0.6)
    with pytest.warns(CapacityWarning, match="Hopfield: 4 archetypes are more than the 3 that 24 units recall"):
        Hopfield.unsupervised(examples, 4, 0.6)
    with pytest.raises(
        NeurosimInputError, match=r"multitasking_state\.examples: must be >= 1, with \(examples \+ 2\)\^3"
    ):
        multitasking_state(0.3, 0.0, [0.1] * 3, 0.4, 100)


def test_the_state_of_learned_patterns_is_that_of_an_enumeration():
    """Two examples of two patterns: every agreement of every example at a unit, one by one."""
    state = multitasking_state(0.3, 0.2, [0.7, 0.2], 0.6, 2)
    units = []
    for xi in itertools.product((-1, 0, 1), repeat=2):
        for agree in itertools.product((0, 1), repeat=4):
            chance = math.prod(0.3 if x == 0 else 0.35 for x in xi) * math.prod(0.8 if a else 0.2 for a in agree)
            means = [agree[0] + agree[1] - 1, agree[2] + agree[3] - 1]
            units.append([chance, *xi, *(x * mean for x, mean in zip(xi, means, strict=True))])
    chance, *rows = np.array(units).T
    xi = np.stack(rows[:2])
    v = np.stack(rows[2:]) / math.sqrt(0.36 + 0.64 / 2)
    n = np.array([0.7, 0.2])
    for _ in range(500):
        unit = chance * np.tanh(n @ v / 0.2)
        n = v @ unit
    assert state.overlaps == pytest.approx(xi @ unit, abs=1e-9)


@pytest.mark.parametrize(("dilution", "share"), [(0.3, 0.1), (0.7, 0.1), (0.3, 0.6)])
def test_networks_reach_the_states_of_the_equation(dilution, share):
    temperature = share * (1 - dilution)
    state = multitasking_state(dilution, temperature, multitasking_overlaps(3, dilution))
    expected = np.sort(np.abs(state.overlaps))[::-1]
    found = [warm_overlap(rank, dilution, temperature, units=600)(1) for rank in range(3)]
    # Fluctuations of 600 units.
    assert found == pytest.approx(expected, abs=0.04)


def test_dense_states_in_their_limits():
    for order in (2, 3, 4):
        assert dense_state(order, 0.0, 0.5).overlap == pytest.approx(magnetisation(0.5, order - 1), abs=1e-6)
    # Order 2: units freeze below T = 1 + sqrt(load), and recall ends at .138 (Amit et al. 1985).
    assert [dense_state(2, 0.16, t).phase for t in (1.3, 1.5)] == ["glass", "none"]
    assert [dense_state(2, load, 0.02).phase for load in (0.12, 0.16)] == ["recalled", "glass"]
    # Near T = 0: the wrong bits of one update, of which the next makes more, as the overlap is less.
    wrong = 0.0
    for _ in range(100):
        wrong = tail((1 - 2 * wrong) ** 3 / math.sqrt(15 * 0.01))
    assert (1 - dense_state(4, 0.01, 0.01).overlap) / 2 == pytest.approx(wrong, rel=1e-2)
    assert wrong > tail(1 / math.sqrt(15 * 0.01)) == dense_bit_error(100, 4, 10_000)
    # Examples: the more, the nearer the state is to that of patterns.
    overlaps = [dense_state(2, 0.05, 0.3, 0.5, examples).overlap for examples in (3, 10, 100)]
    assert overlaps[0] < overlaps[1] < overlaps[2] < dense_state(2, 0.05, 0.3).overlap
    for call, message in (
        (lambda: dense_state(2, 0.1, 0.001), r"dense_state\.temperature: must be at least 0\.01 \(got 0\.001\)"),
        (lambda: dense_state(2, -0.1, 0.1), r"dense_state\.load: must be >= 0"),
        (lambda: lowest_quality(60, 2, 5, 10, 0.7), r"lowest_quality\.error: must be above 0 and below \.5"),
    ):
        with pytest.raises(NeurosimInputError, match=message):
            call()


def test_a_dense_memory_of_examples_is_at_a_temperature_as_its_equation_says():
    archetypes = signs(0, 5, 300)
    agree = np.random.default_rng(1).random((5, 20, 300)) < 0.75
    examples = np.where(agree, archetypes[:, None], -archetypes[:, None]).reshape(-1, 300)
    memory = DenseHebbian.supervised(examples, np.repeat(np.arange(5), 20), 2)
    overlaps = memory.recall_many(archetypes, 60, 0.4).overlap(archetypes)
    expected = dense_state(2, 5 / 300, 0.4, 0.5, 20).overlap
    assert np.diagonal(overlaps).mean() == pytest.approx(expected, abs=0.03) and expected < 0.95


def test_the_lowest_quality_is_where_the_error_is():
    for order in (2, 4):
        quality = lowest_quality(60, order, 5, 4000)
        assert dense_bit_error(60, order, 5, quality, 4000) == pytest.approx(0.01, rel=1e-4)
    assert quality < lowest_quality(60, 2, 5, 4000) < 0.06
    assert lowest_quality(60, 2, 60, 1) == 1.0


@pytest.mark.parametrize(("depth", "heads"), [(1, 1), (4, 1), (2, 4)])
def test_errors_of_chains_grow_as_the_formula_says(depth, heads):
    expected = propagated_error(8, 32, depth, heads)
    errors = [chain_error(8, 32, depth, heads, seed) for seed in range(160 // heads)]
    assert abs(np.mean(errors) - expected) < 4 * np.std(errors) / math.sqrt(len(errors)) < 0.25 * expected
    # A head of several widths is as good as several heads.
    assert propagated_error(8, 32, depth, 4) == propagated_error(8, 128, depth, 1)
    with pytest.raises(NeurosimInputError, match=r"propagated_error: needs pairs, d_k, depth, heads >= 1"):
        propagated_error(8, 32, 0)


def test_a_phase_diagram_is_drawn(tmp_path):
    names = tuple(tuple(multitasking_phase(2, d, share * (1 - d)) for d in (0.2, 0.6)) for share in (0.1, 0.9, 1.1))
    diagram = PhaseMap("two patterns", "dilution", "temperature", (0.2, 0.6), (0.1, 0.9, 1.1), names)
    result = AssociativeResult.from_dict(AssociativeResult(maps=(diagram,), title="phases").to_dict())
    assert result.maps == (diagram,)
    phases = overview_of(result).tables["phases"].rows
    assert ("two patterns", "none", "0.33") in phases and sum(float(row[2]) for row in phases) == pytest.approx(
        1, abs=0.02
    )
    ((drawn, caption),) = page.fill(tmp_path, result)["figures"]
    assert "phases by dilution and temperature" in drawn and caption == "two patterns." and drawn.count("<rect") >= 6
