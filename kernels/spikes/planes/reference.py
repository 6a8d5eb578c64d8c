"""Counts as bits: a sign plane and P planes of magnitude bits, packed by 32 into words: the specification.

Bit j of word w belongs to channel 32 w + j. Plane 0 holds signs (1 is negative, and 0 where the count is 0), plane
1 + p holds bit p of |count|. The number of planes is fixed, so that one outlier does not set the cost of all; counts
beyond 2^P - 1 escape, exactly, into a list (`Escapes` of `encode`). A GPU writes them instead of counts for a batch.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..accumulate.reference import accumulate_reference
from ..encode.reference import Escapes, clip_reference

WORD = 32
MAX_PLANES = 7  # the magnitude of an int8 count


class Planes(NamedTuple):
    """Packed counts of [B, K]."""

    words: np.ndarray  # [B, 1 + P, ceil(K / 32)] uint32
    size: int  # K
    escapes: Escapes


def pack_reference(counts: np.ndarray, planes: int) -> Planes:
    """Pack [B, K] integers as `Planes`."""
    clipped, escapes = clip_reference(np.asarray(counts, np.int32), 2**planes - 1)
    rows, size = clipped.shape
    padded = np.zeros((rows, -(-size // WORD) * WORD), np.int32)
    padded[:, :size] = clipped
    bits = [padded < 0, *((np.abs(padded) >> p) & 1 for p in range(planes))]
    octets = np.packbits(np.stack(bits, 1).astype(bool), axis=-1, bitorder="little")
    return Planes(octets.view("<u4").astype(np.uint32), size, escapes)


def unpack_reference(packed: Planes) -> np.ndarray:
    """Return the counts [B, K] int32 of `Planes`, escapes included."""
    octets = np.ascontiguousarray(packed.words, "<u4").view(np.uint8)
    bits = np.unpackbits(octets, axis=-1, count=packed.size, bitorder="little").astype(np.int32)
    magnitude = sum(bits[:, 1 + p] << p for p in range(bits.shape[1] - 1))
    counts = np.where(bits[:, 0] == 1, -magnitude, magnitude)
    for i, n in enumerate(packed.escapes.number):
        counts[i, packed.escapes.channels[i, :n]] += packed.escapes.excess[i, :n]
    return counts.astype(np.int32)


def product_reference(packed: Planes, weights: np.ndarray) -> np.ndarray:
    """Return `accumulate_reference` of the counts: what `plane_product` computes."""
    return accumulate_reference(unpack_reference(packed), weights)
