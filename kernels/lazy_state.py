"""The state of linear attention, decayed only where it is touched.

    S = diag(e^g) S;   u = v, or beta (v - S^T k) for the delta rule;   S += k u^T;   o = scale S^T q

S is [K, V] a head. With spikes for q and k most of their entries are 0, but the decay would still rewrite all of S for
every token. Here a row keeps the log decay it owes, and pays when it is touched: rows active in k are read, decayed
and written, rows active in q only are read, and what they owe goes into the factor. A row written owes nothing again;
one that owes more than 80 (a factor below 2e-35) counts as empty and is not even read. Equal to the dense form up to
rounding, for K log decays kept a head.

The parts (`decay`, `read`, `write`) are public for recurrences that are put together otherwise: RWKV-7 reads before
it decays, DeltaProduct writes several times a token.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from neurosim.kernels.parallel import spread

EMPTY = -80.0  # a row that owes this much holds nothing any more
ENTRIES_PER_THREAD = 1 << 16


class LazyState(NamedTuple):
    """Of H heads (batch and heads in one axis). What is meant is exp(owed) * rows."""

    rows: np.ndarray  # [H, K, V] float32 or float64
    owed: np.ndarray  # [H, K] log decays not yet applied, of the same type


class Traffic(NamedTuple):
    """What tokens cost the state, lazily and densely; bytes count each row once a token, as a fused kernel moves it."""

    rows_read: int  # active in k or q
    rows_written: int  # active in k
    lazy_bytes: int  # rows read and written, and the log decays of all rows updated
    dense_bytes: int  # all rows read and written
    operations: int  # multiply-adds of the lazy form
    dense_operations: int


def new_state(heads, keys, width, dtype=np.float32):
    """A `LazyState` of zeros: numpy [heads, keys, width]."""
    return LazyState(np.zeros((heads, keys, width), dtype), np.zeros((heads, keys), dtype))


def dense(state):
    """[H, K, V]: the state with all that is owed applied; numpy or torch."""
    exp = np.exp if isinstance(state.rows, np.ndarray) else _torch_exp
    return state.rows * exp(state.owed)[..., None]


def _torch_exp(x):
    return x.exp()


def dense_scan_reference(rows, q, k, v, log_decay=None, beta=None, scale=1.0):
    """The specification: `rows` [H, K, V] is updated in place, all of it for every token; returns o [T, H, V]."""
    out = np.empty_like(v)
    for t in range(len(q)):
        if log_decay is not None:
            g = log_decay[t]
            rows *= np.exp(g[:, None, None] if g.ndim == 1 else g[:, :, None])
        u = v[t]
        if beta is not None:
            u = beta[t][:, None] * (u - np.einsum("hk,hkv->hv", k[t], rows))
        rows += k[t][:, :, None] * u[:, None, :]
        out[t] = scale * np.einsum("hk,hkv->hv", q[t], rows)
    return out


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
        _scan(*state, q, k, v, g, b, dtype.type(scale), first, last, out)

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
        from neurosim.kernels.lazy_state_triton import lazy_scan as on_gpu

        return on_gpu(state, q, k, v, log_decay, beta, scale)
    arrays = [a if a is None else a.detach().numpy() for a in (q, k, v, log_decay, beta)]
    out = lazy_scan(LazyState(state.rows.numpy(), state.owed.numpy()), *arrays, scale, threads)
    return torch.from_numpy(out)


def decay(state, log_decay):
    """Every row owes [H] or [H, K] log decay more."""
    state.owed[...] += log_decay if log_decay.ndim == 2 else log_decay[:, None]


def read(state, q, scale=1.0):
    """scale S^T q: [H, K] to [H, V], reading rows active in q only. numpy."""
    out = np.empty((state.rows.shape[0], state.rows.shape[2]), state.rows.dtype)
    _read_all(*state, np.ascontiguousarray(q, out.dtype), out.dtype.type(scale), out)
    return out


def write(state, k, u):
    """S += k u^T for [H, K] and [H, V], in place, reading and writing rows active in k only. numpy."""
    dtype = state.rows.dtype
    _write_all(*state, np.ascontiguousarray(k, dtype), np.ascontiguousarray(u, dtype))


def traffic(q, k, width, itemsize=4, delta=False):
    """`Traffic` of tokens with q, k [..., K] into a state of `width` columns."""
    q, k = np.asarray(q) != 0, np.asarray(k) != 0
    written, read_rows, reading = (int(np.count_nonzero(x)) for x in (k, q | k, q))
    row = width * itemsize
    # A row written: decay and add, and its share of what the delta rule predicts.
    operations = width * ((3 if delta else 2) * written + reading)
    return Traffic(
        rows_read=read_rows,
        rows_written=written,
        lazy_bytes=(read_rows + written) * row + 2 * q.size * itemsize,
        dense_bytes=2 * q.size * row,
        operations=operations,
        dense_operations=width * q.size * (4 if delta else 3),
    )


# A product and a sum in one rounding where the processor has that.
@njit(cache=True, nogil=True, fastmath={"contract"})
def _read(rows, owed, q, scale, out):
    """Sum of q e^owed times rows that are active in q, by fours: the sum is read and written once for four rows."""
    active, factor = np.empty(q.size, np.int64), np.empty(q.size, out.dtype)
    count = 0
    for i in range(q.size):
        if q[i] != 0 and owed[i] >= EMPTY:
            active[count], factor[count] = i, scale * q[i] * math.exp(owed[i])
            count += 1
    out[:] = 0
    n = 0
    while n + 4 <= count:
        a, b, c, d = rows[active[n]], rows[active[n + 1]], rows[active[n + 2]], rows[active[n + 3]]
        e, f, g, h = factor[n], factor[n + 1], factor[n + 2], factor[n + 3]
        for j in range(out.size):
            out[j] += (e * a[j] + f * b[j]) + (g * c[j] + h * d[j])
        n += 4
    while n < count:
        a, e = rows[active[n]], factor[n]
        for j in range(out.size):
            out[j] += e * a[j]
        n += 1


@njit(cache=True, nogil=True, fastmath={"contract"})
def _write(rows, owed, k, u):
    for i in range(k.size):
        if k[i] != 0:
            value, row = k[i], rows[i]
            if owed[i] >= EMPTY:
                keep = row.dtype.type(math.exp(owed[i]))
                for j in range(u.size):
                    row[j] = keep * row[j] + value * u[j]
            else:
                for j in range(u.size):
                    row[j] = value * u[j]
            owed[i] = 0


@njit(cache=True, nogil=True)
def _read_all(rows, owed, q, scale, out):
    for h in range(q.shape[0]):
        _read(rows[h], owed[h], q[h], scale, out[h])


@njit(cache=True, nogil=True)
def _write_all(rows, owed, k, u):
    for h in range(k.shape[0]):
        _write(rows[h], owed[h], k[h], u[h])


@njit(cache=True, nogil=True)
def _scan(rows, owed, q, k, v, g, beta, scale, first, last, out):
    """Tokens in turn for heads `first` to `last`, each head's state staying in cache meanwhile."""
    one = rows.dtype.type(1)
    u = np.empty(v.shape[2], rows.dtype)
    for h in range(first, last):
        for t in range(q.shape[0]):
            if g.shape[0] > 0:
                for i in range(q.shape[2]):
                    owed[h, i] += g[t, h, i]
            u[:] = v[t, h]
            if beta.shape[0] > 0:
                _read(rows[h], owed[h], k[t, h], one, u)
                for j in range(u.size):
                    u[j] = beta[t, h] * (v[t, h, j] - u[j])
            _write(rows[h], owed[h], k[t, h], u)
            _read(rows[h], owed[h], q[t, h], scale, out[t, h])
