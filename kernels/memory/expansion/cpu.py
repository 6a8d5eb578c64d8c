"""Expansion of vectors into sparse codes, compiled."""

from __future__ import annotations

import numpy as np

from ...tools.compiled import compiled


@compiled
def expand(x, table, scale, out):
    """Fill out [n, active] as `expand_reference`; x [n, inputs], table [size, fan], scale [size]."""
    size, fan = table.shape
    active = out.shape[1]
    scaled = np.empty(size, np.float32)
    for i in range(x.shape[0]):
        row = x[i]
        for j in range(size):
            total = np.float32(0)
            for f in range(fan):
                total += row[table[j, f]]
            scaled[j] = total * scale[j]
        # The smallest number that still wins; of those equal to it, the lower bits fill the places left over.
        minimum = np.partition(scaled, size - active)[size - active]
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
