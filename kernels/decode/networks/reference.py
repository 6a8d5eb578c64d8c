"""Memories that are networks, trained by the tokens that they read, in numpy, for one token and head."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..vectors.reference import softmax

SQUARED, POWER, HUBER = range(3)  # losses
# w(A): A; the gradient of |A|_q^2 / 2 of each matrix; A / |A|_q^(q - 2) of each; the softmax of each column.
PLAIN, NORM, PRINTED, COLUMNS = range(4)


def retained(a: np.ndarray, kind: int, q: float) -> np.ndarray:
    """Return w(a) of one matrix."""
    if kind == NORM:
        square = (np.abs(a) ** q).sum() ** (2 / q) + 1e-12
        return np.sign(a) * np.abs(a) ** (q - 1) / square ** ((q - 2) / 2)
    if kind == PRINTED:
        return a / ((np.abs(a) ** q).sum() + 1e-12) ** ((q - 2) / q)
    return softmax(a.T).T if kind == COLUMNS else a


def _gelu(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def recall(weights: list[np.ndarray], x: np.ndarray) -> np.ndarray:
    """Return x @ W of one matrix, else x + norm(gelu(.. gelu(x @ W_1) ..) @ W_n)."""
    y = x
    for n, w in enumerate(weights):
        y = (_gelu(y) if n else y) @ w
    if len(weights) == 1:
        return y
    return x + (y - y.mean()) / math.sqrt(y.var() + 1e-5)


def near(function: Callable[[list[np.ndarray]], Any], first: list[np.ndarray], now: list[np.ndarray]) -> Any:
    """Return f(first) + J (now - first), J the derivative of f at `first`, by differences; f returns arrays or one."""
    step = 1e-4 / max(1.0, *(float(np.abs(b - a).max()) for a, b in zip(first, now, strict=True)))
    sides = []
    for side in (step, -step):
        sides.append(function([a + side * (b - a) for a, b in zip(first, now, strict=True)]))
    value = function(first)
    if isinstance(value, np.ndarray):
        return value + (sides[0] - sides[1]) / (2 * step)
    return [v + (a - b) / (2 * step) for v, a, b in zip(value, *sides, strict=True)]


def pull(error: np.ndarray, kind: int, p: float, delta: float) -> np.ndarray:
    """Return the derivative of a loss by the error."""
    if kind == POWER:
        return p * np.tanh(10 * error) * (np.abs(error) + 1e-12) ** (p - 1)
    if kind == HUBER:
        return np.clip(error, -delta, delta)
    return error


def gradient(
    weights: list[np.ndarray], k: np.ndarray, v: np.ndarray, kind: int, p: float, delta: float, change: float = 1e-5
) -> list[np.ndarray]:
    """Return the derivatives of the loss by each weight.

    They are differences of the output for a small change of the weight, times the derivative of the loss by the output.
    """
    by_output = pull(recall(weights, k) - v, kind, p, delta)
    gradients = []
    for w in weights:
        own = np.zeros_like(w)
        for place in np.ndindex(w.shape):
            value = w[place]
            sides = []
            for side in (change, -change):
                w[place] = value + side
                sides.append(recall(weights, k))
            w[place] = value
            own[place] = by_output @ (sides[0] - sides[1]) / (2 * change)
        gradients.append(own)
    return gradients
