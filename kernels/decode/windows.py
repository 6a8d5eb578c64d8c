"""Softmax attention over the last tokens, and what joins it with linear attention over those before them."""

from __future__ import annotations

import math

import numpy as np
from numba import float32, njit

from ..tools.elementary import exp
from ..tools.pointers import matrix, vector
from .program import CONTEXT, DOUBLE, FLOAT, LONG, POSITION, integers, operation, reals, skipped
from .states import head_of

TINY = np.float32(np.finfo(np.float32).tiny)


# Sums in any order, so that they become vectors.
@njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})
def dot(a, b):
    total = float32(0)
    for j in range(a.size):
        total += a[j] * b[j]
    return total


# Not inlined: numba then drops single writes of the caller that follow it.
@njit(cache=True, nogil=True)
def softmax(x):
    """Replace x [n] by its softmax; return the logarithm of the sum of e^x."""
    most = x[0]
    for j in range(x.size):
        most = max(most, x[j])
    total = float32(0)
    for j in range(x.size):
        x[j] = exp(x[j] - most)
        total += x[j]
    for j in range(x.size):
        x[j] /= total
    return most + float32(math.log(total))


@njit(inline="always")
def position_of(context):
    return vector(context, CONTEXT, LONG)[POSITION]


@njit(inline="always")
def add(weight, v, out):
    for j in range(out.size):
        out[j] += weight * v[j]


@njit(inline="always")
def slot(position, capacity, interval, restarts):
    """Return the place of a token's key, and the number of keys that it sees, its own among them.

    One token of every `interval` stays, the others lie in its place until then. A full memory forgets the oldest key,
    or begins anew.
    """
    count = position // interval
    here = count % capacity
    return here, (here if restarts else min(count, capacity - 1)) + 1


@operation
def window(arguments, context, begin, end):
    """Softmax attention over the last tokens, whose keys and values are kept in turn, and over learnt ones.

    Arguments: q, k, v, H, K, V, heads that share a key, tokens, capacity, memory [tokens, capacity, H / group (K + V)]
    (the keys of a token lie before its values), scale (real), float32 [capacity + learnt] for this thread, out
    [tokens, H, V]; q for the learnt ones, these [learnt, H, K + V], their number; 0, or mass [tokens, H], the logarithm
    of the sum of weights; which tokens are kept, as `slot`: one of how many, and whether a full memory begins anew;
    rows of k and v in a token, all of which are seen, and kept one behind the other; 0, or the number of tokens so far
    float32 [tokens, H / group], where not all sequences count alike; mask. Parts are heads of k and v.
    """
    p, f = integers(arguments), reals(arguments)
    heads, keys, values, group, capacity, scale = p[3], p[4], p[5], p[6], p[8], float32(f[10])
    few, learnt, rows = heads // group, p[15], p[19]
    width = few * (keys + values)
    for i in range(p[7]):
        if skipped(p[21], i):
            continue
        start = p[9] + 4 * i * capacity * rows * width
        for n in range(begin, end):
            position = position_of(context)
            if p[20]:
                count = vector(p[20], (i + 1) * few, FLOAT)
                position = int(count[i * few + n])
                count[i * few + n] += 1
            here, seen = slot(position, capacity, p[17], p[18])
            seen *= rows
            weights = vector(p[11], seen + learnt, FLOAT)
            own_keys, own_values = 4 * n * keys, 4 * (few * keys + n * values)
            for row in range(rows):
                place = start + 4 * (here * rows + row) * width
                vector(place + own_keys, keys, FLOAT)[:] = head_of(p[1], i * rows + row, few, n, 1, keys)
                vector(place + own_values, values, FLOAT)[:] = head_of(p[2], i * rows + row, few, n, 1, values)
            for h in range(n * group, (n + 1) * group):
                q, out = head_of(p[0], i, heads, h, 1, keys), head_of(p[12], i, heads, h, 1, values)
                for t in range(seen):
                    weights[t] = scale * dot(q, vector(start + 4 * t * width + own_keys, keys, FLOAT))
                for m in range(learnt):
                    plain = head_of(p[13], i, heads, h, 1, keys)
                    weights[seen + m] = scale * dot(plain, head_of(p[14], m, heads, h, 1, keys + values)[:keys])
                mass = softmax(weights)
                out[:] = 0
                for t in range(seen):
                    add(weights[t], vector(start + 4 * t * width + own_values, values, FLOAT), out)
                for m in range(learnt):
                    add(weights[seen + m], head_of(p[14], m, heads, h, 1, keys + values)[keys:], out)
                if p[16]:
                    vector(p[16], (i + 1) * heads, FLOAT)[i * heads + h] = mass


