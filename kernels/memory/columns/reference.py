"""Overlap of one SDR with a bank stored by bits, of which only the active bits are read: the specification.

A column holds one bit of every SDR of the bank; SDR i is bit `i % 64` of word `i // 64`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..packed.reference import WORD, pack, unpack


def transpose(bank: NDArray[np.uint64], size: int) -> NDArray[np.uint64]:
    """Return the columns [size, ceil(M / 64)] of packed SDRs [M, words] of `size` bits."""
    columns = np.empty((size, -(-len(bank) // WORD)), np.uint64)
    # Word by word: a whole bank of booleans takes 64 times the memory of its words.
    for word in range(bank.shape[1]):
        first = WORD * word
        end = min(first + WORD, size)
        columns[first:end] = pack(np.ascontiguousarray(unpack(bank[:, word : word + 1], end - first).T))
    return columns


def overlap_columns_reference(indices: NDArray[np.int32], columns: NDArray[np.uint64], count: int) -> NDArray[np.int32]:
    """Return the common bits [count] of active bits [w] and each SDR of columns [size, words]."""
    return unpack(columns[indices], count).sum(axis=0, dtype=np.int32)
