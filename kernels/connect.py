"""Which sources reach which targets: rows of random connection patterns, each a pure function of its key.

Every function gives the rows of sources `first` to `last - 1`, targets ascending within a row, and gives the same
rows however that range is cut. `skip_self` leaves out target i of source i.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, uint64

from neurosim.kernels.random import threefry_reference, unit_interval, words


def bernoulli_reference(key, first, last, targets, probability, skip_self):
    """The specification of `bernoulli_rows`: gaps between neighbours are geometric, drawn by inversion."""
    rows = []
    for source in range(first, last):
        row, j, draw = [], -1, 0
        while True:
            a, b, c, d = threefry_reference((source, 0, draw, 0), (key & 0xFFFFFFFF, key >> 32, 0, 0))
            for high, low in ((a, b), (c, d)):
                u = ((high << 32 | low) // 2**11 + 0.5) / 2**53
                j += 1 + math.floor(math.log(u) / math.log1p(-probability))
                if j < targets and not (skip_self and j == source):
                    row.append(j)
            if j >= targets:
                break
            draw += 1
        rows.append(row)
    return rows


@njit(cache=True, nogil=True)
def bernoulli_rows(key, first, last, targets, probability, skip_self, offsets, out):
    """Each target with `probability`, 0 < p < 1, on its own. Returns their number, or -1 if `out` is too short."""
    scale = 1.0 / math.log1p(-probability)
    count = 0
    offsets[0] = 0
    for source in range(first, last):
        j, draw = -1, 0
        while j < targets:
            a, b, c, d = words(uint64(key), uint64(source), uint64(draw))
            draw += 1
            for k in range(2):
                gap = math.log(unit_interval(a, b) if k == 0 else unit_interval(c, d)) * scale
                # Beyond every target; the gap itself could exceed an integer.
                j = targets if gap >= targets else j + 1 + int(gap)
                if j < targets and not (skip_self and j == source):
                    if count == out.size:
                        return -1
                    out[count] = j
                    count += 1
        offsets[source - first + 1] = count
    return count


@njit(cache=True, nogil=True)
def distance_rows(key, first, last, sources, targets, scale, length, exponent, skip_self, offsets, out):
    """Each target with probability scale * exp(-(d / length)^exponent), d the distance of [n, dimensions] positions."""
    count = 0
    offsets[0] = 0
    for source in range(first, last):
        for j in range(targets.shape[0]):
            if skip_self and j == source:
                continue
            squared = 0.0
            for k in range(targets.shape[1]):
                squared += (sources[source, k] - targets[j, k]) ** 2
            a, b, _, _ = words(uint64(key), uint64(source), uint64(j))
            if unit_interval(a, b) < scale * math.exp(-((math.sqrt(squared) / length) ** exponent)):
                if count == out.size:
                    return -1
                out[count] = j
                count += 1
        offsets[source - first + 1] = count
    return count


@njit(cache=True, nogil=True)
def choose(key, chooser, among, with_replacement, skip, taken, out):
    """Fill `out` with choices for `chooser` out of range(among), ascending; never `skip` (-1: nothing to skip).

    taken: int32 [among], all zero on entry and on return.
    """
    wanted = out.size
    eligible = among - (1 if 0 <= skip < among else 0)
    # Of many distinct ones it is quicker to choose those left out.
    inverted = not with_replacement and wanted * 2 > eligible
    needed = eligible - wanted if inverted else wanted
    few = not inverted and wanted * 32 < among
    found, draw = 0, 0
    while found < needed:
        a, b, c, d = words(uint64(key), uint64(chooser), uint64(draw))
        draw += 1
        for k in range(2):
            j = int((unit_interval(a, b) if k == 0 else unit_interval(c, d)) * among)
            if found == needed or j == skip or (taken[j] and not with_replacement):
                continue
            taken[j] += 1
            if few:
                out[found] = j
            found += 1
    if few:
        out.sort()
        for k in range(wanted):
            taken[out[k]] = 0
        return
    found = 0
    for j in range(among):
        for _ in range((taken[j] == 0 and j != skip) if inverted else taken[j]):
            out[found] = j
            found += 1
        taken[j] = 0


@njit(cache=True, nogil=True)
def fixed_rows(key, first, last, degrees, targets, with_replacement, skip_self, out):
    """Source i chooses `degrees[i - first]` targets; rows one after another in `out`."""
    taken = np.zeros(targets, np.int32)
    a = 0
    for source in range(first, last):
        b = a + degrees[source - first]
        choose(key, source, targets, with_replacement, source if skip_self else -1, taken, out[a:b])
        a = b


@njit(cache=True, nogil=True)
def fixed_columns(key, sources, targets, degree, with_replacement, skip_self):
    """[targets, degree] sources that every target chooses."""
    taken = np.zeros(sources, np.int32)
    out = np.empty((targets, degree), np.int32)
    for target in range(targets):
        choose(key, target, sources, with_replacement, target if skip_self else -1, taken, out[target])
    return out


@njit(cache=True, nogil=True)
def transpose(columns, first, last, offsets, out):
    """Rows of sources `first` to `last - 1` from the sources of every target; without room, only `offsets`.

    offsets: int64 [last - first + 1]. `out` of size 0 fills `offsets` alone; the second call then takes them as given.
    """
    if out.size == 0:
        offsets[:] = 0
        for target in range(columns.shape[0]):
            for k in range(columns.shape[1]):
                if first <= columns[target, k] < last:
                    offsets[columns[target, k] - first + 1] += 1
        for i in range(last - first):
            offsets[i + 1] += offsets[i]
        return
    position = offsets[:-1].copy()
    for target in range(columns.shape[0]):
        for k in range(columns.shape[1]):
            source = columns[target, k] - first
            if 0 <= source < last - first:
                out[position[source]] = target
                position[source] += 1


@njit(cache=True, nogil=True)
def histogram(key, draws, bins, counts):
    """counts[j] = how many of `draws` uniform choices out of range(bins) fell on j."""
    counts[:] = 0
    for i in range(draws):
        a, b, _, _ = words(uint64(key), uint64(i), uint64(0))
        counts[int(unit_interval(a, b) * bins)] += 1
