"""Linear layers of a decoder with int4 weights: blocks of 32 channels of an output share a step, as in GGUF files.

A weight is d (q - 8), or d q + m; q has 4 bits, d and m are float16, one for 32 channels of an output. The counts of a
block's active channels select rows of q, whose sums are integers:

    y[n] = sum over blocks b of d[n, b] (sum of s_k q[n, k] over k in b) + m[n, b] (sum of s_k over k in b)

The outer sum is float32, in the order of the blocks, each product and each sum rounded: every form gives the same bits.

Weights lie block after block: 32 rows, in which the outputs of a strip of 128 take 64 bytes, then d and m of all
outputs. The bytes of a strip are ordered so that outputs come out in their order, see `COLUMNS`. Strips apart, each
with its blocks behind each other, were read more slowly: 95 us in place of 80 for 1,024 x 4,096 weights of which .4
are active, one thread of an Intel Xeon (family 6, model 167), where int8 rows take 98.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import float32, int32, int64, njit, uint32
from numba.extending import register_jitable

from ...tools.compiled import compiled
from ...tools.intrinsics import prefetch_second
from ...tools.pointers import matrix, vector
from ..program import BYTE, FLAG, FLOAT, LONG, WORD, operation
from .all_rows import groups_of, spread_counts
from .avx2 import has_avx2
from .encode import AHEAD, ESCAPES, HEAD, LIST, NUMBER
from .int4_vectors import (
    AHEAD_QUADS,
    BYTES,
    CHANNELS,
    LANE,
    MIDDLE,
    STRIP,
    Quads,
    add_avx2,
    add_avx2_minima,
    add_vnni,
    add_vnni_minima,
    float_of,
    multiply_batch,
    multiply_batch_minima,
    unpack_four,
)
from .parts import BEFORE, BIAS, OUT, PART, WIDTH, columns_of, finish, later
from .vnni import BATCH, has_vnni

UNPACKED = STRIP * CHANNELS  # bytes of a strip of a block as `emit_batch` takes it
# Strips whose rows, of a thousand channels, stay in the second cache while the tokens of a batch pass over them.
TOGETHER = 4
# Times that a row must be active among `BATCH` tokens, in the mean, for all rows to be multiplied. For 16 tokens and
# 1,024 x 4,096 weights that takes 620 us; the listed rows 566 at .3 of the channels, 641 at .4 and 1,455 at .9.
MANY = 5
# Output of the low half of each byte of a strip; the high half is the output 64 behind it. Four rows are interleaved
# byte by byte, which leaves bytes 4 by 4 of each 16 in a vector of their own.
COLUMNS = np.array([16 * (byte % LANE // 4) + byte // LANE * 4 + byte % 4 for byte in range(BYTES)])
VNNI, AVX2, PLAIN = range(3)
OPERANDS = f"rows stride size tokens {LIST} has_levels has_minima parts part_count sums quads list_size spare?"


class Weights(NamedTuple):
    """Int4 weights of layers that read the same list.

    Attributes:
        rows: address of what `pack` has filled.
        stride: outputs of a row, a multiple of 128.
        size: channels, a multiple of 32.
        has_minima: whether a block has m beside d.
    """

    rows: int
    stride: int
    size: int
    has_minima: bool


class BlockCounts(NamedTuple):
    """Counts of a batch, as `spread_blocks` fills them.

    Attributes:
        words: address of int32 [groups, size / 4, BATCH], four counts of a token each.
        totals: address of int32 [groups, blocks, BATCH], their sums.
        groups: number of groups of `BATCH` tokens.
    """

    words: int
    totals: int
    groups: int


@register_jitable
def block_bytes(stride, has_minima):
    """Return the bytes of a block of `stride` outputs, a multiple of 128: rows, d, and m where there are minima."""
    return CHANNELS * stride // 2 + 2 * stride * (1 + has_minima)


def pack(q, steps, minima, out):
    """Fill `out`, uint8 [K / 32, `block_bytes`], with int4 weights as the operations read them.

    Args:
        q: uint8 [N, K] of 0 to 15; K is a multiple of 32, N of 128.
        steps, minima: float16 [N, K / 32]; minima may be None.
    """
    outputs, channels = q.shape
    blocks = channels // CHANNELS
    strips = q.reshape(outputs // STRIP, STRIP, channels)
    halves = strips[:, COLUMNS] | strips[:, BYTES + COLUMNS] << 4
    end = CHANNELS * outputs // 2
    out[:, :end] = halves.transpose(2, 0, 1).reshape(blocks, end)
    for each in (steps, minima):
        if each is not None:
            begin = end
            end += 2 * outputs
            out[:, begin:end] = np.ascontiguousarray(each.T).view(np.uint8)


def list_size(size):
    """Return the int32 entries of the quads of a token, see `list_quads`; with room for the sums of a strip."""
    blocks = size // CHANNELS
    return 2 * blocks + 1 + 5 * (CHANNELS // 4 * blocks) + 4 * AHEAD_QUADS + STRIP


@njit(inline="always")
def _quads_at(place, size):
    """Return the `Quads` of a token, which begin at an address."""
    blocks = size // CHANNELS
    totals = place + 4 * (blocks + 1)
    words = totals + 4 * blocks
    return Quads(blocks, place, totals, words, words + 4 * (CHANNELS // 4 * blocks))


@compiled
def list_quads(channels, counts, number, weights, place):
    """List the active channels of a token by blocks, in fours, the last four of a block filled up with counts of 0.

    Args:
        channels, counts: of the list, see `encode`, ascending.
        number: of listed channels.
        weights: `Weights` whose rows the fours name.
        place: address of int32 [`list_size`] that is filled: the first four of each block, and the end; the sum of each
            block's counts; four counts a word; then the bytes from the first row to those of the fours.
    """
    row_bytes = weights.stride // 2
    block = block_bytes(weights.stride, weights.has_minima)
    quads = _quads_at(place, weights.size)
    blocks = quads.blocks
    first = vector(quads.first, blocks + 1, WORD)
    totals = vector(quads.totals, blocks, WORD)
    bytes_of = vector(quads.words, CHANNELS * blocks, BYTE)
    offsets = vector(quads.offsets, CHANNELS * blocks + 4 * AHEAD_QUADS, WORD)
    at = 0
    j = 0
    for b in range(blocks):
        first[b] = at // 4
        total = 0
        end = (b + 1) * CHANNELS
        while j < number and channels[j] < end:
            offsets[at] = b * block + (channels[j] - b * CHANNELS) * row_bytes
            bytes_of[at] = counts[j]
            total += counts[j]
            at += 1
            j += 1
        totals[b] = total
        # A four has one block, whose step multiplies its sum; filled up, it reads a row that is in the cache already.
        while at % 4 != 0:
            offsets[at] = offsets[at - 1]
            bytes_of[at] = 0
            at += 1
    first[blocks] = at // 4
    offsets[at : at + 4 * AHEAD_QUADS] = 0


def batch_size(size, tokens):
    """Return the bytes that a thread needs to multiply all of `size` rows for tokens."""
    return UNPACKED + BATCH * groups_of(tokens) * (size + 4 * (size // CHANNELS))


@compiled
def spread_blocks(channels, counts, heads, size, words, totals):
    """Fill the counts of tokens as `all_rows.spread_counts`, and int32 [groups, blocks, BATCH] with their sums."""
    spread_counts(channels, counts, heads, size, words)
    blocks = size // CHANNELS
    sums = vector(totals, groups_of(len(channels)) * blocks * BATCH, WORD)
    sums[:] = 0
    for i in range(len(channels)):
        first = i // BATCH * blocks
        for j in range(heads[i, NUMBER]):
            sums[(first + channels[i, j] // CHANNELS) * BATCH + i % BATCH] += counts[i, j]


@njit(inline="always")
def _unpack_strip(row, row_bytes, block, spare):
    """Unpack the rows of a strip of a block, four at a time; ask for the strip of the next block meanwhile."""
    for quad in range(CHANNELS // 4):
        for i in range(4):
            prefetch_second(row + (4 * quad + i) * row_bytes + block)
        unpack_four(row + 4 * quad * row_bytes, row_bytes, spare + 64 * quad, 64 * (CHANNELS // 4))


@njit(inline="always")
def _multiply_strip(weights, unpacked, words, totals, steps, out):
    """Add an unpacked strip of a block, times the counts of a group of tokens, to their sums; 16 outputs at a time."""
    stride = weights.stride
    for n in range(STRIP // 16):
        if weights.has_minima:
            multiply_batch_minima(unpacked, words, totals, steps + 32 * n, stride, out + 64 * n, 4 * stride)
        else:
            multiply_batch(unpacked, words, totals, steps + 32 * n, stride, out + 64 * n, 4 * stride)
        unpacked += 64 * (CHANNELS // 4)


@njit(inline="always")
def _add_strip(weights, counts, b, strip, spare, out):
    """Add a strip of block b, for all groups of tokens: it is unpacked once, into `spare`."""
    stride = weights.stride
    block = block_bytes(stride, weights.has_minima)
    row_bytes = stride // 2
    place = weights.rows + b * block
    _unpack_strip(place + BYTES * strip, row_bytes, block, spare)
    steps = place + CHANNELS * row_bytes + 2 * STRIP * strip
    for group in range(counts.groups):
        at = 4 * BATCH * (group * (weights.size // CHANNELS) + b)
        words = counts.words + at * (CHANNELS // 4)
        target = out + 4 * (group * BATCH * stride + STRIP * strip)
        _multiply_strip(weights, spare, words, counts.totals + at, steps, target)


@compiled
def add_all_strips_vnni(weights, counts, spare, begin, end, out):
    """Add all rows of strips `begin` to `end`, for groups of tokens, to float32 [groups, BATCH, stride] at `out`.

    Sums are the bits of `add_strips_vnni`.

    Args:
        weights: `Weights`.
        counts: `BlockCounts`.
        spare: address of `UNPACKED` bytes, at a cache line.
    """
    for start in range(begin, end, TOGETHER):
        for b in range(weights.size // CHANNELS):
            for strip in range(start, min(start + TOGETHER, end)):
                _add_strip(weights, counts, b, strip, spare, out)


@compiled
def add_strips_vnni(weights, place, begin, end, out):
    """Add the rows of strips `begin` to `end` for a token to float32 [stride] at `out`.

    Args:
        weights: `Weights`.
        place: address of the lists of `list_quads`.
    """
    quads = _quads_at(place, weights.size)
    if weights.has_minima:
        add_vnni_minima(weights.rows, weights.stride, quads, begin, end, out)
    else:
        add_vnni(weights.rows, weights.stride, quads, begin, end, out)


@compiled
def add_strips_avx2(weights, place, begin, end, out):
    """Add the rows of strips as `add_strips_vnni`."""
    quads = _quads_at(place, weights.size)
    if weights.has_minima:
        add_avx2_minima(weights.rows, weights.stride, quads, begin, end, out)
    else:
        add_avx2(weights.rows, weights.stride, quads, begin, end, out)


@njit(inline="always")
def _widened(bits):
    """Return the float32 of a finite float16, by its bits; there are no denormals on the way, which may be zeros."""
    exponent = bits & uint32(0x7C00)
    wide = (bits & uint32(0x7FFF)) << uint32(13)
    value = float_of(wide + uint32(112 << 23))
    if exponent == 0:
        value = float_of(wide + uint32(113 << 23)) - float32(2.0**-14)
    return -value if bits & uint32(0x8000) else value


@njit(inline="always")
def _half_at(place):
    """Return the float16 at an address as float32."""
    both = vector(place, 2, FLAG)
    return _widened(uint32(both[0]) | uint32(both[1]) << uint32(8))


@njit(inline="always")
def _sum_strip(rows, offsets, counts, low, high):
    """Add the listed rows of a strip of a block, times their counts: outputs of the low and high halves of bytes."""
    for j in range(counts.size):
        row = vector(rows + offsets[j], BYTES, FLAG)
        count = int32(counts[j])
        for n in range(BYTES):
            low[n] += count * int32(row[n] & 15)
            high[n] += count * int32(row[n] >> 4)


@njit(inline="always")
def _scale_strip(sums, first, weights, total, steps, y):
    """Add sums [BYTES] of a block, times their steps, to outputs y [STRIP], from output `first` on in `COLUMNS`."""
    for n in range(BYTES):
        output = first + COLUMNS[n]
        y[output] += float32(sums[n]) * _half_at(steps + 2 * output)
        if weights.has_minima:
            y[output] += float32(total) * _half_at(steps + 2 * (weights.stride + output))


@compiled
def add_strips_plain(weights, place, begin, end, out):
    """Add the rows of strips as `add_strips_vnni`."""
    quads = _quads_at(place, weights.size)
    block = block_bytes(weights.stride, weights.has_minima)
    first = vector(quads.first, quads.blocks + 1, WORD)
    totals = vector(quads.totals, quads.blocks, WORD)
    counts = vector(quads.words, CHANNELS * quads.blocks, BYTE)
    offsets = vector(quads.offsets, CHANNELS * quads.blocks, WORD)
    # Behind the list, see `list_size`.
    low = vector(quads.offsets + 4 * (CHANNELS * quads.blocks + 4 * AHEAD_QUADS), BYTES, WORD)
    high = vector(low.ctypes.data + 4 * BYTES, BYTES, WORD)
    for b in range(quads.blocks):
        steps = weights.rows + b * block + CHANNELS * weights.stride // 2
        start = 0 if weights.has_minima else -MIDDLE * totals[b]
        own_counts = counts[4 * first[b] : 4 * first[b + 1]]
        own_offsets = offsets[4 * first[b] : 4 * first[b + 1]]
        for strip in range(begin, end):
            low[:] = start
            high[:] = start
            _sum_strip(weights.rows + BYTES * strip, own_offsets, own_counts, low, high)
            y = vector(out + 4 * STRIP * strip, STRIP, FLOAT)
            own_steps = steps + 2 * STRIP * strip
            _scale_strip(low, 0, weights, totals[b], own_steps, y)
            _scale_strip(high, BYTES, weights, totals[b], own_steps, y)


@njit(inline="always")
def _weight(weights, channel, output):
    """Return a weight as float32."""
    stride = weights.stride
    column = output % BYTES
    # The byte of a column: `COLUMNS`, the other way round.
    byte = column % 16 // 4 * LANE + column // 16 * 4 + column % 4
    block = weights.rows + channel // CHANNELS * block_bytes(stride, weights.has_minima)
    place = block + channel % CHANNELS * (stride // 2) + output // STRIP * BYTES + byte
    both = int64(vector(place, 1, FLAG)[0])
    q = both >> 4 if output % STRIP >= BYTES else both & 15
    steps = block + CHANNELS * stride // 2 + 2 * output
    if weights.has_minima:
        return float32(q) * _half_at(steps) + _half_at(steps + 2 * stride)
    return float32(q - MIDDLE) * _half_at(steps)


@njit(inline="always")
def _listed_rows(p, weights, channels, counts, heads, begin, end, form):
    """Add the listed rows of strips for each token on its own."""
    list_bytes = 4 * p.list_size
    for i in range(p.tokens):
        list_quads(channels[i], counts[i], heads[i, NUMBER], weights, p.quads + i * list_bytes)
    # Tokens share the strips of a group while these are in cache; one token alone passes over all at once.
    strips = TOGETHER if p.tokens > 1 else end - begin
    for start in range(begin, end, strips):
        last = min(start + strips, end)
        for i in range(p.tokens):
            quads = p.quads + i * list_bytes
            out = p.sums + 4 * i * p.stride
            if form == VNNI:
                add_strips_vnni(weights, quads, start, last, out)
            elif form == AVX2:
                add_strips_avx2(weights, quads, start, last, out)
            else:
                add_strips_plain(weights, quads, start, last, out)


# Called, not inlined: a loop over so few arrays becomes vector instructions.
@compiled
def _scale(total, level, out):
    for j in range(out.size):
        out[j] = total[j] * level


@njit(inline="always")
def _add_excess(weights, escaped, excess, first, total):
    """Add to sums of outputs from `first` on what the counts of escaped channels have beyond 127."""
    for e in range(escaped.size):
        for j in range(total.size):
            total[j] += float32(excess[e]) * _weight(weights, escaped[e], first + j)


@njit(inline="always")
def _finish_parts(p, weights, heads, sums, begin, end):
    """Turn the sums of the strips `begin` to `end` into outputs, layer by layer."""
    parts = matrix(p.parts, p.part_count, PART, LONG)
    level = vector(p.level, p.tokens, FLOAT)
    escaped = matrix(p.escaped, p.tokens, p.size, WORD)
    excess = matrix(p.excess, p.tokens, p.size, WORD)
    for n in range(p.part_count):
        part = parts[n]
        first, columns, behind = columns_of(part, begin * STRIP, end * STRIP)
        if columns <= 0:
            continue
        for i in range(p.tokens):
            # The level scales sums and excess alike, so the excess of large counts is added first.
            total = sums[i, first : first + columns]
            number = heads[i, ESCAPES]
            _add_excess(weights, escaped[i, :number], excess[i, :number], first, total)
            place = behind + 4 * i * part[WIDTH]
            out = vector(part[OUT] + place, columns, FLOAT)
            _scale(total, level[i] if p.has_levels else float32(1), out)
            finish(out, later(part[BIAS], behind), later(part[BEFORE], place))


@njit(inline="always")
def _block_rows(p, begin, end, form):
    """Add the int4 rows of the listed channels, see `encode`: those of layers that read the same list.

    Operands: `rows` of `pack`, of `stride` outputs; `has_levels`: tokens have levels; `parts`, the layers' columns, see
    `parts`; `sums` float32 [tokens, stride]; `quads`, int32 [tokens, list_size] for this thread; `spare`,
    `batch_size` bytes for this thread: there are then sums of whole groups of tokens. Parts are strips.
    """
    tokens = p.tokens
    size = p.size
    weights = Weights(p.rows, p.stride, size, p.has_minima != 0)
    room = -(-size // 8) * 8 + AHEAD
    channels = matrix(p.channels, tokens, room, WORD)
    counts = matrix(p.counts, tokens, room, BYTE)
    heads = matrix(p.head, tokens, HEAD, LONG)
    groups = groups_of(tokens) if p.spare else 0
    sums = matrix(p.sums, max(groups * BATCH, tokens), p.stride, FLOAT)
    sums[:, begin * STRIP : end * STRIP] = 0
    active = 0
    for i in range(tokens):
        active += heads[i, NUMBER]
    # Enough counts are active for multiplying all of them, zeros too, to be quicker than following the lists.
    if form == VNNI and groups and active >= MANY * groups * size:
        words = p.spare + UNPACKED
        totals = words + BATCH * groups * size
        spread_blocks(channels, counts, heads, size, words, totals)
        add_all_strips_vnni(weights, BlockCounts(words, totals, groups), p.spare, begin, end, p.sums)
    elif begin < end:
        _listed_rows(p, weights, channels, counts, heads, begin, end, form)
    _finish_parts(p, weights, heads, sums, begin, end)


@operation(OPERANDS)
def block_rows_vnni(p, context, begin, end):
    _block_rows(p, begin, end, VNNI)


@operation(OPERANDS)
def block_rows_avx2(p, context, begin, end):
    _block_rows(p, begin, end, AVX2)


@operation(OPERANDS)
def block_rows(p, context, begin, end):
    _block_rows(p, begin, end, PLAIN)


BLOCK_ROWS = (block_rows_vnni, block_rows_avx2, block_rows)


def fastest():
    """Return the form of the sums that is fastest on this processor."""
    if has_vnni():
        return VNNI
    return AVX2 if has_avx2() else PLAIN
