"""Activations of a token as lists of active channels: `spikes.encode`, and the list that `product` reads.

A list has channels and counts (int8) of the active channels, ascending, filled up with zero counts to eights and by
`AHEAD` more, which are fetched ahead of time but not added. The excess of counts beyond +-127 is listed apart.
"""

from __future__ import annotations

import numpy as np
from numba import float32, int64, njit

from ..spikes.encode.numba import LOOKUP, bits_of, count_by_table, encode_row, escape_row, flag_row
from ..spikes.encode.reference import FINE, LIMIT, MAX_LEVELS
from ..spikes.encode.reference import NOT_FINITE as HUGE_BITS
from ..tools.intrinsics import flags64, trailing_zeros
from ..tools.pointers import matrix, vector
from .program import BYTE, FLOAT, LONG, NOT_FINITE, TOO_LARGE, WORD, integers, operation, reals, report, skipped
from .vectors import norm_row, root_factor

AHEAD = 24
FLAGS = 64  # channels that are looked at together
# Entries of a list's head, int64: listed channels, sum of their counts, channels with an excess.
NUMBER, SUM, ESCAPES, HEAD = range(4)
INT32_LIMIT = 2**31 - 1
ZERO, ONE = np.float32(0), np.float32(1)


def room(channels):
    """Return the entries of a list that so many channels may need."""
    return -(-channels // 8) * 8 + AHEAD


@njit(inline="always")
def padded_to(size):
    """Return the next multiple of 64."""
    return -(-size // FLAGS) * FLAGS


@njit(inline="always")
def _fill_up(channels, counts, at):
    for j in range(at, (at + 7) // 8 * 8 + AHEAD):
        channels[j], counts[j] = 0, 0


@njit(cache=True, nogil=True)
def list_active(row, channels, counts):
    """List the channels whose count is not 0, and fill up; return their number and the sum of their counts.

    Args:
        row: int8 [K], a multiple of 64.
    """
    at, total = 0, 0
    for k in range(0, row.size, FLAGS):
        word = flags64(row.ctypes.data + k)
        while word != 0:
            channel = k + trailing_zeros(word)
            word &= word - np.uint64(1)
            channels[at], counts[at] = channel, row[channel]
            total += row[channel]
            at += 1
    _fill_up(channels, counts, at)
    return at, total


@njit(cache=True, nogil=True, error_model="numpy")
def list_by_table(row, flags, given, thresholds, own, shrink, top, table, channels, counts):
    """List the flagged channels [K] with their counts by a table, as `list_active`."""
    at, total = 0, 0
    for k in range(0, flags.size, FLAGS):
        word = flags64(flags.ctypes.data + k)
        while word != 0:
            channel = k + trailing_zeros(word)
            word &= word - np.uint64(1)
            count = np.int8(count_by_table(row[channel], thresholds[channel] if given else own, shrink, top, table))
            channels[at], counts[at] = channel, count
            total += count
            at += 1
    _fill_up(channels, counts, at)
    return at, total


@njit(cache=True, nogil=True, error_model="numpy")
def norm_flags(x, factor, weight, flags, thresholds, shrink, first, out):
    """Fill `out` with x factor weight, all [K]; flag its channels as `flag_row` does; return its level, 1 or NaN."""
    least, most = np.float32(first), np.int32(0)
    for j in range(x.size):
        y = x[j] * factor * weight[j]
        out[j] = y
        most = max(most, bits_of(y) & np.int32(0x7FFFFFFF))
        flags[j] = max(abs(y / thresholds[j]) - shrink, ZERO) * np.float32(FINE) >= least
    return np.float32(np.nan) if most >= HUGE_BITS else ONE


@njit(inline="always")
def _rule(p, f, size):
    """Return what `encode_row` takes beside x and counts, from the arguments that both operations begin with."""
    edges, levels = vector(p[9], MAX_LEVELS - 1, FLOAT), vector(p[10], MAX_LEVELS, BYTE)
    shares, factors = np.float32(f[2]), (np.float32(f[6]), np.float32(f[7]), np.float32(f[8]))
    return shares, p[3] != 0, vector(p[4], size, FLOAT), p[5], factors, edges, levels, vector(p[11], p[12], BYTE)


@njit(inline="always")
def _fits(counts, excess, clipped):
    """Return whether sums of rows times these counts and their excess fit 32 bits."""
    total = 0
    for k in range(counts.size):
        total += abs(int64(counts[k]))
    for e in range(clipped):
        total += abs(int64(excess[e]))
    return total * 128 <= INT32_LIMIT


@njit(inline="always")
def _norm(p, f, i, x, flags, thresholds, shrink, fused):
    """Fill x, a row, with the norm of row i; return its level if channels were flagged on the way, or 0."""
    plain, eps = vector(p[23] + 4 * i * x.size, x.size, FLOAT), float32(f[27])
    if fused and p[24] and not p[25] and not p[26]:
        weight = vector(p[24], x.size, FLOAT)
        return norm_flags(plain, root_factor(plain, eps), weight, flags, thresholds, shrink, p[22], x)
    norm_row(plain, p[24], p[25], p[26] != 0, eps, x)
    return ZERO


@njit(inline="always")
def _encode(arguments, context, begin, end, normed):
    p, f = integers(arguments), reals(arguments)
    size, limit = p[1], np.float32(LIMIT)
    share, given, thresholds, kind, (shrink, top, factor), edges, levels, table = _rule(p, f, size)
    scratch, padded = vector(p[14], size, BYTE), vector(p[14], padded_to(size), BYTE)
    padded[size:] = 0
    x, room_of = matrix(p[0], end, size, FLOAT), -(-size // 8) * 8 + AHEAD
    channels, counts = matrix(p[15], end, room_of, WORD), matrix(p[16], end, room_of, BYTE)
    heads, level = matrix(p[17], end, HEAD, LONG), vector(p[18], end, FLOAT)
    escaped, excess = matrix(p[19], end, size, WORD), matrix(p[20], end, size, WORD)
    for i in range(begin, end):
        head, own = heads[i], ZERO
        if normed:
            own = _norm(p, f, i, x[i], scratch, thresholds, shrink, kind == LOOKUP and given)
        if skipped(p[21], i):
            level[i], head[ESCAPES] = 1, 0
            head[NUMBER], head[SUM] = list_active(padded[:0], channels[i], counts[i])
            continue
        if kind == LOOKUP:
            if own == 0:
                own = flag_row(x[i], scratch, share, given, thresholds, shrink, factor, table, p[22])
            level[i], clipped = own, -1 if np.isnan(own) else 0
        else:
            clipped, level[i] = encode_row(
                x[i], scratch, share, given, thresholds, kind, shrink, top, factor, edges, levels, table, limit
            )
        if clipped < 0:
            report(context, NOT_FINITE)
            return
        head[ESCAPES] = clipped
        if kind == LOOKUP:
            head[NUMBER], head[SUM] = list_by_table(
                x[i], padded, given, thresholds, level[i] * factor, shrink, top, table, channels[i], counts[i]
            )
            continue
        head[NUMBER], head[SUM] = list_active(padded, channels[i], counts[i])
        if clipped:
            escape_row(
                x[i], given, thresholds, level[i] * factor, kind, shrink, top, edges, levels, table, limit,
                escaped[i], excess[i],
            )  # fmt: skip
        # The sum of sizes is at most 127 times the number where nothing escapes.
        many = clipped or head[NUMBER] * LIMIT * 128 > INT32_LIMIT
        if p[13] and many and not _fits(scratch, excess[i], clipped):
            report(context, TOO_LARGE)
            return


@operation
def encode(arguments, context, begin, end):
    """Arguments: x, K, K k as a real, whether channels have thresholds, these; the rounding: kind, shrink, max_count,
    factor (reals), edges, levels, table, entries of the table; whether sums are int32; bytes for K counts, room for a
    multiple of 64; the list: channels, counts, head, level, channels and excess of the escapes; mask, the tokens to
    encode (uint8), or 0; the first entry of the table that is not 0. The lists of other tokens are empty.
    """
    _encode(arguments, context, begin, end, False)


@operation
def norm_encode(arguments, context, begin, end):
    """Encode rows of the norm of x, which are kept, too: in one pass where channels have thresholds and a table counts.

    Arguments: those of `encode`, whose x is where the norm goes; then x of the norm, weight or 0, bias or 0, centred,
    eps (real).
    """
    _encode(arguments, context, begin, end, True)


@operation
def code(arguments, context, begin, end):
    """Fill `out` with what a receiver decodes: level * scale * count.

    Arguments: those of `encode` before the list; int32 [K] twice for escapes, scales, their number, out.
    """
    p, f = integers(arguments), reals(arguments)
    size, limit = p[1], np.float32(LIMIT)
    share, given, thresholds, kind, (shrink, top, factor), edges, levels, table = _rule(p, f, size)
    scratch, scales = vector(p[14], size, BYTE), vector(p[17], p[18], FLOAT)
    escaped, excess = vector(p[15], size, WORD), vector(p[16], size, WORD)
    x, out = matrix(p[0], end, size, FLOAT), matrix(p[19], end, size, FLOAT)
    for i in range(begin, end):
        clipped, level = encode_row(
            x[i], scratch, share, given, thresholds, kind, shrink, top, factor, edges, levels, table, limit
        )
        if clipped < 0:
            report(context, NOT_FINITE)
            return
        if clipped:
            escape_row(
                x[i], given, thresholds, level * factor, kind, shrink, top, edges, levels, table, limit, escaped, excess
            )
        y = out[i]
        for k in range(size):
            y[k] = scratch[k]
        for e in range(clipped):
            y[escaped[e]] += float32(excess[e])
        for k in range(size):
            y[k] = y[k] * scales[k % scales.size] * level
