"""`lazy_scan` of numpy arrays, and of torch tensors on the device they are on."""

from __future__ import annotations

import numpy as np

from ...tools.threads import spread
from .numba import scan
from .reference import LazyState

ENTRIES_PER_THREAD = 1 << 16


def lazy_scan(state, q, k, v, log_decay=None, beta=None, scale=1.0, threads=1):
    """T tokens through the recurrence; `state` is updated in place.

    Args:
        state: `LazyState`, numpy or torch, C-contiguous.
        q, k: [T, H, K], mostly zeros; numbers, so counts times their threshold.
        v: [T, H, V].
        log_decay: [T, H] or [T, H, K], <= 0; None for no decay.
        beta: [T, H] turns the delta rule on.
        scale: of the output.
        threads: over heads; does not change the result.

    Returns: o [T, H, V], of the kind and type of `state.rows`.

    Raises:
        ValueError: shapes that do not fit the state.
    """
    heads, keys, width = state.rows.shape
    shapes = {"q": (q, (heads, keys)), "k": (k, (heads, keys)), "v": (v, (heads, width)), "beta": (beta, (heads,))}
    if log_decay is not None:
        shapes["log_decay"] = log_decay, (heads, keys)[: log_decay.ndim - 1]
    for name, (values, shape) in shapes.items():
        if values is not None and tuple(values.shape) != (len(q), *shape):
            raise ValueError(f"lazy_scan: {name} must be {[len(q), *shape]} (got {list(values.shape)})")
    if not isinstance(state.rows, np.ndarray):
        return _torch(state, q, k, v, log_decay, beta, scale, threads)
    dtype = state.rows.dtype
    q, k, v = (np.ascontiguousarray(a, dtype) for a in (q, k, v))
    g = _wide(log_decay, q.shape, dtype)
    b = np.empty((0, heads), dtype) if beta is None else np.ascontiguousarray(beta, dtype)
    out = np.empty_like(v)

    def part(first, last):
        scan(*state, q, k, v, g, b, dtype.type(scale), first, last, out)

    spread(part, np.arange(heads + 1) * (len(q) * keys * width), threads, ENTRIES_PER_THREAD)
    return out


def _wide(log_decay, shape, dtype):
    """[T, H, K] log decays, a view where one serves a whole head; [0, H, K] for none."""
    if log_decay is None:
        return np.empty((0, *shape[1:]), dtype)
    g = np.asarray(log_decay, dtype)
    return np.broadcast_to(g[..., None] if g.ndim == 2 else g, shape)


def _torch(state, q, k, v, log_decay, beta, scale, threads):
    import torch

    if state.rows.is_cuda:
        from .triton import lazy_scan as on_gpu

        return on_gpu(state, q, k, v, log_decay, beta, scale)
    arrays = [a if a is None else a.detach().numpy() for a in (q, k, v, log_decay, beta)]
    out = lazy_scan(LazyState(state.rows.numpy(), state.owed.numpy()), *arrays, scale, threads)
    return torch.from_numpy(out)
