"""`lif_pack` of numpy arrays, and of torch tensors on the device they are on."""

from __future__ import annotations

import numpy as np

from ...tools.threads import spread
from .numba import step_and_pack
from .reference import WORD

ENTRIES_PER_THREAD = 1 << 17


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
        lambda a, b: step_and_pack(current[a:b], v[a:b], *constants, words[a:b]),
        np.arange(len(v) + 1) * v.shape[1],
        threads,
        ENTRIES_PER_THREAD,
    )
    return words


def _torch(current, v, membrane, threads):
    import torch

    if v.is_cuda:
        from .triton import lif_pack as on_gpu

        return on_gpu(current, v, membrane)
    return torch.from_numpy(lif_pack(current.numpy(), v.numpy(), membrane, threads).view(np.int32))
