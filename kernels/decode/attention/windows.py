"""Softmax attention over the last tokens, and what joins it with linear attention over those before them."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import float32, njit

from ...tools.compiled import compiled
from ...tools.elementary import exp
from ...tools.pointers import copy_into, matrix, vector
from ..matrix_states.cpu import STATE, add, head_of
from ..program import DOUBLE, FLOAT, operation, position_of, skipped, state_of

TINY = np.float32(np.finfo(np.float32).tiny)
# Operands of attention over keys and values [tokens, capacity, H / group (K + V)].
CACHE = "q k v heads keys values group tokens capacity memory scale:real weights out"


class Stored(NamedTuple):
    """Keys and values of a head in the memory of a sequence.

    Attributes:
        keys, values: addresses of the first key and of the first value.
        width: floats from one to the next.
    """

    keys: int
    values: int
    width: int


@njit(inline="always")
def stored_head(p, memory, n):
    """Return the `Stored` of head n of k and v in a memory [capacity, H / group (K + V)] at an address."""
    few = p.heads // p.group
    return Stored(memory + 4 * n * p.keys, memory + 4 * (few * p.keys + n * p.values), few * (p.keys + p.values))


@njit(inline="always")
def store(p, row, n, stored, t):
    """Copy head n of a row of k and v to place t of the memory."""
    few = p.heads // p.group
    behind = 4 * t * stored.width
    copy_into(head_of(p.k, row, few, n, 1, p.keys), vector(stored.keys + behind, p.keys, FLOAT))
    copy_into(head_of(p.v, row, few, n, 1, p.values), vector(stored.values + behind, p.values, FLOAT))


# Sums in any order, so that they become vectors.
@compiled(fastmath={"contract", "reassoc", "nsz"})
def dot(a, b):
    total = float32(0)
    for j in range(a.size):
        total += a[j] * b[j]
    return total


# Not inlined: numba then drops single writes of the caller that follow it.
@compiled
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
def slot(position, capacity, interval, restarts):
    """Return the place of a token's key, and the number of keys that it sees, its own among them.

    One token of every `interval` stays, the others lie in its place until then. A full memory forgets the oldest key,
    or begins anew.
    """
    count = position // interval
    here = count % capacity
    return here, (here if restarts else min(count, capacity - 1)) + 1


@operation(
    f"{CACHE} plain? learnt? learnt_count? mass? interval restarts rows counts? bias? positions? distances? squared?"
    " cap:real? mask?",
    in_order=True,
)
def window(p, context, begin, end):
    """Attend by softmax over the last tokens, whose keys and values are kept in turn, and over learnt ones.

    Operands: `group` heads share a key; `memory` [tokens, capacity, H / group (K + V)], the keys of a token before its
    values; `weights` float32 [capacity + learnt_count] for this thread; `learnt` keys and values [learnt_count, H, K +
    V], which `plain` sees, q without positions; `mass` [tokens, H], the logarithm of the sum of weights; `interval` and
    `restarts`, see `slot`; `rows` of k and v in a token, all of them seen and kept; `counts` float32 [tokens, H /
    group] of the tokens so far, where not all sequences count alike; `bias` [capacity], added to the scores of keys by
    their age in tokens, of one row each; with `positions` float32 [tokens, H / group, capacity], those of the
    keys, it is [distances], by how far they lie in the text, the last entry for all beyond. With `squared` a weight is
    the square of a score above 0, in place of the softmax. With `cap` c > 0 the scores s of stored keys are
    c tanh(s / c). Parts are heads of k and v.
    """
    heads = p.heads
    keys = p.keys
    values = p.values
    width = heads // p.group * (keys + values)
    for n in range(begin, end):
        # A head's keys stay in the cache while the tokens of a prompt pass over them.
        for i in range(p.tokens):
            if skipped(p.mask, i):
                continue
            sequence = state_of(context, i)
            in_text = position_of(context, i)
            here, seen = slot(_position(p, sequence, n, in_text), p.capacity, p.interval, p.restarts)
            if p.positions:
                _positions(p, sequence, n)[here] = in_text
            stored = stored_head(p, p.memory + 4 * sequence * p.capacity * p.rows * width, n)
            # Stored before they are read: a token sees its own key.
            for row in range(p.rows):
                store(p, i * p.rows + row, n, stored, here * p.rows + row)
            seen *= p.rows
            weights = vector(p.weights, seen + p.learnt_count, FLOAT)
            of_seen = vector(p.weights, seen, FLOAT)
            of_learnt = vector(p.weights + 4 * seen, p.learnt_count, FLOAT)
            # All heads of q that share this head of k and v.
            for h in range(n * p.group, (n + 1) * p.group):
                _score(p, head_of(p.q, i, heads, h, 1, keys), stored, of_seen)
                _bound(p, of_seen)
                _add_bias(p, sequence, n, here, in_text, of_seen)
                _score_learnt(p, i, h, of_learnt)
                _normalise(p, i * heads + h, weights)
                _sum_values(p, h, stored, of_seen, of_learnt, head_of(p.out, i, heads, h, 1, values))


@njit(inline="always")
def _position(p, sequence, n, in_text):
    """Return the number of earlier tokens of a head of keys; count this one where not all sequences count alike."""
    if not p.counts:
        return in_text
    few = p.heads // p.group
    count = vector(p.counts, (sequence + 1) * few, FLOAT)
    position = int(count[sequence * few + n])
    count[sequence * few + n] += 1
    return position


@njit(inline="always")
def _positions(p, sequence, n):
    """Return the positions in the text of the keys of a head."""
    return vector(p.positions + 4 * (sequence * (p.heads // p.group) + n) * p.capacity, p.capacity, FLOAT)


@njit(inline="always")
def _score(p, q, stored, weights):
    """Fill weights with the scaled products of q and keys."""
    scale = float32(p.scale)
    for t in range(weights.size):
        weights[t] = scale * dot(q, vector(stored.keys + 4 * t * stored.width, q.size, FLOAT))


@njit(inline="always")
def _bound(p, weights):
    """Replace scores s by c tanh(s / c), where they are bounded by c."""
    if p.cap > 0:
        cap = float32(p.cap)
        for t in range(weights.size):
            weights[t] = cap * float32(math.tanh(weights[t] / cap))


@njit(inline="always")
def _add_bias(p, sequence, n, here, in_text, weights):
    """Add the bias of each key by its distance in the text or by its age, where there is one."""
    if p.positions:
        by_distance = vector(p.bias, p.distances, FLOAT)
        positions = _positions(p, sequence, n)
        for t in range(weights.size):
            weights[t] += by_distance[min(in_text - int(positions[t]), p.distances - 1)]
    elif p.bias:
        by_age = vector(p.bias, p.capacity, FLOAT)
        for t in range(weights.size):
            weights[t] += by_age[(here - t) % p.capacity]


@njit(inline="always")
def _score_learnt(p, i, h, weights):
    """Fill weights with the scaled products of `plain` and learnt keys."""
    scale = float32(p.scale)
    for m in range(weights.size):
        plain = head_of(p.plain, i, p.heads, h, 1, p.keys)
        weights[m] = scale * dot(plain, head_of(p.learnt, m, p.heads, h, 1, p.keys + p.values)[: p.keys])


@njit(inline="always")
def _normalise(p, place, weights):
    """Turn scores into weights; note the logarithm of the sum of e^score, 0 with `squared`, where `mass` is wanted."""
    mass = float32(0)
    if p.squared:
        for t in range(weights.size):
            above = max(weights[t], float32(0))
            weights[t] = above * above
    else:
        mass = softmax(weights)
    if p.mass:
        vector(p.mass, place + 1, FLOAT)[place] = mass


@njit(inline="always")
def _sum_values(p, h, stored, of_seen, of_learnt, out):
    """Fill out [V] with the weighted sum of values, those of learnt tokens too."""
    out[:] = 0
    for t in range(of_seen.size):
        add(of_seen[t], vector(stored.values + 4 * t * stored.width, out.size, FLOAT), out)
    for m in range(of_learnt.size):
        add(of_learnt[m], head_of(p.learnt, m, p.heads, h, 1, p.keys + p.values)[p.keys :], out)


@operation(f"{CACHE} ridge spare")
def regression(p, context, begin, end):
    """Predict the value at the query by a regression on the keys of the last tokens, weighted as in attention.

    With weights p = softmax(scale q . k), k' and v' the means under them, and t the sum of e^(score - largest score):
    o = v' + sum p (k - k') . r v,  r = (sum p (k - k') (k - k')^T + ridge / t)^-1 (q - k').

    Operands: see `window`; `ridge` [H]; `spare` float64 [K (K + 2)] for this thread. Parts are heads of k and v.
    """
    heads = p.heads
    keys = p.keys
    group = p.group
    width = heads // group * (keys + p.values)
    ridge = vector(p.ridge, heads, FLOAT)
    spread = matrix(p.spare, keys, keys, DOUBLE)
    centre = vector(p.spare + 8 * keys * keys, keys, DOUBLE)
    r = vector(p.spare + 8 * keys * (keys + 1), keys, DOUBLE)
    for i in range(p.tokens):
        here, seen = slot(position_of(context, i), p.capacity, 1, False)
        weights = vector(p.weights, seen, FLOAT)
        for h in range(begin * group, end * group):
            stored = stored_head(p, p.memory + 4 * i * p.capacity * width, h // group)
            # The heads of q that share a head of k and v come one after the other.
            if h % group == 0:
                store(p, i, h // group, stored, here)
            q = head_of(p.q, i, heads, h, 1, keys)
            _score(p, q, stored, weights)
            most = -np.inf
            for t in range(seen):
                most = max(most, weights[t])
            # The ridge is in units of the sum of e^(score - largest score).
            total = math.exp(softmax(weights) - most)
            _moments(weights, stored, centre, spread)
            for a in range(keys):
                spread[a, a] += ridge[h] / total
                r[a] = q[a] - centre[a]
            _solve(spread, r)
            _predict(weights, stored, centre, r, head_of(p.out, i, heads, h, 1, p.values))


@compiled
def _predict(weights, stored, centre, r, out):
    """Fill out [V] with v' + sum p (k - k') . r v = sum p (1 + (k - k') . r) v."""
    out[:] = 0
    for t in range(weights.size):
        k = vector(stored.keys + 4 * t * stored.width, r.size, FLOAT)
        along = 0.0
        for a in range(r.size):
            along += (k[a] - centre[a]) * r[a]
        add(weights[t] * float32(1 + along), vector(stored.values + 4 * t * stored.width, out.size, FLOAT), out)


@compiled
def _moments(weights, stored, centre, spread):
    """Fill the mean [K] and the covariance [K, K] of weighted keys."""
    centre[:] = 0
    spread[:] = 0
    for t in range(weights.size):
        k = vector(stored.keys + 4 * t * stored.width, centre.size, FLOAT)
        for a in range(centre.size):
            centre[a] += weights[t] * k[a]
    for t in range(weights.size):
        k = vector(stored.keys + 4 * t * stored.width, centre.size, FLOAT)
        for a in range(centre.size):
            part = weights[t] * (k[a] - centre[a])
            # The lower half is enough: the matrix is symmetric.
            for c in range(a + 1):
                spread[a, c] += part * (k[c] - centre[c])


@compiled(error_model="numpy")
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


@operation("ring width first heads size tokens capacity x? more out")
def take_oldest(p, context, begin, end):
    """Copy what the present token pushes out of a ring: heads of its oldest token, 0 while there is none.

    Operands: `ring` [tokens, capacity, width], its columns from `first`; x takes the place; `more`: a head of `out` has
    one more channel, 1 where there is such a token. Parts are heads.
    """
    size = p.size
    capacity = p.capacity
    for i in range(p.tokens):
        position = position_of(context, i)
        # The oldest token lies where this one is written.
        slot = p.ring + 4 * ((i * capacity + position % capacity) * p.width + p.first)
        for n in range(begin, end):
            old = vector(slot + 4 * n * size, size, FLOAT)
            out = vector(p.out + 4 * (i * p.heads + n) * (size + p.more), size + p.more, FLOAT)
            for j in range(size):
                out[j] = old[j] if position >= capacity else float32(0)
            if p.more:
                out[size] = 1 if position >= capacity else 0
            if p.x:
                copy_into(head_of(p.x, i, p.heads, n, 1, size), old)


@operation("seen mass sums offset heads size tokens out")
def share(p, context, begin, end):
    """Join attention over a window with linear attention over older tokens, by the mass of each.

    out = s seen + (1 - s) n / d,  s = sigmoid(mass - offset - log d), n and d from sums [n, d] of a state.

    Operands: `seen` [tokens, H, V], `mass` [tokens, H], `sums` [tokens, H, V + 1], `offset` [H]. Parts are heads.
    """
    heads = p.heads
    size = p.size
    for i in range(p.tokens):
        mass = vector(p.mass + 4 * i * heads, heads, FLOAT)
        for h in range(begin, end):
            seen = head_of(p.seen, i, heads, h, 1, size)
            sums = head_of(p.sums, i, heads, h, 1, size + 1)
            out = head_of(p.out, i, heads, h, 1, size)
            # Without older tokens their mass is 0, whose logarithm is -infinity.
            total = max(sums[size], TINY)
            part = float32(1) / (
                float32(1) + exp(float32(math.log(total)) + vector(p.offset, heads, FLOAT)[h] - mass[h])
            )
            factor = (float32(1) - part) / total
            for j in range(size):
                out[j] = part * seen[j] + factor * sums[j]


@njit(inline="always")
def _mix_in(keep, x, mean):
    """Keep a part of a mean, and let x be the rest."""
    for j in range(x.size):
        mean[j] = keep * mean[j] + (float32(1) - keep) * x[j]


@operation(f"{STATE} q k v g k_group v_group g_group slots weights out")
def slots(p, context, begin, end):
    """K = diag(e^g) K + s k^T, V = diag(e^g) V + s v^T, s = 1 - e^g; o = V^T softmax(K q): a row for each of M slots.

    Operands: `state` [tokens, H, M, K + V]; g [tokens, .., M]; heads that share a head of k, v or g in `.._group`;
    `weights` float32 [M] for this thread. Parts are heads.
    """
    heads = p.heads
    keys = p.keys
    values = p.values
    count = p.slots
    weights = vector(p.weights, count, FLOAT)
    width = keys + values
    for i in range(p.tokens):
        for h in range(begin, end):
            q = head_of(p.q, i, heads, h, 1, keys)
            k = head_of(p.k, i, heads, h, p.k_group, keys)
            v = head_of(p.v, i, heads, h, p.v_group, values)
            g = head_of(p.g, i, heads, h, p.g_group, count)
            rows = matrix(p.state + 4 * (i * heads + h) * count * width, count, width, FLOAT)
            out = head_of(p.out, i, heads, h, 1, values)
            for m in range(count):
                # A slot takes in as much of the token as it forgets: it stays a weighted mean of tokens.
                keep = exp(g[m])
                _mix_in(keep, k, rows[m, :keys])
                _mix_in(keep, v, rows[m, keys:])
                weights[m] = dot(q, rows[m, :keys])
            softmax(weights)
            out[:] = 0
            for m in range(count):
                add(weights[m], rows[m, keys:], out)
