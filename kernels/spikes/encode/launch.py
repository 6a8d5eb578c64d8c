"""`encode` of numpy arrays, and of torch tensors on the device they are on."""

from __future__ import annotations

import numpy as np

from . import cpu
from .reference import LIMIT, NEAREST


def encode(x, k=3.0, thresholds=None, limit=LIMIT, threads=1, rounding=NEAREST):
    """Encode [B, K] real numbers as `Counts`.

    Args:
        x: [B, K]; numpy (converted to float32), or a torch tensor on any device.
        k: counts that a token's mean |x| is worth; not used with thresholds of channels.
        thresholds: [K] float32 > 0, of channels; None for tokens' own.
        limit: counts beyond +-limit go to the escapes, 1 to 127; 2^P - 1 for P bit planes.
        threads: does not change the result; on a CPU only.
        rounding: a `Rounding`, its arrays of the kind and on the device of x.

    Returns: `Counts` of numpy arrays, or of torch tensors for a tensor. On a GPU `escapes` has room for K a row, so
        that nothing waits for the GPU.

    Raises:
        ValueError: shapes or arguments out of range; on a CPU, x that is not finite (on a GPU its threshold is then
            NaN, and so is every result).
    """
    # `not a > b` so that a k that is NaN is refused as well.
    if not k > 0:
        raise ValueError(f"encode: k must be > 0 (got {k})")
    if not 1 <= limit <= LIMIT:
        raise ValueError(f"encode: limit must be 1 to {LIMIT} (got {limit})")
    if x.ndim != 2 or (thresholds is not None and tuple(thresholds.shape) != (x.shape[1],)):
        if thresholds is None:
            given = ""
        else:
            given = f", thresholds {tuple(thresholds.shape)}"
        raise ValueError(f"encode: x must be [B, K] and thresholds [K] (got x {tuple(x.shape)}{given})")
    if isinstance(x, np.ndarray):
        return cpu.encode(x, k, thresholds, limit, rounding, threads)
    if x.is_cuda:
        from .gpu import encode as on_gpu

        return on_gpu(x, k, thresholds, limit, rounding)
    counted = cpu.encode(x.detach().float().numpy(), k, as_numpy(thresholds), limit, numpy_rounding(rounding), threads)
    return as_torch(counted)


def numpy_rounding(rounding):
    """Return a `Rounding` of torch tensors on the CPU as one of numpy arrays."""
    return rounding._replace(**{name: as_numpy(getattr(rounding, name)) for name in ("edges", "levels", "table")})


def as_numpy(values):
    return None if values is None else values.detach().numpy()


def as_torch(parts):
    """Return a tuple of numpy arrays, and of tuples of them, as the same tuple of torch tensors."""
    import torch

    return type(parts)(*(as_torch(p) if isinstance(p, tuple) else torch.from_numpy(p) for p in parts))


def whole_counts(coded):
    """Return the torch `Counts` of `encode` with their escapes added, [B, K] int32, on their device."""
    import torch

    counts = coded.counts.to(torch.int32)
    number, channels, excess = coded.escapes
    if not coded.counts.is_cuda and not number.any():
        return counts
    listed = torch.arange(channels.shape[1], device=counts.device) < number[:, None]
    zero = channels.new_zeros(())
    return counts.scatter_add_(1, torch.where(listed, channels, zero).long(), torch.where(listed, excess, zero))
