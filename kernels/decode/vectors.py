"""Operations on the channels of a token: norms, activations, products, short convolutions, rotary positions.

Each is that of the torch module or function of the same name, up to rounding. `x` and `out` are [tokens, width].
"""

from __future__ import annotations

import math

import numpy as np
from numba import float32, float64, njit

from ..tools.elementary import exp
from ..tools.pointers import matrix, vector
from .program import CONTEXT, DOUBLE, FLOAT, LONG, POSITION, integers, operation, reals, skipped

ZERO, ONE = np.float32(0), np.float32(1)


# Sums in any order, so that they become vectors.
@njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz"}, error_model="numpy")
def _moments(x):
    """Return the mean of x, and the mean square."""
    total, square = float32(0), float32(0)
    for j in range(x.size):
        total += x[j]
        square += x[j] * x[j]
    return total / float32(x.size), square / float32(x.size)


@operation
def norm(arguments, context, begin, end):
    """Root-mean-square norm, or layer norm if `centred`, of each group of a row.

    Arguments: x, channels of a group, weight or 0, channels of the weight (repeated), bias or 0, centred, eps (real),
    out. Parts are groups of all rows.
    """
    p, f = integers(arguments), reals(arguments)
    size, period, eps = p[1], p[3], float32(f[6])
    for i in range(begin, end):
        x, out = vector(p[0] + 4 * i * size, size, FLOAT), vector(p[7] + 4 * i * size, size, FLOAT)
        start = 4 * (i * size % period)
        norm_row(x, p[2] and p[2] + start, p[4] and p[4] + start, p[5] != 0, eps, out)


@njit(inline="always")
def root_factor(x, eps):
    """Return what the root-mean-square norm multiplies a row by."""
    _, square = _moments(x)
    return ONE / math.sqrt(square + eps)


@njit(cache=True, nogil=True, error_model="numpy")
def norm_row(x, weights, biases, centred, eps, out):
    """Fill `out` [n] with the norm of x [n]; weights and biases are addresses, or 0."""
    size = x.size
    if centred:
        mean, _ = _moments(x)
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


L2, SUM, SOFTMAX = range(3)


@operation
def normalise(arguments, context, begin, end):
    """Divide each group of a row by its length, or by its sum + eps; or take its softmax.

    Arguments: x, channels of a group, kind, eps (real), out. Parts are groups of all rows.
    """
    p, f = integers(arguments), reals(arguments)
    size, kind, eps = p[1], p[2], float32(f[3])
    for i in range(begin, end):
        x, out = vector(p[0] + 4 * i * size, size, FLOAT), vector(p[4] + 4 * i * size, size, FLOAT)
        if kind == SOFTMAX:
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
        factor = ONE / (math.sqrt(square * float32(size) + eps) if kind == L2 else total + eps)
        for j in range(size):
            out[j] = x[j] * factor


@operation
def total(arguments, context, begin, end):
    """Sum each group of a row. Arguments: x, channels of a group, out. Parts are groups of all rows."""
    p = integers(arguments)
    out = vector(p[2], end, FLOAT)
    for i in range(begin, end):
        mean, _ = _moments(vector(p[0] + 4 * i * p[1], p[1], FLOAT))
        out[i] = mean * float32(p[1])


IDENTITY, SILU, SIGMOID, LOGSIGMOID, RELU, SQRELU, TANH, GELU_TANH, GELU, ELU_PLUS, SOFTPLUS, EXPM1, LOG, EXP = range(
    14
)


@njit(inline="always")
def _log1p(e):
    """log(1 + e) for 0 <= e <= 1: a series in s = e / (2 + e), at most 1/3."""
    s = e / (e + float32(2))
    z = s * s
    p = float32(0.1538461538) * z + float32(0.1818181818)
    p = p * z + float32(0.2222222222)
    p = p * z + float32(0.2857142857)
    p = p * z + float32(0.4)
    p = p * z + float32(0.6666666667)
    return s * (p * z + float32(2))


@njit(inline="always")
def _softplus(x):
    return max(x, ZERO) + _log1p(exp(-abs(x)))


@njit(inline="always")
def sigmoid(x):
    return ONE / (ONE + exp(-x))


