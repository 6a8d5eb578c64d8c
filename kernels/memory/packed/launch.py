"""Overlap of one packed SDR with a bank of them, on threads."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...tools.threads import spread
from . import cpu

# Below this many words a thread costs more than it saves (measured: a start is about 60 us, 1e5 words about 30 us).
WORDS_PER_THREAD = 1 << 18


def overlap(query: NDArray[np.uint64], bank: NDArray[np.uint64], threads: int = 1) -> NDArray[np.int32]:
    """Compute `overlap_reference`; the result does not depend on `threads`."""
    query = np.ascontiguousarray(query)
    bank = np.ascontiguousarray(bank)
    out = np.empty(len(bank), np.int32)
    bounds = np.arange(len(bank) + 1) * query.size
    spread(lambda a, b: cpu.overlap(query, bank[a:b], out[a:b]), bounds, threads, WORDS_PER_THREAD)
    return out
