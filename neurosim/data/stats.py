"""Statistics of spike trains: rates, intervals, correlations, synchrony, with the definitions of Elephant.

Every function takes `Spikes` and returns arrays by unit; times are in seconds, rates in spikes/s. Values that are not
defined, such as the variation of a single interval, are NaN.

Source: Elephant (Denker et al. 2018), and the papers named.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from ..base.errors import require
from .recordings import Recordings
from .spikes import GRID_SLACK, Spikes, check_spikes

# Bins of `spike_contrast` overlap by half, and shrink by this factor from half the recording on.
SHRINK = 0.9


def binned_counts(spikes: Spikes, bin_size: float, *, binary: bool = False) -> NDArray[np.int64]:
    """Return [size, bins] numbers of spikes; a last bin that is not full is left out.

    Args:
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

    Args:
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


def mean_firing_rate(spikes: Spikes, start: float = 0.0, stop: float | None = None) -> NDArray[np.float64]:
    """Return [size] the spikes/s of each unit from `start` to `stop` s, both included; `stop` None: the duration.

    Raises:
        NeurosimInputError: an interval that is empty.
    """
    check_spikes(spikes, "mean_firing_rate.spikes")
    end = spikes.duration if stop is None else float(stop)
    require(0 <= start < end, "mean_firing_rate.start", f"must be >= 0 s and below the stop at {end:g} s", start)
    inside = (spikes.times >= start) & (spikes.times <= end)
    return np.bincount(spikes.units[inside], minlength=spikes.size) / (end - start)


def isi(spikes: Spikes) -> list[NDArray[np.float64]]:
    """Return the intervals between consecutive spikes, s, of each unit: [spikes - 1], empty below two spikes."""
    return [np.diff(times) for times in _trains(spikes)]


def cv(spikes: Spikes) -> NDArray[np.float64]:
    """Return [size] the coefficient of variation of each unit's intervals, sd / mean; NaN below two spikes."""
    return _of_intervals(spikes, 1, lambda intervals: intervals.std() / intervals.mean())


def cv2(spikes: Spikes) -> NDArray[np.float64]:
    """Return [size] the mean of 2 |I' - I| / (I' + I) over neighbouring intervals (Holt et al. 1996); NaN below three
    spikes."""
    return _of_intervals(spikes, 2, lambda intervals: 2 * np.mean(np.abs(_relative_changes(intervals))))


def lv(spikes: Spikes) -> NDArray[np.float64]:
    """Return [size] the local variation of intervals, the mean of 3 ((I' - I) / (I' + I))^2 (Shinomoto et al. 2003);
    NaN below three spikes."""
    return _of_intervals(spikes, 2, lambda intervals: 3 * np.mean(_relative_changes(intervals) ** 2))


def lvr(spikes: Spikes, t_refractory: float = 5e-3) -> NDArray[np.float64]:
    """Return [size] the local variation that is compensated for a refractory period, s (Shinomoto et al. 2009).

    Raises:
        NeurosimInputError: a refractory period that is negative.
    """
    require(t_refractory >= 0, "lvr.t_refractory", "must be >= 0 s", t_refractory)

    def compensated(intervals: NDArray[np.float64]) -> float:
        # LvR = mean of 3 ((I' - I) / (I' + I))^2 (1 + 4 R / (I' + I))
        sums = intervals[:-1] + intervals[1:]
        return float(3 * np.mean(_relative_changes(intervals) ** 2 * (1 + 4 * t_refractory / sums)))

    return _of_intervals(spikes, 2, compensated)


def fano_factor(recordings: Recordings) -> NDArray[np.float64]:
    """Return [size] the variance of each unit's spike count over recordings, divided by its mean; NaN where silent."""
    many = isinstance(recordings, Recordings) or (isinstance(recordings, Sequence) and len(recordings) > 0)
    require(many, "fano_factor.recordings", "must be Recordings of one population", type(recordings).__name__)
    counts = np.stack([recording.counts() for recording in recordings])
    mean = counts.mean(axis=0)
    return np.divide(counts.var(axis=0), mean, out=np.full(mean.shape, np.nan), where=mean > 0)