@njit(cache=True, nogil=True, error_model="numpy")
def activate(x, kind, out):  # noqa: PLR0912 - a loop for each kind
    """Fill `out` [n] with an activation of x [n]. With the kind known, most loops become vector instructions."""
    if kind == IDENTITY:
        out[:] = x
    elif kind == SILU:
        for j in range(x.size):
            out[j] = x[j] * sigmoid(x[j])
    elif kind == SIGMOID:
        for j in range(x.size):
            out[j] = sigmoid(x[j])
    elif kind == LOGSIGMOID:
        for j in range(x.size):
            out[j] = -_softplus(-x[j])
    elif kind == SOFTPLUS:
        for j in range(x.size):
            out[j] = _softplus(x[j])
    elif kind == RELU:
        for j in range(x.size):
            out[j] = max(x[j], ZERO)
    elif kind == SQRELU:
        for j in range(x.size):
            out[j] = max(x[j], ZERO) * max(x[j], ZERO)
    elif kind == ELU_PLUS:
        for j in range(x.size):
            out[j] = float32(x[j] + ONE if x[j] > 0 else math.expm1(x[j]) + ONE)
    elif kind == TANH:
        for j in range(x.size):
            out[j] = float32(math.tanh(x[j]))
    elif kind == EXPM1:
        for j in range(x.size):
            out[j] = float32(math.expm1(x[j]))
    elif kind == EXP:
        for j in range(x.size):
            out[j] = exp(x[j])
    elif kind == LOG:
        for j in range(x.size):
            out[j] = float32(math.log(x[j]))
    elif kind == GELU_TANH:
        for j in range(x.size):
            inner = float32(0.7978845608) * (x[j] + float32(0.044715) * x[j] * x[j] * x[j])
            out[j] = float32(0.5) * x[j] * (ONE + float32(math.tanh(inner)))
    else:
        for j in range(x.size):
            out[j] = float32(0.5) * x[j] * (ONE + float32(math.erf(x[j] * float32(0.7071067812))))


@operation
def pointwise(arguments, context, begin, end):
    """out = f(x + a) b + c, clamped; a, b and c have their own width, by which their columns repeat, and
    either a row for each token or one for all.

    Arguments: x, width, tokens, activation; a, b and c, each address or 0, columns, whether of each token; lower and
    upper bound (reals), out. Parts are columns.
    """
    p, f = integers(arguments), reals(arguments)
    width, tokens, low, high = p[1], p[2], float32(f[13]), float32(f[14])
    for i in range(tokens):
        x = vector(p[0] + 4 * (i * width + begin), end - begin, FLOAT)
        out = vector(p[15] + 4 * (i * width + begin), end - begin, FLOAT)
        if p[4]:
            _combine(x, p[4], p[5], p[6] * i, begin, out, False)
            activate(out, p[3], out)
        else:
            activate(x, p[3], out)
        if p[7]:
            _combine(out, p[7], p[8], p[9] * i, begin, out, True)
        if p[10]:
            _combine(out, p[10], p[11], p[12] * i, begin, out, False)
        if low > -np.inf or high < np.inf:
            for j in range(out.size):
                out[j] = min(max(out[j], low), high)


@njit(inline="always")
def _combine(x, address, columns, row, begin, out, times):
    """Add to x, or multiply by, the row of [.., columns] at `address`, repeated; column 0 of x is `begin`."""
    y = vector(address + 4 * row * columns, columns, FLOAT)
    if begin + x.size <= columns:
        part = y[begin : begin + x.size]
        for j in range(x.size):
            out[j] = x[j] * part[j] if times else x[j] + part[j]
    else:
        for j in range(x.size):
            value = y[(begin + j) % columns]
            out[j] = x[j] * value if times else x[j] + value


@operation
def mix(arguments, context, begin, end):
    """out = x + (y - x) w: torch.addcmul of a token shift, torch.lerp.

    Arguments: x, y, w, whether w has a row for each token, width, tokens, out. Parts are columns.
    """
    p = integers(arguments)
    width = p[4]
    for i in range(p[5]):
        x, y = matrix(p[0], p[5], width, FLOAT)[i], matrix(p[1], p[5], width, FLOAT)[i]
        w, out = vector(p[2] + 4 * p[3] * i * width, width, FLOAT), matrix(p[6], p[5], width, FLOAT)[i]
        for j in range(begin, end):
            out[j] = x[j] + (y[j] - x[j]) * w[j]


