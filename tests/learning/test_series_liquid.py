"""A liquid on a series: the code of values, the states, ridge regression, memory capacity and ranks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from neurosim.base import NeurosimInputError
from neurosim.learning import Liquid
from neurosim.learning.liquid import series
from neurosim.learning.liquid.regression import (
    RidgeRegression,
    TrainedRegression,
    ahead,
    lagged,
    normalised_error,
)
from neurosim.learning.liquid.series import SeriesLiquid, kernel_ranks, memory_capacity, squared_correlation
from neurosim.learning.liquid.value_code import ValueCode


def small(code: ValueCode | None = None, **settings: object) -> SeriesLiquid:
    code = code or ValueCode(units=16)
    options = {"neurons": 60, "patch_synapses": 8, "in_degree": 8, "max_input_delay": 0.1, "rate": 60.0}
    return SeriesLiquid(Liquid(code.shape, own_pace=False, **{**options, **settings}), code, (0.02, 0.05))


def test_a_value_is_a_bump_whose_nearest_unit_fires_first() -> None:
    code = ValueCode(units=21, width=0.1, low=(0.0, -1.0), high=(1.0, 1.0))
    values = np.array([[0.5, 0.0], [9.0, -1.0]])
    spikes = code.encode(values[None])
    assert spikes.shape == (42,) and spikes.durations.tolist() == [0.04]
    times = np.asarray(spikes.ticks)
    units = np.asarray(spikes.units)
    first = times < 0.02
    # Both columns are in the middle of their ranges: units 10 and 31, at once.
    assert set(units[first][times[first] == 0.0]) == {10, 31}
    centres = np.linspace(-0.1, 1.1, 21)
    for time, unit in zip(times[first], units[first], strict=True):
        activity = np.exp(-((0.5 - centres[unit % 21]) ** 2) / 0.02)
        assert activity >= 0.05 and time == pytest.approx(0.9 * (1 - activity) * 0.02)
    # A value beyond the range is the largest in it.
    inside = code.encode(np.array([[[1.0, -1.0]]]))
    assert np.array_equal(units[~first], inside.units)
    assert np.allclose(times[~first] - 0.02, inside.ticks)


def test_wrong_values_are_refused() -> None:
    code = ValueCode()
    with pytest.raises(NeurosimInputError, match=r"needs values \[series, values, 1\]"):
        code.encode(np.zeros((3, 2)))
    with pytest.raises(NeurosimInputError, match="needs finite values"):
        code.encode(np.full((1, 3, 1), np.nan))
    with pytest.raises(NeurosimInputError, match=r"ValueCode.high: must be > low"):
        ValueCode(low=(1.0,), high=(1.0,))
    with pytest.raises(NeurosimInputError, match=r"SeriesLiquid.liquid: must be of \(64,\)"):
        SeriesLiquid(Liquid((32,)), code)


def test_states_are_filtered_spikes_at_the_end_of_each_value() -> None:
    own = small()
    values = np.random.default_rng(0).uniform(0, 1, (2, 6, 1))
    spikes = own.run(values, threads=1).recordings("liquid")
    states = own.states(spikes)
    assert states.shape == (2, 6, 120) and states.any()
    for k in range(2):
        times = spikes[k].times
        units = spikes[k].units
        for j in range(6):
            end = (j + 1) * 0.02
            before = times <= end + 1e-12
            for part, tau in enumerate(own.taus):
                expected = np.zeros(60)
                np.add.at(expected, units[before], np.exp((times[before] - end) / tau))
                assert states[k, j, 60 * part : 60 * part + 60] == pytest.approx(expected, abs=1e-5)


def test_the_regression_is_the_closed_form_of_its_penalty() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(200, 7)) * rng.uniform(0.1, 9, 7) + 3
    x[:, 4] = 5.0  # a neuron that never changes
    y = x @ rng.normal(size=(7, 2)) + rng.normal(size=(200, 2))
    for penalty in (1e-3, 1.0):
        trained = RidgeRegression((penalty,)).fit(x, y)
        spread = x.std(axis=0)
        spread[4] = 1.0
        z = (x - x.mean(axis=0)) / spread
        gram = z.T @ z
        added = penalty * np.trace(gram) / 7
        weights = np.linalg.solve(gram + added * np.eye(7), z.T @ (y - y.mean(axis=0)))
        assert trained.predict(x) == pytest.approx(z @ weights + y.mean(axis=0), abs=1e-8)
        assert trained.weights[4].tolist() == [0.0, 0.0]


def test_each_target_has_the_penalty_that_generalises(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(60, 40))
    y = np.stack([x[:, 0], rng.normal(size=60)], axis=1)
    trained = RidgeRegression().fit(x, y)
    # An exact relation needs no penalty; nothing but noise is best not followed.
    assert trained.penalties[0] < 1e-3 and trained.penalties[1] >= 1
    trained.save(tmp_path / "readout.safetensors")
    assert np.array_equal(TrainedRegression.load(tmp_path / "readout.safetensors").predict(x), trained.predict(x))
    with pytest.raises(NeurosimInputError, match=r"needs states \[n, 40\]"):
        trained.predict(x[:, :3])
    with pytest.raises(NeurosimInputError, match="n >= 10"):
        RidgeRegression().fit(x[:5], y[:5])
    with pytest.raises(NeurosimInputError, match="must hold numbers > 0"):
        RidgeRegression((0.0,))


def test_lags_horizons_and_errors_are_what_they_say() -> None:
    values = np.arange(4.0)
    assert lagged(values[:, None], 2).tolist() == [[0, 0], [1, 0], [2, 1], [3, 2]]
    assert ahead(values, (1, 2))[:2].tolist() == [[1, 2], [2, 3]]
    assert np.isnan(ahead(values, (1, 2))[2:, 1]).all()
    targets = np.array([[1.0], [3.0]])
    assert normalised_error(np.full((2, 1), 2.0), targets).tolist() == [1.0]
    falling = np.array([[3.0], [1.0], [-3.0]])
    assert squared_correlation(np.array([[1.0], [2.0], [4.0]]), falling) == pytest.approx([1.0])
    assert squared_correlation(np.ones((3, 1)), targets[[0, 1, 0]]).tolist() == [0.0]


def test_delays_of_the_input_are_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A liquid without recurrent synapses remembers as far as its longest delay, and hardly farther."""
    monkeypatch.setattr(series, "MEMORY_VALUES", 900)
    own = small(in_degree=0, tau_mem=0.005, tau_syn=0.003)
    own = replace(own, taus=(0.01,))
    memory = memory_capacity(own, threads=1)
    assert memory.shape == (50,)
    # .1 s are five values.
    assert memory[:4].min() > 0.2 and memory[8:].max() < 0.1
    assert np.array_equal(memory, memory_capacity(own, threads=1))


def test_series_that_end_alike_have_fewer_states_than_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series, "MAX_STATES", 40)
    ranks = kernel_ranks(small(), threads=1)
    assert ranks.states == 40 and 0 < ranks.generalisation < ranks.kernel <= 40
