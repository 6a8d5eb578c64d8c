"""Overlap of one packed SDR with a bank of them, compiled."""

from __future__ import annotations

from numba import uint64

from ...tools.compiled import compiled
from ...tools.intrinsics import popcount


@compiled
def overlap(query, bank, out):
    """Fill out [M] with the common bits of query [words] and each row of bank [M, words]."""
    words = query.size
    for i in range(out.size):
        row = bank[i]
        total = uint64(0)
        for j in range(words):
            total += popcount(row[j] & query[j])
        out[i] = total
