"""Rates, and the variation of intervals and counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ...base.errors import require
from ..spikes import Recordings, Spikes, check_spikes


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
    return _each(spikes, 1, lambda intervals: intervals.std() / intervals.mean())


def cv2(spikes: Spikes) -> NDArray[np.float64]:
    """Return [size] the mean of 2 |I' - I| / (I' + I) over neighbouring intervals (Holt et al. 1996); NaN below three
    spikes."""
    return _each(spikes, 2, lambda intervals: 2 * np.mean(np.abs(_contrast(intervals))))


def lv(spikes: Spikes) -> NDArray[np.float64]:
    """Return [size] the local variation of intervals, the mean of 3 ((I' - I) / (I' + I))^2 (Shinomoto et al. 2003);
    NaN below three spikes."""
    return _each(spikes, 2, lambda intervals: 3 * np.mean(_contrast(intervals) ** 2))


def lvr(spikes: Spikes, t_refractory: float = 5e-3) -> NDArray[np.float64]:
    """Return [size] the local variation that is compensated for a refractory period, s (Shinomoto et al. 2009).

    Raises:
        NeurosimInputError: a refractory period that is negative.
    """
    require(t_refractory >= 0, "lvr.t_refractory", "must be >= 0 s", t_refractory)

    def of(intervals: NDArray[np.float64]) -> float:
        sums = intervals[:-1] + intervals[1:]
        return float(3 * np.mean(_contrast(intervals) ** 2 * (1 + 4 * t_refractory / sums)))

    return _each(spikes, 2, of)


def fano_factor(recordings: Recordings) -> NDArray[np.float64]:
    """Return [size] the variance of each unit's spike count over recordings, divided by its mean; NaN where silent."""
    many = isinstance(recordings, Recordings) or (isinstance(recordings, Sequence) and len(recordings) > 0)
    require(many, "fano_factor.recordings", "must be Recordings of one population", type(recordings).__name__)
    counts = np.stack([recording.counts() for recording in recordings])
    mean = counts.mean(axis=0)
    return np.divide(counts.var(axis=0), mean, out=np.full(mean.shape, np.nan), where=mean > 0)


def _trains(spikes: Spikes) -> list[NDArray[np.float64]]:
    """Return the times of each unit."""
    check_spikes(spikes, "stats.spikes")
    order = np.argsort(spikes.units, kind="stable")
    return np.split(spikes.times[order], np.cumsum(spikes.counts())[:-1])


def _each(
    spikes: Spikes, least: int, measure: Callable[[NDArray[np.float64]], float | np.floating]
) -> NDArray[np.float64]:
    """Return `measure` of the intervals of each unit; NaN below `least` intervals."""
    return np.array([measure(each) if len(each) >= least else np.nan for each in isi(spikes)], np.float64)


def _contrast(intervals: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.diff(intervals) / (intervals[:-1] + intervals[1:])
