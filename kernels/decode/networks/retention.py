"""Weights of one matrix of a memory from its state: the retentions of Miras, and their derivatives."""

from __future__ import annotations

from numba import float32

from ...tools.compiled import compiled
from ...tools.elementary import exp
from ..program import ONE, ZERO
from .reference import COLUMNS, NORM, PRINTED


@compiled(error_model="numpy")
def retained(a, kind, q, w):
    """Fill w [rows, columns] with w(a)."""
    if kind == COLUMNS:
        _softmax_of_columns(a, w)
        return
    two = float32(2)
    # Of a memory that is still empty the total is 0: the floor makes w 0 there, where it would be 0 / 0.
    floor = float32(1e-12)
    total = floor if kind == PRINTED else ZERO
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            total += abs(a[i, j]) ** q
    if kind == PRINTED:
        factor = ONE / total ** ((q - two) / q)
    else:
        factor = ONE / (total ** (two / q) + floor) ** ((q - two) / two)
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            w[i, j] = a[i, j] * factor
            if kind == NORM:
                w[i, j] *= abs(a[i, j]) ** (q - two)


@compiled(error_model="numpy")
def _softmax_of_columns(a, w):
    """Fill w with the softmax of each column of a."""
    for j in range(a.shape[1]):
        most = a[0, j]
        total = ZERO
        for i in range(a.shape[0]):
            most = max(most, a[i, j])
        for i in range(a.shape[0]):
            w[i, j] = exp(a[i, j] - most)
            total += w[i, j]
        for i in range(a.shape[0]):
            w[i, j] /= total


@compiled(error_model="numpy")
def retained_near(first, a, kind, q, w):
    """Fill w [rows, columns] with w(first) + J (a - first), J the derivative of `retained` at `first`."""
    retained(first, kind, q, w)
    if kind == COLUMNS:
        for j in range(a.shape[1]):
            mean = ZERO
            for i in range(a.shape[0]):
                mean += w[i, j] * (a[i, j] - first[i, j])
            for i in range(a.shape[0]):
                w[i, j] += w[i, j] * (a[i, j] - first[i, j] - mean)
        return
    two = float32(2)
    floor = float32(1e-12)
    total = floor if kind == PRINTED else ZERO
    along = ZERO
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            power = abs(first[i, j]) ** (q - two)
            total += power * first[i, j] * first[i, j]
            along += first[i, j] * power * (a[i, j] - first[i, j])
    if kind == PRINTED:
        # d total = q along, w = a / total^((q - 2) / q)
        factor = ONE / total ** ((q - two) / q)
        share = (q - two) * along / total
    else:
        # square = total^(2 / q), d square = 2 total^(2 / q - 1) along, w = a |a|^(q - 2) / square^((q - 2) / 2)
        square = total ** (two / q) + floor
        factor = ONE / square ** ((q - two) / two)
        share = ZERO
        if total > ZERO:
            share = (q - two) * total ** (two / q - ONE) * along / square
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            change = a[i, j] - first[i, j]
            if kind == NORM:
                power = abs(first[i, j]) ** (q - two)
                w[i, j] += factor * power * ((q - ONE) * change - first[i, j] * share)
            else:
                w[i, j] += factor * (change - first[i, j] * share)
