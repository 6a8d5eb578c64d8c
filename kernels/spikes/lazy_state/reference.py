"""The state of linear attention, decayed only where it is touched.

    S = diag(e^g) S;   u = v, or beta (v - S^T k) for the delta rule;   S += k u^T;   o = scale S^T q

S is [K, V] for each head. With spikes for q and k most of their entries are 0, but the decay would still rewrite all of
S for every token. Here a row owes its log decay until it is touched: rows active in k are read, decayed and written;
rows active in q only are read, and the owed decay goes into the factor. A written row owes nothing; one that owes more
than 80 (a factor below 2e-35) counts as empty and is not even read. Equal to the dense form up to rounding, at the
cost of K log decays for each head.

RWKV-7 changes the state along another direction too, from what it reads before the decay: see `launch.lazy_scan`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

EMPTY = -80.0  # a row that owes this much is empty


class LazyState(NamedTuple):
    """State of H heads (batch and heads in one axis): exp(owed) * rows."""

    rows: np.ndarray  # [H, K, V] float32 or float64
    owed: np.ndarray  # [H, K] log decays not yet applied, of the same type


class StateTraffic(NamedTuple):
    """Traffic of the state, lazily and densely; bytes count each row once for a token, as a fused kernel moves it."""

    rows_read: int  # active in k or q
    rows_written: int  # active in k
    lazy_bytes: int  # rows read and written, and the log decays of all rows updated
    dense_bytes: int  # all rows read and written
    operations: int  # multiply-adds of the lazy form
    dense_operations: int


def dense_scan_reference(
    rows: np.ndarray,
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    log_decay: np.ndarray | None = None,
    beta: np.ndarray | None = None,
    scale: float = 1.0,
) -> np.ndarray:
    """Update `rows` [H, K, V] in place, all of it for every token; return o [T, H, V]."""
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


def traffic(q, k, width, itemsize=4, delta=False):
    """Return the `StateTraffic` of tokens with q, k [..., K], numpy or torch, into a state of `width` columns."""
    q = q != 0
    k = k != 0
    written, read_rows, reading = (int(x.sum()) for x in (k, q | k, q))
    row = width * itemsize
    size = math.prod(q.shape)
    # A written row is decayed and added to, and read for the prediction of the delta rule.
    operations = width * ((3 if delta else 2) * written + reading)
    return StateTraffic(
        rows_read=read_rows,
        rows_written=written,
        lazy_bytes=(read_rows + written) * row + 2 * size * itemsize,
        dense_bytes=2 * size * row,
        operations=operations,
        dense_operations=width * size * (4 if delta else 3),
    )
