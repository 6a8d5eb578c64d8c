"""Spike-accumulate for a CPU: counts become a list of active channels for each row, and one loop runs over it.

Making the list costs microseconds.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

from ...tools.compiled import compiled
from ...tools.pointers import copy_into
from ...tools.threads import spread

# Channels, and outputs, whose part of the weights (128 KB) stays in a core's cache while a batch passes over it.
BLOCK = 32
TILE = 1024
# Multiply-adds that are worth a thread: about 0.1 ms.
PRODUCTS_PER_THREAD = 1 << 20
INT32_LIMIT = 2**31 - 1


class Active(NamedTuple):
    """Active channels of each row, ascending: row i has entries `ends[i]` to `ends[i + 1] - 1`."""

    ends: np.ndarray  # [B + 1] int64
    channels: np.ndarray  # [n] int32
    values: np.ndarray  # [n] int32, never 0


def active(counts, escapes=None):
    """Return the `Active` of [B, K] int8 or int32 counts, with the excess of clipped ones added."""
    counts = np.ascontiguousarray(counts)
    ends = np.zeros(len(counts) + 1, np.int64)
    _count(counts, ends)
    channels = np.empty(ends[-1], np.int32)
    values = np.empty(ends[-1], np.int32)
    _list(counts, ends, channels, values)
    if escapes is not None and escapes.number.any():
        _restore(ends, channels, values, *escapes)
    return Active(ends, channels, values)


def accumulate_active(chosen, weights, threads=1):
    """Compute `spike_accumulate` from an `Active` and numpy weights."""
    if weights.dtype not in (np.float32, np.int8, np.uint16):
        raise ValueError(
            f"spike_accumulate: weights are float32, int8 or uint16 (the bits of bfloat16), not {weights.dtype}"
        )
    rows = len(chosen.ends) - 1
    outputs = weights.shape[1]
    out = np.zeros((rows, outputs), np.int32 if weights.dtype == np.int8 else np.float32)
    if weights.dtype == np.int8 and _largest(chosen.ends, chosen.values) * 128 > INT32_LIMIT:
        raise ValueError("spike_accumulate: counts are so large that an int32 sum could overflow; use float32 weights")
    weights = np.ascontiguousarray(weights)
    # Whole cache lines to each thread, and one tile where nothing is shared within a batch.
    tiles = -(-outputs // 64)
    bounds = np.arange(tiles + 1) * (len(chosen.channels) * 64)

    def part(a, b):
        first = 64 * a
        last = min(outputs, 64 * b)
        _gather(chosen, weights, first, last, TILE if rows > 1 else outputs, out)

    spread(part, bounds, threads, PRODUCTS_PER_THREAD)
    return out


@intrinsic
def _widen(typing, weight):
    """Widen a weight for sums: int8 to int32, the bits of a bfloat16 to the float32 that begins with them."""
    kind = {types.int8: types.int32, types.float32: types.float32, types.uint16: types.float32}[weight]

    def emit(context, builder, signature, arguments):
        value = arguments[0]
        wide = context.get_value_type(kind)
        if weight == types.int8:
            return builder.sext(value, wide)
        if weight == types.uint16:
            word = builder.zext(value, context.get_value_type(types.uint32))
            return builder.bitcast(builder.shl(word, word.type(16)), wide)
        return value

    return kind(weight), emit


@compiled
def _count(counts, ends):
    for i in range(counts.shape[0]):
        n = 0
        row = counts[i]
        for k in range(row.size):
            n += row[k] != 0
        ends[i + 1] = ends[i] + n


@compiled
def _list(counts, ends, channels, values):
    for i in range(counts.shape[0]):
        row = counts[i]
        at = ends[i]
        end = ends[i + 1]
        k = 0
        # Without a branch: an entry is written where the next one belongs, and stays if it is not zero.
        while at < end:
            channels[at] = k
            values[at] = row[k]
            at += row[k] != 0
            k += 1


@compiled
def _restore(ends, channels, values, number, escaped, excess):
    """Add its excess to each clipped count. Both lists ascend."""
    for i in range(number.size):
        at = ends[i]
        for e in range(number[i]):
            while channels[at] != escaped[i, e]:
                at += 1
            values[at] += excess[i, e]


@compiled
def _largest(ends, values):
    """Return the largest sum of |values| of a row."""
    largest = 0
    for i in range(ends.size - 1):
        total = 0
        for j in range(ends[i], ends[i + 1]):
            total += abs(values[j])
        largest = max(largest, total)
    return largest


@njit(inline="always")
def _add_eight(weights, chosen, j, begin, acc):
    """Add the rows of eight entries from j on, columns `begin` onwards, times their values, to sums."""
    channels = chosen.channels
    values = chosen.values
    kind = acc.dtype.type
    end = begin + acc.size
    # Names, not a list of them: LLVM then sees that the sums are apart from all of them.
    a = weights[channels[j], begin:end]
    b = weights[channels[j + 1], begin:end]
    c = weights[channels[j + 2], begin:end]
    d = weights[channels[j + 3], begin:end]
    e = weights[channels[j + 4], begin:end]
    f = weights[channels[j + 5], begin:end]
    g = weights[channels[j + 6], begin:end]
    h = weights[channels[j + 7], begin:end]
    p = kind(values[j])
    q = kind(values[j + 1])
    r = kind(values[j + 2])
    s = kind(values[j + 3])
    t = kind(values[j + 4])
    u = kind(values[j + 5])
    v = kind(values[j + 6])
    w = kind(values[j + 7])
    for n in range(acc.size):
        lower = (p * _widen(a[n]) + q * _widen(b[n])) + (r * _widen(c[n]) + s * _widen(d[n]))
        upper = (t * _widen(e[n]) + u * _widen(f[n])) + (v * _widen(g[n]) + w * _widen(h[n]))
        acc[n] += lower + upper


@njit(inline="always")
def _add_one(weights, chosen, j, begin, acc):
    """Add the row of entry j as `_add_eight`."""
    row = weights[chosen.channels[j], begin : begin + acc.size]
    value = acc.dtype.type(chosen.values[j])
    for n in range(acc.size):
        acc[n] += value * _widen(row[n])


# A product and a sum in one rounding where the processor has that: half the instructions.
@compiled(fastmath={"contract"})
def _gather(chosen, weights, first, last, tile, out):
    """Fill columns `first` to `last` of the sums, by eights: then a sum is read and written once for eight rows.

    Entries are grouped by their place in their row's list, so neither blocks nor tiles change a sum.
    """
    place = np.empty(out.shape[0], np.int64)
    for begin in range(first, last, tile):
        end = min(last, begin + tile)
        copy_into(chosen.ends, place)
        for limit in range(BLOCK, weights.shape[0] + BLOCK, BLOCK):
            for i in range(out.shape[0]):
                place[i] = _add_eights(weights, chosen, place[i], chosen.ends[i + 1], limit, begin, out[i, begin:end])
        for i in range(out.shape[0]):
            for j in range(place[i], chosen.ends[i + 1]):
                _add_one(weights, chosen, j, begin, out[i, begin:end])


@njit(inline="always")
def _add_eights(weights, chosen, j, end, limit, begin, acc):
    """Add the entries from j on in whole eights, while they begin below channel `limit`; return the next entry."""
    while j + 8 <= end and chosen.channels[j] < limit:
        _add_eight(weights, chosen, j, begin, acc)
        j += 8
    return j
