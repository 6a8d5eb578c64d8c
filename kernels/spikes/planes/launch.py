"""Bit planes of numpy arrays, and of torch tensors on the device they are on."""

from __future__ import annotations

import numpy as np

from ..accumulate.numba import accumulate_active
from ..encode.launch import as_torch, encode
from ..encode.reference import Escapes, clip_reference
from .numba import active, pack_words
from .reference import MOST_PLANES, WORD, Planes


def encode_planes(x, k=3.0, thresholds=None, planes=3, threads=1):
    """[B, K] real numbers to (`Planes`, thresholds): `encode` with counts packed; arguments and errors are its own."""
    if not 1 <= planes <= MOST_PLANES:
        raise ValueError(f"encode_planes: planes must be 1 to {MOST_PLANES} (got {planes})")
    if not isinstance(x, np.ndarray) and x.is_cuda:
        from .triton import encode_planes as on_gpu

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
    pack_words(np.ascontiguousarray(counts), words)
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
            from .triton import plane_product as on_gpu

            return on_gpu(packed, weights)
        import torch

        return torch.from_numpy(product(as_numpy_planes(packed), weights.detach().numpy(), threads))
    if weights.ndim != 2 or weights.shape[0] != packed.size:
        raise ValueError(f"product: planes of {packed.size} channels @ weights {weights.shape} do not fit")
    return accumulate_active(active(packed), weights, threads)
