"""Packed SDRs, and the overlap of one with a bank of them: the specification.

Bit j of an SDR is bit `j % 64` of word `j // 64`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

WORD = 64


def pack(dense: ArrayLike) -> NDArray[np.uint64]:
    """Pack [..., size] booleans into [..., ceil(size / 64)] uint64."""
    bits = np.asarray(dense, bool)
    padded = np.zeros((*bits.shape[:-1], -(-bits.shape[-1] // WORD) * WORD), bool)
    padded[..., : bits.shape[-1]] = bits
    return np.packbits(padded, axis=-1, bitorder="little").view("<u8")


def unpack(packed: NDArray[np.uint64], size: int) -> NDArray[np.bool_]:
    """Unpack [..., words] uint64 to [..., size] booleans."""
    octets = np.ascontiguousarray(packed, "<u8").view(np.uint8)
    return np.unpackbits(octets, axis=-1, count=size, bitorder="little").astype(bool)


def overlap_reference(query: NDArray[np.uint64], bank: NDArray[np.uint64]) -> NDArray[np.int32]:
    """Return the common bits [M] of a query [words] and each row of a bank [M, words]: and, then count the bits."""
    both = np.ascontiguousarray(bank & query)
    return np.unpackbits(both.view(np.uint8), axis=-1).sum(axis=-1, dtype=np.int32)
