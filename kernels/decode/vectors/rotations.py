"""Rotations of a token: the exponential of a matrix that is the negative of its transpose, for each of many."""

from __future__ import annotations

from numba import float64, njit

from ...tools.pointers import copy_into, matrix, vector
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


@njit(inline="always")
def _fill_difference(x, a):
    """Fill a with x - x^T, and return the largest sum of sizes of a row."""
    size = a.shape[0]
    largest = 0.0
    for i in range(size):
        row = 0.0
        for j in range(size):
            a[i, j] = float64(x[i, j]) - float64(x[j, i])
            row += abs(a[i, j])
        largest = max(largest, row)
    return largest


@njit(inline="always")
def _sum_series(a, product, out):
    """Fill `out` with I + A (I + A / 2 (I + A / 3 (..))), from the inside."""
    size = a.shape[0]
    for i in range(size):
        for j in range(size):
            out[i, j] = 1.0 if i == j else 0.0
    for term in range(TERMS, 0, -1):
        _product(a, out, product)
        for i in range(size):
            for j in range(size):
                out[i, j] = product[i, j] / term + (1.0 if i == j else 0.0)


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
    # The entries of both, row after row.
    all_powers = vector(p.spare + 8 * count, count, DOUBLE)
    all_products = vector(p.spare + 16 * count, count, DOUBLE)
    for m in range(begin, end):
        largest = _fill_difference(matrix(p.x + 4 * m * count, size, size, FLOAT), a)
        # e^A = (e^(A / 2^n))^(2^n)
        halvings = 0
        while largest > 0.5 and halvings < HALVINGS:
            largest *= 0.5
            halvings += 1
        factor = 0.5**halvings
        for i in range(size):
            for j in range(size):
                a[i, j] *= factor
        _sum_series(a, product, power)
        for _ in range(halvings):
            _product(power, power, product)
            copy_into(all_products, all_powers)
        copy_into(all_powers, vector(p.out + 4 * m * count, count, FLOAT))
