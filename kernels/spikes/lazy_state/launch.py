"""The lazily decayed state of numpy arrays, and of torch tensors on any device."""

from __future__ import annotations

import numpy as np

from ...tools.threads import spread
from . import cpu
from .reference import LazyState

ENTRIES_PER_THREAD = 1 << 16


def lazy_scan(state, q, k, v, log_decay=None, beta=None, scale=1.0, threads=1, turn=None):
    """Run T tokens through the recurrence; `state` is updated in place.

    Args:
        state: `LazyState`, numpy or torch, C-contiguous.
        q, k: [T, H, K], mostly zeros; numbers, so counts times their threshold.
        v: [T, H, V].
        log_decay: [T, H] or [T, H, K], <= 0; None for no decay.
        beta: [T, H] turns the delta rule on.
        scale: of the output.
        threads: over heads; does not change the result.
        turn: (a, b), each [T, H, K], of RWKV-7: S^T a of the state before its decay is written along b, first of all.

    Returns: o [T, H, V], of the kind and type of `state.rows`.

    Raises:
        ValueError: shapes that do not fit the state.
    """
    heads, keys, width = state.rows.shape
    shapes = {"q": (q, (heads, keys)), "k": (k, (heads, keys)), "v": (v, (heads, width)), "beta": (beta, (heads,))}
    shapes |= {} if turn is None else {"a": (turn[0], (heads, keys)), "b": (turn[1], (heads, keys))}
    if log_decay is not None:
        shapes["log_decay"] = log_decay, (heads, keys)[: log_decay.ndim - 1]
    for name, (values, shape) in shapes.items():
        if values is not None and tuple(values.shape) != (len(q), *shape):
            raise ValueError(f"lazy_scan: {name} must be {[len(q), *shape]} (got {list(values.shape)})")
    if not isinstance(state.rows, np.ndarray):
        return _torch(state, q, k, v, log_decay, beta, scale, threads, turn)
    dtype = state.rows.dtype
    q, k, v = (np.ascontiguousarray(a, dtype) for a in (q, k, v))
    # Arrays of no tokens stand for options that are off: a compiled loop takes one type for each argument.
    none = np.empty((0, heads, keys), dtype)
    a = none if turn is None else np.ascontiguousarray(turn[0], dtype)
    b = none if turn is None else np.ascontiguousarray(turn[1], dtype)
    if beta is None:
        strengths = np.empty((0, heads), dtype)
    else:
        strengths = np.ascontiguousarray(beta, dtype)
    tokens = cpu.Tokens(q, k, v, _wide(log_decay, q.shape, dtype), strengths, a, b)
    out = np.empty_like(v)

    def part(first, last):
        cpu.scan(*state, tokens, dtype.type(scale), first, last, out)

    spread(part, np.arange(heads + 1) * (len(q) * keys * width), threads, ENTRIES_PER_THREAD)
    return out


def _wide(log_decay, shape, dtype):
    """Return log decays [T, H, K], a view if one serves all keys of a head; [0, H, K] for none."""
    if log_decay is None:
        return np.empty((0, *shape[1:]), dtype)
    g = np.asarray(log_decay, dtype)
    return np.broadcast_to(g[..., None] if g.ndim == 2 else g, shape)


def _torch(state, q, k, v, log_decay, beta, scale, threads, turn):
    import torch

    if state.rows.is_cuda and turn is None:
        from .gpu import lazy_scan as on_gpu

        return on_gpu(state, q, k, v, log_decay, beta, scale)
    if state.rows.is_cuda:
        return _turned(state, q, k, v, log_decay, beta, scale, *turn)
    arrays = [a if a is None else a.detach().numpy() for a in (q, k, v, log_decay, beta)]
    # The arrays of the state are of the same memory.
    held = LazyState(*(part.numpy() for part in state))
    pair = turn and tuple(x.detach().numpy() for x in turn)
    return torch.from_numpy(lazy_scan(held, *arrays, scale, threads, pair))


def _turned(state, q, k, v, log_decay, beta, scale, a, b):
    """Run the recurrence with `turn` on a GPU, by dense products; the state owes nothing before and after."""
    import torch

    rows = state.rows
    outs = []
    for t in range(len(q)):
        removed = a[t][:, None] @ rows
        if log_decay is not None:
            # [H, 1, 1] or [H, K, 1]: one decay of a head, or one for each key.
            rows.mul_(log_decay[t].exp().reshape(rows.shape[0], -1, 1))
        rows.add_(b[t][..., None] * removed)
        written = v[t][:, None]
        if beta is not None:
            # The delta rule: what the state lacks of v.
            written = beta[t][:, None, None] * (written - k[t][:, None] @ rows)
        rows.add_(k[t][..., None] * written)
        outs.append(scale * (q[t][:, None] @ rows)[:, 0])
    return torch.stack(outs)
