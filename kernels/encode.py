"""Real numbers to spike counts: s = round(x / threshold), so that x is about threshold * s.

The threshold is a token's own, clamp(mean |x| / k, 1e-5, 1e4) (SpikingBrain, arXiv 2509.05276, eq. 5), or one given
for each channel. Counts are int8; what a larger count has beyond +-127 goes, exactly, into a list of escapes that is
nearly always empty: under a token's own threshold at most K k / 127 of K channels can be in it.

Every form gives the same bits. The mean is therefore a sum of whole numbers, which has no order: |x| in units of
2^-38 of the power of two below the row's largest, so it is as exact as float32 wherever it matters. Quotients are
rounded once as IEEE has it, then to the nearest whole number, ties to even, by adding and subtracting 1.5 * 2^23.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

from neurosim.kernels.parallel import spread

LIMIT = 127  # of an int8 count, both ways
LEAST, MOST = np.float32(1e-5), np.float32(1e4)  # of a token's threshold
MAGIC = np.float32(12582912.0)  # 1.5 * 2^23: beside it float32 holds whole numbers only
LARGEST = np.float32(2.0**22)  # counts saturate here, where MAGIC still rounds right
DIGITS = 38  # |x| is summed in units of 2^-38 of its row's largest power of two: K < 2^24 fit 63 bits
FLOOR = -60  # that power is at least 2^-60; below, the threshold is clamped in any case
NOT_FINITE = 0x7F800000  # bits of float32 from here on are infinite or no number
ENTRIES_PER_THREAD = 1 << 17


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


def encode(x, k=3.0, thresholds=None, limit=LIMIT, threads=1):
    """[B, K] real numbers to `Counts`.

    Args:
        x: [B, K]; numpy (worked on as float32), or a torch tensor on any device.
        k: how many spikes a mean |x| is worth; not used where thresholds are given.
        thresholds: [K] float32 > 0, one a channel; None for a token's own.
        limit: counts beyond +-limit go to the escapes, 1 to 127; 2^P - 1 for P bit planes.
        threads: does not change the result; on a CPU only.

    Returns: `Counts` of numpy arrays, or of torch tensors where one came. On a GPU `escapes` has room for K a row, so
        that nothing waits for the GPU.

    Raises:
        ValueError: shapes or arguments out of range; on a CPU, x that is not finite (on a GPU its threshold is then
            no number, and so is all that is made of it).
    """
    # `not a > b` so that a k that is no number is refused as well.
    if not k > 0:
        raise ValueError(f"encode: k must be > 0 (got {k})")
    if not 1 <= limit <= LIMIT:
        raise ValueError(f"encode: limit must be 1 to {LIMIT} (got {limit})")
    if x.ndim != 2 or (thresholds is not None and tuple(thresholds.shape) != (x.shape[1],)):
        given = "" if thresholds is None else f", thresholds {tuple(thresholds.shape)}"
        raise ValueError(f"encode: x must be [B, K] and thresholds [K] (got x {tuple(x.shape)}{given})")
    if isinstance(x, np.ndarray):
        return _encode_numpy(x, k, thresholds, limit, threads)
    if x.is_cuda:
        from neurosim.kernels.encode_triton import encode as on_gpu

        return on_gpu(x, k, thresholds, limit)
    return as_torch(encode(x.detach().float().numpy(), k, _numpy(thresholds), limit, threads))


def _numpy(values):
    return None if values is None else values.detach().numpy()


def as_torch(parts):
    """A tuple of numpy arrays, and tuples of them, as the same tuple of torch tensors."""
    import torch

    return type(parts)(*(as_torch(p) if isinstance(p, tuple) else torch.from_numpy(p) for p in parts))


def _encode_numpy(x, k, thresholds, limit, threads):
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
