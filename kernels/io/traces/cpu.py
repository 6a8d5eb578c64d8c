"""Features of the spikes of many recordings, each in one pass over its spikes."""

from __future__ import annotations

import math

import numpy as np

from ...tools.compiled import compiled


@compiled
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


@compiled
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
            # A trace decays only when it is touched: by its own spikes, and where it is sampled.
            while k < offsets[r + 1] and times[k] <= at:
                u = units[k]
                trace[u] = trace[u] * math.exp((since[u] - times[k]) / tau) + 1.0
                since[u] = times[k]
                k += 1
            for u in range(size):
                out[r, j, u] = trace[u] * math.exp((since[u] - at) / tau)
