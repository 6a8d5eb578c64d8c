"""Overlap of one packed SDR with a bank of packed SDRs: and, then count the bits.

Bit j of an SDR is bit `j % 64` of word `j // 64`.
"""

from __future__ import annotations

import numpy as np
from numba import njit, uint64

from ..tools.intrinsics import popcount
from ..tools.threads import spread

WORD = 64
# Below this many words a thread costs more than it saves (measured: a start is about 60 us, 1e5 words about 30 us).
WORDS_PER_THREAD = 1 << 18


def pack(dense):
    """Pack [..., size] booleans into [..., ceil(size / 64)] uint64."""
    dense = np.asarray(dense, bool)
    padded = np.zeros((*dense.shape[:-1], -(-dense.shape[-1] // WORD) * WORD), bool)
    padded[..., : dense.shape[-1]] = dense
    return np.packbits(padded, axis=-1, bitorder="little").view("<u8")


def unpack(packed, size):
    """Unpack [..., words] uint64 to [..., size] booleans."""
    octets = np.ascontiguousarray(packed, "<u8").view(np.uint8)
    return np.unpackbits(octets, axis=-1, count=size, bitorder="little").astype(bool)


def overlap_reference(query, bank):
    """The specification of `overlap`: [M] int32 from [words] and [M, words] uint64."""
    both = np.ascontiguousarray(bank & query)
    return np.unpackbits(both.view(np.uint8), axis=-1).sum(axis=-1, dtype=np.int32)


def overlap(query, bank, threads=1):
    """Return the common bits [M] int32 of a query [words] and each row of a bank [M, words], uint64.

    The result does not depend on `threads`.
    """
    query = np.ascontiguousarray(query)
    bank = np.ascontiguousarray(bank)
    out = np.empty(len(bank), np.int32)
    bounds = np.arange(len(bank) + 1) * query.size
    spread(lambda a, b: _overlap(query, bank[a:b], out[a:b]), bounds, threads, WORDS_PER_THREAD)
    return out


@njit(cache=True, nogil=True)
def _overlap(query, bank, out):
    words = query.size
    for i in range(out.size):
        row = bank[i]
        total = uint64(0)
        for j in range(words):
            total += popcount(row[j] & query[j])
        out[i] = total
