"""Softmax attention over few of the earlier tokens: those that a choice picks (SEA, HAX), and B'MOJO's memories."""

from __future__ import annotations

import math

from numba import float32, njit

from ..tools.pointers import matrix, vector
from .program import FLOAT, WORD, integers, operation, reals
from .states import head_of
from .windows import add, dot, position_of, softmax

PLANES = 8  # of HAX: bits of a bucket


@njit(cache=True, nogil=True)
def _attend(q, scale, keys, values, width, picks, weights, out):
    """Fill out [V] with softmax attention over the picked rows, keys and values at addresses, `width` apart."""
    for n in range(picks.size):
        weights[n] = scale * dot(q, vector(keys + 4 * picks[n] * width, q.size, FLOAT))
    softmax(weights)
    out[:] = 0
    for n in range(picks.size):
        add(weights[n], vector(values + 4 * picks[n] * width, out.size, FLOAT), out)


@njit(cache=True, nogil=True)
def _in_best_parts(values, length, order, picks):
    """Fill picks with the tokens of the parts of highest value, the latest first; return their number.

    Args:
        values: of the parts of `length` tokens; token t is in part t parts // length.
        order: [parts], spare.
    """
    parts = values.size
    for n in range(parts):
        order[n] = n
    for n in range(1, parts):  # descending, later parts first among equals
        own, at = order[n], n
        while at > 0 and values[order[at - 1]] <= values[own]:
            order[at] = order[at - 1]
            at -= 1
        order[at] = own
    count = 0
    for n in range(parts):
        first = -(-order[n] * length // parts)
        t = -(-(order[n] + 1) * length // parts) - 1
        while t >= first and count < picks.size:
            picks[count] = t
            count += 1
            t -= 1
    return count


@operation
def estimated(arguments, context, begin, end):
    """Attention over tokens in the parts of the past that an estimate values most (SEA).

    Arguments: q, k, v, H, K, V, heads that share a key, tokens, capacity, memory [tokens, capacity, H / group (K + V)]
    (the keys of a token lie before its values), scale (real), float32 [capacity] for this thread, out [tokens, H, V];
    values of the parts [tokens, H, parts], parts, tokens that are picked, int32 [parts + picked] for this thread. Parts
    are heads of k and v.
    """
    p, f = integers(arguments), reals(arguments)
    heads, keys, values, group, capacity, parts = p[3], p[4], p[5], p[6], p[8], p[14]
    few, position = heads // group, position_of(context)
    width, spare = few * (keys + values), vector(p[16], parts + p[15], WORD)
    for i in range(p[7]):
        start = p[9] + 4 * i * capacity * width
        for n in range(begin, end):
            own_keys, own_values = start + 4 * n * keys, start + 4 * (few * keys + n * values)
            vector(own_keys + 4 * position * width, keys, FLOAT)[:] = head_of(p[1], i, few, n, 1, keys)
            vector(own_values + 4 * position * width, values, FLOAT)[:] = head_of(p[2], i, few, n, 1, values)
            for h in range(n * group, (n + 1) * group):
                wanted = head_of(p[13], i, heads, h, 1, parts)
                count = _in_best_parts(wanted, position + 1, spare[:parts], spare[parts:])
                picks, weights = spare[parts : parts + count], vector(p[11], count, FLOAT)
                q, out = head_of(p[0], i, heads, h, 1, keys), head_of(p[12], i, heads, h, 1, values)
                _attend(q, float32(f[10]), own_keys, own_values, width, picks, weights, out)


@njit(inline="always")
def _bucket(x, planes):
    """Return the signs of x along the planes [K, PLANES] as one number."""
    found = 0
    for bit in range(PLANES):
        total = float32(0)
        for j in range(x.size):
            total += x[j] * planes[j, bit]
        if total > 0:
            found += 1 << bit
    return found


@njit(inline="always")
def _compete(best, count, score, token):
    """Put (score, token) among the best [n, 2], of which there are `count`, if it is better than the worst of n."""
    if count < best.shape[0]:
        best[count, 0], best[count, 1] = score, token
        return count
    worst = 0
    for n in range(1, best.shape[0]):  # of equal scores the latest
        lower = best[n, 0] < best[worst, 0]
        if lower or (best[n, 0] == best[worst, 0] and best[n, 1] > best[worst, 1]):
            worst = n
    if score <= best[worst, 0]:
        return -1
    best[worst, 0], best[worst, 1] = score, token
    return worst


@operation
def hashed(arguments, context, begin, end):
    """Attention over a token itself, the last ones in its query's bucket, and those of highest score (HAX).

    Arguments: q, k, v, K, V, tokens, how many of each choice, planes [K, PLANES] or 0, capacity, memory [tokens,
    capacity, K + V + 1], scale (real), float32 [capacity] for this thread, out [tokens, V]; score [tokens] or 0, best
    [tokens, chosen, 2] scores and tokens, int32 [2 chosen + 1] for this thread; q and k of the bucket. Parts are
    tokens.
    """
    p, f = integers(arguments), reals(arguments)
    keys, values, chosen, capacity, position = p[3], p[4], p[6], p[8], position_of(context)
    width, planes = keys + values + 1, matrix(p[7], keys, PLANES, FLOAT)
    picks = vector(p[15], 2 * chosen + 1, WORD)
    for i in range(begin, end):
        memory = matrix(p[9] + 4 * i * capacity * width, capacity, width, FLOAT)
        q, k = vector(p[0] + 4 * i * keys, keys, FLOAT), vector(p[1] + 4 * i * keys, keys, FLOAT)
        memory[position, :keys] = k
        memory[position, keys : keys + values] = vector(p[2] + 4 * i * values, values, FLOAT)
        picks[0], count, oldest, own = position, 1, position + 1, float32(-1)
        if p[7]:
            memory[position, keys + values] = _bucket(vector(p[17] + 4 * i * keys, keys, FLOAT), planes)
            own, t, found = float32(_bucket(vector(p[16] + 4 * i * keys, keys, FLOAT), planes)), position, 0
            while t >= 0 and found < chosen:
                if memory[t, keys + values] == own:
                    oldest = t
                    found += 1
                    if t < position:
                        picks[count] = t
                        count += 1
                t -= 1
        if p[13]:
            best = matrix(p[14] + 8 * i * chosen, chosen, 2, FLOAT)
            _compete(best, min(position, chosen), vector(p[13], i + 1, FLOAT)[i], position)
            for n in range(min(position + 1, chosen)):
                t = int(best[n, 1])
                if t < position and not (p[7] and t >= oldest and memory[t, keys + values] == own):
                    picks[count] = t
                    count += 1
        start = p[9] + 4 * i * capacity * width
        weights, out = vector(p[11], count, FLOAT), vector(p[12] + 4 * i * values, values, FLOAT)
        _attend(q, float32(f[10]), start, start + 4 * keys, width, picks[:count], weights, out)


@operation
def innovation(arguments, context, begin, end):
    """The mean square of what the mean of the tokens before does not say of x; x takes the place of the oldest.

    Arguments: x, width, ring [tokens, n, width], n, out [tokens]. Parts are tokens.
    """
    p = integers(arguments)
    width, n, position = p[1], p[3], position_of(context)
    for i in range(begin, end):
        x, ring, total = (
            vector(p[0] + 4 * i * width, width, FLOAT),
            matrix(p[2] + 4 * i * n * width, n, width, FLOAT),
            0.0,
        )
        for j in range(width):
            mean = float32(0)
            for t in range(n):
                mean += ring[t, j]
            change = x[j] - mean / float32(n)
            total += change * change
            ring[position % n, j] = x[j]
        vector(p[4], end, FLOAT)[i] = total / width


@operation
def remembered(arguments, context, begin, end):
    """Attention over the last w tokens, what a state says of the w before, and the most surprising ones (B'MOJO).

    Arguments: q, k, v; key and value of the state's outputs or 0 for both; H, K, tokens, w; ring [tokens, H, 2 w, 4 K +
    1] of keys, values, those of the state, and innovations; innovation [tokens]; number of most surprising ones, these
    [tokens, H, n, 2 K], their innovations and tokens [tokens, H, n, 2]; float32 [2 w + n] for this thread; out
    [tokens, H, K]. Parts are heads.
    """
    p = integers(arguments)
    heads, size, w, slots, position = p[5], p[6], p[8], p[11], position_of(context)
    width, scale = 4 * size + 1, float32(1 / math.sqrt(size))
    for i in range(p[7]):
        for h in range(begin, end):
            place = i * heads + h
            ring = matrix(p[9] + 8 * place * w * width, 2 * w, width, FLOAT)
            kept = matrix(p[12] + 8 * place * slots * size, slots, 2 * size, FLOAT)
            row = ring[position % (2 * w)]
            row[:size], row[size : 2 * size] = head_of(p[1], i, heads, h, 1, size), head_of(p[2], i, heads, h, 1, size)
            if p[3]:
                row[2 * size : 3 * size] = head_of(p[3], i, heads, h, 1, size)
                row[3 * size : 4 * size] = head_of(p[4], i, heads, h, 1, size)
            row[4 * size] = vector(p[10], i + 1, FLOAT)[i]
            left = position - w  # the token that leaves the window
            if slots and left >= 0:
                old, best = ring[left % (2 * w)], matrix(p[13] + 8 * place * slots, slots, 2, FLOAT)
                slot = _compete(best, min(left, slots), old[4 * size], left)
                if slot >= 0:
                    kept[slot] = old[: 2 * size]
            q, weights = head_of(p[0], i, heads, h, 1, size), vector(p[14], 2 * w + slots, FLOAT)
            near, far = min(position + 1, w), min(max(left + 1, 0), w) if p[3] else 0
            held = min(max(left + 1, 0), slots)
            for t in range(near):
                weights[t] = scale * dot(q, ring[(position - t) % (2 * w)][:size])
            for t in range(far):
                weights[near + t] = scale * dot(q, ring[(left - t) % (2 * w)][2 * size : 3 * size])
            for t in range(held):
                weights[near + far + t] = scale * dot(q, kept[t][:size])
            softmax(weights[: near + far + held])
            out = head_of(p[15], i, heads, h, 1, size)
            out[:] = 0
            for t in range(near):
                add(weights[t], ring[(position - t) % (2 * w)][size : 2 * size], out)
            for t in range(far):
                add(weights[near + t], ring[(left - t) % (2 * w)][3 * size : 4 * size], out)
            for t in range(held):
                add(weights[near + far + t], kept[t][size : 2 * size], out)
