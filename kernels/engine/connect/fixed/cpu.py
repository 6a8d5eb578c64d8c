"""Rows of patterns with a fixed number of synapses, for each source, for each target or in all.

Every function gives the rows of sources `first` to `last - 1`, targets ascending within a row, and gives the same
rows however that range is cut. `skip_self` leaves out target i of source i. A `span` is a `RowRange`: of each row come
the targets of one process.
"""

from __future__ import annotations

import numpy as np
from numba import njit, uint64

from ....tools.compiled import compiled
from ....tools.pointers import bare_matrix, bare_vector
from ..choices.cpu import choose, refill, scratch, sort


@compiled
def fixed_rows(key, first, last, degrees, targets, with_replacement, skip_self, out):
    """Fill `out` with the rows: source i chooses `degrees[i - first]` targets, as `choose_reference` does."""
    own = scratch(targets, degrees.max() if degrees.size else 0)
    # Without their owners, whose references would be counted for every row.
    taken, words, picks, other, counts, keys = _bare(own)
    chosen = bare_vector(out)
    a = 0
    for source in range(first, last):
        b = a + degrees[source - first]
        skip = source if skip_self else -1
        choose(key, source, targets, with_replacement, skip, taken, words, picks, chosen[a:b])
        sort(chosen[a:b], other[: b - a], counts, keys, taken, targets)
        a = b
    # An array is freed after its last mention.
    return own[0].size + own[1].size + own[2].size + own[3].size + own[4].size + own[5].size


@njit(inline="always")
def _bare(own):
    """Return the arrays of `scratch` without their owners."""
    taken, words, picks, other, counts, keys = own
    vectors = bare_vector(taken), bare_vector(picks), bare_vector(other), bare_vector(counts), bare_vector(keys)
    return vectors[0], bare_matrix(words), vectors[1], vectors[2], vectors[3], vectors[4]


@compiled
def fixed_rows_part(key, span, degrees, targets, with_replacement, skip_self, before, offsets, out):
    """Make the rows of `fixed_rows` in a span; return the number of synapses, or -1 if `out` is too short.

    All choices are drawn, and choices of the part are sorted.

    Args:
        before: int64 [sources of the span], filled with the number of choices of each source before the span's targets.
    """
    first = span.first
    low = span.low
    high = span.high
    longest = degrees.max() if degrees.size else 0
    taken, words, picks, other, counts, keys = scratch(targets, longest)
    # A row is chosen whole, whatever the part, or its choices would depend on how targets are shared.
    line = np.empty(longest, np.int32)
    n = 0
    offsets[0] = 0
    for source in range(first, span.last):
        degree = degrees[source - first]
        if n + degree > out.size:
            return -1
        chosen = line[:degree]
        earlier = 0
        a = n
        choose(key, source, targets, with_replacement, source if skip_self else -1, taken, words, picks, chosen)
        for k in range(degree):
            # Without a branch, which half of all choices would surprise.
            j = chosen[k]
            out[n] = j
            n += (low <= j) & (j < high)
            earlier += j < low
        sort(out[a:n], other[: n - a], counts, keys, taken, targets)
        before[source - first] = earlier
        offsets[source - first + 1] = n
    return n


@compiled
def fixed_columns(key, sources, first, last, degree, with_replacement, skip_self, out):
    """Fill out[i] with the `degree` sources that target `first + i` chooses, as `choose_reference` says."""
    taken, words, picks, other, counts, keys = scratch(sources, degree)
    for target in range(first, last):
        skip = target if skip_self else -1
        line = out[target - first]
        choose(key, target, sources, with_replacement, skip, taken, words, picks, line)
        sort(line, other[:degree], counts, keys, taken, sources)


@compiled
def transpose(columns, low, offsets, out):
    """Make the rows of all sources from the sources of the targets `low` on.

    Args:
        offsets: int64 [sources + 1], filled.
        out: int32 [columns.size], filled.
    """
    # A counting sort by source: targets come in their order, so rows ascend.
    offsets[:] = 0
    for i in range(columns.shape[0]):
        for k in range(columns.shape[1]):
            offsets[columns[i, k] + 1] += 1
    for source in range(offsets.size - 1):
        offsets[source + 1] += offsets[source]
    position = offsets[:-1].copy()
    for i in range(columns.shape[0]):
        for k in range(columns.shape[1]):
            source = columns[i, k]
            out[position[source]] = low + i
            position[source] += 1


@compiled
def distinct_bits(key, among, wanted, bits):
    """Set the bits of `wanted` different numbers of range(among), as `choose_reference` draws for chooser 0.

    Args:
        bits: uint64 [at least among / 64], zeros.
    """
    # Of more than half it is quicker to choose those left out.
    inverted = wanted * 2 > among
    needed = among - wanted if inverted else wanted
    words = np.empty((4, 128), np.uint32)
    picks = np.empty(512, np.int64)
    count = 0
    draw = np.int64(0)
    while count < needed:
        n = refill(key, np.int64(0), draw, among, np.int64(128), words, picks)
        draw += 128
        for k in range(n):
            bit = uint64(1) << uint64(picks[k] & 63)
            if count < needed and bits[picks[k] >> 6] & bit == 0:
                bits[picks[k] >> 6] |= bit
                count += 1
    if inverted:
        for i in range(bits.size):
            bits[i] = ~bits[i]


@compiled
def bit_rows(bits, span, targets, skip_self, before, offsets, out):
    """Make the rows of the pairs whose bits are set, numbered row by row; return their number, or -1 if `out` is too
    short.

    Args:
        skip_self: pairs i, i have no number.
        before: int64 [sources of the span], filled with the pairs of each row before the span's targets.
    """
    first = span.first
    low = span.low
    high = span.high
    columns = targets - skip_self
    n = 0
    offsets[0] = 0
    for source in range(first, span.last):
        c = 0
        earlier = 0
        while c < columns:
            pair = source * columns + c
            word = bits[pair >> 6] >> uint64(pair & 63)
            # Nothing set in the rest of this word: go on with the next.
            if word == 0:
                c += 64 - (pair & 63)
                continue
            # Without i, i the numbers from the source on belong to the next target.
            target = c + (skip_self and c >= source)
            c += 1
            if word & uint64(1) == 0:
                continue
            earlier += target < low
            if not low <= target < high:
                continue
            if n == out.size:
                return -1
            out[n] = target
            n += 1
        before[source - first] = earlier
        offsets[source - first + 1] = n
    return n


@compiled
def histogram(key, draws, bins, counts):
    """Set counts[j] to the number of `draws` uniform choices out of range(bins) that fell on j."""
    words = np.empty((4, 128), np.uint32)
    picks = np.empty(512, np.int64)
    counts[:] = 0
    done = 0
    draw = np.int64(0)
    while done < draws:
        n = min(draws - done, refill(key, np.int64(0), draw, bins, np.int64(128), words, picks))
        for i in range(n):
            counts[picks[i]] += 1
        done += n
        draw += 128
