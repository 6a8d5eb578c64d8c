"""The lazily decayed state of numpy arrays, and of torch tensors on any device."""

from __future__ import annotations

import numpy as np

from ...tools.threads import spread
from . import numba as cpu
from .reference import LazyState

ENTRIES_PER_THREAD = 1 << 16


def lazy_scan(state, q, k, v, log_decay=None, beta=None, scale=1.0, threads=1):
    """Run T tokens through the recurrence; `state` is updated in place.

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
        cpu.scan(*state, q, k, v, g, b, dtype.type(scale), first, last, out)

    spread(part, np.arange(heads + 1) * (len(q) * keys * width), threads, ENTRIES_PER_THREAD)
    return out


def _wide(log_decay, shape, dtype):
    """Return log decays [T, H, K], a view if one serves all keys of a head; [0, H, K] for none."""
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
    return torch.from_numpy(lazy_scan(_numpy(state), *arrays, scale, threads))


def _numpy(state):
    """Return the state of torch tensors on the CPU as arrays of the same memory."""
    return LazyState(state.rows.numpy(), state.owed.numpy())


def decay(state, log_decay):
    """Let every row owe [H] or [H, K] log decay more; numpy or torch."""
    state.owed[...] += log_decay if log_decay.ndim == 2 else log_decay[:, None]


def read(state, q, scale=1.0):
    """Return scale S^T q [H, V] for q [H, K], reading rows active in q only (on a GPU all); numpy or torch."""
    if isinstance(state.rows, np.ndarray):
        return cpu.read(state, q, scale)
    import torch

    if state.rows.is_cuda:
        return scale * ((q * state.owed.exp())[:, None] @ state.rows)[:, 0]
    return torch.from_numpy(cpu.read(_numpy(state), q.detach().numpy(), scale))


def write(state, k, u):
    """Add k u^T to S for k [H, K] and u [H, V], in place, touching rows active in k only; numpy or torch."""
    if isinstance(state.rows, np.ndarray):
        cpu.write(state, k, u)
    elif state.rows.is_cuda:
        written = k != 0
        state.rows.mul_(state.owed.masked_fill(~written, 0.0).exp()[..., None]).add_(k[..., None] * u[:, None])
        state.owed.masked_fill_(written, 0.0)
    else:
        cpu.write(_numpy(state), k.detach().numpy(), u.detach().numpy())
