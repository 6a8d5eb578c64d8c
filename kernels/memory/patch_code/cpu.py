"""Squares of a picture as the winners of one dictionary, compiled."""

from __future__ import annotations

import numpy as np
from numba import njit

from ...tools.compiled import compiled


@compiled
def encode(items, places, rows, stored, winners, threshold, counts, operations):
    """Fill counts [items, units, regions], zero before, and operations [items] as `encode_reference`."""
    first, offsets, regions = places
    size = offsets.size
    sums = np.empty(rows.shape[1], np.float32)
    # Inputs of a square that are not 0, and room for three more.
    element = np.zeros(size + 3, np.int64)
    value = np.zeros(size + 3, np.float32)
    best = np.empty(winners, np.float32)
    unit = np.empty(winners, np.int32)
    for i in range(items.shape[0]):
        item = items[i]
        selected = 0
        for p in range(first.size):
            active = _list_square(item, first[p], offsets, element, value)
            # A place without spikes has no winner.
            if active == 0:
                continue
            selected += active * stored
            # Rows of value 0 fill the last four and change no sum.
            value[active : active + 3] = 0
            _add_rows(rows, element, value, active, stored, sums)
            won = _largest(sums, stored, threshold, best, unit)
            for k in range(won):
                counts[i, unit[k], regions[p]] += 1
        operations[i] = selected


@njit(inline="always")
def _list_square(item, first, offsets, element, value):
    """Fill element and value with the inputs of a square that are not 0; return their number."""
    active = 0
    for e in range(offsets.size):
        if item[first + offsets[e]] != 0:
            element[active] = e
            value[active] = item[first + offsets[e]]
            active += 1
    return active


@compiled
def _add_rows(rows, element, value, active, stored, sums):
    """Fill sums [stored] with the rows of the elements times their values, added in their order."""
    sums[:stored] = 0
    # Four rows at a time: a sum is read and written once for all of them.
    for n in range(0, active, 4):
        a = rows[element[n]]
        b = rows[element[n + 1]]
        c = rows[element[n + 2]]
        d = rows[element[n + 3]]
        v = value[n]
        w = value[n + 1]
        x = value[n + 2]
        y = value[n + 3]
        for j in range(stored):
            total = sums[j] + v * a[j]
            total += w * b[j]
            total += x * c[j]
            sums[j] = total + y * d[j]


@compiled
def _largest(sums, stored, threshold, best, unit):
    """Fill best and unit with the largest sums above the threshold, descending; return their number."""
    winners = best.size
    won = 0
    # Sums at most as large as this do not enter: the threshold first, then the least of the winners.
    bar = threshold
    for j in range(stored):
        value = sums[j]
        if value > bar:
            k = min(won, winners - 1)
            while k > 0 and best[k - 1] < value:
                best[k] = best[k - 1]
                unit[k] = unit[k - 1]
                k -= 1
            best[k] = value
            unit[k] = j
            won = min(won + 1, winners)
            if won == winners:
                bar = best[winners - 1]
    return won
