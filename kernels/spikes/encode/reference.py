"""Spike counts of real numbers, s = round(x / threshold), so that x is about threshold * s: the specification.

The threshold is a token's own, clamp(mean |x| / k, 1e-5, 1e4) (SpikingBrain, arXiv 2509.05276, eq. 5), or one for each
channel. Counts are int8; the excess of a larger count over +-127 goes, exactly, into a list of escapes that is nearly
always empty: under a token's own threshold at most K k / 127 of K channels can be in it. `Rounding` selects other
roundings than to the nearest, and saturation.

Every form gives the same bits. The mean is therefore a sum of integers, which has no order: |x| in units of 2^-38 of
the power of two below the row's largest, so it is as exact as float32 wherever it matters. Quotients are rounded once
as IEEE has it, then to the nearest integer, ties to even, by adding and subtracting 1.5 * 2^23.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

LIMIT = 127  # of an int8 count, both ways
# of a token
MIN_THRESHOLD = np.float32(1e-5)
MAX_THRESHOLD = np.float32(1e4)
MAGIC = np.float32(12582912.0)  # 1.5 * 2^23: next to it float32 has integers only
MAX_COUNT = np.float32(2.0**22)  # counts saturate here, where MAGIC still rounds right
DIGITS = 38  # |x| is summed in units of 2^-38 of its row's largest power of two: K < 2^24 fit 63 bits
FLOOR = -60  # that power is at least 2^-60; below, the threshold is clamped in any case
NOT_FINITE = 0x7F800000  # bits of float32 from here on are infinity or NaN


# Kinds of `Rounding`: to the nearest integer with ties to even, away from 0 or up; to the nearest of some levels; or to
# the count of least error and price of its canonical digits.
EVEN, AWAY, UP, SEARCH, PRICED = range(5)
MAX_LEVELS = 128  # of SEARCH
FINE = 8  # steps in a unit of |quotient| of the table of SEARCH
PRICED_COUNTS = 128  # of PRICED: larger counts are to the nearest, ties away from 0


class Rounding(NamedTuple):
    """Rounding of quotients to counts."""

    kind: int = EVEN
    shrink: float = 0.0  # |quotient| is reduced by it first (soft threshold)
    max_count: float = float(MAX_COUNT)  # counts saturate at +- this, without escapes
    factor: float = 1.0  # of a token's own threshold, in quotients only
    edges: Any = None  # [127] float32 ascending, filled up with infinity: |quotient| between the levels
    levels: Any = None  # [128] int8 counts
    # [128 * FINE] int8 counts of |quotient| in steps of 1 / FINE, where all edges lie on them: quicker on a CPU.
    table: Any = None  # arrays are numpy's or torch's, and on the device, as x
    price: float = 0.0  # of a digit, 0 to 1 squared thresholds of error, of PRICED


NEAREST = Rounding()


class Escapes(NamedTuple):
    """Excess of clipped counts: row i lost `excess[i, e]` at `channels[i, e]` for e < number[i]."""

    number: np.ndarray  # [B] int32
    channels: np.ndarray  # [B, room] int32, ascending in each row; not set beyond `number`
    excess: np.ndarray  # [B, room] int32


class Counts(NamedTuple):
    """Result of `encode`: x is about thresholds * (counts + escapes)."""

    counts: np.ndarray  # [B, K] int8
    thresholds: np.ndarray  # float32: [B] of tokens, or [K] of channels
    escapes: Escapes


def share(inputs: int, k: float) -> np.float32:
    """Return K k as the float32 that every form divides by."""
    return np.float32(inputs) * np.float32(k)


def thresholds_reference(x: np.ndarray, k: float) -> np.ndarray:
    """Return the thresholds, clamp(mean |x| / k, 1e-5, 1e4), to the bit: [B] from [B, K] float32."""
    sizes = np.abs(x)
    exponent = np.maximum((sizes.max(axis=1).view(np.int32) >> 23) - 127, FLOOR)
    units = ((DIGITS + 127 - exponent) << 23).astype(np.int32).view(np.float32)
    total = (sizes * units[:, None]).astype(np.int64).sum(axis=1)
    mean = total.astype(np.float32) / share(x.shape[1], k) / units
    return np.clip(mean, MIN_THRESHOLD, MAX_THRESHOLD)


def canonical_digits(counts: np.ndarray) -> np.ndarray:
    """Return the number of nonzero canonical digits of counts below 170: of bits in which n and 3 n differ."""
    bits = counts ^ (3 * counts)
    return sum((bits >> place) & 1 for place in range(9))


def priced_edges(price: float) -> np.ndarray:
    """Return float32 [`PRICED_COUNTS` + 1]: by how much |quotient| exceeds count n where n + 1 is worth its digits.

    The errors and prices z^2 + price digits(n) and (1 - z)^2 + price digits(n + 1) are equal at
    z = 1/2 + price / 2 (digits(n + 1) - digits(n)). Digits of neighbours differ by 1 at most, so that no other count
    is better up to a price of 1. The last entry is of all larger counts.
    """
    digits = canonical_digits(np.arange(PRICED_COUNTS + 1))
    more = np.append(np.diff(digits), 0).astype(np.float32)
    return np.float32(0.5) + np.float32(0.5) * np.float32(price) * more


def round_reference(quotient: np.ndarray, rounding: Rounding = NEAREST) -> np.ndarray:
    """Return the counts int32 of quotients float32 of any shape, by a `Rounding`."""
    quotient = np.clip(quotient, -MAX_COUNT, MAX_COUNT)
    size = np.maximum(np.abs(quotient) - np.float32(rounding.shrink), np.float32(0))
    quotient = np.copysign(size, quotient)
    half = np.float32(0.5)
    if rounding.kind == EVEN:
        counts = (quotient + MAGIC) - MAGIC
    elif rounding.kind == AWAY:
        counts = np.copysign(np.floor(size + half), quotient)
    elif rounding.kind == UP:
        counts = np.floor(quotient + half)
    elif rounding.kind == PRICED:
        low = np.floor(size)
        edges = priced_edges(rounding.price)[np.minimum(low, PRICED_COUNTS).astype(np.int32)]
        counts = np.copysign(low + (size - low >= edges), quotient)
    else:
        levels = np.asarray(rounding.levels)[np.searchsorted(np.asarray(rounding.edges), size, side="right")]
        counts = np.copysign(levels.astype(np.float32), quotient)
    return np.clip(counts, -np.float32(rounding.max_count), np.float32(rounding.max_count)).astype(np.int32)


def encode_reference(
    x: np.ndarray, k: float = 3.0, thresholds: np.ndarray | None = None, rounding: Rounding = NEAREST
) -> tuple[np.ndarray, np.ndarray]:
    """Return [B, K] int32 counts, not clipped, and the thresholds of x [B, K]."""
    x = np.asarray(x, np.float32)
    if thresholds is None:
        thresholds = thresholds_reference(x, k)
        quotient = x / (thresholds * np.float32(rounding.factor))[:, None]
    else:
        quotient = x / np.asarray(thresholds, np.float32)
    return round_reference(quotient, rounding), thresholds


def clip_reference(whole: np.ndarray, limit: int = LIMIT) -> tuple[np.ndarray, Escapes]:
    """Clip [B, K] int32 to int8 counts within +-limit; return them and the `Escapes` with the rest."""
    clipped = np.clip(whole, -limit, limit)
    excess = whole - clipped
    number = np.count_nonzero(excess, axis=1).astype(np.int32)
    room = int(number.max(initial=0))
    channels, values = np.zeros((2, len(whole), room), np.int32)
    for i, row in enumerate(excess):
        (at,) = np.nonzero(row)
        channels[i, : len(at)] = at
        values[i, : len(at)] = row[at]
    return clipped.astype(np.int8), Escapes(number, channels, values)
