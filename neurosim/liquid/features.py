"""What a readout sees of a liquid: counts or filtered traces of its spikes, at times that follow the recording."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import lookup, require
from ..spikes import Recordings

# Windows "by time" lie between the times at which this fraction of a recording's spikes has come, and all but it:
# silence before and after a word then moves no window.
TRIM = 0.005


def features(
    spikes: Recordings,
    kind: str = "counts",
    windows: int | Sequence[int] = 8,
    timing: str = "both",
    tau: float = 0.05,
) -> NDArray[np.float32]:
    """[recordings, windows * units] numbers that describe each recording; twice as many with timing "both".

    Args:
        spikes: a liquid's.
        kind: "counts", the square root of the spikes in each window (the root makes the variance of a Poisson count
            the same at every rate); or "traces", spikes filtered by exp(-t / `tau`), sampled at the end of each window.
        windows: into how many a recording is cut; several numbers cut it several times, coarse and fine: what comes a
            little early is then still found in a wide window.
        timing: "time", windows of equal length between the first and the last of the activity; "spikes", windows of
            equally many spikes of the whole liquid, which follow the pace of what is seen or heard; or "both".
        tau: s.

    Raises:
        NeurosimInputError: an unknown kind or timing, no windows, `tau` not > 0 s.
    """
    extract = lookup(FEATURES, kind, "features.kind")
    schedules = lookup(TIMINGS, timing, "features.timing")
    cuts = check_windows(windows, "features.windows")
    require(tau > 0, "features.tau", "must be > 0 s", tau)
    if len(spikes.units):  # a batch does not check them, and the kernels write where they say
        for bound in (spikes.units.min(), spikes.units.max()):
            require(0 <= bound < spikes.size, "features.spikes", f"must have units in 0..{spikes.size - 1}", bound)
    out = np.empty((len(spikes), width(windows, timing, spikes.size)), np.float32)
    filled = 0
    for schedule in schedules:
        for cut in cuts:
            # A buffer of its own: the kernels fill whole arrays.
            part = np.empty((len(spikes), cut, spikes.size), np.float32)
            extract(spikes, schedule(spikes, cut), tau / spikes.tick, part)
            out[:, filled : filled + cut * spikes.size] = part.reshape(len(spikes), -1)
            filled += cut * spikes.size
    return out


def check_windows(windows: int | Sequence[int], what: str) -> tuple[int, ...]:
    """The numbers of windows, each at least one."""
    cuts = (windows,) if isinstance(windows, (int, np.integer)) else tuple(windows)
    require(len(cuts) > 0 and min(cuts) >= 1, what, "must be >= 1", windows)
    return cuts


def width(windows: int | Sequence[int], timing: str, units: int) -> int:
    """How many features that makes."""
    return len(TIMINGS[timing]) * sum(check_windows(windows, "features.windows")) * units


def _counts(spikes: Recordings, edges: NDArray, tau: float, out: NDArray) -> None:
    from ..kernels.io.traces import window_counts

    window_counts(_ticks(spikes), spikes.units, spikes.offsets, edges, out)
    np.sqrt(out, out=out)


def _traces(spikes: Recordings, edges: NDArray, tau: float, out: NDArray) -> None:
    from ..kernels.io.traces import sampled_traces

    sampled_traces(_ticks(spikes), spikes.units, spikes.offsets, edges[:, 1:].copy(), tau, out)


def _ticks(spikes: Recordings) -> NDArray:
    """Whole steps as the engine gives them, else float64: two forms to compile and no copy of the usual one."""
    return spikes.ticks if spikes.ticks.dtype == np.int32 else spikes.ticks.astype(np.float64)


def _by_time(spikes: Recordings, windows: int) -> NDArray[np.float64]:
    """[recordings, windows + 1] ticks, in equal steps."""
    first, last = _at(spikes, np.array([TRIM, 1 - TRIM])).T
    return _closed(spikes, np.linspace(first, last, windows + 1, axis=1))


def _by_spikes(spikes: Recordings, windows: int) -> NDArray[np.float64]:
    """[recordings, windows + 1] ticks, with as many spikes between each two."""
    return _closed(spikes, _at(spikes, np.arange(windows + 1) / windows))


def _at(spikes: Recordings, fractions: NDArray) -> NDArray[np.float64]:
    """[recordings, fractions] the tick by which such a fraction of a recording's spikes has come."""
    start, count = spikes.offsets[:-1, None], np.diff(spikes.offsets)[:, None]
    index = start + np.clip((fractions * count).astype(np.int64), 0, np.maximum(count - 1, 0))
    silent = spikes.durations[:, None] / spikes.tick * fractions
    if not len(spikes.ticks):
        return silent
    return np.where(count > 0, spikes.ticks[np.minimum(index, len(spikes.ticks) - 1)], silent)


def _closed(spikes: Recordings, edges: NDArray) -> NDArray[np.float64]:
    """The first window starts with the recording and the last ends with it."""
    edges[:, 0], edges[:, -1] = 0.0, spikes.durations / spikes.tick
    return edges


FEATURES: dict[str, Callable[[Recordings, NDArray, float, NDArray], None]] = {"counts": _counts, "traces": _traces}
TIMINGS: dict[str, tuple[Callable[[Recordings, int], NDArray[np.float64]], ...]] = {
    "time": (_by_time,),
    "spikes": (_by_spikes,),
    "both": (_by_time, _by_spikes),
}
