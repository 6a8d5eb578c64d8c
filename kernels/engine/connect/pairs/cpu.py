"""Rows of patterns that ask each pair of source and target, each a pure function of its key.

Every function gives the rows of a `RowRange`, `span`: of some sources those targets that one process has, ascending
within a row. What is drawn for a pair depends on neither, so rows are the same however they are cut. `skip_self` leaves
out target i of source i.
"""

from __future__ import annotations

import math

from numba import njit, uint64

from ....tools.compiled import compiled
from ....tools.random import unit_interval, words


@compiled
def bernoulli_rows(key, span, probability, skip_self, offsets, out):
    """Choose each target with `probability`, 0 < p < 1, on its own; return their number, or -1 if `out` is too short.

    Gaps are drawn one after another, so those before the span's targets are, too.
    """
    # A gap is geometric: floor(log(u) / log(1 - p)), by inversion. So the cost is one draw a synapse, not one a pair.
    scale = 1.0 / math.log1p(-probability)
    count = 0
    offsets[0] = 0
    for source in range(span.first, span.last):
        skip = source if skip_self else -1
        count = _bernoulli_row(key, source, span, scale, skip, count, out)
        if count < 0:
            return -1
        offsets[source - span.first + 1] = count
    return count


@njit(inline="always")
def _bernoulli_row(key, source, span, scale, skip, count, out):
    """Write the targets of a source but `skip` from out[count] on; return the number then, or -1 if there is no room.

    Args:
        scale: 1 / log(1 - p).
    """
    low = span.low
    high = span.high
    j = -1
    draw = 0
    while j < high:
        a, b, c, d = words(uint64(key), uint64(source), uint64(draw))
        draw += 1
        # Four words are two numbers of 64 bits, which are two gaps.
        for k in range(2):
            gap = math.log(unit_interval(a, b) if k == 0 else unit_interval(c, d)) * scale
            # Beyond every target; the gap itself could exceed an integer.
            j = high if gap >= high else j + 1 + int(gap)
            if not low <= j < high or j == skip:
                continue
            if count == out.size:
                return -1
            out[count] = j
            count += 1
    return count


@compiled
def distance_rows(key, span, sources, targets, rule, skip_self, offsets, out):
    """Choose each target with the probability of a `DistanceRule`; return their number, or -1 if `out` is too short.

    Args:
        sources, targets: [n, dimensions] positions.
    """
    count = 0
    offsets[0] = 0
    for source in range(span.first, span.last):
        skip = source if skip_self else -1
        for j in range(span.low, span.high):
            if j == skip or not _is_connected(key, source, j, sources, targets, rule):
                continue
            if count == out.size:
                return -1
            out[count] = j
            count += 1
        offsets[source - span.first + 1] = count
    return count


@njit(inline="always")
def _is_connected(key, source, target, sources, targets, rule):
    """Return whether a pair is connected, see `distance_rows`."""
    squared = 0.0
    for k in range(targets.shape[1]):
        squared += (sources[source, k] - targets[target, k]) ** 2
    # The counter is the pair, so every process draws a pair alike.
    a, b, _, _ = words(uint64(key), uint64(source), uint64(target))
    far = (math.sqrt(squared) / rule.length) ** rule.exponent
    return unit_interval(a, b) < rule.scale * math.exp(-far)
