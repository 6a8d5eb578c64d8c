"""Features of the spikes of many recordings: counts in windows, exponentially filtered traces.

Spikes are flat arrays: times [n], rising within a recording, and units [n], recording r holding those from offsets[r]
to offsets[r + 1]. Times, edges, samples and tau have one unit.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit


def window_counts_reference(times, units, offsets, edges, size):
    """The specification of `window_counts`: window w of recording r holds edges[r, w] <= t < edges[r, w + 1].

    edges [recordings, windows + 1] ascend. Spikes before the first edge count in the first window, those at or
    after the last edge in the last window. Returns [recordings, windows, size].
    """
    recordings = edges.shape[0]
    windows = edges.shape[1] - 1
    counts = np.zeros((recordings, windows, size), np.float32)
    for r in range(recordings):
        for k in range(offsets[r], offsets[r + 1]):
            w = int(np.searchsorted(edges[r, 1:-1], times[k], side="right"))
            counts[r, w, units[k]] += 1
    return counts


@njit(cache=True, nogil=True)
def window_counts(times, units, offsets, edges, out):
    """Fill out, float32 [recordings, windows, size], as the reference says."""
    windows = edges.shape[1] - 1
    out[:] = 0
    for r in range(edges.shape[0]):
        w = 0
        for k in range(offsets[r], offsets[r + 1]):
            while w < windows - 1 and times[k] >= edges[r, w + 1]:
                w += 1
            out[r, w, units[k]] += np.float32(1)


def sampled_traces_reference(times, units, offsets, samples, tau, size):
    """The specification of `sampled_traces`: sum over spikes at s <= t of exp(-(t - s) / tau), at t = samples[r, j].

    samples [recordings, n] rise. Returns [recordings, n, size].
    """
    out = np.zeros((*samples.shape, size), np.float32)
    for r in range(samples.shape[0]):
        t = times[offsets[r] : offsets[r + 1]]
        u = units[offsets[r] : offsets[r + 1]]
        for j, at in enumerate(samples[r]):
            past = t <= at
            out[r, j] = np.bincount(u[past], np.exp((t[past] - at) / tau), minlength=size)
    return out


@njit(cache=True, nogil=True)
def sampled_traces(times, units, offsets, samples, tau, out):
    """Fill out, float32 [recordings, n, size], as the reference says."""
    size = out.shape[2]
    trace = np.empty(size)
    since = np.empty(size)
    for r in range(samples.shape[0]):
        trace[:] = 0.0
        since[:] = 0.0
        k = offsets[r]
        for j in range(samples.shape[1]):
            at = samples[r, j]
            while k < offsets[r + 1] and times[k] <= at:
                u = units[k]
                trace[u] = trace[u] * math.exp((since[u] - times[k]) / tau) + 1.0
                since[u] = times[k]
                k += 1
            for u in range(size):
                out[r, j, u] = trace[u] * math.exp((since[u] - at) / tau)
