"""Bit planes on a CPU: packing, and the list of active channels that a product runs over."""

from __future__ import annotations

import numpy as np
from numba import njit, uint32, uint64

from ...tools.intrinsics import popcount, trailing_zeros
from ..accumulate.numba import Active, restore


def active(packed):
    """The `Active` channels of planes and escapes, without going through counts of silent ones."""
    words, escapes = packed.words, packed.escapes
    ends = np.zeros(len(words) + 1, np.int64)
    # An escaped channel has all its planes set, so it is counted once.
    _count(words, ends)
    channels, values = np.empty(ends[-1], np.int32), np.empty(ends[-1], np.int32)
    _list(words, ends, channels, values)
    return restore(Active(ends, channels, values), escapes)


def spikes(packed):
    """[B] int64: bits set in the magnitude planes of each row, and in the escapes' magnitudes: spikes sent bitwise."""
    out = np.zeros(len(packed.words), np.int64)
    _bits_set(packed.words, out)
    for i, n in enumerate(packed.escapes.number):
        out[i] += sum(int(e).bit_count() for e in np.abs(packed.escapes.excess[i, :n]))
    return out


@njit(cache=True, nogil=True)
def pack_words(counts, words):
    planes = words.shape[1] - 1
    for i in range(counts.shape[0]):
        row = counts[i]
        for k in range(row.size):
            w, bit = k >> 5, uint32(k & 31)
            words[i, 0, w] |= uint32(row[k] < 0) << bit
            size = uint32(abs(np.int32(row[k])))
            for p in range(planes):
                words[i, 1 + p, w] |= ((size >> uint32(p)) & uint32(1)) << bit


@njit(cache=True, nogil=True)
def _count(words, ends):
    for i in range(words.shape[0]):
        n = 0
        for w in range(words.shape[2]):
            n += np.int64(popcount(uint64(_any(words[i], w))))
        ends[i + 1] = ends[i] + n


@njit(inline="always")
def _any(planes, w):
    """The channels of word w with a bit in any plane of magnitude."""
    on = uint32(0)
    for p in range(1, planes.shape[0]):
        on |= planes[p, w]
    return on


@njit(cache=True, nogil=True)
def _list(words, ends, channels, values):
    for i in range(words.shape[0]):
        at = ends[i]
        for w in range(words.shape[2]):
            left = uint64(_any(words[i], w))
            while left:
                bit = trailing_zeros(left)
                size = np.int32(0)
                for p in range(1, words.shape[1]):
                    size |= np.int32((words[i, p, w] >> uint32(bit)) & uint32(1)) << np.int32(p - 1)
                negative = (words[i, 0, w] >> uint32(bit)) & uint32(1)
                channels[at] = 32 * w + bit
                values[at] = -size if negative else size
                at += 1
                left &= left - uint64(1)


@njit(cache=True, nogil=True)
def _bits_set(words, out):
    for i in range(words.shape[0]):
        total = np.int64(0)
        for p in range(1, words.shape[1]):
            for w in range(words.shape[2]):
                total += np.int64(popcount(uint64(words[i, p, w])))
        out[i] = total
