"""Items as spike trains, for learners whose neurons are simulated by the engine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...data.recordings import Recordings
from .tasks import FULL


def spike_counts(x: NDArray[np.uint8], spikes: int) -> NDArray[np.int64]:
    """Return drives as numbers of spikes: round(d `spikes` / 255) for a drive d."""
    return np.round(x * (spikes / FULL)).astype(np.int64)


def spike_trains(x: NDArray[np.uint8], spikes: int, step: float) -> Recordings:
    """Return items [n, steps, units] as recordings: the spikes of a drive are at equal distances in its step.

    Args:
        x: drives.
        spikes: number of spikes of a fully driven unit in a step.
        step: duration of a step, s.
    """
    n, steps, units = x.shape
    counts = spike_counts(x, spikes)
    item, at, unit = np.nonzero(counts)
    count = counts[item, at, unit]
    # k: number of a spike within its step, from 0.
    first = np.cumsum(count) - count
    k = np.arange(count.sum()) - np.repeat(first, count)
    item, at, unit, count = (np.repeat(values, count) for values in (item, at, unit, count))
    times = (at + (k + 0.5) / count) * step
    # Recordings hold events by item, then by time.
    order = np.lexsort((unit, times, item))
    offsets = np.concatenate([[0], np.cumsum(np.bincount(item, minlength=n))])
    durations = np.full(n, steps * step)
    return Recordings(
        ticks=times[order],
        units=unit[order].astype(np.int32),
        offsets=offsets,
        durations=durations,
        size=units,
        shape=(units,),
    )