@operation
def regression(arguments, context, begin, end):
    """The value that a regression on the keys of the last tokens, weighted as in attention, predicts at the query.

    With weights p = softmax(scale q . k), k' and v' the means under them, and t the sum of e^(score - largest score):
    o = v' + sum p (k - k') . r v,  r = (sum p (k - k') (k - k')^T + ridge / t)^-1 (q - k').

    Arguments: the first thirteen of `window`; ridge [H]; float64 [K (K + 2)] for this thread. Parts are heads of k and
    v.
    """
    p, f = integers(arguments), reals(arguments)
    heads, keys, values, group, capacity, scale = p[3], p[4], p[5], p[6], p[8], float32(f[10])
    few, width, ridge = heads // group, heads // group * (keys + values), vector(p[13], p[3], FLOAT)
    here, seen = slot(position_of(context), capacity, 1, False)
    weights, spread = vector(p[11], seen, FLOAT), matrix(p[14], keys, keys, DOUBLE)
    centre, r = vector(p[14] + 8 * keys * keys, keys, DOUBLE), vector(p[14] + 8 * keys * (keys + 1), keys, DOUBLE)
    for i in range(p[7]):
        start = p[9] + 4 * i * capacity * width
        for n in range(begin, end):
            own_keys, own_values = start + 4 * n * keys, start + 4 * (few * keys + n * values)
            vector(own_keys + 4 * here * width, keys, FLOAT)[:] = head_of(p[1], i, few, n, 1, keys)
            vector(own_values + 4 * here * width, values, FLOAT)[:] = head_of(p[2], i, few, n, 1, values)
            for h in range(n * group, (n + 1) * group):
                q, out, most = head_of(p[0], i, heads, h, 1, keys), head_of(p[12], i, heads, h, 1, values), -np.inf
                for t in range(seen):
                    weights[t] = scale * dot(q, vector(own_keys + 4 * t * width, keys, FLOAT))
                    most = max(most, weights[t])
                total = math.exp(softmax(weights) - most)
                _moments(weights, own_keys, width, centre, spread)
                for a in range(keys):
                    spread[a, a] += ridge[h] / total
                    r[a] = q[a] - centre[a]
                _solve(spread, r)
                out[:] = 0
                for t in range(seen):
                    k, along = vector(own_keys + 4 * t * width, keys, FLOAT), 0.0
                    for a in range(keys):
                        along += (k[a] - centre[a]) * r[a]
                    add(weights[t] * float32(1 + along), vector(own_values + 4 * t * width, values, FLOAT), out)


@njit(cache=True, nogil=True)
def _moments(weights, rows, width, centre, spread):
    """Fill the mean [K] and the covariance [K, K] of weighted rows at an address."""
    centre[:] = 0
    spread[:] = 0
    for t in range(weights.size):
        k = vector(rows + 4 * t * width, centre.size, FLOAT)
        for a in range(centre.size):
            centre[a] += weights[t] * k[a]
    for t in range(weights.size):
        k = vector(rows + 4 * t * width, centre.size, FLOAT)
        for a in range(centre.size):
            part = weights[t] * (k[a] - centre[a])
            for c in range(a + 1):
                spread[a, c] += part * (k[c] - centre[c])


