"""Counts as bits: a sign plane and P planes of magnitude bits, packed by 32 into words.

Bit j of word w belongs to channel 32 w + j. Plane 0 holds signs (1 is negative, and 0 where the count is 0), plane
1 + p holds bit p of |count|. The number of planes is fixed, so that one outlier does not set the cost of all; what is
larger than 2^P - 1 escapes, exactly, into a list (`encode.Escapes`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit, uint32, uint64

from neurosim.kernels.accumulate import Active, accumulate_active, accumulate_reference, restore
from neurosim.kernels.encode import Escapes, as_torch, clip_reference, encode
from neurosim.kernels.machine import trailing_zeros
from neurosim.kernels.overlap import popcount

WORD = 32
MOST_PLANES = 7  # the magnitude of an int8 count


class Planes(NamedTuple):
    """Packed counts of [B, K]."""

    words: np.ndarray  # [B, 1 + P, ceil(K / 32)] uint32
    size: int  # K
    escapes: Escapes


def pack_reference(counts, planes):
    """[B, K] whole numbers to `Planes`: the specification of `pack`."""
    clipped, escapes = clip_reference(np.asarray(counts, np.int32), 2**planes - 1)
    rows, size = clipped.shape
    padded = np.zeros((rows, -(-size // WORD) * WORD), np.int32)
    padded[:, :size] = clipped
    bits = [padded < 0, *((np.abs(padded) >> p) & 1 for p in range(planes))]
    octets = np.packbits(np.stack(bits, 1).astype(bool), axis=-1, bitorder="little")
    return Planes(octets.view("<u4").astype(np.uint32), size, escapes)


def unpack_reference(packed):
    """`Planes` back to [B, K] int32 whole counts, escapes included."""
    octets = np.ascontiguousarray(packed.words, "<u4").view(np.uint8)
    bits = np.unpackbits(octets, axis=-1, count=packed.size, bitorder="little").astype(np.int32)
    magnitude = sum(bits[:, 1 + p] << p for p in range(bits.shape[1] - 1))
    counts = np.where(bits[:, 0] == 1, -magnitude, magnitude)
    for i, n in enumerate(packed.escapes.number):
        counts[i, packed.escapes.channels[i, :n]] += packed.escapes.excess[i, :n]
    return counts.astype(np.int32)


def product_reference(packed, weights):
    """[B, K] planes times [K, N] to [B, N]: as `accumulate_reference` of the counts."""
    return accumulate_reference(unpack_reference(packed), weights)


def encode_planes(x, k=3.0, thresholds=None, planes=3, threads=1):
    """[B, K] real numbers to (`Planes`, thresholds): `encode` with counts packed; arguments and errors are its own."""
    if not 1 <= planes <= MOST_PLANES:
        raise ValueError(f"encode_planes: planes must be 1 to {MOST_PLANES} (got {planes})")
    if not isinstance(x, np.ndarray) and x.is_cuda:
        from neurosim.kernels.encode_triton import encode_planes as on_gpu

        return on_gpu(x, k, thresholds, planes)
    coded = encode(x, k, thresholds, 2**planes - 1, threads)
    return pack(coded.counts, planes, coded.escapes), coded.thresholds


def pack(counts, planes, escapes=None):
    """[B, K] int8 counts to `Planes`.

    Args:
        counts: numpy, or a torch tensor on the CPU (`encode_planes` is the form for a GPU).
        planes: magnitude bits kept.
        escapes: what was clipped off counts within +-(2^planes - 1); None for counts that were clipped to no more
            than int8, of which the planes then clip the rest.

    Raises:
        ValueError: planes out of range; counts beyond the planes although escapes are given.
    """
    if not 1 <= planes <= MOST_PLANES:
        raise ValueError(f"pack: planes must be 1 to {MOST_PLANES} (got {planes})")
    if not isinstance(counts, np.ndarray):
        packed = pack(counts.numpy(), planes, None if escapes is None else Escapes(*(p.numpy() for p in escapes)))
        return as_torch_planes(packed)
    limit = 2**planes - 1
    if escapes is None:
        counts, escapes = clip_reference(counts.astype(np.int32), limit)
    elif counts.size and np.abs(counts.astype(np.int32)).max() > limit:
        raise ValueError(f"pack: counts beyond {limit} do not fit {planes} planes and are not in the escapes")
    words = np.zeros((counts.shape[0], 1 + planes, -(-counts.shape[1] // WORD)), np.uint32)
    _pack(np.ascontiguousarray(counts), words)
    return Planes(words, counts.shape[1], escapes)


def as_torch_planes(packed):
    """`Planes` of numpy arrays as the same of torch tensors, words as int32 (which has all operations there)."""
    import torch

    return Planes(torch.from_numpy(packed.words.view(np.int32)), packed.size, as_torch(packed.escapes))


def as_numpy_planes(packed):
    """`Planes` of torch tensors on the CPU as the same of numpy arrays."""
    return Planes(packed.words.numpy().view(np.uint32), packed.size, Escapes(*(p.numpy() for p in packed.escapes)))


def product(packed, weights, threads=1):
    """out[B, N] = counts @ weights from `Planes`: equal to `spike_accumulate` of the counts, to the bit on a CPU.

    On a CPU the bits say which rows to add, and how often; on a GPU the word tiles are spread out to counts in
    registers beside the weights (float32 weights [K, N], int8 [K, N] or the transpose of a contiguous [N, K]).

    Raises:
        ValueError: as `spike_accumulate`.
    """
    if not isinstance(packed.words, np.ndarray):
        if packed.words.is_cuda:
            from neurosim.kernels.accumulate_triton import plane_product as on_gpu

            return on_gpu(packed, weights)
        import torch

        return torch.from_numpy(product(as_numpy_planes(packed), weights.detach().numpy(), threads))
    if weights.ndim != 2 or weights.shape[0] != packed.size:
        raise ValueError(f"product: planes of {packed.size} channels @ weights {weights.shape} do not fit")
    return accumulate_active(active(packed), weights, threads)


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
def _pack(counts, words):
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
