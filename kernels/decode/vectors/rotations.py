"""Rotations of a token: the exponential of a matrix that is the negative of its transpose, for each of many."""

from __future__ import annotations

from numba import float64, njit

from ...tools.pointers import matrix
from ..program import DOUBLE, FLOAT, operation

TERMS = 14  # of the power series of e^A, |A| at most 1/2: what follows is below 1e-16
HALVINGS = 160  # that bring any finite float32 below 1/2


@njit(inline="always")
def _product(a, b, out):
    size = a.shape[0]
    for i in range(size):
        for j in range(size):
            total = 0.0
            for n in range(size):
                total += a[i, n] * b[n, j]
            out[i, j] = total


@operation("x size spare out")
def rotations(p, context, begin, end):
    """Fill each [size, size] of `out` with e^(X - X^T), of those of x.

    Operands: `spare` float64 [3, size, size] for this thread. Parts are matrices of all rows.
    """
    size = p.size
    count = size * size
    a = matrix(p.spare, size, size, DOUBLE)
    power = matrix(p.spare + 8 * count, size, size, DOUBLE)
    product = matrix(p.spare + 16 * count, size, size, DOUBLE)
    for m in range(begin, end):
        x = matrix(p.x + 4 * m * count, size, size, FLOAT)
        out = matrix(p.out + 4 * m * count, size, size, FLOAT)
        largest = 0.0
        for i in range(size):
            row = 0.0
            for j in range(size):
                a[i, j] = float64(x[i, j]) - float64(x[j, i])
                row += abs(a[i, j])
            largest = max(largest, row)
        # e^A = (e^(A / 2^n))^(2^n)
        halvings = 0
        while largest > 0.5 and halvings < HALVINGS:
            largest *= 0.5
            halvings += 1
        factor = 0.5**halvings
        for i in range(size):
            for j in range(size):
                a[i, j] *= factor
                power[i, j] = 1.0 if i == j else 0.0
        # I + A (I + A / 2 (I + A / 3 (..))), from the inside
        for term in range(TERMS, 0, -1):
            _product(a, power, product)
            for i in range(size):
                for j in range(size):
                    power[i, j] = product[i, j] / term + (1.0 if i == j else 0.0)
        for _ in range(halvings):
            _product(power, power, product)
            for i in range(size):
                for j in range(size):
                    power[i, j] = product[i, j]
        for i in range(size):
            for j in range(size):
                out[i, j] = power[i, j]
