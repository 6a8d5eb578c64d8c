"""`encode` of numpy arrays, and of torch tensors on the device they are on."""

from __future__ import annotations

import numpy as np

from . import numba as cpu
from .reference import LIMIT


def encode(x, k=3.0, thresholds=None, limit=LIMIT, threads=1):
    """[B, K] real numbers to `Counts`.

    Args:
        x: [B, K]; numpy (worked on as float32), or a torch tensor on any device.
        k: how many spikes a mean |x| is worth; not used where thresholds are given.
        thresholds: [K] float32 > 0, one a channel; None for a token's own.
        limit: counts beyond +-limit go to the escapes, 1 to 127; 2^P - 1 for P bit planes.
        threads: does not change the result; on a CPU only.

    Returns: `Counts` of numpy arrays, or of torch tensors where one came. On a GPU `escapes` has room for K a row, so
        that nothing waits for the GPU.

    Raises:
        ValueError: shapes or arguments out of range; on a CPU, x that is not finite (on a GPU its threshold is then
            no number, and so is all that is made of it).
    """
    # `not a > b` so that a k that is no number is refused as well.
    if not k > 0:
        raise ValueError(f"encode: k must be > 0 (got {k})")
    if not 1 <= limit <= LIMIT:
        raise ValueError(f"encode: limit must be 1 to {LIMIT} (got {limit})")
    if x.ndim != 2 or (thresholds is not None and tuple(thresholds.shape) != (x.shape[1],)):
        given = "" if thresholds is None else f", thresholds {tuple(thresholds.shape)}"
        raise ValueError(f"encode: x must be [B, K] and thresholds [K] (got x {tuple(x.shape)}{given})")
    if isinstance(x, np.ndarray):
        return cpu.encode(x, k, thresholds, limit, threads)
    if x.is_cuda:
        from .triton import encode as on_gpu

        return on_gpu(x, k, thresholds, limit)
    return as_torch(encode(x.detach().float().numpy(), k, _numpy(thresholds), limit, threads))


def _numpy(values):
    return None if values is None else values.detach().numpy()


def as_torch(parts):
    """A tuple of numpy arrays, and tuples of them, as the same tuple of torch tensors."""
    import torch

    return type(parts)(*(as_torch(p) if isinstance(p, tuple) else torch.from_numpy(p) for p in parts))
