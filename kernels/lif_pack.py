"""One step of leaky integrate-and-fire on what a product gives, its spikes packed: so currents need not be kept.

    free = v_leak + (v - v_leak) decay + current;  a spike where free > v_threshold;  then
    v = v_reset + keep (free - v_threshold), else v = free

as `neurosim.neurons.LIF` without refractory time, in float32 with every operation rounded, so that all forms agree to
the bit. Bit j of word w is unit 32 w + j.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit, uint32

from neurosim.kernels.parallel import spread

WORD = 32
ENTRIES_PER_THREAD = 1 << 17


class Membrane(NamedTuple):
    """What a step needs; V (or dimensionless), as weights are."""

    decay: float  # exp(-dt / tau_mem)
    v_threshold: float = 1.0
    v_leak: float = 0.0
    v_reset: float = 0.0
    keep: float = 0.0  # 1 keeps what exceeds the threshold (soft reset), 0 does not


def lif_pack_reference(current, v, membrane):
    """[B, N], [B, N] float32 to (words [B, ceil(N / 32)] uint32, new v): the specification."""
    decay, threshold, leak, reset, keep = (np.float32(c) for c in membrane)
    free = leak + (v - leak) * decay + current.astype(np.float32)
    fired = free > threshold
    padded = np.zeros((len(v), -(-v.shape[1] // WORD) * WORD), bool)
    padded[:, : v.shape[1]] = fired
    words = np.packbits(padded, axis=-1, bitorder="little").view("<u4").astype(np.uint32)
    return words, np.where(fired, reset + keep * (free - threshold), free)


def lif_pack(current, v, membrane, threads=1):
    """[B, N] float32 or int32 current to packed spikes [B, ceil(N / 32)] uint32; v [B, N] float32 is updated in place.

    numpy, or torch tensors on any device (their words are int32). `threads` does not change the result.

    Raises:
        ValueError: shapes that differ, a v that is not C-contiguous float32.
    """
    if current.shape != v.shape or current.ndim != 2:
        raise ValueError(f"lif_pack: current and v must be [B, N] (got {tuple(current.shape)}, {tuple(v.shape)})")
    if not isinstance(v, np.ndarray):
        return _torch(current, v, membrane, threads)
    if v.dtype != np.float32 or not v.flags.c_contiguous:
        raise ValueError("lif_pack: v must be C-contiguous float32, for it is updated in place")
    current = np.ascontiguousarray(current, np.float32)
    words = np.empty((len(v), -(-v.shape[1] // WORD)), np.uint32)
    constants = [np.float32(c) for c in membrane]
    spread(
        lambda a, b: _lif_pack(current[a:b], v[a:b], *constants, words[a:b]),
        np.arange(len(v) + 1) * v.shape[1],
        threads,
        ENTRIES_PER_THREAD,
    )
    return words


def _torch(current, v, membrane, threads):
    import torch

    if v.is_cuda:
        from neurosim.kernels.lif_pack_triton import lif_pack as on_gpu

        return on_gpu(current, v, membrane)
    return torch.from_numpy(lif_pack(current.numpy(), v.numpy(), membrane, threads).view(np.int32))


@njit(cache=True, nogil=True)
def _lif_pack(current, v, decay, threshold, leak, reset, keep, words):
    fired = np.empty(v.shape[1], np.uint8)
    for i in range(v.shape[0]):
        u, arrived = v[i], current[i]
        for j in range(u.size):
            free = leak + (u[j] - leak) * decay + arrived[j]
            over = free > threshold
            u[j] = reset + keep * (free - threshold) if over else free
            fired[j] = over
        for w in range(words.shape[1]):
            word = uint32(0)
            for j in range(32 * w, min(32 * w + 32, u.size)):
                word |= uint32(fired[j]) << uint32(j & 31)
            words[i, w] = word
