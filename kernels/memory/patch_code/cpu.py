"""Squares of a picture as the winners of one dictionary, compiled."""

from __future__ import annotations

import numpy as np

from ...tools.compiled import compiled


@compiled
def encode(items, places, rows, stored, winners, threshold, counts, operations):
    """Fill counts [items, units, regions], zero before, and operations [items] as `encode_reference`."""
    first, offsets, regions = places
    size = offsets.size
    sums = np.empty(rows.shape[1], np.float32)
    best = np.empty(winners, np.float32)
    unit = np.empty(winners, np.int32)
    for i in range(items.shape[0]):
        item = items[i]
        selected = 0
        for p in range(first.size):
            sums[:stored] = 0
            any_input = False
            for e in range(size):
                value = item[first[p] + offsets[e]]
                if value != 0:
                    any_input = True
                    selected += stored
                    row = rows[e]
                    for j in range(stored):
                        sums[j] += value * row[j]
            if not any_input:
                continue
            won = _largest(sums, stored, threshold, best, unit)
            for k in range(won):
                counts[i, unit[k], regions[p]] += 1
        operations[i] = selected


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
