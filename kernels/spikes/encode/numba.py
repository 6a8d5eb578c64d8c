"""`encode` for a CPU, with the bits of the reference."""

from __future__ import annotations

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

from ...tools.threads import spread
from .reference import DIGITS, FLOOR, LARGEST, LEAST, MAGIC, MOST, NOT_FINITE, Counts, Escapes, share

ENTRIES_PER_THREAD = 1 << 17


def encode(x, k, thresholds, limit, threads):
    x = np.ascontiguousarray(x, np.float32)
    rows, inputs = x.shape
    given = thresholds is not None
    used = np.ascontiguousarray(thresholds, np.float32) if given else np.empty(rows, np.float32)
    if given and not (used > 0).all():
        raise ValueError("encode: thresholds must be > 0")
    counts, number = np.empty((rows, inputs), np.int8), np.empty(rows, np.int32)
    bounds = np.arange(rows + 1) * inputs

    def part(a, b):
        own = used if given else used[a:b]
        _encode(x[a:b], share(inputs, k), given, own, np.float32(limit), counts[a:b], number[a:b])

    spread(part, bounds, threads, ENTRIES_PER_THREAD)
    if (number < 0).any():
        raise ValueError(f"encode: x must be finite (row {int(np.argmax(number < 0))} is not)")
    room = int(number.max(initial=0))
    escapes = Escapes(number, np.empty((rows, room), np.int32), np.empty((rows, room), np.int32))
    if room:
        _escape(x, given, used, np.float32(limit), *escapes)
    return Counts(counts, used, escapes)


@intrinsic
def _bits(typing, value):
    """The bits of a float32 as int32."""

    def emit(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], context.get_value_type(types.int32))

    return types.int32(types.float32), emit


@intrinsic
def _from_bits(typing, bits):
    """The float32 with these bits (int32)."""

    def emit(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], context.get_value_type(types.float32))

    return types.float32(types.int32), emit


@njit(cache=True, nogil=True, error_model="numpy")  # a division that could raise is no vector instruction
def _threshold(row, share, most):
    """A token's own threshold; `share` is K k, `most` the bits of its largest |x|."""
    exponent = max((most >> np.int32(23)) - np.int32(127), np.int32(FLOOR))
    unit = _from_bits(np.int32((np.int32(DIGITS + 127) - exponent) << np.int32(23)))
    total = np.int64(0)
    for j in range(row.size):
        total += np.int64(abs(row[j]) * unit)
    mean = np.float32(total) / share / unit
    return min(max(mean, LEAST), MOST)


@njit(inline="always")
def _round(x, threshold):
    """A whole number as float32: the quotient rounded to nearest, ties to even."""
    quotient = min(max(x / threshold, -LARGEST), LARGEST)
    return (quotient + MAGIC) - MAGIC


@njit(cache=True, nogil=True, error_model="numpy")
def _encode(x, share, given, thresholds, limit, counts, number):
    """Fills counts, a token's own thresholds, and how many counts of each row were clipped: -1 if x is not finite."""
    for i in range(x.shape[0]):
        row, out = x[i], counts[i]
        most = np.int32(0)
        for j in range(row.size):
            most = max(most, _bits(row[j]) & np.int32(0x7FFFFFFF))
        if most >= NOT_FINITE:
            number[i] = -1
            continue
        clipped = 0
        if given:
            for j in range(row.size):
                whole = _round(row[j], thresholds[j])
                clipped += abs(whole) > limit
                out[j] = np.int8(min(max(whole, -limit), limit))
        else:
            own = _threshold(row, share, most)
            thresholds[i] = own
            for j in range(row.size):
                whole = _round(row[j], own)
                clipped += abs(whole) > limit
                out[j] = np.int8(min(max(whole, -limit), limit))
        number[i] = clipped


@njit(cache=True, nogil=True, error_model="numpy")
def _escape(x, given, thresholds, limit, number, channels, excess):
    for i in range(x.shape[0]):
        at = 0
        if number[i] == 0:
            continue
        for j in range(x.shape[1]):
            whole = _round(x[i, j], thresholds[j] if given else thresholds[i])
            if abs(whole) > limit:
                channels[i, at] = j
                excess[i, at] = np.int32(whole - min(max(whole, -limit), limit))
                at += 1
