"""The lazily decayed state on a CPU: rows are read and written by compiled loops."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from ...tools.compiled import compiled
from .reference import EMPTY


class Tokens(NamedTuple):
    """Inputs of T tokens, contiguous and of the state's type; an array that is absent has no tokens.

    Attributes:
        q, k: [T, H, K], mostly zeros.
        v: [T, H, V].
        g: [T or 0, H, K] log decays.
        beta: [T or 0, H] of the delta rule.
        a, b: [T or 0, H, K] S^T a is written along b.
    """

    q: np.ndarray
    k: np.ndarray
    v: np.ndarray
    g: np.ndarray
    beta: np.ndarray
    a: np.ndarray
    b: np.ndarray


# A product and a sum in one rounding where the processor has that.
@compiled(fastmath={"contract"})
def _read(rows, owed, q, scale, out):
    """Sum q e^owed times rows active in q, by fours: the sum is read and written once for four rows."""
    active = np.empty(q.size, np.int64)
    factor = np.empty(q.size, out.dtype)
    count = 0
    for i in range(q.size):
        # A row is read without being written: the decay that it owes goes into its factor, and remains owed.
        if q[i] != 0 and owed[i] >= EMPTY:
            active[count] = i
            factor[count] = scale * q[i] * math.exp(owed[i])
            count += 1
    out[:] = 0
    # Pairs are added first: the sums of four rows then depend on each other in two steps, not in four.
    n = 0
    while n + 4 <= count:
        a = rows[active[n]]
        b = rows[active[n + 1]]
        c = rows[active[n + 2]]
        d = rows[active[n + 3]]
        e = factor[n]
        f = factor[n + 1]
        g = factor[n + 2]
        h = factor[n + 3]
        for j in range(out.size):
            out[j] += (e * a[j] + f * b[j]) + (g * c[j] + h * d[j])
        n += 4
    while n < count:
        a = rows[active[n]]
        e = factor[n]
        for j in range(out.size):
            out[j] += e * a[j]
        n += 1


@compiled(fastmath={"contract"})
def _write(rows, owed, k, u):
    """Pay the decay that rows active in k owe, and add k u^T."""
    for i in range(k.size):
        if k[i] == 0:
            continue
        value = k[i]
        row = rows[i]
        # Below EMPTY nothing is left of a row, and what is in memory may be anything.
        if owed[i] >= EMPTY:
            keep = row.dtype.type(math.exp(owed[i]))
            for j in range(u.size):
                row[j] = keep * row[j] + value * u[j]
        else:
            for j in range(u.size):
                row[j] = value * u[j]
        owed[i] = 0


@njit(inline="always")
def _owe(decays, owed):
    for i in range(owed.size):
        owed[i] += decays[i]


@njit(inline="always")
def _correct(beta, v, u):
    """Replace what the state says of a key by beta times what it lacks of v."""
    for j in range(u.size):
        u[j] = beta * (v[j] - u[j])


@compiled
def scan(rows, owed, tokens, scale, first, last, out):
    """Run the tokens through heads `first` to `last`, one head after the other, so that its state stays in cache."""
    q, k, v, g, beta, a, b = tokens
    one = rows.dtype.type(1)
    u = np.empty(v.shape[2], rows.dtype)
    removed = np.empty(v.shape[2], rows.dtype)
    for h in range(first, last):
        for t in range(q.shape[0]):
            # S^T a is of the state before its decay.
            if a.shape[0] > 0:
                _read(rows[h], owed[h], a[t, h], one, removed)
            # A decay touches no row: it is owed until the row is written.
            if g.shape[0] > 0:
                _owe(g[t, h], owed[h])
            if a.shape[0] > 0:
                _write(rows[h], owed[h], b[t, h], removed)
            u[:] = v[t, h]
            if beta.shape[0] > 0:
                _read(rows[h], owed[h], k[t, h], one, u)
                _correct(beta[t, h], v[t, h], u)
            _write(rows[h], owed[h], k[t, h], u)
            _read(rows[h], owed[h], q[t, h], scale, out[t, h])