@operation
def copy(arguments, context, begin, end):
    """Copy columns of rows.

    Arguments: from, its width, its first column, to, its width, its first column, columns; rows of `to` that a row goes
    to. Parts are rows of `to`.
    """
    p = integers(arguments)
    for i in range(begin, end):
        source = vector(p[0] + 4 * (i // p[7] * p[1] + p[2]), p[6], FLOAT)
        vector(p[3] + 4 * (i * p[4] + p[5]), p[6], FLOAT)[:] = source


@operation
def accumulate(arguments, context, begin, end):
    """Add rows of x times their factors to `out`, or set `out` to them.

    Arguments: x, width, tokens, factors [tokens], whether to set, out, mask. Rows left out count as 0. Parts are
    columns.
    """
    p = integers(arguments)
    width, tokens = p[1], p[2]
    x, out, factors = (
        matrix(p[0], tokens, width, FLOAT),
        matrix(p[5], tokens, width, FLOAT),
        vector(p[3], tokens, FLOAT),
    )
    for i in range(tokens):
        if p[4]:
            out[i, begin:end] = 0
        if not skipped(p[6], i):
            for j in range(begin, end):
                out[i, j] += x[i, j] * factors[i]


@operation
def ratio(arguments, context, begin, end):
    """Divide the first columns of a row by its last: out [rows, n] from x [rows, n + 1].

    Arguments: x, n, added to the divisor (real), out. Parts are rows.
    """
    p, f = integers(arguments), reals(arguments)
    size = p[1]
    for i in range(begin, end):
        x, out = vector(p[0] + 4 * i * (size + 1), size + 1, FLOAT), vector(p[3] + 4 * i * size, size, FLOAT)
        factor = ONE / (x[size] + float32(f[2]))
        for j in range(size):
            out[j] = x[j] * factor


@operation
def embed(arguments, context, begin, end):
    """Arguments: tokens int64 [rows], table float32, width, out."""
    p = integers(arguments)
    tokens = vector(p[0], end, LONG)
    for i in range(begin, end):
        vector(p[3] + 4 * i * p[2], p[2], FLOAT)[:] = vector(p[1] + 4 * tokens[i] * p[2], p[2], FLOAT)


@operation
def convolve(arguments, context, begin, end):
    """Short convolution over the last tokens, which are kept.

    Arguments: x, width, tokens, size, weight [size, width], bias or 0, tails [tokens, size - 1, width], activation,
    out, mask. Parts are columns.
    """
    p = integers(arguments)
    width, tokens, size = p[1], p[2], p[3]
    count = end - begin
    for i in range(tokens):
        if skipped(p[9], i):
            continue
        x = vector(p[0] + 4 * (i * width + begin), count, FLOAT)
        out = vector(p[8] + 4 * (i * width + begin), count, FLOAT)
        convolve_row(x, begin, width, size, p[4], p[5], p[6] + 4 * i * (size - 1) * width, out)
        activate(out, p[7], out)


@njit(cache=True, nogil=True)
def convolve_row(x, begin, width, size, weights, bias, tail, out):
    """Fill `out` [n], columns from `begin` of a token's row, and shift its tail, at an address."""
    n = x.size
    last = vector(weights + 4 * ((size - 1) * width + begin), n, FLOAT)
    if bias:
        out[:] = vector(bias + 4 * begin, n, FLOAT)
    else:
        out[:] = 0
    for s in range(size - 1):
        weight, row = (
            vector(weights + 4 * (s * width + begin), n, FLOAT),
            vector(tail + 4 * (s * width + begin), n, FLOAT),
        )
        for j in range(n):
            out[j] += weight[j] * row[j]
        if s < size - 2:
            row[:] = vector(tail + 4 * ((s + 1) * width + begin), n, FLOAT)
        else:
            row[:] = x
    for j in range(n):
        out[j] += last[j] * x[j]


@operation
def rotary(arguments, context, begin, end):
    """Turn pairs (i, i + n) of every head by position times their rate, in place; channels from 2n on stay.

    Arguments: x, K, rates float64 [n], n, factor of the turned channels (real). Parts are heads of all rows.
    """
    p, f = integers(arguments), reals(arguments)
    size, half = p[1], p[3]
    rates, position = vector(p[2], half, DOUBLE), float64(vector(context, CONTEXT, LONG)[POSITION])
    for k in range(half):
        cos, sin = float32(f[4] * math.cos(position * rates[k])), float32(f[4] * math.sin(position * rates[k]))
        for i in range(begin, end):
            x = vector(p[0] + 4 * i * size, size, FLOAT)
            a, b = x[k], x[k + half]
            x[k], x[k + half] = a * cos - b * sin, a * sin + b * cos


@operation
def dilate(arguments, context, begin, end):
    """x plus silu of a convolution over every `dilation`-th of the last tokens, which are kept in a ring.

    Arguments: x, width, tokens, size, dilation, weight [size, width], ring [tokens, (size - 1) dilation + 1, width],
    out. Parts are columns.
    """
    p = integers(arguments)
    width, size, step, count = p[1], p[3], p[4], end - begin
    room, position = (size - 1) * step + 1, vector(context, CONTEXT, LONG)[POSITION]
    for i in range(p[2]):
        start = 4 * (i * width + begin)
        x, out = vector(p[0] + start, count, FLOAT), vector(p[7] + start, count, FLOAT)
        ring = p[6] + 4 * (i * room * width + begin)
        vector(ring + 4 * (position % room) * width, count, FLOAT)[:] = x
        out[:] = 0
        for s in range(size):
            # The tokens before the first are places that are still 0.
            row = vector(ring + 4 * ((position + 1 + s * step) % room) * width, count, FLOAT)
            weight = vector(p[5] + 4 * (s * width + begin), count, FLOAT)
            for j in range(count):
                out[j] += weight[j] * row[j]
        activate(out, SILU, out)
        for j in range(count):
            out[j] += x[j]
