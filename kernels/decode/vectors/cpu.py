"""Operations on the channels of a token: norms, activations, products, short convolutions, rotary positions.

Each computes as the torch module or function of the same name, up to rounding. `x` and `out` are [tokens, width].
"""

from __future__ import annotations

import math

import numpy as np
from numba import float32, float64, njit

from ...tools.compiled import compiled
from ...tools.elementary import exp
from ...tools.pointers import copy_into, matrix, vector
from ..program import DOUBLE, FLOAT, LONG, operation, position_of, skipped, state_of
from .reference import (  # noqa: F401 - callers read the kinds here too
    ABS,
    ELU_PLUS,
    EXP,
    EXPM1,
    GELU,
    GELU_TANH,
    IDENTITY,
    L2,
    LOG,
    LOGSIGMOID,
    RECIPROCAL,
    RELU,
    SIGMOID,
    SILU,
    SOFTMAX,
    SOFTPLUS,
    SQRELU,
    SQRT,
    SUM,
    TANH,
)

ZERO = np.float32(0)
ONE = np.float32(1)


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


@njit(inline="always")
def root_factor(x, eps):
    """Return what the root-mean-square norm multiplies a row by."""
    _, square = _moments(x)
    return ONE / math.sqrt(square + eps)


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


@njit(inline="always")
def _log1p(e):
    """Return log(1 + e) for 0 <= e <= 1: a series in s = e / (2 + e), at most 1/3."""
    # log(1 + e) = 2 artanh(s) = 2 s (1 + s^2 / 3 + s^4 / 5 + ...); five terms are float32's precision.
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
    # The exponent is never positive, so that e^x does not overflow.
    return max(x, ZERO) + _log1p(exp(-abs(x)))


@njit(inline="always")
def sigmoid(x):
    return ONE / (ONE + exp(-x))


@compiled(error_model="numpy")
def activate(x, kind, out):  # noqa: PLR0912 - a loop for each kind
    """Fill `out` [n] with an activation of x [n]. With the kind known, most loops become vector instructions."""
    if kind == IDENTITY:
        copy_into(x, out)
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
    # Functions of `math` are calls: these loops are not vectors.
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
    elif kind == SQRT:
        for j in range(x.size):
            out[j] = float32(math.sqrt(x[j]))
    elif kind == RECIPROCAL:
        for j in range(x.size):
            out[j] = ONE / x[j]
    elif kind == ABS:
        for j in range(x.size):
            out[j] = abs(x[j])
    elif kind == GELU_TANH:
        for j in range(x.size):
            inner = float32(0.7978845608) * (x[j] + float32(0.044715) * x[j] * x[j] * x[j])
            out[j] = float32(0.5) * x[j] * (ONE + float32(math.tanh(inner)))
    else:
        for j in range(x.size):
            out[j] = float32(0.5) * x[j] * (ONE + float32(math.erf(x[j] * float32(0.7071067812))))


@operation(
    "x width tokens activation plus? plus_columns plus_rows times? times_columns times_rows "
    "then? then_columns then_rows low:real high:real out"
)
def pointwise(p, context, begin, end):
    """out = f(x + a) b + c, clamped; a, b and c have their own width, by which their columns repeat, and
    either a row for each token or one for all.

    Operands: a, b and c are `plus`, `times` and `then`, each with its number of columns, and 1 in `.._rows` where it
    has a row for each token. Parts are columns.
    """
    low = float32(p.low)
    high = float32(p.high)
    for i in range(p.tokens):
        x = vector(p.x + 4 * (i * p.width + begin), end - begin, FLOAT)
        out = vector(p.out + 4 * (i * p.width + begin), end - begin, FLOAT)
        if p.plus:
            _combine(x, p.plus, p.plus_columns, p.plus_rows * i, begin, out, False)
            activate(out, p.activation, out)
        else:
            activate(x, p.activation, out)
        if p.times:
            _combine(out, p.times, p.times_columns, p.times_rows * i, begin, out, True)
        if p.then:
            _combine(out, p.then, p.then_columns, p.then_rows * i, begin, out, False)
        if low > -np.inf or high < np.inf:
            for j in range(out.size):
                out[j] = min(max(out[j], low), high)


@njit(inline="always")
def _combine(x, address, columns, row, begin, out, times):
    """Add to x, or multiply by, the row of [.., columns] at `address`, repeated; column 0 of x is `begin`."""
    y = vector(address + 4 * row * columns, columns, FLOAT)
    # Most rows need no remainder of a division, which would keep the loop from vectors.
    if begin + x.size <= columns:
        part = y[begin : begin + x.size]
        for j in range(x.size):
            out[j] = x[j] * part[j] if times else x[j] + part[j]
    else:
        for j in range(x.size):
            value = y[(begin + j) % columns]
            out[j] = x[j] * value if times else x[j] + value


