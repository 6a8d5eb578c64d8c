"""Counts in bins of time, and what is computed from them: population rates, correlations, histograms of lags."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ...base.errors import require
from ..spikes import GRID_SLACK, Spikes, check_spikes


def binned_counts(spikes: Spikes, bin_size: float, *, binary: bool = False) -> NDArray[np.int64]:
    """Return [size, bins] numbers of spikes; a last bin that is not full is left out.

    binary: 1 for any number of spikes.

    Raises:
        NeurosimInputError: bins that are not > 0 s, or longer than the recording.
    """
    check_spikes(spikes, "stats.spikes")
    require(bin_size > 0 and math.isfinite(bin_size), "stats.bin_size", "must be > 0 s", bin_size)
    bins = math.floor(spikes.duration / bin_size + GRID_SLACK)
    require(bins > 0, "stats.bin_size", f"must be <= the duration of {spikes.duration:g} s", bin_size)
    steps = spikes.steps(bin_size)
    inside = steps < bins
    counts = np.bincount(spikes.units[inside] * np.int64(bins) + steps[inside], minlength=spikes.size * bins)
    counts = counts.reshape(spikes.size, bins)
    return np.minimum(counts, 1) if binary else counts


def population_rate(spikes: Spikes, bin_size: float = 1e-3) -> NDArray[np.float64]:
    """Return [bins] the mean rate of the units, spikes/s; Elephant's `time_histogram(..., output="rate")`."""
    return binned_counts(spikes, bin_size).sum(axis=0) / (spikes.size * bin_size)


def covariance(spikes: Spikes, bin_size: float, *, binary: bool = False) -> NDArray[np.float64]:
    """Return [size, size] covariances of the binned counts, divided by bins - 1. `binary` as in `binned_counts`."""
    return np.atleast_2d(np.cov(binned_counts(spikes, bin_size, binary=binary)))


def correlation_coefficient(spikes: Spikes, bin_size: float, *, binary: bool = False) -> NDArray[np.float64]:
    """Return [size, size] Pearson's coefficients of the binned counts; NaN beside a unit whose count never changes."""
    covariances = covariance(spikes, bin_size, binary=binary)
    deviations = np.sqrt(np.diag(covariances))
    products = np.outer(deviations, deviations)
    return np.divide(covariances, products, out=np.full(products.shape, np.nan), where=products > 0)


def cross_correlation_histogram(
    spikes: Spikes, i: int, j: int, bin_size: float = 1e-3, window: tuple[int, int] = (-50, 50)
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return [lags] the lags in bins, and the number of pairs in which unit `j` spikes a lag after unit `i`.

    window: first and last lag.

    Raises:
        NeurosimInputError: a unit that is not there, a window that ends before it begins or leaves the recording.
    """
    for name, unit in (("i", i), ("j", j)):
        inside = 0 <= unit < spikes.size
        require(inside, f"cross_correlation_histogram.{name}", f"must be a unit below {spikes.size}", unit)
    counts = binned_counts(spikes, bin_size)
    first, last = window
    bins = counts.shape[1]
    valid = -bins < first <= last < bins
    require(valid, "cross_correlation_histogram.window", f"must rise, within {bins} bins", window)
    # Lag l pairs bin b of i with bin b + l of j: index bins - 1 + l of the full correlation.
    pairs = np.correlate(counts[j], counts[i], "full")
    return np.arange(first, last + 1), pairs[bins - 1 + first : bins + last]
