"""Features of a liquid's spikes for its readout: counts or filtered traces in windows of each recording."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ...base.errors import lookup, require
from ...data.recordings import Recordings

# Windows "by time" lie between these quantiles of a recording's spike times, TRIM and 1 - TRIM: silence before and
# after a word then moves no window.
TRIM = 0.005


def features(
    spikes: Recordings,
    kind: str = "counts",
    windows: int | Sequence[int] = 8,
    timing: str = "both",
    tau: float = 0.05,
) -> NDArray[np.float32]:
    """Return [recordings, windows * units] features; twice as many with timing "both".

    Args:
        spikes: spikes of a liquid.
        kind: "counts", the square root of the spikes in each window (the root makes the variance of a Poisson count
            the same at every rate); or "traces", spikes filtered by exp(-t / `tau`), sampled at the end of each window.
        windows: number of windows of a recording; several numbers cut it several times, coarse and fine, so that a
            pattern that comes a little early is still in the same wide window.
        timing: "time", windows of equal length between the first and the last activity; "spikes", windows with equal
            numbers of spikes of all units, which follow the pace of a recording; "both"; or "duration", equal parts of
            the recording, whatever its activity, as a readout in a network has them.
        tau: time constant of the filter, s.

    Raises:
        NeurosimInputError: an unknown kind or timing, no windows, `tau` not > 0 s.
    """
    extract = lookup(FEATURES, kind, "features.kind")
    schedules = lookup(TIMINGS, timing, "features.timing")
    cuts = check_windows(windows, "features.windows")
    require(tau > 0, "features.tau", "must be > 0 s", tau)
    # A batch does not check its units, and the kernels use them as indices.
    if len(spikes.units):
        for bound in (spikes.units.min(), spikes.units.max()):
            require(0 <= bound < spikes.size, "features.spikes", f"must have units in 0..{spikes.size - 1}", bound)
    out = np.empty((len(spikes), width(windows, timing, spikes.size)), np.float32)
    filled = 0
    for schedule in schedules:
        for cut in cuts:
            part = extract(spikes, schedule(spikes, cut), tau / spikes.tick)
            out[:, filled : filled + cut * spikes.size] = part.reshape(len(spikes), -1)
            filled += cut * spikes.size
    return out


def check_windows(windows: int | Sequence[int], name: str) -> tuple[int, ...]:
    """Return the numbers of windows; raise unless each is at least 1."""
    if isinstance(windows, (int, np.integer)):
        cuts: tuple[int, ...] = (int(windows),)
    else:
        cuts = tuple(windows)
    require(len(cuts) > 0 and min(cuts) >= 1, name, "must be >= 1", windows)
    return cuts


def width(windows: int | Sequence[int], timing: str, units: int) -> int:
    """Return the number of features of `units` units."""
    return len(TIMINGS[timing]) * sum(check_windows(windows, "features.windows")) * units


def _counts(spikes: Recordings, edges: NDArray[np.float64], tau: float) -> NDArray[np.float32]:
    # With a tick of 1, times are in ticks, as the edges are.
    counts = replace(spikes, tick=1.0).window_counts(edges)
    return np.sqrt(counts, out=counts)


def _traces(spikes: Recordings, edges: NDArray[np.float64], tau: float) -> NDArray[np.float32]:
    from ...kernels.io.traces.cpu import sampled_traces

    # Integer ticks as the engine gives them, else float64: two compiled forms, and no copy of the usual one.
    if spikes.ticks.dtype == np.int32:
        ticks = spikes.ticks
    else:
        ticks = spikes.ticks.astype(np.float64)
    out = np.empty((len(spikes), edges.shape[1] - 1, spikes.size), np.float32)
    sampled_traces(ticks, spikes.units, spikes.offsets, edges[:, 1:].copy(), tau, out)
    return out


def _by_time(spikes: Recordings, windows: int) -> NDArray[np.float64]:
    """Return [recordings, windows + 1] ticks at equal distances."""
    first, last = _at(spikes, np.array([TRIM, 1 - TRIM])).T
    return _closed(spikes, np.linspace(first, last, windows + 1, axis=1))


def _by_duration(spikes: Recordings, windows: int) -> NDArray[np.float64]:
    """Return [recordings, windows + 1] ticks, equal parts of the recording."""
    return np.linspace(0.0, spikes.durations / spikes.tick, windows + 1, axis=1)


def _by_spikes(spikes: Recordings, windows: int) -> NDArray[np.float64]:
    """Return [recordings, windows + 1] ticks, with equal numbers of spikes between them."""
    return _closed(spikes, _at(spikes, np.arange(windows + 1) / windows))


def _at(spikes: Recordings, fractions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return [recordings, fractions] the ticks by which these fractions of a recording's spikes have come."""
    start = spikes.offsets[:-1, None]
    count = np.diff(spikes.offsets)[:, None]
    index = start + np.clip((fractions * count).astype(np.int64), 0, np.maximum(count - 1, 0))
    # A recording without spikes is cut by its duration.
    silent = spikes.durations[:, None] / spikes.tick * fractions
    if not len(spikes.ticks):
        return silent
    return np.where(count > 0, spikes.ticks[np.minimum(index, len(spikes.ticks) - 1)], silent)


def _closed(spikes: Recordings, edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the edges, with the first window starting at 0 and the last ending with the recording."""
    edges[:, 0] = 0.0
    edges[:, -1] = spikes.durations / spikes.tick
    return edges


FEATURES: dict[str, Callable[[Recordings, NDArray[np.float64], float], NDArray[np.float32]]] = {
    "counts": _counts,
    "traces": _traces,
}
TIMINGS: dict[str, tuple[Callable[[Recordings, int], NDArray[np.float64]], ...]] = {
    "time": (_by_time,),
    "spikes": (_by_spikes,),
    "both": (_by_time, _by_spikes),
    "duration": (_by_duration,),
}
