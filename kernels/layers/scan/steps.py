"""One step of each recurrence on a row of lanes, compiled; operation by operation as in `reference`."""

from __future__ import annotations

from numba import njit

from ...tools.compiled import compiled
from .kinds import ADAPTIVE, CURRENT, LATE, LIF, ZERO


@njit(inline="always")
def copy(source, target):
    for j in range(source.size):
        target[j] = source[j]


@njit(inline="always")
def copy_rows(source, target):
    for k in range(source.shape[0]):
        copy(source[k], target[k])


@njit(inline="always")
def _lif(v, x, alpha, theta, keep, out):
    zero = x.dtype.type(0)
    one = x.dtype.type(1)
    for j in range(x.size):
        u = alpha[j] * v[j] + x[j]
        fired = u > theta[j]
        v[j] = keep * (u - theta[j]) if fired else u
        out[j] = one if fired else zero


@njit(inline="always")
def _lif_late(v, x, alpha, theta, out):
    zero = x.dtype.type(0)
    one = x.dtype.type(1)
    for j in range(x.size):
        due = theta[j] if v[j] > theta[j] else zero
        u = (alpha[j] * v[j] + x[j]) - due
        v[j] = u
        out[j] = one if u > theta[j] else zero


@njit(inline="always")
def _current(v, i, x, alpha, theta, delta, kappa, keep, out):
    zero = x.dtype.type(0)
    one = x.dtype.type(1)
    for j in range(x.size):
        u = alpha[j] * v[j] + kappa[j] * i[j]
        fired = u > theta[j]
        v[j] = keep * (u - theta[j]) if fired else u
        i[j] = delta[j] * i[j] + x[j]
        out[j] = one if fired else zero


@njit(inline="always")
def _adaptive(v, w, x, alpha, theta, beta, a, b, keep, out):
    zero = x.dtype.type(0)
    one = x.dtype.type(1)
    for j in range(x.size):
        u = alpha[j] * v[j] + (one - alpha[j]) * (x[j] - w[j])
        fired = u > theta[j]
        s = one if fired else zero
        after = keep * (u - theta[j]) if fired else u
        v[j] = after
        w[j] = beta[j] * w[j] + (one - beta[j]) * (a[j] * after + b[j] * s)
        out[j] = s


@njit(inline="always")
def integrate(v, x, alpha, out):
    for j in range(x.size):
        after = alpha[j] * v[j] + x[j]
        v[j] = after
        out[j] = after


@compiled
def advance(kind, reset, x, state, c, out):
    """Advance a row of lanes by one step: x, out [n], state [states, n] in place, c [constants, n]."""
    keep = x.dtype.type(0 if reset == ZERO else 1)
    if kind == LIF:
        if reset == LATE:
            _lif_late(state[0], x, c[0], c[1], out)
        else:
            _lif(state[0], x, c[0], c[1], keep, out)
    elif kind == CURRENT:
        _current(state[0], state[1], x, c[0], c[1], c[2], c[3], keep, out)
    elif kind == ADAPTIVE:
        _adaptive(state[0], state[1], x, c[0], c[1], c[2], c[3], c[4], keep, out)
    else:
        integrate(state[0], x, c[0], out)
