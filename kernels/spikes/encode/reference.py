"""Spike counts of real numbers, s = round(x / threshold), so that x is about threshold * s: the specification.

The threshold is a token's own, clamp(mean |x| / k, 1e-5, 1e4) (SpikingBrain, arXiv 2509.05276, eq. 5), or one given
for each channel. Counts are int8; what a larger count has beyond +-127 goes, exactly, into a list of escapes that is
nearly always empty: under a token's own threshold at most K k / 127 of K channels can be in it.

Every form gives the same bits. The mean is therefore a sum of integers, which has no order: |x| in units of 2^-38 of
the power of two below the row's largest, so it is as exact as float32 wherever it matters. Quotients are rounded once
as IEEE has it, then to the nearest integer, ties to even, by adding and subtracting 1.5 * 2^23.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

LIMIT = 127  # of an int8 count, both ways
LEAST, MOST = np.float32(1e-5), np.float32(1e4)  # of a token's threshold
MAGIC = np.float32(12582912.0)  # 1.5 * 2^23: beside it float32 holds whole numbers only
LARGEST = np.float32(2.0**22)  # counts saturate here, where MAGIC still rounds right
DIGITS = 38  # |x| is summed in units of 2^-38 of its row's largest power of two: K < 2^24 fit 63 bits
FLOOR = -60  # that power is at least 2^-60; below, the threshold is clamped in any case
NOT_FINITE = 0x7F800000  # bits of float32 from here on are infinite or no number


class Escapes(NamedTuple):
    """What clipping took from counts: row i lost `excess[i, e]` at `channels[i, e]` for e < number[i]."""

    number: np.ndarray  # [B] int32
    channels: np.ndarray  # [B, room] int32, ascending in each row; what lies beyond `number` is not set
    excess: np.ndarray  # [B, room] int32


class Counts(NamedTuple):
    """`encode`'s result: x is about thresholds * (counts + escapes)."""

    counts: np.ndarray  # [B, K] int8
    thresholds: np.ndarray  # float32: [B] a token's own, or [K] as given
    escapes: Escapes


def share(inputs, k):
    """K k as the float32 that every form divides by."""
    return np.float32(inputs) * np.float32(k)


def thresholds_reference(x, k):
    """[B, K] float32 to [B] float32: clamp(mean |x| / k, 1e-5, 1e4), the specification of every form's bits."""
    sizes = np.abs(x)
    exponent = np.maximum((sizes.max(axis=1).view(np.int32) >> 23) - 127, FLOOR)
    units = ((DIGITS + 127 - exponent) << 23).astype(np.int32).view(np.float32)
    total = (sizes * units[:, None]).astype(np.int64).sum(axis=1)
    mean = total.astype(np.float32) / share(x.shape[1], k) / units
    return np.clip(mean, LEAST, MOST)


def encode_reference(x, k=3.0, thresholds=None):
    """[B, K] to ([B, K] int32 whole counts, thresholds): the specification of `encode`, nothing clipped to int8."""
    x = np.asarray(x, np.float32)
    if thresholds is None:
        thresholds = thresholds_reference(x, k)
        quotient = x / thresholds[:, None]
    else:
        quotient = x / np.asarray(thresholds, np.float32)
    quotient = np.clip(quotient, -LARGEST, LARGEST)
    return ((quotient + MAGIC) - MAGIC).astype(np.int32), thresholds


def clip_reference(whole, limit=LIMIT):
    """[B, K] int32 to int8 counts within +-limit and the `Escapes` that make them whole again."""
    clipped = np.clip(whole, -limit, limit)
    excess = whole - clipped
    number = np.count_nonzero(excess, axis=1).astype(np.int32)
    room = int(number.max(initial=0))
    channels, values = np.zeros((2, len(whole), room), np.int32)
    for i, row in enumerate(excess):
        (at,) = np.nonzero(row)
        channels[i, : len(at)], values[i, : len(at)] = at, row[at]
    return clipped.astype(np.int8), Escapes(number, channels, values)
