"""Activations of a token as lists of active channels: `spikes.encode`, and the list that `product` reads.

A list has channels and counts (int8) of the active channels, ascending, filled up with zero counts to eights and by
`AHEAD` more, which are fetched ahead of time but not added. The excess of counts beyond +-127 is listed apart.
"""

from __future__ import annotations

import numpy as np
from numba import float32, int64, njit

from ...spikes.encode.cpu import LOOKUP, CodingRule, bits_of, count_by_table, encode_row, escape_row, flag_row
from ...spikes.encode.reference import FINE, LIMIT, MAX_LEVELS
from ...spikes.encode.reference import NOT_FINITE as HUGE_BITS
from ...tools.compiled import compiled
from ...tools.intrinsics import flags64, trailing_zeros
from ...tools.pointers import matrix, vector
from ..program import BYTE, FLOAT, LONG, NOT_FINITE, ONE, TOO_LARGE, WORD, ZERO, operation, report, skipped
from ..vectors.norms import norm_row, root_factor

# Operands: how values [rows, size] are coded, and the list of active channels that comes of it.
CODING = (
    "x size share:real by_channel thresholds? kind shrink:real top:real factor:real price:real edges levels table "
    "table_size whole scratch"
)
LIST = "channels counts head level escaped excess"
ENCODE = f"{CODING} {LIST} mask? first norm_x? weight? bias? centred? eps:real?"
AHEAD = 24  # entries behind a list, of which rows are fetched: three groups of eight
FLAGS = 64  # channels that are looked at together
# Entries of a list's head, int64: listed channels, sum of their counts, channels with an excess.
NUMBER, SUM, ESCAPES, HEAD = range(4)
INT32_LIMIT = 2**31 - 1


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
        channels[j] = 0
        counts[j] = 0


@compiled
def list_active(row, channels, counts):
    """List the channels whose count is not 0, and fill up; return their number and the sum of their counts.

    Args:
        row: int8 [K], a multiple of 64.
    """
    at = 0
    total = 0
    for k in range(0, row.size, FLAGS):
        word = flags64(row.ctypes.data + k)
        while word != 0:
            channel = k + trailing_zeros(word)
            word &= word - np.uint64(1)
            channels[at] = channel
            counts[at] = row[channel]
            total += row[channel]
            at += 1
    _fill_up(channels, counts, at)
    return at, total


@compiled(error_model="numpy")
def list_by_table(row, flags, given, thresholds, own, rule, channels, counts):
    """List the flagged channels [K] with their counts by a table, as `list_active`."""
    at = 0
    total = 0
    for k in range(0, flags.size, FLAGS):
        word = flags64(flags.ctypes.data + k)
        while word != 0:
            channel = k + trailing_zeros(word)
            word &= word - np.uint64(1)
            threshold = thresholds[channel] if given else own
            count = np.int8(count_by_table(row[channel], threshold, rule))
            channels[at] = channel
            counts[at] = count
            total += count
            at += 1
    _fill_up(channels, counts, at)
    return at, total


@compiled(error_model="numpy")
def norm_flags(x, factor, weight, flags, thresholds, shrink, first, out):
    """Fill `out` with x factor weight, all [K]; flag its channels as `flag_row` does; return its level, 1 or NaN."""
    least = np.float32(first)
    most = np.int32(0)
    for j in range(x.size):
        y = x[j] * factor * weight[j]
        out[j] = y
        most = max(most, bits_of(y) & np.int32(0x7FFFFFFF))
        flags[j] = max(abs(y / thresholds[j]) - shrink, ZERO) * np.float32(FINE) >= least
    return np.float32(np.nan) if most >= HUGE_BITS else ONE


@njit(inline="always")
def _rule(p, size):
    """Return share, given, thresholds and rule of `encode_row`, from the operands of `CODING`."""
    rule = CodingRule(
        p.kind,
        np.float32(p.shrink),
        np.float32(p.top),
        np.float32(p.factor),
        np.float32(p.price),
        vector(p.edges, MAX_LEVELS - 1, FLOAT),
        vector(p.levels, MAX_LEVELS, BYTE),
        vector(p.table, p.table_size, BYTE),
    )
    return np.float32(p.share), p.by_channel != 0, vector(p.thresholds, size, FLOAT), rule


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
def _norm(p, i, x, flags, thresholds, shrink, fused):
    """Fill x, a row, with the norm of row i; return its level if channels were flagged on the way, or 0."""
    plain = vector(p.norm_x + 4 * i * x.size, x.size, FLOAT)
    eps = float32(p.eps)
    if fused and p.weight and not p.bias and not p.centred:
        weight = vector(p.weight, x.size, FLOAT)
        return norm_flags(plain, root_factor(plain, eps), weight, flags, thresholds, shrink, p.first, x)
    norm_row(plain, p.weight, p.bias, p.centred != 0, eps, x)
    return ZERO


