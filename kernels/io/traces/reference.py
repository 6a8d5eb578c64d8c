"""Features of the spikes of many recordings: counts in windows, exponentially filtered traces.

Spikes are flat arrays: times [n], rising within a recording, and units [n], recording r holding those from offsets[r]
to offsets[r + 1]. Times, edges, samples and tau have one unit.
"""

from __future__ import annotations

import numpy as np


def window_counts_reference(
    times: np.ndarray, units: np.ndarray, offsets: np.ndarray, edges: np.ndarray, size: int
) -> np.ndarray:
    """Count spikes in windows: window w of recording r holds edges[r, w] <= t < edges[r, w + 1].

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


def sampled_traces_reference(
    times: np.ndarray, units: np.ndarray, offsets: np.ndarray, samples: np.ndarray, tau: float, size: int
) -> np.ndarray:
    """Sum over spikes at s <= t of exp(-(t - s) / tau), at t = samples[r, j].

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
