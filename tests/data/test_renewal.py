"""Renewal processes: their intervals, and the same spikes in any pieces."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import kstest

from neurosim import LIF, Network, OneToOne, Population, Projection, Simulation, SpikeSource
from neurosim.base import NeurosimInputError
from neurosim.data.renewal import RenewalSpikes


def trains(source: RenewalSpikes, seconds: float) -> list[np.ndarray]:
    times, units = source.until(seconds)
    assert (np.diff(times) >= 0).all()
    return [times[units == unit] for unit in range(source.size)]


def test_intervals_of_a_gamma_process_have_its_distribution() -> None:
    shape = np.array([6.0, 4.0, 0.5])
    rate = np.array([16.0, 50.0, 30.0])
    for train, k, r in zip(trains(RenewalSpikes(1, rate, shape=shape), 100.0), shape, rate, strict=True):
        assert len(train) == pytest.approx(100 * r, rel=0.1)
        assert kstest(np.diff(train), "gamma", args=(k, 0, 1 / (k * r))).pvalue > 1e-3


def test_intervals_of_a_poisson_process_with_dead_time_have_their_distribution() -> None:
    dead = np.array([0.0, 5e-3, 15e-3])
    rate = np.array([100.0, 100.0, 50.0])
    for train, d, r in zip(trains(RenewalSpikes(2, rate, dead_time=dead), 100.0), dead, rate, strict=True):
        assert np.diff(train).min() >= d
        assert len(train) == pytest.approx(100 * r, rel=0.1)
        assert kstest(np.diff(train) - d, "expon", args=(0, 1 / r - d)).pvalue > 1e-3


def test_pieces_do_not_change_the_spikes() -> None:
    def source() -> RenewalSpikes:
        return RenewalSpikes(3, [5.0, 80.0, 0.0], shape=2.0, dead_time=1e-3, begin=[0.0, 0.1, 0.0], end=[3.0, 1.2, 9.0])

    times, units = source().until(4.0)
    assert len(times) > 60 and not (units == 2).any()
    assert times[units == 1].min() > 0.1 and times[units == 1].max() < 1.2 and times[units == 0].max() < 3.0
    pieces = source()
    taken = [pieces.until(end) for end in (1e-4, 0.03, 0.03, 1.7, 4.0)]
    np.testing.assert_array_equal(np.concatenate([each[0] for each in taken]), times)
    np.testing.assert_array_equal(np.concatenate([each[1] for each in taken]), units)
    windows = list(itertools.islice(source().windows(0.25), 16))
    joined = np.concatenate([window.times + 0.25 * k for k, window in enumerate(windows)])
    np.testing.assert_allclose(joined, times, atol=1e-12)


def test_windows_drive_a_simulation() -> None:
    network = Network(
        [Population("in", 4, SpikeSource()), Population("x", 4, LIF())], [Projection("in", "x", OneToOne(), 2.0)]
    )
    source = RenewalSpikes(4, np.full(4, 40.0), dead_time=5e-3)
    times, _ = RenewalSpikes(4, np.full(4, 40.0), dead_time=5e-3).until(1.0)
    with Simulation(network, source.windows(0.1), clock=1e-3) as simulation:
        spikes = simulation.run(1.0).spikes["x"]
    # Every spike that arrives before the end brings one; dead time keeps two of them apart.
    assert len(spikes.times) == np.count_nonzero(times < 0.999)


def test_bad_parameters_are_named() -> None:
    with pytest.raises(NeurosimInputError, match=r"RenewalSpikes.dead_time\[1\]: must be < 1 / rate \(got 0.02\)"):
        RenewalSpikes(0, [10.0, 60.0], dead_time=[0.02, 0.02])
    with pytest.raises(NeurosimInputError, match=r"RenewalSpikes.rate\[0\]: must be >= 0 spikes/s \(got -1\)"):
        RenewalSpikes(0, -1.0)
    with pytest.raises(NeurosimInputError, match=r"RenewalSpikes.shape: must be a number or \[2\], one a unit"):
        RenewalSpikes(0, [1.0, 2.0], shape=[1.0, 2.0, 3.0])
    source = RenewalSpikes(0, 1.0)
    source.until(2.0)
    with pytest.raises(NeurosimInputError, match=r"must be finite and >= 2 s \(got 1.0\)"):
        source.until(1.0)