def spike_time_tiling_coefficient(spikes: Spikes, i: int, j: int, dt: float = 5e-3) -> float:
    """Return the spike time tiling coefficient of units `i` and `j`: 1 for equal trains, 0 for independent ones.

        ((P_i - T_j) / (1 - P_i T_j) + (P_j - T_i) / (1 - P_j T_i)) / 2

    where P_i is the share of i's spikes within `dt` s of one of j, and T_j the share of the recording within `dt` of a
    spike of j. A term of 0 / 0 is 1; NaN if a unit is silent, or for a recording of 0 s. Source: Cutts & Eglen 2014.

    Raises:
        NeurosimInputError: a unit that is not there, or `dt` <= 0 s.
    """
    check_spikes(spikes, "stats.spikes")
    require(dt > 0, "spike_time_tiling_coefficient.dt", "must be > 0 s", dt)
    for name, unit in (("i", i), ("j", j)):
        inside = 0 <= unit < spikes.size
        require(inside, f"spike_time_tiling_coefficient.{name}", f"must be a unit below {spikes.size}", unit)
    a = spikes.times[spikes.units == i]
    b = spikes.times[spikes.units == j]
    if not (len(a) and len(b) and spikes.duration > 0):
        return float("nan")
    first = _term(_near(a, b, dt), _tiled(b, dt, spikes.duration))
    second = _term(_near(b, a, dt), _tiled(a, dt, spikes.duration))
    return float(np.mean([first, second]))


def _term(p: float, t: float) -> float:
    """Return (P - T) / (1 - P T), 1 where both are 1."""
    if p * t == 1.0:
        return 1.0
    return (p - t) / (1 - p * t)


def spike_contrast(spikes: Spikes, min_bin: float = 0.01) -> float:
    """Return the synchrony of all units by Spike-contrast, from 0 to 1: Ciba et al. 2018.

    The synchrony of one size of bins is the product of the contrast of the histogram of all spikes and the share of
    units that are active where spikes are. Bins shrink from half the recording to `min_bin` s or half the shortest
    interval; the largest synchrony is returned.

    Raises:
        NeurosimInputError: fewer than two units, no unit with two spikes, or bins that are not > 0 s.
    """
    check_spikes(spikes, "stats.spikes")
    require(spikes.size > 1, "spike_contrast.spikes", "must be of at least two units", spikes.size)
    require(min_bin > 0, "spike_contrast.min_bin", "must be > 0 s", min_bin)
    shortest = min((float(each.min()) for each in isi(spikes) if len(each)), default=np.inf)
    require(np.isfinite(shortest), "spike_contrast.spikes", "must hold a unit with two spikes", len(spikes))
    size = spikes.duration / 2
    best = 0.0
    while size >= max(shortest / 2, min_bin):
        best = max(best, _contrast_in_bins(spikes, size, shortest))
        size *= SHRINK
    return best


@final
@dataclass(frozen=True, eq=False)
class Triggered:
    """Windows of a signal around spikes.

    Attributes:
        lags: [samples] s before (< 0) or after the spike.
        windows: [spikes, samples, ...] of those spikes whose window lies within the signal.
    """

    lags: NDArray[np.float64]
    windows: NDArray[Any]

    @property
    def mean(self) -> NDArray[np.float64]:
        """Return the spike-triggered average [samples, ...]; NaN without a spike."""
        if len(self.windows):
            return self.windows.mean(axis=0, dtype=np.float64)
        return np.full(self.windows.shape[1:], np.nan)


