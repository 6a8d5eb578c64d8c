"""Statistics of spike trains: the numbers of Elephant on the same spikes, and closed forms."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from neurosim import Recordings, Spikes
from neurosim.base import NeurosimInputError
from neurosim.data import stats

ELEPHANT = json.loads((Path(__file__).parents[1] / "fixtures" / "elephant.json").read_text())


def of_trains(trains: list[list[float]], duration: float) -> Spikes:
    units = np.repeat(np.arange(len(trains)), [len(train) for train in trains])
    return Spikes.sort(np.concatenate(trains), units, len(trains), duration)


@pytest.fixture
def spikes() -> Spikes:
    return of_trains([np.array(train) / 1e4 for train in ELEPHANT["trains"]], 2.0)


def poisson(units: int, rate: float, duration: float) -> Spikes:
    generator = np.random.default_rng(1)
    count = generator.poisson(units * rate * duration)
    return Spikes.sort(generator.uniform(0, duration, count), generator.integers(0, units, count), units, duration)


@pytest.mark.parametrize("name", ["cv", "cv2", "lv", "lvr"])
def test_intervals_vary_as_in_elephant(spikes: Spikes, name: str) -> None:
    theirs = np.array(ELEPHANT[name])
    ours = getattr(stats, name)(spikes)
    np.testing.assert_allclose(ours[: len(theirs)], theirs, rtol=1e-9)
    assert np.isnan(ours[4])  # a single spike


def test_rates_and_correlations_are_those_of_elephant(spikes: Spikes) -> None:
    np.testing.assert_allclose(stats.mean_firing_rate(spikes), ELEPHANT["rate"])
    np.testing.assert_allclose(stats.population_rate(spikes, 0.05), ELEPHANT["hist"])
    np.testing.assert_allclose(stats.covariance(spikes, 5e-3), ELEPHANT["cov"], rtol=1e-9)
    np.testing.assert_allclose(stats.correlation_coefficient(spikes, 5e-3, binary=True), ELEPHANT["corr"], rtol=1e-9)
    lags, pairs = stats.cross_correlation_histogram(spikes, 0, 1, 5e-3, (-6, 6))
    assert lags.tolist() == list(range(-6, 7))
    np.testing.assert_array_equal(pairs, ELEPHANT["cch"])


def test_synchrony_is_that_of_elephant(spikes: Spikes) -> None:
    ours = [
        stats.spike_time_tiling_coefficient(spikes, 0, 1),
        stats.spike_time_tiling_coefficient(spikes, 0, 2, 2e-3),
        stats.spike_time_tiling_coefficient(spikes, 0, 3),
    ]
    np.testing.assert_allclose(ours, ELEPHANT["sttc"], rtol=1e-9)
    three = of_trains([np.array(train) / 1e4 for train in ELEPHANT["trains"][:3]], 2.0)
    both = [stats.spike_contrast(spikes), stats.spike_contrast(three)]
    np.testing.assert_allclose(both, ELEPHANT["contrast"], rtol=1e-9)


def test_fano_factor_over_recordings() -> None:
    trials = [of_trains([list(np.linspace(0, 0.9, count)), [0.5]], 1.0) for count in (2, 4, 9)]
    factor = stats.fano_factor(Recordings.collect(trials))
    np.testing.assert_allclose(factor, [np.var([2, 4, 9]) / 5, 0.0])
    assert np.isnan(stats.fano_factor(Recordings.collect([of_trains([[], [0.1]], 1.0)]))[0])


def test_a_poisson_process_has_the_statistics_of_one() -> None:
    spikes = poisson(50, 40.0, 50.0)
    # cv2 and lv of exponential intervals are 1, as is the coefficient of variation.
    for measure in (stats.cv, stats.cv2, stats.lv):
        assert np.mean(measure(spikes)) == pytest.approx(1.0, abs=0.02)
    correlations = stats.correlation_coefficient(spikes, 0.01)
    assert np.abs(correlations[~np.eye(50, dtype=bool)]).max() < 0.1
    assert stats.population_rate(spikes, 0.5).mean() == pytest.approx(40.0, rel=0.02)
    assert stats.spike_time_tiling_coefficient(spikes, 0, 1) == pytest.approx(0.0, abs=0.1)


def test_a_clock_is_regular_and_twins_are_synchronous() -> None:
    clock = list(np.arange(1, 100) / 100)
    twins = of_trains([clock, clock], 1.0)
    assert np.allclose(stats.cv(twins), 0) and np.allclose(stats.lv(twins), 0)
    assert stats.correlation_coefficient(twins, 2e-3)[0, 1] == pytest.approx(1.0)
    assert stats.spike_time_tiling_coefficient(twins, 0, 1) == pytest.approx(1.0)
    assert np.allclose(np.concatenate(stats.isi(twins)), 0.01)


def test_windows_around_spikes() -> None:
    ramp = np.arange(100, dtype=float)
    found = stats.spike_triggered(np.array([0.0101, 0.05, 0.099]), ramp, 1e-3, (-2e-3, 1e-3))
    assert found.windows.tolist() == [[8, 9, 10, 11], [48, 49, 50, 51]]  # the third leaves the signal
    np.testing.assert_allclose(found.lags, [-2e-3, -1e-3, 0, 1e-3])
    np.testing.assert_allclose(found.mean, [28, 29, 30, 31])
    assert np.isnan(stats.spike_triggered(np.empty(0), ramp, 1e-3, (0, 0)).mean).all()


@pytest.mark.parametrize(
    "measure",
    [
        stats.cv,
        stats.mean_firing_rate,
        stats.population_rate,
        stats.spike_contrast,
        lambda s: stats.covariance(s, 0.1),
        lambda s: stats.spike_time_tiling_coefficient(s, 0, 1),
    ],
)
def test_what_is_no_recording_is_named(spikes: Spikes, measure: Callable[[object], object]) -> None:
    with pytest.raises(NeurosimInputError, match=r"spikes: must be Spikes of one recording \(got dict\)"):
        measure({"E": spikes})
    with pytest.raises(NeurosimInputError, match=r"fano_factor.recordings: must be Recordings of .* \(got Spikes\)"):
        stats.fano_factor(spikes)  # type: ignore[arg-type]


def test_measures_that_are_not_defined_are_nan() -> None:
    """Warnings are errors in tests."""
    together = of_trains([[0.1, 0.1, 0.1], [0.1, 0.2, 0.4]], 1.0)
    for measure in (stats.cv, stats.cv2, stats.lv, stats.lvr):
        values = measure(together)
        assert np.isnan(values[0]) and values[1] > 0
    assert np.isnan(stats.spike_time_tiling_coefficient(of_trains([[0.0], [0.0]], 0.0), 0, 1))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: stats.mean_firing_rate(s, 2.0), r"mean_firing_rate.start: must be >= 0 s and below the stop at 2 s"),
        (lambda s: stats.population_rate(s, 3.0), r"stats.bin_size: must be <= the duration of 2 s \(got 3.0\)"),
        (lambda s: stats.covariance(s, 0.0), r"stats.bin_size: must be > 0 s"),
        (lambda s: stats.cross_correlation_histogram(s, 0, 7), r"histogram.j: must be a unit below 5 \(got 7\)"),
        (lambda s: stats.spike_time_tiling_coefficient(s, -1, 0), r"coefficient.i: must be a unit below 5 \(got -1\)"),
        (lambda s: stats.lvr(s, -1.0), r"lvr.t_refractory: must be >= 0 s"),
        (lambda s: stats.spike_contrast(of_trains([[0.1], [0.2]], 1.0)), r"must hold a unit with two spikes"),
        (lambda s: stats.spike_triggered(s, s.times, 1e-3, (0, 1)), r"times: must be \[n\] s, such .* \(got Spikes\)"),
        (lambda s: stats.spike_triggered(s.times, s.times, 1e-3, (1, 0)), r"window: must end after it begins"),
    ],
)
def test_bad_arguments_are_named(spikes: Spikes, call: object, message: str) -> None:
    with pytest.raises(NeurosimInputError, match=message):
        call(spikes)  # type: ignore[operator]
