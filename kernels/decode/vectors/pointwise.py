"""Operations channel by channel: f(x + a) b + c, mixes of two values, and sums over operations.

`x` and `out` are [tokens, width].
"""

from __future__ import annotations

import numpy as np
from numba import float32, njit

from ...tools.pointers import matrix, vector
from ..program import FLOAT, operation, skipped
from .activations import activate


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
