"""Overlap of one SDR with a bank stored by bits, compiled: 64 SDRs in a word.

Columns are added in binary: bit i of the word `counts[p, j]` is binary digit p of the count of SDR i of word j.
"""

from __future__ import annotations

import numpy as np
from numba import uint64

from ...tools.compiled import compiled

# Words of a column that are added up together: with all planes they stay in a core's first cache.
BLOCK = 256


@compiled
def overlap_columns(indices, columns, planes, first, last, out):
    """Fill the part of out [64 words] that blocks `first` to `last - 1` of columns [size, words] make.

    Args:
        indices: [w] int64, the columns to add.
        planes: number of binary digits of a count.
    """
    words = columns.shape[1]
    counts = np.empty((planes, BLOCK), np.uint64)
    carry = np.empty(BLOCK, np.uint64)
    for block in range(first, last):
        start = block * BLOCK
        width = min(BLOCK, words - start)
        counts[:] = uint64(0)
        # Loops over a block are the innermost, so that they are vectors: ten times as fast.
        lowest = counts[0]
        for k in range(0, indices.size - 1, 2):
            # A full adder: two columns and the lowest plane make a sum and one carry, half the carries to pass on.
            one = columns[indices[k], start : start + width]
            two = columns[indices[k + 1], start : start + width]
            for j in range(width):
                a = one[j]
                b = two[j]
                c = lowest[j]
                either = a ^ b
                lowest[j] = either ^ c
                carry[j] = (a & b) | (either & c)
            _add_carries(counts, carry, 1, digits(k + 2), width)
        if indices.size % 2:
            one = columns[indices[indices.size - 1], start : start + width]
            for j in range(width):
                carry[j] = one[j]
            _add_carries(counts, carry, 0, planes, width)
        _to_numbers(counts, width, out, start * 64)


@compiled
def digits(number):
    """Return the number of binary digits: a count is at most the number of columns, so higher planes are zero."""
    count = 0
    while number:
        number >>= 1
        count += 1
    return count


@compiled
def _add_carries(counts, carry, first, last, width):
    """Add carries to planes first..last - 1, each of which passes its own carries on."""
    for p in range(first, last):
        plane = counts[p]
        for j in range(width):
            before = plane[j]
            plane[j] = before ^ carry[j]
            carry[j] &= before


@compiled
def _to_numbers(counts, width, out, place):
    """Turn the planes into numbers from `place` of out on, one for each SDR."""
    for j in range(width):
        row = out[place + 64 * j : place + 64 * j + 64]
        for i in range(64):
            row[i] = np.int32((counts[0, j] >> uint64(i)) & uint64(1))
        for p in range(1, counts.shape[0]):
            word = counts[p, j]
            for i in range(64):
                row[i] |= np.int32(((word >> uint64(i)) & uint64(1)) << uint64(p))