def spike_triggered(
    times: NDArray[np.float64], signal: NDArray[Any], interval: float, window: tuple[float, float]
) -> Triggered:
    """Return the samples of `signal` around each of `times`.

    Args:
        times: [n] s, e.g. of one unit: `spikes.times[spikes.units == 3]`.
        signal: [samples, ...], sample j at j * interval, e.g. the values of a `Probe`.
        interval: s between samples.
        window: s, where windows begin and end, e.g. (-0.05, 0.01).

    Raises:
        NeurosimInputError: an interval that is not > 0 s, or a window that ends before it begins.
    """
    moments = np.asarray(times)
    numeric = moments.dtype.kind in "iuf" and moments.ndim == 1
    require(numeric, "spike_triggered.times", "must be [n] s, such as spikes.times", type(times).__name__)
    require(interval > 0, "spike_triggered.interval", "must be > 0 s", interval)
    require(window[0] <= window[1], "spike_triggered.window", "must end after it begins", window)
    first, last = (round(edge / interval) for edge in window)
    centres = np.floor(moments / interval + 0.5).astype(np.int64)
    centres = centres[(centres + first >= 0) & (centres + last < len(signal))]
    offsets = np.arange(first, last + 1)
    return Triggered((offsets * interval).astype(np.float64), np.asarray(signal)[centres[:, None] + offsets])


def _trains(spikes: Spikes) -> list[NDArray[np.float64]]:
    """Return the times of each unit."""
    check_spikes(spikes, "stats.spikes")
    order = np.argsort(spikes.units, kind="stable")
    return np.split(spikes.times[order], np.cumsum(spikes.counts())[:-1])


def _of_intervals(
    spikes: Spikes, min_intervals: int, measure: Callable[[NDArray[np.float64]], float | np.floating]
) -> NDArray[np.float64]:
    """Return `measure` of the intervals of each unit; NaN below `min_intervals` intervals, and of intervals of 0 s."""
    with np.errstate(divide="ignore", invalid="ignore"):
        values = [measure(each) if len(each) >= min_intervals else np.nan for each in isi(spikes)]
    return np.array(values, np.float64)


def _relative_changes(intervals: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (I' - I) / (I' + I) of neighbouring intervals."""
    return np.diff(intervals) / (intervals[:-1] + intervals[1:])


def _near(times: NDArray[np.float64], others: NDArray[np.float64], dt: float) -> float:
    """Return the share of `times` within `dt` of one of `others`; times on a grid count at the very edge."""
    slack = dt + 1e-5 * np.abs(times)  # as wide as Elephant's test of nearness, numpy.isclose
    # The nearest of the others is the last before a time or the first after it.
    after = np.searchsorted(others, times)
    to_earlier = np.abs(times - others[np.maximum(after - 1, 0)])
    to_later = np.abs(times - others[np.minimum(after, len(others) - 1)])
    return float(np.mean(np.minimum(to_earlier, to_later) <= slack))


def _tiled(times: NDArray[np.float64], dt: float, duration: float) -> float:
    """Return the share of the recording within `dt` of a spike."""
    # Tiles of 2 dt around the spikes: between two spikes at most 2 dt is covered, at both ends at most dt.
    gaps = np.minimum(np.diff(times), 2 * dt).sum()
    return float((gaps + min(times[0], dt) + min(duration - times[-1], dt)) / duration)


def _contrast_in_bins(spikes: Spikes, size: float, margin: float) -> float:
    """Return contrast times share of active units, for bins of `size` s that overlap by half."""
    edges = np.arange(-margin, spikes.duration + margin + size / 2, size / 2)
    # As numpy.histogram: the last bin holds its right edge.
    cells = np.minimum(np.searchsorted(edges, spikes.times, side="right") - 1, len(edges) - 2)
    halves = np.bincount(spikes.units * np.int64(len(edges) - 1) + cells, minlength=spikes.size * (len(edges) - 1))
    halves = halves.reshape(spikes.size, -1)
    # A bin is two neighbouring halves.
    counts = halves[:, :-1] + halves[:, 1:]
    total = counts.sum(axis=0)
    active = np.count_nonzero(counts, axis=0)
    # Share: mean number of active units, weighted by spikes, from 0 (one unit) to 1 (all units).
    share = ((active * total).sum() / total.sum() - 1) / (spikes.size - 1)
    contrast = np.abs(np.diff(total)).sum() / (2 * len(spikes))
    return float(contrast * share)
