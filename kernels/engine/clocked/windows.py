"""Spikes cut into windows: which inputs of a receptor received a spike in each window, and how many."""

from __future__ import annotations

import numpy as np

from ...tools.compiled import compiled


def cut_reference(steps, inputs, feeds, early, first, length, windows):
    """Specify `cut`: for each window its inputs, ascending, and their spikes."""
    late = np.repeat(early, np.diff(feeds))
    numbers = (steps.astype(np.int64) - late) // length - first
    return [np.unique(inputs[numbers == k], return_counts=True) for k in range(windows)]


@compiled
def cut(steps, inputs, feeds, early, first, length, scratch, units, counts, bounds):
    """List the inputs that receive spikes in each window, ascending, and how many each receives.

    Args:
        steps, inputs: [n] int32, the spikes of every feed end to end, each feed's in the order of steps.
        feeds: [feeds + 1] int64, where each begins.
        early: [feeds] int64; 1 for spikes that belong to the window that ends with their step, 0 for others.
        first, length: number of the first window, and steps of a window.
        scratch: [inputs] int64, zero before and after.
        units, counts: [n] int32 and int64, to be filled.
        bounds: [windows + 1] int64, to be filled with where each window begins in them.
    """
    cursors = feeds[:-1].copy()
    n = 0
    # Spikes of windows that are over are passed.
    for f in range(cursors.size):
        while cursors[f] < feeds[f + 1] and steps[cursors[f]] - early[f] < first * length:
            cursors[f] += 1
    bounds[0] = 0
    for k in range(bounds.size - 1):
        end = (first + k + 1) * length
        for f in range(cursors.size):
            c = cursors[f]
            while c < feeds[f + 1] and steps[c] - early[f] < end:
                i = inputs[c]
                # An input that is listed already is written over by the next.
                units[n] = i
                n += scratch[i] == 0
                scratch[i] += 1
                c += 1
            cursors[f] = c
        units[bounds[k] : n].sort()
        # Only the entries of this window are cleared: the inputs are many more.
        for j in range(bounds[k], n):
            counts[j] = scratch[units[j]]
            scratch[units[j]] = 0
        bounds[k + 1] = n


@compiled
def most_in_a_step(steps):
    """Return the largest number of equal values among ascending steps."""
    most = count = 0
    for k in range(steps.size):
        count = count + 1 if k > 0 and steps[k] == steps[k - 1] else 1
        most = max(most, count)
    return most
