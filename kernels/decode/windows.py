"""Softmax attention over the last tokens, and what joins it with linear attention over those before them."""

from __future__ import annotations

import math

import numpy as np
from numba import float32, njit

from ..tools.elementary import exp
from ..tools.pointers import vector
from .program import CONTEXT, FLOAT, LONG, POSITION, integers, operation, reals
from .states import head_of

TINY = np.float32(np.finfo(np.float32).tiny)


# Sums in any order, so that they become vectors.
@njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"})
def _dot(a, b):
    total = float32(0)
    for j in range(a.size):
        total += a[j] * b[j]
    return total


# Not inlined: numba then drops single writes of the caller that follow it.
@njit(cache=True, nogil=True)
def _softmax(x):
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
def _position(context):
    return vector(context, CONTEXT, LONG)[POSITION]


@njit(inline="always")
def _add(weight, v, out):
    for j in range(out.size):
        out[j] += weight * v[j]


@operation
def window(arguments, context, begin, end):
    """Softmax attention over the last tokens, whose keys and values are kept in turn, and over learnt ones.

    Arguments: q, k, v, H, K, V, heads that share a key, tokens, capacity, memory [tokens, capacity, H / group (K + V)]
    (the keys of a token lie before its values), scale (real), float32 [capacity + learnt] for this thread, out
    [tokens, H, V]; q for the learnt ones, these [learnt, H, K + V], their number; 0, or mass [tokens, H], the logarithm
    of the sum of weights. Parts are heads of k and v.
    """
    p, f = integers(arguments), reals(arguments)
    heads, keys, values, group, capacity, scale = p[3], p[4], p[5], p[6], p[8], float32(f[10])
    few, position, learnt = heads // group, _position(context), p[15]
    width = few * (keys + values)
    seen = min(position + 1, capacity)
    weights = vector(p[11], seen + learnt, FLOAT)
    for i in range(p[7]):
        start = p[9] + 4 * i * capacity * width
        for n in range(begin, end):
            here = start + 4 * (position % capacity) * width
            own_keys, own_values = 4 * n * keys, 4 * (few * keys + n * values)
            vector(here + own_keys, keys, FLOAT)[:] = head_of(p[1], i, few, n, 1, keys)
            vector(here + own_values, values, FLOAT)[:] = head_of(p[2], i, few, n, 1, values)
            for h in range(n * group, (n + 1) * group):
                q, out = head_of(p[0], i, heads, h, 1, keys), head_of(p[12], i, heads, h, 1, values)
                for t in range(seen):
                    weights[t] = scale * _dot(q, vector(start + 4 * t * width + own_keys, keys, FLOAT))
                for m in range(learnt):
                    plain = head_of(p[13], i, heads, h, 1, keys)
                    weights[seen + m] = scale * _dot(plain, head_of(p[14], m, heads, h, 1, keys + values)[:keys])
                mass = _softmax(weights)
                out[:] = 0
                for t in range(seen):
                    _add(weights[t], vector(start + 4 * t * width + own_values, values, FLOAT), out)
                for m in range(learnt):
                    _add(weights[seen + m], head_of(p[14], m, heads, h, 1, keys + values)[keys:], out)
                if p[16]:
                    vector(p[16], (i + 1) * heads, FLOAT)[i * heads + h] = mass


@operation
def leaving(arguments, context, begin, end):
    """Copy what the present token pushes out of a ring: heads of its oldest token, 0 while there is none.

    Arguments: ring [tokens, capacity, width], width, first column, heads, channels of a head, tokens, capacity; x,
    which takes the place, or 0; whether a head of `out` has one more channel, 1 where there is such a token; out. Parts
    are heads.
    """
    p = integers(arguments)
    width, heads, size, capacity, more = p[1], p[3], p[4], p[6], p[8]
    position = _position(context)
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
