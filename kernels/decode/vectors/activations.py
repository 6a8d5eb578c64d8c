"""Activations of channels: a loop for each kind of `reference`."""

from __future__ import annotations

import math

from numba import float32, njit

from ...tools.compiled import compiled
from ...tools.elementary import exp
from ...tools.pointers import copy_into
from ..program import ONE, ZERO
from .reference import (
    ABS,
    ELU_PLUS,
    EXP,
    EXPM1,
    GELU_TANH,
    IDENTITY,
    LOG,
    LOGSIGMOID,
    RECIPROCAL,
    RELU,
    SIGMOID,
    SILU,
    SOFTPLUS,
    SQRELU,
    SQRT,
    TANH,
)


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


@njit(inline="always")
def sigmoid(x):
    return ONE / (ONE + exp(-x))


@njit(inline="always")
def _softplus(x):
    # The exponent is never positive, so that e^x does not overflow.
    return max(x, ZERO) + _log1p(exp(-abs(x)))


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
