"""Norms and sums of groups of channels; `x` and `out` are [tokens, width].

Each computes as the torch module or function of the same name, up to rounding.
"""

from __future__ import annotations

import math

from numba import float32, njit

from ...tools.compiled import compiled
from ...tools.elementary import exp
from ...tools.pointers import vector
from ..program import FLOAT, ONE, operation
from .reference import L2, SOFTMAX


@operation("x size weight? period bias? centred eps:real out")
def norm(p, context, begin, end):
    """Norm each group of a row, by its root mean square, or as a layer norm if `centred`.

    Operands: `size` channels of a group; `weight` has `period` channels, repeated. Parts are groups of all rows.
    """
    size = p.size
    eps = float32(p.eps)
    for i in range(begin, end):
        x = vector(p.x + 4 * i * size, size, FLOAT)
        out = vector(p.out + 4 * i * size, size, FLOAT)
        start = 4 * (i * size % p.period)
        # `weight` and `bias` repeat after `period` channels: group i begins at this byte of them.
        norm_row(x, p.weight and p.weight + start, p.bias and p.bias + start, p.centred != 0, eps, out)


@compiled(error_model="numpy")
def norm_row(x, weights, biases, centred, eps, out):
    """Fill `out` [n] with the norm of x [n]; weights and biases are addresses, or 0."""
    size = x.size
    if centred:
        mean, _ = _moments(x)
        # Squares of distances, not the mean square less the square of the mean: that difference cancels.
        spread = float32(0)
        for j in range(size):
            spread += (x[j] - mean) * (x[j] - mean)
        factor = ONE / math.sqrt(spread / float32(size) + eps)
        for j in range(size):
            out[j] = (x[j] - mean) * factor
    else:
        factor = root_factor(x, eps)
        for j in range(size):
            out[j] = x[j] * factor
    if weights:
        weight = vector(weights, size, FLOAT)
        for j in range(size):
            out[j] *= weight[j]
    if biases:
        bias = vector(biases, size, FLOAT)
        for j in range(size):
            out[j] += bias[j]


@njit(inline="always")
def root_factor(x, eps):
    """Return what the root-mean-square norm multiplies a row by."""
    _, square = _moments(x)
    return ONE / math.sqrt(square + eps)


# Sums in any order, so that they become vectors.
@compiled(fastmath={"contract", "reassoc", "nsz"}, error_model="numpy")
def _moments(x):
    """Return the mean of x, and the mean square."""
    total = float32(0)
    square = float32(0)
    for j in range(x.size):
        total += x[j]
        square += x[j] * x[j]
    return total / float32(x.size), square / float32(x.size)


@operation("x size kind eps:real out")
def normalise(p, context, begin, end):
    """Divide each group of a row by its length, or by its sum + eps; or take its softmax.

    Operands: `size` channels of a group. Parts are groups of all rows.
    """
    size = p.size
    eps = float32(p.eps)
    for i in range(begin, end):
        x = vector(p.x + 4 * i * size, size, FLOAT)
        out = vector(p.out + 4 * i * size, size, FLOAT)
        if p.kind == SOFTMAX:
            # e^(x - largest) cannot overflow.
            most = x[0]
            for j in range(size):
                most = max(most, x[j])
            total = float32(0)
            for j in range(size):
                out[j] = exp(x[j] - most)
                total += out[j]
            factor = ONE / total
            for j in range(size):
                out[j] *= factor
            continue
        mean, square = _moments(x)
        total = mean * float32(size)
        factor = ONE / (math.sqrt(square * float32(size) + eps) if p.kind == L2 else total + eps)
        for j in range(size):
            out[j] = x[j] * factor


@operation("x size out")
def total(p, context, begin, end):
    """Sum each group of `size` channels of a row. Parts are groups of all rows."""
    out = vector(p.out, end, FLOAT)
    for i in range(begin, end):
        mean, _ = _moments(vector(p.x + 4 * i * p.size, p.size, FLOAT))
        out[i] = mean * float32(p.size)


@operation("x size eps:real out")
def ratio(p, context, begin, end):
    """Divide the first columns of a row by its last: out [rows, n] from x [rows, n + 1].

    Operands: `size` is n; `eps` is added to the divisor. Parts are rows.
    """
    size = p.size
    for i in range(begin, end):
        x = vector(p.x + 4 * i * (size + 1), size + 1, FLOAT)
        out = vector(p.out + 4 * i * size, size, FLOAT)
        factor = ONE / (x[size] + float32(p.eps))
        for j in range(size):
            out[j] = x[j] * factor
