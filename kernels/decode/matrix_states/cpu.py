"""States of the recurrences of a decoder, one token at a time: [tokens, H, K, V] float32, in place.

    additive: S = e^g S + k v^T
    delta:    S = e^g S;  u = beta (v - S^T k);  S += k u^T, several times where a token has several steps
    rank_one: S = e^g S + b (S^T a)^T + k v^T, S^T a before the decay (RWKV-7, Comba)
    mixed:    S_i = sum_j t_ij S_j + s_i k v^T, several states a head (pLSTM)

and o = scale S^T q. g is none, [H] or [H, K] for each token. A head of k, v, g or q may serve a group of heads of the
state. A row of the state is read and written once, or twice where the sum needs all rows first.
"""

from __future__ import annotations

from numba import float32, njit

from ...tools.compiled import compiled
from ...tools.elementary import exp
from ...tools.pointers import copy_into, matrix, vector
from ..program import FLOAT, IN_ORDER, LONG, operation, skipped, state_of
from .reference import HEAD_DECAY, KEY_DECAY, NO_DECAY

# Operands of all states: the sizes H, K and V.
STATE = "state heads keys values tokens"


@njit(inline="always")
def head_of(address, i, heads, h, group, size):
    """Return the [size] entries of head h of token i, where each head serves `group` heads of the state."""
    count = heads // group
    return vector(address + 4 * (i * count + h // group) * size, size, FLOAT)


@njit(inline="always")
def add(factor, x, out):
    for j in range(out.size):
        out[j] += factor * x[j]


@njit(inline="always")
def turn(context, t, tokens, begin, end):
    """Return the token and the head that come as number t.

    The state of a head stays in the cache while the tokens of a prompt pass over it. Of several sequences each token
    has a state of its own: these come as they lie in memory.
    """
    if vector(context, IN_ORDER + 1, LONG)[IN_ORDER]:
        return t % tokens, begin + t // tokens
    return t // (end - begin), begin + t % (end - begin)


@njit(inline="always")
def _rows_of(p, context, i, h, height):
    """Return the state [height, V] of head h of the sequence of token i."""
    place = state_of(context, i) * p.heads + h
    return matrix(p.state + 4 * place * height * p.values, height, p.values, FLOAT)


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
@compiled(fastmath={"contract"})
def _add_and_read(rows, keep, k, v, q, scale, out):
    """S = keep S + k v^T, out = scale S^T q, four rows at a time."""
    size = rows.shape[0]
    out[:] = 0
    n = 0
    # Four rows share one pass over v and out.
    while n + 4 <= size:
        a = rows[n]
        b = rows[n + 1]
        c = rows[n + 2]
        d = rows[n + 3]
        ka = keep[n]
        kb = keep[n + 1]
        kc = keep[n + 2]
        kd = keep[n + 3]
        ia = k[n]
        ib = k[n + 1]
        ic = k[n + 2]
        id_ = k[n + 3]
        qa = scale * q[n]
        qb = scale * q[n + 1]
        qc = scale * q[n + 2]
        qd = scale * q[n + 3]
        for j in range(out.size):
            sa = ka * a[j] + ia * v[j]
            sb = kb * b[j] + ib * v[j]
            sc = kc * c[j] + ic * v[j]
            sd = kd * d[j] + id_ * v[j]
            a[j] = sa
            b[j] = sb
            c[j] = sc
            d[j] = sd
            out[j] += (qa * sa + qb * sb) + (qc * sc + qd * sd)
        n += 4
    while n < size:
        a = rows[n]
        ka = keep[n]
        ia = k[n]
        qa = scale * q[n]
        for j in range(out.size):
            a[j] = ka * a[j] + ia * v[j]
            out[j] += qa * a[j]
        n += 1


@compiled(fastmath={"contract"})
def _read(rows, keep, k, decays, out):
    """S = keep S if it decays, out = S^T k, four rows at a time."""
    # The passes of `_add_and_read`. Without decay the state is not written, which is half of the memory traffic.
    size = rows.shape[0]
    out[:] = 0
    n = 0
    while n + 4 <= size:
        a = rows[n]
        b = rows[n + 1]
        c = rows[n + 2]
        d = rows[n + 3]
        p = k[n]
        q = k[n + 1]
        r = k[n + 2]
        s = k[n + 3]
        if decays:
            ka = keep[n]
            kb = keep[n + 1]
            kc = keep[n + 2]
            kd = keep[n + 3]
            for j in range(out.size):
                sa = ka * a[j]
                sb = kb * b[j]
                sc = kc * c[j]
                sd = kd * d[j]
                a[j] = sa
                b[j] = sb
                c[j] = sc
                d[j] = sd
                out[j] += (p * sa + q * sb) + (r * sc + s * sd)
        else:
            for j in range(out.size):
                out[j] += (p * a[j] + q * b[j]) + (r * c[j] + s * d[j])
        n += 4
    while n < size:
        a = rows[n]
        p = k[n]
        for j in range(out.size):
            if decays:
                a[j] *= keep[n]
            out[j] += p * a[j]
        n += 1


@operation(f"{STATE} q k v g? q_group k_group v_group g_group decay scale:real keep out mask?", in_order=True)
def additive(p, context, begin, end):
    """S = e^g S + k v^T, o = scale S^T q.

    Operands: heads of the state that share a head of an input in `.._group`; `keep` float32 [K] for this thread; `out`
    [tokens, H, V]; `mask`, see `skipped`. Parts are heads.
    """
    heads = p.heads
    keys = p.keys
    values = p.values
    scale = float32(p.scale)
    keep = vector(p.keep, keys, FLOAT)
    for t in range(p.tokens * (end - begin)):
        i, h = turn(context, t, p.tokens, begin, end)
        if skipped(p.mask, i):
            continue
        _factors(p.g, p.decay, i, heads, h, p.g_group, keep)
        q = head_of(p.q, i, heads, h, p.q_group, keys)
        k = head_of(p.k, i, heads, h, p.k_group, keys)
        v = head_of(p.v, i, heads, h, p.v_group, values)
        out = head_of(p.out, i, heads, h, 1, values)
        rows = _rows_of(p, context, i, h, keys)
        _add_and_read(rows, keep, k, v, q, scale, out)


@operation(f"{STATE} q k v g? beta q_group k_group g_group steps decay scale:real keep change out mask?", in_order=True)
def delta(p, context, begin, end):
    """S = e^g S, then for each of the steps u = beta (v - S^T k), S += k u^T; o = scale S^T q.

    Operands: k, v and beta have a row for each step; `keep` and `change` float32 [K] and [V] for this thread. Parts are
    heads.
    """
    heads = p.heads
    keys = p.keys
    values = p.values
    scale = float32(p.scale)
    keep = vector(p.keep, keys, FLOAT)
    u = vector(p.change, values, FLOAT)
    for t in range(p.tokens * (end - begin)):
        i, h = turn(context, t, p.tokens, begin, end)
        if skipped(p.mask, i):
            continue
        rows = _rows_of(p, context, i, h, keys)
        q = head_of(p.q, i, heads, h, p.q_group, keys)
        out = head_of(p.out, i, heads, h, 1, values)
        _factors(p.g, p.decay, i, heads, h, p.g_group, keep)
        for s in range(p.steps):
            step = i * p.steps + s
            k = head_of(p.k, step, heads, h, p.k_group, keys)
            v = head_of(p.v, step, heads, h, 1, values)
            beta = head_of(p.beta, step, heads, h, 1, 1)[0]
            _read(rows, keep, k, s == 0 and p.decay != NO_DECAY, u)
            for j in range(values):
                u[j] = beta * (v[j] - u[j])
            # Only the first step decays the state; what follows adds to it.
            keep[:] = 1
            # The last update and the reading share a pass over the state.
            if s == p.steps - 1:
                _add_and_read(rows, keep, k, u, q, scale, out)
            else:
                _add_row_by_row(rows, keep, k, u)


@compiled(fastmath={"contract"})
def _add_row_by_row(rows, keep, k, v):
    """S = keep S + k v^T."""
    for n in range(rows.shape[0]):
        a = rows[n]
        ka = keep[n]
        ia = k[n]
        for j in range(v.size):
            a[j] = ka * a[j] + ia * v[j]


@operation(f"{STATE} q k v g a b keep change out decay", in_order=True)
def rank_one(p, context, begin, end):
    """S = e^g S + b (S^T a)^T + k v^T, o = S^T q.

    Operands: `keep` and `change` float32 [K] and [V] for this thread. Parts are heads.
    """
    heads = p.heads
    keys = p.keys
    values = p.values
    keep = vector(p.keep, keys, FLOAT)
    u = vector(p.change, values, FLOAT)
    for t in range(p.tokens * (end - begin)):
        i, h = turn(context, t, p.tokens, begin, end)
        rows = _rows_of(p, context, i, h, keys)
        q = head_of(p.q, i, heads, h, 1, keys)
        k = head_of(p.k, i, heads, h, 1, keys)
        v = head_of(p.v, i, heads, h, 1, values)
        out = head_of(p.out, i, heads, h, 1, values)
        # S^T a is of the state before its decay, so that two passes are needed.
        _read(rows, keep, head_of(p.a, i, heads, h, 1, keys), False, u)
        _factors(p.g, p.decay, i, heads, h, 1, keep)
        _add_row_by_row(rows, keep, head_of(p.b, i, heads, h, 1, keys), u)
        keep[:] = 1
        _add_and_read(rows, keep, k, v, q, float32(1), out)


@operation(f"{STATE} q k v g g_rows u? keep out decay", in_order=True)
def bonus(p, context, begin, end):
    """o = S^T q + (q . u k) v, then S = e^g S + k v^T (RWKV-5 and 6, pLSTM).

    Operands: `g_rows` is 1 where g is of each token; `u` [H, K]; `keep` float32 [K] for this thread. Parts are heads.
    """
    heads = p.heads
    keys = p.keys
    values = p.values
    keep = vector(p.keep, p.keys, FLOAT)
    for t in range(p.tokens * (end - begin)):
        i, h = turn(context, t, p.tokens, begin, end)
        rows = _rows_of(p, context, i, h, keys)
        q = head_of(p.q, i, heads, h, 1, keys)
        k = head_of(p.k, i, heads, h, 1, keys)
        v = head_of(p.v, i, heads, h, 1, values)
        out = head_of(p.out, i, heads, h, 1, values)
        _read(rows, keep, q, False, out)
        if p.u:
            u = head_of(p.u, 0, heads, h, 1, keys)
            share = float32(0)
            for n in range(keys):
                share += q[n] * u[n] * k[n]
            for j in range(values):
                out[j] += share * v[j]
        _factors(p.g, p.decay, p.g_rows * i, heads, h, 1, keep)
        _add_row_by_row(rows, keep, k, v)


@compiled(fastmath={"contract"})
def _mix(rows, keys, q, k, v, transition, source, mark, change, out):
    """out_p = sum_j m_pj S_j^T q, then S_i = sum_j t_ij S_j + k (sum_p s_ip v_p)^T; S_j are rows j K to j K + K."""
    states = len(source)
    out[:] = 0
    for n in range(keys):
        for i in range(states):
            into = change[i]
            into[:] = 0
            for part in range(len(v)):
                add(source[i, part] * k[n], v[part], into)
            # Row n of every state goes into row n of state i.
            for m in range(states):
                add(transition[i, m], rows[m * keys + n], into)
        for i in range(states):
            own = rows[i * keys + n]
            for part in range(len(v)):
                add(mark[part, i] * q[n], own, out[part])
            copy_into(change[i], own)


@operation(f"{STATE} q k v transition source mark mixed parts change out", in_order=True)
def several_states(p, context, begin, end):
    """o_p = sum_j m_pj S_j^T q, then S_i = sum_j t_ij S_j + k (sum_p s_ip v_p)^T, of `mixed` states a head (pLSTM).

    Operands: the state [tokens, H, J K, V]; v and out [tokens, H, P V]; transition [tokens, H, J, J], source
    [tokens, H, J, P], mark [tokens, H, P, J]; `change` float32 [J, V] for this thread. Threads take heads.
    """
    heads = p.heads
    keys = p.keys
    values = p.values
    count = p.mixed
    parts = p.parts
    change = matrix(p.change, count, values, FLOAT)
    for t in range(p.tokens * (end - begin)):
        i, h = turn(context, t, p.tokens, begin, end)
        rows = _rows_of(p, context, i, h, count * keys)
        q = head_of(p.q, i, heads, h, 1, keys)
        k = head_of(p.k, i, heads, h, 1, keys)
        at = 4 * (i * heads + h)
        v = matrix(p.v + at * parts * values, parts, values, FLOAT)
        source = matrix(p.source + at * count * parts, count, parts, FLOAT)
        mark = matrix(p.mark + at * parts * count, parts, count, FLOAT)
        transition = matrix(p.transition + at * count * count, count, count, FLOAT)
        out = matrix(p.out + at * parts * values, parts, values, FLOAT)
        _mix(rows, keys, q, k, v, transition, source, mark, change, out)
