"""Overlap of one SDR with a bank stored by bits: only the columns of the active bits are read.

A column holds one bit of every SDR of the bank; SDR i is bit `i % 64` of word `i // 64`. Columns are added in binary,
64 SDRs in a word: plane p holds bit p of the counts.
"""

from __future__ import annotations

import numpy as np
from numba import njit, uint64

from ..tools.threads import spread
from .packed import pack, unpack

# Words of a column that are added up together: with all planes they stay in a core's first cache.
BLOCK = 256
# Words read that are worth a thread.
WORDS_PER_THREAD = 1 << 17


def transpose(bank, size):
    """Return the columns [size, ceil(M / 64)] uint64 of packed SDRs [M, words] of `size` bits."""
    columns = np.empty((size, -(-len(bank) // 64)), np.uint64)
    for word in range(bank.shape[1]):
        first = 64 * word
        end = min(first + 64, size)
        columns[first:end] = pack(np.ascontiguousarray(unpack(bank[:, word : word + 1], end - first).T))
    return columns


def overlap_columns_reference(indices, columns, count):
    """The specification of `overlap_columns`: [count] int32 from bits [w] and columns [size, words]."""
    return unpack(columns[indices], count).sum(axis=0, dtype=np.int32)


def overlap_columns(indices, columns, count, threads=1):
    """Return the common bits [count] int32 of active bits [w] and each SDR; the result does not depend on `threads`."""
    indices = np.ascontiguousarray(indices, np.int64)
    words = columns.shape[1]
    out = np.empty(words * 64, np.int32)
    planes = max(len(indices).bit_length(), 1)
    blocks = -(-words // BLOCK)
    bounds = np.arange(blocks + 1) * (BLOCK * max(len(indices), 1))
    spread(lambda a, b: _add(indices, columns, planes, a, b, out), bounds, threads, WORDS_PER_THREAD)
    return out[:count]


@njit(cache=True, nogil=True)
def _add(indices, columns, planes, first, last, out):
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
            # Two columns and the lowest plane make a sum and one carry: half the carries to pass on.
            one = columns[indices[k], start : start + width]
            two = columns[indices[k + 1], start : start + width]
            for j in range(width):
                a = one[j]
                b = two[j]
                c = lowest[j]
                either = a ^ b
                lowest[j] = either ^ c
                carry[j] = (a & b) | (either & c)
            _pass_on(counts, carry, 1, digits(k + 2), width)
        if indices.size % 2:
            one = columns[indices[indices.size - 1], start : start + width]
            for j in range(width):
                carry[j] = one[j]
            _pass_on(counts, carry, 0, planes, width)
        _spell(counts, width, out, start * 64)


@njit(cache=True, nogil=True)
def digits(number):
    """Return the binary digits of a number: counts are at most the number of columns, so higher planes are zero."""
    found = 0
    while number:
        number >>= 1
        found += 1
    return found


@njit(cache=True, nogil=True)
def _pass_on(counts, carry, first, last, width):
    """Add carries to planes first..last - 1."""
    for p in range(first, last):
        plane = counts[p]
        for j in range(width):
            kept = plane[j]
            plane[j] = kept ^ carry[j]
            carry[j] &= kept


@njit(cache=True, nogil=True)
def _spell(counts, width, out, place):
    """Turn the planes into numbers, one for each SDR."""
    for j in range(width):
        row = out[place + 64 * j : place + 64 * j + 64]
        for i in range(64):
            row[i] = np.int32((counts[0, j] >> uint64(i)) & uint64(1))
        for p in range(1, counts.shape[0]):
            word = counts[p, j]
            for i in range(64):
                row[i] |= np.int32(((word >> uint64(i)) & uint64(1)) << uint64(p))
