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
from numpy.typing import NDArray

HEBBIAN, DEFLATION = range(2)
MAX_CHANGE = 10.0  # as published
# Fraction of the power of an input that is added to the power of a row: its first answers are small, and rates finite.
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


def answer_reference(rules: LateralRules, rows: NDArray[np.float32], x: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the answers y = H x of rows H [rows, features] to x [features], rounded if neurons spike."""
    y = rows.astype(np.float64) @ x
    if rules.level == 0:
        return y
    return np.clip(np.rint(y / rules.level), -rules.levels, rules.levels) * rules.level


def subtract_reference(rows: NDArray[np.float32], answers: NDArray[np.float64], left: NDArray[np.float64]) -> None:
    """Subtract the feedback H^T y of answers y [rows] from `left` [features]."""
    left -= answers @ rows


def hebbian_reference(
    rules: LateralRules,
    rows: NDArray[np.float32],
    velocity: NDArray[np.float32],
    x: NDArray[np.float32],
    left: NDArray[np.float64],
) -> None:
    """Change rows [rows, features] and their velocity by the published rule.

    Args:
        x: [features], the input.
        left: [features], the input without the feedback of the frozen rows.
    """
    for _ in range(rules.iterations):
        y = answer_reference(rules, rows, x)
        dh = np.clip(np.outer(y, left - y @ rows), -MAX_CHANGE, MAX_CHANGE)
        velocity[:] = rules.momentum * velocity + (1 - rules.momentum) * dh
        rows += (rules.rate * velocity).astype(np.float32)


def deflate_reference(
    rules: LateralRules,
    rows: NDArray[np.float32],
    power: NDArray[np.float64],
    x: NDArray[np.float32],
    left: NDArray[np.float64],
) -> None:
    """Change rows and their power [rows], row after row; other arguments as in `hebbian_reference`."""
    left = left.copy()
    floor = POWER_FLOOR * float(np.dot(x.astype(np.float64), x))
    for r in range(len(rows)):
        y = answer_reference(rules, rows[r : r + 1], left)[0]
        power[r] += y * y
        if power[r] + floor > 0:
            rows[r] += (y / (power[r] + floor) * (left - y * rows[r])).astype(np.float32)
        left -= y * rows[r]


def orthonormalise_reference(rows: NDArray[np.float32], begin: int) -> None:
    """Make the rows from `begin` on orthonormal to all before, by the QR decomposition, with the signs of the rows.

    All rows are independent.
    """
    q, r = np.linalg.qr(rows.T.astype(np.float64))
    rows[begin:] = (q * np.sign(np.diag(r))).T[begin:]
