"""Spike coding in plain numpy and Python, written from the docstrings of `convert`: values, counts, planes, sums."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
INT8 = 127
EDGE = 1e-5  # relative: float32 may take a quotient that is as near to the edge of two counts for either


def token_thresholds(x: Array, k: float) -> Array:
    """Return clamp(mean |x| / k, 1e-5, 1e4) of each row of x [n, K], [n, 1]."""
    return np.clip(np.abs(x).mean(1, keepdims=True) / k, 1e-5, 1e4)


def round_even(z: Array, price: float) -> Array:
    return np.rint(z)


def round_away(z: Array, price: float) -> Array:
    return np.sign(z) * np.floor(np.abs(z) + 0.5)


def round_up(z: Array, price: float) -> Array:
    return np.floor(z + 0.5)


def round_sparing(z: Array, price: float) -> Array:
    """Return the count of 0 .. 127 with the least (|z| - s)^2 + price ones(s), with the sign of z: all are tried."""
    candidates = np.arange(INT8 + 1)
    ones = np.array([bin(count).count("1") for count in candidates])
    costs = (np.abs(z)[..., None] - candidates) ** 2 + price * ones
    return np.sign(z) * costs.argmin(-1)


def round_priced(z: Array, price: float) -> Array:
    """Return the count of least (|z| - s)^2 + price digits(s), from 128 on the nearest, with the sign of z."""
    candidates = np.arange(INT8 + 2)
    digits = np.array([np.count_nonzero(_canonical(int(count), 9)) for count in candidates])
    costs = (np.abs(z)[..., None] - candidates) ** 2 + price * digits
    return np.where(np.abs(z) < INT8 + 1, np.sign(z) * costs.argmin(-1), round_away(z, price))


ROUNDINGS = {
    "even": round_even,
    "away": round_away,
    "up": round_up,
    "sparing": round_sparing,
    "priced": round_priced,
}
SCHEMES = {"ternary": "even", "calibrated": "sparing", "learned": "sparing", "qcfs": "away", "stbif": "up"}


def counts_of(z: Array, rounding: str, price: float, shrink: float, limit: float) -> Array:
    """Return the integer counts of quotients z: soft threshold, rounding, saturation at +-limit."""
    z = np.sign(z) * np.maximum(np.abs(z) - shrink, 0)
    return np.clip(ROUNDINGS[rounding](z, price), -limit, limit).astype(np.int64)


def counts_and_edges(z: Array, rounding: str, price: float, shrink: float, limit: float) -> tuple[Array, Array]:
    """Return the counts of z, and whether each lies at the edge of two counts."""
    setting = (rounding, price, shrink, limit)
    counts = counts_of(z, *setting)
    width = EDGE * (1 + np.abs(z))
    at_edge = (counts_of(z - width, *setting) != counts) | (counts_of(z + width, *setting) != counts)
    return counts, at_edge


def _unary(count: int, planes: int) -> list[int] | None:
    sign = (count > 0) - (count < 0)
    if abs(count) > planes:
        return None
    return [sign] * abs(count) + [0] * (planes - abs(count))


def _bitwise(count: int, planes: int) -> list[int] | None:
    digits = bin(abs(count))[2:].zfill(planes)
    sign = -1 if count < 0 else 1
    if len(digits) > planes:
        return None
    return [sign * int(digit) for digit in digits]


def _canonical(count: int, planes: int) -> list[int] | None:
    """Return the non-adjacent form: an odd rest is made a multiple of 4 by a digit of +-1 (Reitwiesner 1960)."""
    digits = []
    rest = count
    while rest:
        digit = 2 - rest % 4 if rest % 2 else 0
        digits.append(digit)
        rest = (rest - digit) // 2
    if len(digits) > planes:
        return None
    return [0] * (planes - len(digits)) + digits[::-1]


def _twos_complement(count: int, planes: int) -> list[int] | None:
    if not -(2 ** (planes - 1)) <= count < 2 ** (planes - 1):
        return None
    return [int(digit) for digit in bin(count % 2**planes)[2:].zfill(planes)]


def _powers(planes: int) -> list[int]:
    return [2**place for place in range(planes - 1, -1, -1)]


def place_values(expansion: str, planes: int) -> list[int]:
    if expansion == "unary_ternary":
        return [1] * planes
    if expansion == "twos_complement":
        return [-(2 ** (planes - 1)), *_powers(planes)[1:]]
    return _powers(planes)


WRITERS = {
    "unary_ternary": _unary,
    "bitwise": _bitwise,
    "canonical": _canonical,
    "twos_complement": _twos_complement,
}


def planes_of(counts: Array, expansion: str, planes: int) -> tuple[Array, Array]:
    """Return the planes [T, *shape] of counts, and the counts that no planes reach, 0 elsewhere [*shape]."""
    written = {count: WRITERS[expansion](count, planes) for count in set(counts.ravel().tolist())}
    spikes = np.array([written[count] or [0] * planes for count in counts.ravel().tolist()])
    escaped = np.where([written[count] is None for count in counts.ravel().tolist()], counts.ravel(), 0)
    return spikes.T.reshape(planes, *counts.shape), escaped.reshape(counts.shape)


def sums_of(spikes: Array, escaped: Array, places: list[int], weights: Array) -> Array:
    """Return the sum over planes and escapes of place value times added rows; weights [N, K], counts [n, K]."""
    total = escaped @ weights.T
    for place, plane in zip(places, spikes, strict=True):
        total = total + place * (plane @ weights.T)
    return total


def integer_weights(weight: Array, scales: Array) -> tuple[Array, Array, Array]:
    """Return V [N, K] of int8 and the steps [N] of weights times scales: the largest of each output channel is 127.

    Returns, third, whether each of V lies so near to the edge of two integers that float32 may take either.
    """
    scaled = weight * scales
    steps = np.maximum(np.abs(scaled).max(1), np.finfo(np.float32).tiny) / INT8
    quotients = scaled / steps[:, None]
    width = EDGE * (1 + np.abs(quotients))
    rows = np.rint(quotients)
    at_edge = (np.rint(quotients - width) != rows) | (np.rint(quotients + width) != rows)
    return rows.astype(np.int64), steps, at_edge