@njit(cache=True, nogil=True, error_model="numpy")
def _solve(a, x):
    """Replace x [K] by a^-1 x, and the lower half of a, positive definite, by its Cholesky factor."""
    for i in range(x.size):
        for j in range(i + 1):
            total = a[i, j]
            for k in range(j):
                total -= a[i, k] * a[j, k]
            a[i, j] = math.sqrt(total) if i == j else total / a[j, j]
    for i in range(x.size):
        for k in range(i):
            x[i] -= a[i, k] * x[k]
        x[i] /= a[i, i]
    for i in range(x.size - 1, -1, -1):
        for k in range(i + 1, x.size):
            x[i] -= a[k, i] * x[k]
        x[i] /= a[i, i]


@operation
def leaving(arguments, context, begin, end):
    """Copy what the present token pushes out of a ring: heads of its oldest token, 0 while there is none.

    Arguments: ring [tokens, capacity, width], width, first column, heads, channels of a head, tokens, capacity; x,
    which takes the place, or 0; whether a head of `out` has one more channel, 1 where there is such a token; out. Parts
    are heads.
    """
    p = integers(arguments)
    width, heads, size, capacity, more = p[1], p[3], p[4], p[6], p[8]
    position = position_of(context)
    for i in range(p[5]):
        slot = p[0] + 4 * ((i * capacity + position % capacity) * width + p[2])
        for n in range(begin, end):
            old = vector(slot + 4 * n * size, size, FLOAT)
            out = vector(p[9] + 4 * (i * heads + n) * (size + more), size + more, FLOAT)
            for j in range(size):
                out[j] = old[j] if position >= capacity else float32(0)
            if more:
                out[size] = 1 if position >= capacity else 0
            if p[7]:
                old[:] = head_of(p[7], i, heads, n, 1, size)


@operation
def share(arguments, context, begin, end):
    """Join attention over a window with linear attention over older tokens, by the mass of each.

    out = s seen + (1 - s) n / d,  s = sigmoid(mass - offset - log d), n and d from sums [n, d] of a state.

    Arguments: seen [tokens, H, V], mass [tokens, H], sums [tokens, H, V + 1], offset [H], H, V, tokens, out. Parts are
    heads.
    """
    p = integers(arguments)
    heads, size = p[4], p[5]
    for i in range(p[6]):
        mass = vector(p[1] + 4 * i * heads, heads, FLOAT)
        for h in range(begin, end):
            seen, sums = head_of(p[0], i, heads, h, 1, size), head_of(p[2], i, heads, h, 1, size + 1)
            out = head_of(p[7], i, heads, h, 1, size)
            total = max(sums[size], TINY)
            part = float32(1) / (float32(1) + exp(float32(math.log(total)) + vector(p[3], heads, FLOAT)[h] - mass[h]))
            factor = (float32(1) - part) / total
            for j in range(size):
                out[j] = part * seen[j] + factor * sums[j]


@operation
def slots(arguments, context, begin, end):
    """K = diag(e^g) K + s k^T, V = diag(e^g) V + s v^T, s = 1 - e^g; o = V^T softmax(K q): a row for each of M slots.

    Arguments: state [tokens, H, M, K + V], H, K, V, tokens; q, k, v, g [tokens, .., M]; heads of the state that share
    a head of k, v and g; M; float32 [M] for this thread; out [tokens, H, V]. Parts are heads.
    """
    p = integers(arguments)
    heads, keys, values, group, count = p[1], p[2], p[3], p[9], p[10]
    weights, width = vector(p[11], count, FLOAT), keys + values
    for i in range(p[4]):
        for h in range(begin, end):
            q, k = head_of(p[5], i, heads, h, 1, keys), head_of(p[6], i, heads, h, group, keys)
            v, g = head_of(p[7], i, heads, h, group, values), head_of(p[8], i, heads, h, group, count)
            rows, out = (
                matrix(p[0] + 4 * (i * heads + h) * count * width, count, width, FLOAT),
                head_of(p[12], i, heads, h, 1, values),
            )
            for m in range(count):
                row, keep = rows[m], exp(g[m])
                for j in range(keys):
                    row[j] = keep * row[j] + (float32(1) - keep) * k[j]
                for j in range(values):
                    row[keys + j] = keep * row[keys + j] + (float32(1) - keep) * v[j]
                weights[m] = dot(q, row[:keys])
            softmax(weights)
            out[:] = 0
            for m in range(count):
                add(weights[m], rows[m, keys:], out)
