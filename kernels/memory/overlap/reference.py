"""Overlap of one packed SDR with a bank of packed SDRs: and, then count the bits: the specification.

Bit j of an SDR is bit `j % 64` of word `j // 64`.
"""

from __future__ import annotations

import numpy as np

WORD = 64


def pack(dense):
    """[..., size] booleans to [..., ceil(size / 64)] uint64."""
    dense = np.asarray(dense, bool)
    padded = np.zeros((*dense.shape[:-1], -(-dense.shape[-1] // WORD) * WORD), bool)
    padded[..., : dense.shape[-1]] = dense
    return np.packbits(padded, axis=-1, bitorder="little").view("<u8")


def unpack(packed, size):
    """[..., words] uint64 back to [..., size] booleans."""
    octets = np.ascontiguousarray(packed, "<u8").view(np.uint8)
    return np.unpackbits(octets, axis=-1, count=size, bitorder="little").astype(bool)


def overlap_reference(query, bank):
    """[words], [M, words] uint64 to [M] int32: the specification of `overlap`."""
    both = np.ascontiguousarray(bank & query)
    return np.unpackbits(both.view(np.uint8), axis=-1).sum(axis=-1, dtype=np.int32)
