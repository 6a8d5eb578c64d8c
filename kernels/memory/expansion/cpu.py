"""Expansion of vectors into sparse codes, compiled."""

from __future__ import annotations

import numpy as np

from ...tools.compiled import compiled


@compiled
def _smallest(values, k):
    """Return number k of `values` in ascending order; they change places (Hoare 1961, Algorithm 65).

    numba takes 5 s to compile `np.partition`, this .3 s.
    """
    low = 0
    high = values.size - 1
    while low < high:
        pivot = values[(low + high) // 2]
        i = low
        j = high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if k <= j:
            high = j
        elif k >= i:
            low = i
        else:
            break
    return values[k]


@compiled
def expand(x, table, scale, out):
    """Fill out [n, active] as `expand_reference`; x [n, inputs], table [size, fan], scale [size]."""
    size, fan = table.shape
    active = out.shape[1]
    scaled = np.empty(size, np.float32)
    room = np.empty(size, np.float32)
    for i in range(x.shape[0]):
        row = x[i]
        for j in range(size):
            total = np.float32(0)
            for f in range(fan):
                total += row[table[j, f]]
            scaled[j] = total * scale[j]
            room[j] = scaled[j]
        # The smallest number that still wins; of those equal to it, the lower bits fill the places left over.
        minimum = _smallest(room, size - active)
        above = 0
        for j in range(size):
            above += scaled[j] > minimum
        equal = active - above
        place = 0
        for j in range(size):
            if scaled[j] > minimum or (scaled[j] == minimum and equal > 0):
                equal -= scaled[j] == minimum
                out[i, place] = j
                place += 1
