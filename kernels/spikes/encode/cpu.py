"""`encode` for a CPU, with the bits of the reference."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

from ...tools.compiled import compiled
from ...tools.intrinsics import popcount
from ...tools.threads import spread
from . import reference as spec
from .reference import Counts, Escapes

ENTRIES_PER_THREAD = 1 << 17
# spec.SEARCH by the table; spec.EVEN without shrinkage and saturation
LOOKUP = -1
_NEAREST = -2
_NO_EDGES = np.empty(0, np.float32)
_NO_LEVELS = np.empty(0, np.int8)
ZERO = np.float32(0.0)
HALF = np.float32(0.5)
ONE = np.float32(1.0)


class CodingRule(NamedTuple):
    """A `Rounding` as the loops below take it, from `rule_of`: float32 numbers, and arrays that may be empty."""

    kind: int
    shrink: np.float32
    max_count: np.float32
    factor: np.float32
    price: np.float32
    edges: np.ndarray
    levels: np.ndarray
    table: np.ndarray


def encode(x, k, thresholds, limit, rounding, threads):
    x = np.ascontiguousarray(x, np.float32)
    rows, inputs = x.shape
    given = thresholds is not None
    if given:
        used = np.ascontiguousarray(thresholds, np.float32)
    else:
        used = np.empty(rows, np.float32)
    if given and not (used > 0).all():
        raise ValueError("encode: thresholds must be > 0")
    counts = np.empty((rows, inputs), np.int8)
    number = np.empty(rows, np.int32)
    bounds = np.arange(rows + 1) * inputs

    rule = rule_of(rounding)

    def part(a, b):
        own = used if given else used[a:b]
        _encode(x[a:b], spec.share(inputs, k), given, own, rule, np.float32(limit), counts[a:b], number[a:b])

    spread(part, bounds, threads, ENTRIES_PER_THREAD)
    if (number < 0).any():
        raise ValueError(f"encode: x must be finite (row {int(np.argmax(number < 0))} is not)")
    # Clipped counts are rare: a second pass lists them, in a table as wide as the row that has the most.
    room = int(number.max(initial=0))
    escapes = Escapes(number, np.empty((rows, room), np.int32), np.empty((rows, room), np.int32))
    if room:
        _escape(x, given, used, rule, np.float32(limit), escapes)
    return Counts(counts, used, escapes)


def rule_of(rounding):
    """Return a `Rounding` of numpy arrays as a `CodingRule`."""
    kind, shrink, max_count, factor, edges, levels, table, price = rounding
    if edges is None:
        edges = _NO_EDGES
        levels = _NO_LEVELS
    if table is None:
        table = _NO_LEVELS
    if rounding == spec.NEAREST:
        kind = _NEAREST
    elif kind == spec.SEARCH and table.size:
        kind = LOOKUP
    numbers = map(np.float32, (shrink, max_count, factor, price))
    return CodingRule(kind, *numbers, edges, levels, table)


@intrinsic
def bits_of(typing, value):
    """Return the bits of a float32 as int32."""

    def emit(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], context.get_value_type(types.int32))

    return types.int32(types.float32), emit


@intrinsic
def _from_bits(typing, bits):
    """Return the float32 with these bits (int32)."""

    def emit(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], context.get_value_type(types.float32))

    return types.float32(types.int32), emit


@compiled(error_model="numpy")  # a division that could raise is no vector instruction
def _threshold(row, share, most):
    """Return a token's own threshold; `share` is K k, `most` the bits of its largest |x|."""
    exponent = max((most >> np.int32(23)) - np.int32(127), np.int32(spec.FLOOR))
    unit = _from_bits(np.int32((np.int32(spec.DIGITS + 127) - exponent) << np.int32(23)))
    total = np.int64(0)
    for j in range(row.size):
        total += np.int64(abs(row[j]) * unit)
    mean = np.float32(total) / share / unit
    return min(max(mean, spec.MIN_THRESHOLD), spec.MAX_THRESHOLD)


@njit(inline="always")
def _digits(count):
    """Return the number of nonzero canonical digits of a count."""
    return np.int32(popcount(np.uint64(count ^ (np.int32(3) * count))))


@njit(inline="always")
def _priced(size, price):
    """Return the count of a size by the price of its digits; a count of them takes less time than a table."""
    low = np.floor(size)
    count = np.int32(min(low, np.float32(spec.PRICED_COUNTS)))
    more = np.float32(_digits(count + np.int32(1)) - _digits(count))
    # Without branches a loop over it is compiled to vector instructions.
    edge = HALF + HALF * price * (more if low < np.float32(spec.PRICED_COUNTS) else ZERO)
    return low + (ONE if size - low >= edge else ZERO)


@njit(inline="always")
def _count(x, threshold, kind, rule):
    """Return a count as float32; `kind` of the rule is known when a loop over it is compiled."""
    quotient = min(max(x / threshold, -spec.MAX_COUNT), spec.MAX_COUNT)
    if kind == _NEAREST:
        return (quotient + spec.MAGIC) - spec.MAGIC
    size = max(abs(quotient) - rule.shrink, ZERO)
    signed = np.copysign(size, quotient)
    if kind == spec.EVEN:
        whole = (signed + spec.MAGIC) - spec.MAGIC
    elif kind == spec.UP:
        whole = np.floor(signed + HALF)
    else:
        if kind == spec.AWAY:
            whole = np.floor(size + HALF)
        elif kind == spec.PRICED:
            whole = _priced(size, rule.price)
        elif kind == LOOKUP:
            whole = np.float32(rule.table[np.int32(min(size * np.float32(spec.FINE), np.float32(rule.table.size - 1)))])
        else:
            at = 0
            while at < spec.MAX_LEVELS - 1 and size >= rule.edges[at]:
                at += 1
            whole = np.float32(rule.levels[at])
        whole = np.copysign(whole, quotient)
    return min(max(whole, -rule.max_count), rule.max_count)