@operation("x y weight weight_rows width tokens out")
def mix(p, context, begin, end):
    """out = x + (y - x) w: torch.addcmul of a token shift, torch.lerp.

    Operands: `weight_rows` is 1 where w has a row for each token. Parts are columns.
    """
    width = p.width
    for i in range(p.tokens):
        x = matrix(p.x, p.tokens, width, FLOAT)[i]
        y = matrix(p.y, p.tokens, width, FLOAT)[i]
        w = vector(p.weight + 4 * p.weight_rows * i * width, width, FLOAT)
        out = matrix(p.out, p.tokens, width, FLOAT)[i]
        for j in range(begin, end):
            out[j] = x[j] + (y[j] - x[j]) * w[j]


@operation("x x_width x_first out out_width out_first columns repeats")
def copy(p, context, begin, end):
    """Copy columns of rows.

    Operands: a row of x goes to `repeats` rows of `out`. Parts are rows of `out`.
    """
    for i in range(begin, end):
        source = vector(p.x + 4 * (i // p.repeats * p.x_width + p.x_first), p.columns, FLOAT)
        copy_into(source, vector(p.out + 4 * (i * p.out_width + p.out_first), p.columns, FLOAT))


@operation("x width tokens factors sets out mask?")
def accumulate(p, context, begin, end):
    """Add rows of x times their factors to `out`, or set `out` to them.

    Operands: `factors` [tokens]; rows that `mask` leaves out count as 0. Parts are columns.
    """
    tokens = p.tokens
    x = matrix(p.x, tokens, p.width, FLOAT)
    out = matrix(p.out, tokens, p.width, FLOAT)
    factors = vector(p.factors, tokens, FLOAT)
    for i in range(tokens):
        if p.sets:
            out[i, begin:end] = 0
        if not skipped(p.mask, i):
            for j in range(begin, end):
                out[i, j] += x[i, j] * factors[i]


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


@operation("tokens table width out")
def embed(p, context, begin, end):
    """Fill `out` with the rows of `table` float32 of int64 tokens. Parts are tokens."""
    tokens = vector(p.tokens, end, LONG)
    for i in range(begin, end):
        row = vector(p.table + 4 * tokens[i] * p.width, p.width, FLOAT)
        copy_into(row, vector(p.out + 4 * i * p.width, p.width, FLOAT))


@operation("x width tokens size weight bias? tails activation out mask?", in_order=True)
def convolve(p, context, begin, end):
    """Convolve the last tokens, which are kept, with short filters.

    Operands: `weight` [size, width], `tails` [tokens, size - 1, width]. Parts are columns.
    """
    width = p.width
    count = end - begin
    for i in range(p.tokens):
        if skipped(p.mask, i):
            continue
        # A token of several sequences has a tail of its own.
        own = state_of(context, i)
        x = vector(p.x + 4 * (i * width + begin), count, FLOAT)
        out = vector(p.out + 4 * (i * width + begin), count, FLOAT)
        convolve_row(x, begin, width, p.size, p.weight, p.bias, p.tails + 4 * own * (p.size - 1) * width, out)
        activate(out, p.activation, out)


@compiled
def convolve_row(x, begin, width, size, weights, bias, tail, out):
    """Fill `out` [n], columns from `begin` of a token's row, and shift its tail, at an address."""
    n = x.size
    last = vector(weights + 4 * ((size - 1) * width + begin), n, FLOAT)
    if bias:
        copy_into(vector(bias + 4 * begin, n, FLOAT), out)
    else:
        out[:] = 0
    # The oldest token of the tail comes first; each of the others moves up a row after its use.
    for s in range(size - 1):
        weight = vector(weights + 4 * (s * width + begin), n, FLOAT)
        row = vector(tail + 4 * (s * width + begin), n, FLOAT)
        for j in range(n):
            out[j] += weight[j] * row[j]
        if s < size - 2:
            copy_into(vector(tail + 4 * ((s + 1) * width + begin), n, FLOAT), row)
        else:
            copy_into(x, row)
    for j in range(n):
        out[j] += last[j] * x[j]


@operation("rates pairs scale:real tokens out")
def angles(p, context, begin, end):
    """Fill `out` [tokens, 2, pairs] with cosines and sines of position times rate, times a scale.

    Operands: `rates` float64 [pairs]. Parts are pairs.
    """
    half = p.pairs
    rates = vector(p.rates, half, DOUBLE)
    for i in range(p.tokens):
        # In float64: float32 has no thousandth of a turn left at position 100,000.
        position = float64(position_of(context, i))
        # A row of cosines, then one of sines: 2 x 4 bytes for each pair.
        turn = matrix(p.out + 8 * i * half, 2, half, FLOAT)
        for k in range(begin, end):
            turn[0, k] = float32(p.scale * math.cos(position * rates[k]))
            turn[1, k] = float32(p.scale * math.sin(position * rates[k]))


@operation("x size heads angles pairs out")
def rotary(p, context, begin, end):
    """Turn pairs (i, i + n) of every head by the angles of its token; channels from 2n on stay.

    Operands: `size` channels of a head, `heads` of a token, `angles` as that operation fills them. Parts are heads of
    all rows.
    """
    half = p.pairs
    for i in range(begin, end):
        x = vector(p.x + 4 * i * p.size, p.size, FLOAT)
        out = vector(p.out + 4 * i * p.size, p.size, FLOAT)
        turn = matrix(p.angles + 8 * (i // p.heads) * half, 2, half, FLOAT)
        for k in range(half):
            a = x[k]
            b = x[k + half]
            out[k] = a * turn[0, k] - b * turn[1, k]
            out[k + half] = a * turn[1, k] + b * turn[0, k]
        copy_into(x[2 * half :], out[2 * half :])


@operation("table count width tokens out")
def look_up(p, context, begin, end):
    """Copy the row of a table that belongs to the position of each token; later positions have the last of `count`.

    Parts are channels.
    """
    for i in range(p.tokens):
        place = min(position_of(context, i), p.count - 1)
        row = vector(p.table + 4 * (place * p.width + begin), end - begin, FLOAT)
        copy_into(row, vector(p.out + 4 * (i * p.width + begin), end - begin, FLOAT))


# A product and a sum in one rounding where the processor has that.
@compiled(fastmath={"contract"})
def _product(x, y, out):
    """out = x @ y."""
    out[:] = 0
    for row in range(x.shape[0]):
        for k in range(x.shape[1]):
            factor = x[row, k]
            for j in range(y.shape[1]):
                out[row, j] += factor * y[k, j]


@operation("x y rows inner columns out")
def matmul(p, context, begin, end):
    """Multiply matrices x [.., rows, inner] and y [.., inner, columns], one pair after the other.

    Parts are pairs of all tokens.
    """
    for i in range(begin, end):
        x = matrix(p.x + 4 * i * p.rows * p.inner, p.rows, p.inner, FLOAT)
        y = matrix(p.y + 4 * i * p.inner * p.columns, p.inner, p.columns, FLOAT)
        _product(x, y, matrix(p.out + 4 * i * p.rows * p.columns, p.rows, p.columns, FLOAT))


@operation("x width tokens size dilation weight ring out")
def dilate(p, context, begin, end):
    """Add to x silu of a convolution over every `dilation`-th of the last tokens, which are kept in a ring.

    Operands: `weight` [size, width], `ring` [tokens, (size - 1) dilation + 1, width]. Parts are columns.
    """
    width = p.width
    count = end - begin
    room = (p.size - 1) * p.dilation + 1
    for i in range(p.tokens):
        position = position_of(context, i)
        start = 4 * (i * width + begin)
        x = vector(p.x + start, count, FLOAT)
        out = vector(p.out + start, count, FLOAT)
        ring = p.ring + 4 * (i * room * width + begin)
        copy_into(x, vector(ring + 4 * (position % room) * width, count, FLOAT))
        out[:] = 0
        for s in range(p.size):
            # The tokens before the first are places that are still 0.
            row = vector(ring + 4 * ((position + 1 + s * p.dilation) % room) * width, count, FLOAT)
            weight = vector(p.weight + 4 * (s * width + begin), count, FLOAT)
            for j in range(count):
                out[j] += weight[j] * row[j]
        activate(out, SILU, out)
        for j in range(count):
            out[j] += x[j]


@operation("x width tokens tail out", in_order=True)
def shift(p, context, begin, end):
    """Fill `out` with the token before each of x [tokens, width], of one sequence; the last becomes `tail` [width].

    Parts are columns.
    """
    width = p.width
    count = end - begin
    tail = vector(p.tail + 4 * begin, count, FLOAT)
    for i in range(p.tokens):
        x = vector(p.x + 4 * (i * width + begin), count, FLOAT)
        out = vector(p.out + 4 * (i * width + begin), count, FLOAT)
        copy_into(tail, out)
        copy_into(x, tail)