@njit(inline="always")
def _encode(p, context, begin, end, normed):
    """List the active channels of each row, after its norm if `normed`; see `encode` for the operands."""
    size = p.size
    limit = np.float32(LIMIT)
    share, given, thresholds, rule = _rule(p, size)
    scratch = vector(p.scratch, size, BYTE)
    padded = vector(p.scratch, padded_to(size), BYTE)
    padded[size:] = 0
    x = matrix(p.x, end, size, FLOAT)
    room_of = -(-size // 8) * 8 + AHEAD
    channels = matrix(p.channels, end, room_of, WORD)
    counts = matrix(p.counts, end, room_of, BYTE)
    heads = matrix(p.head, end, HEAD, LONG)
    level = vector(p.level, end, FLOAT)
    escaped = matrix(p.escaped, end, size, WORD)
    excess = matrix(p.excess, end, size, WORD)
    for i in range(begin, end):
        head = heads[i]
        own = ZERO
        if normed:
            own = _norm(p, i, x[i], scratch, thresholds, rule.shrink, rule.kind == LOOKUP and given)
        if skipped(p.mask, i):
            level[i] = 1
            head[ESCAPES] = 0
            head[NUMBER], head[SUM] = list_active(padded[:0], channels[i], counts[i])
            continue
        if rule.kind == LOOKUP:
            if own == 0:
                own = flag_row(x[i], scratch, share, given, thresholds, rule, p.first)
            level[i] = own
            clipped = -1 if np.isnan(own) else 0
        else:
            clipped, level[i] = encode_row(x[i], scratch, share, given, thresholds, rule, limit)
        if clipped < 0:
            report(context, NOT_FINITE)
            return
        head[ESCAPES] = clipped
        if rule.kind == LOOKUP:
            own = level[i] * rule.factor
            head[NUMBER], head[SUM] = list_by_table(x[i], padded, given, thresholds, own, rule, channels[i], counts[i])
            continue
        head[NUMBER], head[SUM] = list_active(padded, channels[i], counts[i])
        if clipped:
            own = level[i] * rule.factor
            escape_row(x[i], given, thresholds, own, rule, limit, escaped[i], excess[i])
        # The sum of sizes is at most 127 times the number where nothing escapes.
        many = clipped or head[NUMBER] * LIMIT * 128 > INT32_LIMIT
        if p.whole and many and not _fits(scratch, excess[i], clipped):
            report(context, TOO_LARGE)
            return


@operation(ENCODE)
def encode(p, context, begin, end):
    """List the active channels of each row of x.

    Operands: `share` is K k; `by_channel`: channels have thresholds; the rounding, as `spikes.encode`; `whole`: sums
    are int32; `scratch`, bytes for K counts and room for a multiple of 64; the list; `mask`, the tokens to encode, the
    lists of others are empty; `first`, the first entry of the table that is not 0. Parts are rows.
    """
    _encode(p, context, begin, end, False)


@operation(ENCODE)
def norm_encode(p, context, begin, end):
    """Encode rows of the norm of x, which are kept, too: in one pass where channels have thresholds and a table counts.

    Operands of `encode`, whose x is where the norm goes, then operands of `vectors.norms.norm`. Parts are rows.
    """
    _encode(p, context, begin, end, True)


@operation(f"{CODING} escaped excess scales scale_count out")
def code(p, context, begin, end):
    """Fill `out` with what a receiver decodes: level * scale * count.

    Operands: see `encode`; `escaped` and `excess` int32 [K] for this thread. Parts are groups of all rows.
    """
    size = p.size
    limit = np.float32(LIMIT)
    share, given, thresholds, rule = _rule(p, size)
    scratch = vector(p.scratch, size, BYTE)
    scales = vector(p.scales, p.scale_count, FLOAT)
    escaped = vector(p.escaped, size, WORD)
    excess = vector(p.excess, size, WORD)
    x = matrix(p.x, end, size, FLOAT)
    out = matrix(p.out, end, size, FLOAT)
    for i in range(begin, end):
        clipped, level = encode_row(x[i], scratch, share, given, thresholds, rule, limit)
        if clipped < 0:
            report(context, NOT_FINITE)
            return
        if clipped:
            escape_row(x[i], given, thresholds, level * rule.factor, rule, limit, escaped, excess)
        y = out[i]
        for k in range(size):
            y[k] = scratch[k]
        for e in range(clipped):
            y[escaped[e]] += float32(excess[e])
        for k in range(size):
            y[k] = y[k] * scales[k % scales.size] * level
