"""Choices of some out of many, each a pure function of its key and of who chooses."""

from __future__ import annotations

import numpy as np
from numba import int32, njit, uint32, uint64

from ....tools.compiled import compiled
from ....tools.intrinsics import flags64, trailing_zeros
from ....tools.pointers import copy_into
from ....tools.random import threefry, unit_interval
from .reference import NARROW

# Numbers up to which comparing each with all takes no longer than sorting byte by byte.
FEW = 64
# Choices out of at most so many for each are counted, not sorted.
SPARSE = 32


@compiled
def _counter_words(c0, c1, draw, c3, k0, k1, a, b, c, d):
    """Fill a, b, c and d with the words of counters whose third part is `draw` + i."""
    none = uint32(0)
    for i in range(a.size):
        w0, w1, w2, w3 = threefry(c0, c1, uint32(draw + uint32(i)), c3, k0, k1, none, none)
        a[i] = w0
        b[i] = w1
        c[i] = w2
        d[i] = w3


@compiled
def refill(key, chooser, draw, among, counters, words, picks):
    """Fill `picks` with the choices of `counters` counters from `draw` on; return their number."""
    a = words[0][:counters]
    b = words[1][:counters]
    c = words[2][:counters]
    d = words[3][:counters]
    _counter_words(
        uint32(chooser), uint32(uint64(chooser) >> uint64(32)), uint32(draw), uint32(uint64(draw) >> uint64(32)),
        uint32(key), uint32(uint64(key) >> uint64(32)), a, b, c, d,
    )  # fmt: skip
    if among > NARROW:
        for i in range(counters):
            picks[2 * i] = int(unit_interval(a[i], b[i]) * among)
            picks[2 * i + 1] = int(unit_interval(c[i], d[i]) * among)
        return 2 * counters
    n = uint64(among)
    for i in range(counters):
        picks[4 * i] = uint64(a[i]) * n >> uint64(32)
        picks[4 * i + 1] = uint64(b[i]) * n >> uint64(32)
        picks[4 * i + 2] = uint64(c[i]) * n >> uint64(32)
        picks[4 * i + 3] = uint64(d[i]) * n >> uint64(32)
    return 4 * counters


@compiled
def _less(keys, key):
    """Return how many are less; all in 32 bits, which vectors compare sixteen at a time."""
    less = int32(0)
    for i in range(keys.size):
        less = int32(less + int32(keys[i] < key))
    return less


@compiled
def _by_counting(values, other, taken, among):
    """Sort values by counting each number below `among`; return False, and sort nothing, if a byte is too small.

    Args:
        taken: uint8 [at least among, a multiple of 64], zeros on entry and on return.
    """
    for i in range(values.size):
        taken[values[i]] += np.uint8(1)
    n = 0
    for low in range(0, among, 64):
        mask = flags64(taken.ctypes.data + low)
        while mask:
            j = low + trailing_zeros(mask)
            mask &= mask - uint64(1)
            for _ in range(taken[j]):
                other[n] = j
                n += 1
            taken[j] = 0
    if n < values.size:
        return False
    copy_into(other, values)
    return True


@compiled
def sort(values, other, counts, keys, taken, among):
    """Sort integers below `among`: few by their ranks, dense ones by counting each, many byte by byte.

    Args:
        other: as many.
        counts: [256].
        keys: [FEW + 16].
        taken: as in `choose`.
    """
    n = values.size
    if n <= FEW and among <= 2**31 // FEW:
        padded = (n + 15) // 16 * 16
        for i in range(n):
            keys[i] = values[i] * FEW + i  # equal values in their order
        for i in range(n, padded):
            keys[i] = 2**31 - 1
        for i in range(n):
            other[_less(keys[:padded], keys[i])] = values[i]
        for i in range(n):
            values[i] = other[i]
        return
    if among <= SPARSE * n and _by_counting(values, other, taken, among):
        return
    shift = 0
    while (among - 1) >> shift > 0:
        for k in range(256):
            counts[k] = 0
        for i in range(values.size):
            counts[values[i] >> shift & 255] += 1
        total = 0
        for k in range(256):
            total += counts[k]
            counts[k] = total - counts[k]
        for i in range(values.size):
            k = values[i] >> shift & 255
            other[counts[k]] = values[i]
            counts[k] += 1
        for i in range(values.size):
            values[i] = other[i]
        shift += 8


@compiled
def choose(key, chooser, among, with_replacement, skip, taken, words, picks, out):
    """Fill `out` with choices for `chooser` out of range(among), in any order; never `skip` (-1: nothing to skip).

    Args:
        taken: uint8 [at least among, a multiple of 64], all zero on entry and on return.
        words, picks: scratch, see `scratch`.
    """
    eligible = among - (1 if 0 <= skip < among else 0)
    # Of many distinct ones it is quicker to choose those left out.
    inverted = not with_replacement and out.size * 2 > eligible
    needed = eligible - out.size if inverted else out.size
    # not a literal number, for which numba would compile `refill` once more
    count = 0
    draw = np.int64(0)
    while count < needed:
        each = 2 if among > NARROW else 4
        # By sixteens, which are whole vectors: the rest of a vector would be drawn one by one.
        counters = min(picks.size // 4, ((needed - count + each - 1) // each + 15) // 16 * 16)
        n = refill(key, chooser, draw, among, counters, words, picks)
        draw += counters
        if not with_replacement:
            count = _take_new(picks[:n], skip, taken, inverted, count, needed, out)
        elif skip < 0:
            n = min(n, needed - count)
            copy_into(picks, out[count : count + n])
            count += n
        else:
            count = _take_others(picks[:n], skip, count, out)
    if inverted:
        _take_rest(among, skip, taken, out)
    elif not with_replacement:
        for j in out:
            taken[j] = 0


@njit(inline="always")
def _take_new(picks, skip, taken, inverted, count, needed, out):
    """Take the picks that are not taken yet, until `needed` are; return their number.

    They are marked in `taken`, and written from out[count] on unless they are to be left out (`inverted`).
    """
    for j in picks:
        if count == needed:
            break
        if j == skip or taken[j]:
            continue
        taken[j] = 1
        if not inverted:
            out[count] = j
        count += 1
    return count


@njit(inline="always")
def _take_others(picks, skip, count, out):
    """Write the picks other than `skip` from out[count] on, until it is full; return the number of choices then."""
    for j in picks:
        if count == out.size:
            break
        if j != skip:
            out[count] = j
            count += 1
    return count


@njit(inline="always")
def _take_rest(among, skip, taken, out):
    """Fill `out` with the numbers that are not taken, ascending, and clear `taken`."""
    count = 0
    for j in range(among):
        if not taken[j] and j != skip:
            out[count] = j
            count += 1
        taken[j] = 0


@compiled
def scratch(among, longest):
    """Return the scratch arrays of `choose`, then of `sort`."""
    return (
        np.zeros((among + 63) // 64 * 64, np.uint8),
        np.empty((4, 128), np.uint32),
        np.empty(512, np.int64),
        np.empty(longest, np.int32),
        np.empty(256, np.int64),
        np.empty(FEW + 16, np.int32),
    )
