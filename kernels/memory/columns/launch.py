"""Overlap of one SDR with a bank stored by bits, on threads."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...tools.threads import spread
from . import cpu
from .cpu import BLOCK

# Words read that are worth a thread.
WORDS_PER_THREAD = 1 << 17


def overlap_columns(
    indices: NDArray[np.int32], columns: NDArray[np.uint64], count: int, threads: int = 1
) -> NDArray[np.int32]:
    """Compute `overlap_columns_reference`; the result does not depend on `threads`."""
    indices = np.ascontiguousarray(indices, np.int64)
    words = columns.shape[1]
    out = np.empty(words * 64, np.int32)
    planes = max(len(indices).bit_length(), 1)
    blocks = -(-words // BLOCK)
    bounds = np.arange(blocks + 1) * (BLOCK * max(len(indices), 1))
    spread(lambda a, b: cpu.overlap_columns(indices, columns, planes, a, b, out), bounds, threads, WORDS_PER_THREAD)
    return out[:count]
