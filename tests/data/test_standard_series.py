"""Mackey-Glass, NARMA-10 and Lorenz obey their equations, depend on the seed alone, and are where they should be."""

from __future__ import annotations

import numpy as np
import pytest

from neurosim.base import NeurosimInputError
from neurosim.data.standard_series import STANDARD, lorenz, mackey_glass, narma10, standard_series


@pytest.mark.parametrize("name", STANDARD)
def test_a_series_depends_on_its_seed_and_not_on_its_length(name: str) -> None:
    long = standard_series(name, 60, seed=1)
    short = standard_series(name, 40, seed=1)
    assert long.inputs.shape == (60, 1) and long.target.shape == (60,) and len(long.names) == 1
    assert np.array_equal(long.target[:40], short.target) and np.array_equal(long.inputs[:40], short.inputs)
    assert not np.array_equal(standard_series(name, 40, seed=2).target, short.target)


def test_narma_follows_its_recursion() -> None:
    series = narma10(60)
    u = series.inputs[:, 0]
    y = series.target
    assert u.min() >= 0 and u.max() < 0.5
    for t in range(9, 59):
        expected = 0.3 * y[t] + 0.05 * y[t] * y[t - 9 : t + 1].sum() + 1.5 * u[t - 9] * u[t] + 0.1
        assert y[t + 1] == pytest.approx(expected, abs=1e-12)


def test_mackey_glass_is_the_integral_of_its_equation() -> None:
    x = mackey_glass(500).target
    # The change over one unit of time is the integral of the slope: Simpson's rule over two units.
    slope = 0.2 * x[:-17] / (1 + x[:-17] ** 10) - 0.1 * x[17:]
    change = x[19:] - x[17:-2]
    simpson = (slope[:-2] + 4 * slope[1:-1] + slope[2:]) / 3
    assert np.abs(change - simpson).max() < 1e-3 and np.abs(change).max() > 0.1
    # Mean and spread of the attractor for a delay of 17.
    assert x.mean() == pytest.approx(0.93, abs=0.03) and x.std() == pytest.approx(0.23, abs=0.02)


def test_lorenz_stays_on_its_attractor() -> None:
    x = lorenz(2000).target
    assert abs(x).max() < 20 and x.std() == pytest.approx(7.9, abs=0.6)
    assert (x > 0).any() and (x < 0).any()


def test_unknown_series_and_lengths_below_1_are_refused() -> None:
    with pytest.raises(NeurosimInputError, match="series: unknown name 'lorentz'; did you mean 'lorenz'"):
        standard_series("lorentz", 10)
    with pytest.raises(NeurosimInputError, match="values: must be >= 1"):
        standard_series("lorenz", 0)
