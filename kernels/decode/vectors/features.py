"""Feature maps of linear attention that are neither pointwise nor a linear layer, of each head [K]."""

from __future__ import annotations

import math

from numba import float32, njit

from ...tools.pointers import vector
from ..program import FLOAT, operation
from .reference import DPFP, NORM_AWARE, ROLLS, TAYLOR  # noqa: F401 - callers read the kinds here too


@njit(inline="always")
def _dpfp(x, out):
    """Return products of [relu(x), relu(-x)] with itself rolled by 1 to 4 places."""
    size = x.size
    for r in range(ROLLS):
        for j in range(2 * size):
            n = (j - r - 1) % (2 * size)
            if j < size:
                a = max(x[j], float32(0))
            else:
                a = max(-x[j - size], float32(0))
            if n < size:
                b = max(x[n], float32(0))
            else:
                b = max(-x[n - size], float32(0))
            out[2 * size * r + j] = a * b


@njit(inline="always")
def _taylor(x, out):
    """Return [1, x / K^(1/4), x^2 / sqrt(2 K), products of two channels / sqrt(K)]."""
    size = x.size
    root = float32(math.sqrt(size))
    out[0] = 1
    at = 1 + 2 * size
    for j in range(size):
        out[1 + j] = x[j] / float32(math.sqrt(root))
        out[1 + size + j] = x[j] * x[j] / (root * float32(math.sqrt(2.0)))
        for n in range(j + 1, size):
            out[at] = x[j] * x[n] / root
            at += 1


@njit(inline="always")
def _norm_aware(x, is_query, strength, out):
    """Return [m cos a, m sin a]: the magnitude and angle of `attention.feature_maps.NormAware`."""
    size = x.size
    # Not 0, by which a head of zeros would be divided.
    total = float32(1e-12)
    for j in range(size):
        total += x[j] * x[j]
    norm = math.sqrt(total)
    if is_query:
        power = strength * (float32(0.5) + math.tanh(norm))
    else:
        power = strength
    for j in range(size):
        direction = x[j] / norm
        magnitude = (abs(direction if is_query else x[j]) + float32(1e-6)) ** power
        angle = direction * float32(math.pi / 4)
        out[j] = magnitude * math.cos(angle)
        out[size + j] = magnitude * math.sin(angle)


@operation("x size kind is_query out features power:real")
def feature(p, context, begin, end):
    """Fill `out` [.., features] with the features of heads x [.., size]. Parts are heads of all rows."""
    for i in range(begin, end):
        x = vector(p.x + 4 * i * p.size, p.size, FLOAT)
        out = vector(p.out + 4 * i * p.features, p.features, FLOAT)
        if p.kind == DPFP:
            _dpfp(x, out)
        elif p.kind == TAYLOR:
            _taylor(x, out)
        else:
            _norm_aware(x, p.is_query != 0, float32(p.power), out)
