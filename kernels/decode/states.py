"""States of the recurrences of a decoder, one token at a time: [tokens, H, K, V] float32, in place.

    additive: S = e^g S + k v^T
    delta:    S = e^g S;  u = beta (v - S^T k);  S += k u^T, several times where a token has several steps
    rank_one: S = e^g S + b (S^T a)^T + k v^T, S^T a before the decay (RWKV-7, Comba)

and o = scale S^T q. g is none, [H] or [H, K] for each token. A head of k, v, g or q may serve a group of heads of the
state. A row of the state is read and written once, or twice where the sum needs all rows first.
"""

from __future__ import annotations

from numba import float32, njit

from ..tools.elementary import exp
from ..tools.pointers import matrix, vector
from .program import FLOAT, integers, operation, reals, skipped

NO_DECAY, HEAD_DECAY, KEY_DECAY = range(3)


@njit(inline="always")
def head_of(address, i, heads, h, group, size):
    """The [size] entries of head h of token i, where each head serves `group` heads of the state."""
    count = heads // group
    return vector(address + 4 * (i * count + h // group) * size, size, FLOAT)


@njit(inline="always")
def _factors(g, kind, i, heads, h, group, keep):
    """Fill the factors [K] of the rows of a state."""
    if kind == KEY_DECAY:
        own = head_of(g, i, heads, h, group, keep.size)
        for n in range(keep.size):
            keep[n] = exp(own[n])
    elif kind == HEAD_DECAY:
        keep[:] = exp(vector(g, (i + 1) * heads, FLOAT)[i * heads + h])
    else:
        keep[:] = 1


# A product and a sum in one rounding where the processor has that.
@njit(cache=True, nogil=True, fastmath={"contract"})
def _add_and_read(rows, keep, k, v, q, scale, out):
    """S = keep S + k v^T, out = scale S^T q, four rows at a time."""
    size = rows.shape[0]
    out[:] = 0
    n = 0
    while n + 4 <= size:
        a, b, c, d = rows[n], rows[n + 1], rows[n + 2], rows[n + 3]
        ka, kb, kc, kd = keep[n], keep[n + 1], keep[n + 2], keep[n + 3]
        ia, ib, ic, id_ = k[n], k[n + 1], k[n + 2], k[n + 3]
        qa, qb, qc, qd = scale * q[n], scale * q[n + 1], scale * q[n + 2], scale * q[n + 3]
        for j in range(out.size):
            sa, sb, sc, sd = ka * a[j] + ia * v[j], kb * b[j] + ib * v[j], kc * c[j] + ic * v[j], kd * d[j] + id_ * v[j]
            a[j], b[j], c[j], d[j] = sa, sb, sc, sd
            out[j] += (qa * sa + qb * sb) + (qc * sc + qd * sd)
        n += 4
    while n < size:
        a, ka, ia, qa = rows[n], keep[n], k[n], scale * q[n]
        for j in range(out.size):
            a[j] = ka * a[j] + ia * v[j]
            out[j] += qa * a[j]
        n += 1


@njit(cache=True, nogil=True, fastmath={"contract"})
def _read(rows, keep, k, decays, out):
    """S = keep S if it decays, out = S^T k, four rows at a time."""
    size = rows.shape[0]
    out[:] = 0
    n = 0
    while n + 4 <= size:
        a, b, c, d = rows[n], rows[n + 1], rows[n + 2], rows[n + 3]
        p, q, r, s = k[n], k[n + 1], k[n + 2], k[n + 3]
        if decays:
            ka, kb, kc, kd = keep[n], keep[n + 1], keep[n + 2], keep[n + 3]
            for j in range(out.size):
                sa, sb, sc, sd = ka * a[j], kb * b[j], kc * c[j], kd * d[j]
                a[j], b[j], c[j], d[j] = sa, sb, sc, sd
                out[j] += (p * sa + q * sb) + (r * sc + s * sd)
        else:
            for j in range(out.size):
                out[j] += (p * a[j] + q * b[j]) + (r * c[j] + s * d[j])
        n += 4
    while n < size:
        a, p = rows[n], k[n]
        for j in range(out.size):
            if decays:
                a[j] *= keep[n]
            out[j] += p * a[j]
        n += 1


@operation
def additive(arguments, context, begin, end):
    """Arguments: state, H, K, V, tokens; q, k, v, g; heads of the state that share a head of each; kind of decay; scale
    (real); float32 [K] for this thread; out [tokens, H, V]; mask, see `skipped`. Parts are heads.
    """
    p, f = integers(arguments), reals(arguments)
    heads, keys, values, scale = p[1], p[2], p[3], float32(f[14])
    keep = vector(p[15], keys, FLOAT)
    for i in range(p[4]):
        if skipped(p[17], i):
            continue
        for h in range(begin, end):
            _factors(p[8], p[13], i, heads, h, p[12], keep)
            q, k = head_of(p[5], i, heads, h, p[9], keys), head_of(p[6], i, heads, h, p[10], keys)
            v, out = head_of(p[7], i, heads, h, p[11], values), head_of(p[16], i, heads, h, 1, values)
            rows = matrix(p[0] + 4 * (i * heads + h) * keys * values, keys, values, FLOAT)
            _add_and_read(rows, keep, k, v, q, scale, out)


@operation
def delta(arguments, context, begin, end):
    """Arguments: state, H, K, V, tokens; q, k, v, g; beta [tokens, steps, H]; heads of the state that share a head of
    q, of k, and of g; steps; kind of decay; scale (real); float32 [K], [V] for this thread; out [tokens, H, V]; mask.
    k and v have a row for each step. Parts are heads.
    """
    p, f = integers(arguments), reals(arguments)
    heads, keys, values, steps, scale = p[1], p[2], p[3], p[13], float32(f[15])
    keep, u = vector(p[16], keys, FLOAT), vector(p[17], values, FLOAT)
    for i in range(p[4]):
        if skipped(p[19], i):
            continue
        for h in range(begin, end):
            rows = matrix(p[0] + 4 * (i * heads + h) * keys * values, keys, values, FLOAT)
            q, out = head_of(p[5], i, heads, h, p[10], keys), head_of(p[18], i, heads, h, 1, values)
            _factors(p[8], p[14], i, heads, h, p[12], keep)
            for s in range(steps):
                step = i * steps + s
                k, v = head_of(p[6], step, heads, h, p[11], keys), head_of(p[7], step, heads, h, 1, values)
                beta = head_of(p[9], step, heads, h, 1, 1)[0]
                _read(rows, keep, k, s == 0 and p[14] != NO_DECAY, u)
                for j in range(values):
                    u[j] = beta * (v[j] - u[j])
                keep[:] = 1
                if s == steps - 1:
                    _add_and_read(rows, keep, k, u, q, scale, out)
                else:
                    _add_row_by_row(rows, keep, k, u)


@njit(cache=True, nogil=True, fastmath={"contract"})
def _add_row_by_row(rows, keep, k, v):
    """S = keep S + k v^T."""
    for n in range(rows.shape[0]):
        a, ka, ia = rows[n], keep[n], k[n]
        for j in range(v.size):
            a[j] = ka * a[j] + ia * v[j]


@operation
def rank_one(arguments, context, begin, end):
    """Arguments: state, H, K, V, tokens; q, k, v, g, a, b; float32 [K], [V] for this thread; out; kind of decay. Parts
    are heads.
    """
    p = integers(arguments)
    heads, keys, values = p[1], p[2], p[3]
    keep, u = vector(p[11], keys, FLOAT), vector(p[12], values, FLOAT)
    for i in range(p[4]):
        for h in range(begin, end):
            rows = matrix(p[0] + 4 * (i * heads + h) * keys * values, keys, values, FLOAT)
            q, k = head_of(p[5], i, heads, h, 1, keys), head_of(p[6], i, heads, h, 1, keys)
            v, out = head_of(p[7], i, heads, h, 1, values), head_of(p[13], i, heads, h, 1, values)
            _read(rows, keep, head_of(p[9], i, heads, h, 1, keys), False, u)
            _factors(p[8], p[14], i, heads, h, 1, keep)
            _add_row_by_row(rows, keep, head_of(p[10], i, heads, h, 1, keys), u)
            keep[:] = 1
            _add_and_read(rows, keep, k, v, q, float32(1), out)


@operation
def bonus(arguments, context, begin, end):
    """o = S^T q + (q . u k) v, then S = e^g S + k v^T (RWKV-5 and 6, pLSTM).

    Arguments: state, H, K, V, tokens; q, k, v; g, and whether it is of each token; u [H, K] or 0; float32 [K] for this
    thread; out; kind of decay. Parts are heads.
    """
    p = integers(arguments)
    heads, keys, values, keep = p[1], p[2], p[3], vector(p[11], p[2], FLOAT)
    for i in range(p[4]):
        for h in range(begin, end):
            rows = matrix(p[0] + 4 * (i * heads + h) * keys * values, keys, values, FLOAT)
            q, k = head_of(p[5], i, heads, h, 1, keys), head_of(p[6], i, heads, h, 1, keys)
            v, out = head_of(p[7], i, heads, h, 1, values), head_of(p[12], i, heads, h, 1, values)
            _read(rows, keep, q, False, out)
            if p[10]:
                u, share = head_of(p[10], 0, heads, h, 1, keys), float32(0)
                for n in range(keys):
                    share += q[n] * u[n] * k[n]
                for j in range(values):
                    out[j] += share * v[j]
            _factors(p[8], p[13], p[9] * i, heads, h, 1, keep)
            _add_row_by_row(rows, keep, k, v)