# Inlined by LLVM, which leaves the arithmetic of one kind: types are inferred once, and not for each kind.
@njit(forceinline=True, error_model="numpy")
def _count_row(row, out, given, thresholds, own, limit, kind, rule):
    """Fill the counts of a row; return the number of clipped ones."""
    clipped = 0
    for j in range(row.size):
        threshold = thresholds[j] if given else own
        whole = _count(row[j], threshold, kind, rule)
        clipped += abs(whole) > limit
        out[j] = np.int8(min(max(whole, -limit), limit))
    return clipped


@njit(inline="always")
def _level_of(row, share, given):
    """Return a token's own threshold, 1 where channels have theirs, or NaN if x is not finite."""
    most = np.int32(0)
    for j in range(row.size):
        most = max(most, bits_of(row[j]) & np.int32(0x7FFFFFFF))
    if most >= spec.NOT_FINITE:
        return np.float32(np.nan)
    return ONE if given else _threshold(row, share, most)


@compiled(error_model="numpy")
def flag_row(row, flags, share, given, thresholds, rule, first):
    """Flag the channels [K] uint8 whose count is not 0, for a rounding by table; return the token's own threshold.

    Args:
        first: index of the first entry of the table that is not 0.

    Returns: the threshold, see `_level_of`; without flags if it is NaN.
    """
    level = _level_of(row, share, given)
    own = level * rule.factor
    least = np.float32(first)
    if given:
        for j in range(row.size):
            flags[j] = max(abs(row[j] / thresholds[j]) - rule.shrink, ZERO) * np.float32(spec.FINE) >= least
    else:
        for j in range(row.size):
            flags[j] = max(abs(row[j] / own) - rule.shrink, ZERO) * np.float32(spec.FINE) >= least
    return level


@njit(inline="always")
def count_by_table(x, threshold, rule):
    """Return the count of a channel, for a rounding by table."""
    return _count(x, threshold, LOOKUP, rule)


@compiled(error_model="numpy")
def encode_row(row, out, share, given, thresholds, rule, limit):
    """Fill the counts of a row; return the number of clipped ones, -1 if x is not finite, and its own threshold.

    Args:
        share: K k, see `share`.
        given, thresholds: whether the channels have thresholds, and these [K].
        rule: `CodingRule` of a rounding.
    """
    level = _level_of(row, share, given)
    if np.isnan(level):
        return -1, ONE
    own = ONE if given else level * rule.factor
    kind = rule.kind
    # A loop for each kind: with the kind known, a loop is compiled to vector instructions.
    if kind == _NEAREST:
        n = _count_row(row, out, given, thresholds, own, limit, np.int64(_NEAREST), rule)
    elif kind == spec.EVEN:
        n = _count_row(row, out, given, thresholds, own, limit, np.int64(spec.EVEN), rule)
    elif kind == spec.AWAY:
        n = _count_row(row, out, given, thresholds, own, limit, np.int64(spec.AWAY), rule)
    elif kind == spec.UP:
        n = _count_row(row, out, given, thresholds, own, limit, np.int64(spec.UP), rule)
    elif kind == LOOKUP:
        n = _count_row(row, out, given, thresholds, own, limit, np.int64(LOOKUP), rule)
    elif kind == spec.PRICED:
        n = _count_row(row, out, given, thresholds, own, limit, np.int64(spec.PRICED), rule)
    else:
        n = _count_row(row, out, given, thresholds, own, limit, np.int64(spec.SEARCH), rule)
    return n, level


@compiled(error_model="numpy")
def _encode(x, share, given, thresholds, rule, limit, counts, number):
    """Fill counts, thresholds of tokens, and the number of clipped counts of each row: -1 if x is not finite."""
    for i in range(x.shape[0]):
        number[i], level = encode_row(x[i], counts[i], share, given, thresholds, rule, limit)
        if not given:
            thresholds[i] = level


@compiled(error_model="numpy")
def escape_row(x, given, thresholds, own, rule, limit, channels, excess):
    """Fill the channels of a row whose counts were clipped, and their excess; `own` is the threshold times factor."""
    at = 0
    for j in range(x.size):
        threshold = thresholds[j] if given else own
        whole = _count(x[j], threshold, rule.kind, rule)
        if abs(whole) > limit:
            channels[at] = j
            excess[at] = np.int32(whole - min(max(whole, -limit), limit))
            at += 1


@compiled(error_model="numpy")
def _escape(x, given, thresholds, rule, limit, escapes):
    """Fill the channels and the excess of `escapes` for the rows whose number is not 0."""
    for i in range(x.shape[0]):
        if escapes.number[i] > 0:
            own = ONE if given else thresholds[i] * rule.factor
            escape_row(x[i], given, thresholds, own, rule, limit, escapes.channels[i], escapes.excess[i])
