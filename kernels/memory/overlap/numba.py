"""`overlap` for a CPU."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numba import njit, uint64

from ...tools.intrinsics import popcount

# Below this many words a thread costs more than it saves (measured: a start is about 60 us, 1e5 words about 30 us).
WORDS_PER_THREAD = 1 << 18


def overlap(query, bank, threads):
    """As `launch.overlap`, of numpy arrays."""
    query, bank = np.ascontiguousarray(query), np.ascontiguousarray(bank)
    out = np.empty(len(bank), np.int32)
    parts = max(1, min(threads, bank.size // WORDS_PER_THREAD))
    edges = np.linspace(0, len(bank), parts + 1).astype(int)
    if parts == 1:
        _overlap(query, bank, out)
        return out
    with ThreadPoolExecutor(parts) as pool:
        list(pool.map(lambda a, b: _overlap(query, bank[a:b], out[a:b]), edges[:-1], edges[1:]))
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
