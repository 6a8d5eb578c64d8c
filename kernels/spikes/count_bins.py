"""Histograms of spike counts, how often each from -M to M was sent, and the spikes of each channel."""

from __future__ import annotations

import numpy as np

from ..tools.compiled import compiled


def count_bins_reference(counts, bins, costs, spikes):
    """Count as `count_bins`: its specification."""
    limit = len(bins) // 2
    inside = np.abs(counts) <= limit
    rows, channels = np.nonzero(inside)
    places = counts[rows, channels].astype(np.int64) + limit
    np.add.at(bins, places, 1)
    np.add.at(spikes, channels, costs[places])
    invalid = int(np.isnan(counts).sum())
    return counts.size - len(rows) - invalid, invalid


@compiled
def count_bins(counts, bins, costs, spikes):
    """Add counts [n, K], integers as floats, to bins [2 M + 1], and their costs [2 M + 1] to spikes [K] of channels.

    Returns: (how many counts pass M, how many are NaN); neither has a bin or spikes.
    """
    limit = len(bins) // 2
    beyond = 0
    invalid = 0
    for i in range(counts.shape[0]):
        for k in range(counts.shape[1]):
            count = counts[i, k]
            # NaN fails this comparison, too.
            if abs(count) <= limit:
                place = int(count) + limit
                bins[place] += 1
                spikes[k] += costs[place]
            elif np.isnan(count):
                invalid += 1
            else:
                beyond += 1
    return beyond, invalid
