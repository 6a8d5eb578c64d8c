"""Short-term plasticity: steady states, paired pulses, and successes of release."""

from __future__ import annotations

import math

import numpy as np
import pytest
from helpers.one_synapse import DT

from neurosim.engine.compile.rule_vectors import short_term_vector
from neurosim.kernels.engine.clocked import short_term as short_term_kernel
from neurosim.network import ShortTermPlasticity


def release(parameters: ShortTermPlasticity, steps: np.ndarray) -> np.ndarray:
    vector = short_term_vector(parameters, DT)
    state = np.array([[0.0, 1.0, 0.0]])
    got = np.array([short_term_kernel.release(vector, state, 0, step) for step in steps])
    np.testing.assert_allclose(got, short_term_kernel.release_reference(vector, steps), rtol=1e-13)
    return got


@pytest.mark.parametrize("tau_facil", [0.0, 0.03, 0.5])
@pytest.mark.parametrize("interval", [5, 20, 100])
def test_short_term_steady_state(tau_facil: float, interval: int) -> None:
    """At a constant rate u and x come to rest where a period leads them back (Tsodyks & Markram 1997)."""
    use = 0.2
    tau_rec = 0.15
    got = release(ShortTermPlasticity(use, tau_rec, tau_facil), np.arange(600) * interval)
    if tau_facil:
        kept = math.exp(-interval * DT / tau_facil)
    else:
        kept = 0.0
    recovered = math.exp(-interval * DT / tau_rec)
    u = use / (1 - (1 - use) * kept)
    x = (1 - recovered) / (1 - (1 - u) * recovered)
    assert got[0] == pytest.approx(use)
    assert got[-1] == pytest.approx(u * x, rel=1e-12)


def test_paired_pulses() -> None:
    """The second of two spikes 20 ms apart, over the first: depression alone, and facilitation."""
    first, second = release(ShortTermPlasticity(0.5, 0.8), np.array([7, 27]))
    assert second / first == pytest.approx(1 - 0.5 * math.exp(-20 / 800))
    first, second = release(ShortTermPlasticity(0.1, 0.1, 1.0), np.array([7, 27]))
    u = 0.1 + 0.9 * 0.1 * math.exp(-0.02)
    assert second / first == pytest.approx(u * (1 - 0.1 * math.exp(-0.2)) / 0.1) and second > first
    # Two spikes of one step: nothing recovers between them.
    assert release(ShortTermPlasticity(0.5, 0.8), np.array([3, 3])) == pytest.approx([0.5, 0.25])


@pytest.mark.parametrize("count", [0, 1, 7, 255])
@pytest.mark.parametrize("chance", [0.0, 0.02, 0.5, 0.73, 1.0])
def test_successes_of_uniform_numbers_are_binomial(count: int, chance: float) -> None:
    numbers = np.concatenate([(np.arange(2000) + 0.5) / 2000, [2.0**-54, 1 - 2.0**-53]])
    drawn = np.array([short_term_kernel.binomial(count, chance, number) for number in numbers])
    # The plain form takes 0.1 ms a number: every eighth, and the two at the ends.
    some = np.r_[0:2000:8, 2000, 2001]
    plain = [short_term_kernel.binomial_reference(count, chance, number) for number in numbers[some]]
    np.testing.assert_array_equal(drawn[some], plain)
    assert drawn.min() >= 0 and drawn.max() <= count
    # Numbers at equal distances: moments are those of the distribution, but for its ends.
    assert drawn[:2000].mean() == pytest.approx(count * chance, abs=0.01)
    assert drawn[:2000].var() == pytest.approx(count * chance * (1 - chance), rel=0.01, abs=0.01)
