"""Rotary positions: angles of each token, and heads turned by them."""

from __future__ import annotations

import math

from numba import float32, float64

from ...tools.pointers import copy_into, matrix, vector
from ..program import DOUBLE, FLOAT, operation, position_of


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
