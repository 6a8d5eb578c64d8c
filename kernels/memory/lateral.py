"""The lateral circuit of Hebbian orthogonal projection: neurons y = H x whose feedback H^T y predicts their input.

Rows of H below `frozen` belong to earlier tasks and stay; those from there on learn. Two rules:

- HEBBIAN (Xiao et al., ICLR 2024): dH = y (x - H^T y)^T of all new rows at once, cut at +- MAX_CHANGE, through a
  momentum m = momentum m + (1 - momentum) dH; H += rate m; `iterations` times for an input.
- DEFLATION (Yang 1995, PASTd): the same change, row after row. A neuron takes the feedback of the rows before it, and
  its rate is one over the power that it has answered with so far. It needs no rate, and one pass over the inputs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

HEBBIAN, DEFLATION = range(2)
MAX_CHANGE = 10.0
# Fraction of the power of an input that is added to that of a row: its first answers are small, and rates finite.
POWER_FLOOR = 1e-4
# A row shorter than this after projection, as a fraction of its length, lies in the span of the others.
DEPENDENT = 1e-6


class LateralRules(NamedTuple):
    """Rule of learning; answers are rounded to multiples of `level`, at most `levels` of them, unless `level` is 0."""

    kind: int
    rate: float
    momentum: float
    iterations: int
    level: float
    levels: int


def answer_reference(rules, rows, x):
    """The specification of `answer`: y = H x, rounded if neurons spike."""
    y = rows.astype(np.float64) @ x
    if rules.level == 0:
        return y
    return np.clip(np.rint(y / rules.level), -rules.levels, rules.levels) * rules.level


def hebbian_reference(rules, rows, velocity, x, left):
    """The specification of `hebbian`: new rows, momentum, the input, and what the frozen rows leave of it."""
    for _ in range(rules.iterations):
        y = answer_reference(rules, rows, x)
        dh = np.clip(np.outer(y, left - y @ rows), -MAX_CHANGE, MAX_CHANGE)
        velocity[:] = rules.momentum * velocity + (1 - rules.momentum) * dh
        rows += (rules.rate * velocity).astype(np.float32)


def deflate_reference(rules, rows, power, x, left):
    """The specification of `deflate`: new rows, their power, the input, and what the frozen rows leave of it."""
    left = left.copy()
    floor = POWER_FLOOR * float(np.dot(x.astype(np.float64), x))
    for r in range(len(rows)):
        y = answer_reference(rules, rows[r : r + 1], left)[0]
        power[r] += y * y
        if power[r] + floor > 0:
            rows[r] += (y / (power[r] + floor) * (left - y * rows[r])).astype(np.float32)
        left -= y * rows[r]


def orthonormalise_reference(rows, begin):
    """The specification of `orthonormalise`: by the QR decomposition, with the signs of the rows."""
    q, r = np.linalg.qr(rows.T.astype(np.float64))
    rows[begin:] = (q * np.sign(np.diag(r))).T[begin:]


@njit(cache=True, nogil=True)
def rounded(y, level, levels):
    """Return y, or the nearest of the signed levels."""
    if level == 0.0:
        return y
    return min(max(np.rint(y / level), -levels), levels) * level


@njit(cache=True, nogil=True)
def _product(row, x):
    """Return the sum of products in float64, whatever the types: float32 times float32 would round in between."""
    total = 0.0
    for f in range(x.size):
        total += np.float64(row[f]) * x[f]
    return total


@njit(cache=True, nogil=True)
def answer(rules, rows, x, out):
    """Fill out [rows] with the answers to x [features]."""
    for r in range(out.size):
        out[r] = rounded(_product(rows[r], x), rules.level, rules.levels)


@njit(cache=True, nogil=True)
def subtract(rows, answers, left):
    """Subtract the feedback H^T y from left [features] float64."""
    for r in range(answers.size):
        row = rows[r]
        y = answers[r]
        if y != 0.0:
            for f in range(left.size):
                left[f] -= y * row[f]


@njit(cache=True, nogil=True)
def hebbian(rules, rows, velocity, x, left):
    """Change rows [rows, features] float32 and their velocity by the published rule.

    Args:
        x: [features] float32, the input.
        left: [features] float64, the input without the feedback of the frozen rows.
    """
    y = np.empty(rows.shape[0])
    wrong = np.empty(x.size)
    for _ in range(rules.iterations):
        answer(rules, rows, x, y)
        wrong[:] = left
        subtract(rows, y, wrong)
        for r in range(y.size):
            row = rows[r]
            speed = velocity[r]
            for f in range(x.size):
                dh = min(max(y[r] * wrong[f], -MAX_CHANGE), MAX_CHANGE)
                speed[f] += np.float32((1.0 - rules.momentum) * (dh - speed[f]))
                row[f] += np.float32(rules.rate * speed[f])


@njit(cache=True, nogil=True)
def deflate(rules, rows, power, x, left):
    """Change rows and their power [rows] float64, row after row; other arguments as those of `hebbian`."""
    wrong = left.copy()
    floor = POWER_FLOOR * _product(x, x)
    for r in range(rows.shape[0]):
        row = rows[r]
        y = rounded(_product(row, wrong), rules.level, rules.levels)
        power[r] += y * y
        if power[r] + floor > 0.0:
            rate = y / (power[r] + floor)
            for f in range(x.size):
                row[f] += np.float32(rate * (wrong[f] - y * row[f]))
                wrong[f] -= y * row[f]


@njit(cache=True, nogil=True)
def orthonormalise(rows, begin):
    """Make the rows from `begin` on unit vectors, orthogonal to all before, by Gram-Schmidt; a row in the span of those
    before it becomes zero."""
    for r in range(begin, rows.shape[0]):
        row = rows[r].astype(np.float64)
        size = np.sqrt(_product(row, row))
        # Twice: the first pass leaves rounding in proportion to what it removes.
        for _ in range(2):
            for q in range(r):
                part = _product(rows[q], row)
                for f in range(row.size):
                    row[f] -= part * rows[q, f]
        length = np.sqrt(_product(row, row))
        for f in range(row.size):
            if length > DEPENDENT * size:
                rows[r, f] = np.float32(row[f] / length)
            else:
                rows[r, f] = np.float32(0.0)
