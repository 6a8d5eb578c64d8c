"""The lateral circuit of Hebbian orthogonal projection, compiled; `reference` has the rules."""

from __future__ import annotations

import numpy as np

from ...tools.compiled import compiled
from .reference import DEPENDENT, MAX_CHANGE, POWER_FLOOR


@compiled
def rounded(y, level, levels):
    """Return y, or the nearest of the signed levels."""
    if level == 0.0:
        return y
    return min(max(np.rint(y / level), -levels), levels) * level


@compiled
def _product(row, x):
    """Return the sum of products in float64, whatever the types: float32 times float32 would round in between."""
    total = 0.0
    for f in range(x.size):
        total += np.float64(row[f]) * x[f]
    return total


@compiled
def answer(rules, rows, x, out):
    """Fill out [rows] with the answers to x [features]."""
    for r in range(out.size):
        out[r] = rounded(_product(rows[r], x), rules.level, rules.levels)


@compiled
def subtract(rows, answers, left):
    """Subtract the feedback H^T y from left [features] float64."""
    for r in range(answers.size):
        row = rows[r]
        y = answers[r]
        if y != 0.0:
            for f in range(left.size):
                left[f] -= y * row[f]


@compiled
def hebbian(rules, rows, velocity, x, left):
    """Change rows and velocity as `hebbian_reference`."""
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
                # dH = y (x - H^T y)^T, cut; the momentum moves towards it.
                dh = min(max(y[r] * wrong[f], -MAX_CHANGE), MAX_CHANGE)
                speed[f] += np.float32((1.0 - rules.momentum) * (dh - speed[f]))
                row[f] += np.float32(rules.rate * speed[f])


@compiled
def deflate(rules, rows, power, x, left):
    """Change rows and power as `deflate_reference`."""
    # The residual of the input, from which each row takes its feedback before the next one answers.
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


@compiled
def _remove_parts(rows, end, row):
    """Subtract the parts of `row`, float64, along the rows before `end`, one after the other."""
    for q in range(end):
        part = _product(rows[q], row)
        for f in range(row.size):
            row[f] -= part * rows[q, f]


@compiled
def orthonormalise(rows, begin):
    """Make the rows from `begin` on orthonormal to all before, by Gram and Schmidt.

    A row in the span of those before it becomes zero.
    """
    for r in range(begin, rows.shape[0]):
        row = rows[r].astype(np.float64)
        size = np.sqrt(_product(row, row))
        # Twice: the first pass leaves rounding in proportion to what it removes.
        _remove_parts(rows, r, row)
        _remove_parts(rows, r, row)
        length = np.sqrt(_product(row, row))
        for f in range(row.size):
            if length > DEPENDENT * size:
                rows[r, f] = np.float32(row[f] / length)
            else:
                rows[r, f] = np.float32(0.0)
