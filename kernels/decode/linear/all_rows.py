"""Sums of all rows for a batch of tokens: where most channels are active in some token, lists save no row.

Rows are interleaved, four channels in a word, once for all tokens, and multiplied by VNNI or, for larger batches, by
the tiles of AMX. The weights of a tile of columns stay in the second cache while the tokens pass over them.
"""

from __future__ import annotations

from numba import njit

from ...tools.compiled import compiled
from ...tools.intrinsics import prefetch_second
from ...tools.pointers import matrix, vector
from ..program import BYTE, WORD
from .amx import CHANNELS, begin_tiles, end_tiles, multiply_tiles
from .encode import NUMBER
from .listed_rows import AMX, LINE
from .vnni import BATCH, BLOCK, interleave, multiply

# Columns whose rows, of a thousand channels, stay in the second cache while the tokens of a batch pass over them.
TILE = 512
# Rows that are interleaved at a time, so that they stay in the second cache while the tokens of a batch pass over them:
# for VNNI, and for AMX, which reads and writes its sums once for all of them.
TOGETHER = 64
TOGETHER_AMX = 256
SPARE_AMX = TILE * (TOGETHER_AMX + 4)  # bytes of interleaved rows, with a line between strips of 16 columns
# Times that a row must be active among `BATCH` tokens, in the mean, for all rows to be multiplied: that is then
# faster than to add the active ones.
MANY = 4


@njit(inline="always")
def groups_of(tokens):
    """Return the groups of `BATCH` tokens that so many tokens fill."""
    return -(-tokens // BATCH)


def all_rows_size(size, stride, tokens):
    """Return the bytes that a thread needs to multiply all of `size` rows: interleaved ones, and counts of tokens."""
    rows = max(TOGETHER * stride, SPARE_AMX)
    return rows + BATCH * groups_of(tokens) * -(-size // CHANNELS) * CHANNELS


@njit(inline="always")
def all_rows(p, channels, counts, heads, start, last, form):
    """Fill the sums of columns `start` to `last` from all rows, if enough are active; return whether they are."""
    groups = groups_of(len(channels))
    active = 0
    for i in range(len(channels)):
        active += heads[i, NUMBER]
    # A group costs AMX half as much as to interleave the rows, which is done once.
    enough = groups + 1 if form == AMX else MANY * groups
    if last <= start or active < enough * p.size:
        return False
    sums = matrix(p.sums, groups * BATCH, p.stride, WORD)
    sums[:, start:last] = 0
    if form == AMX:
        flat = p.spare + SPARE_AMX
        flat_counts(channels, counts, heads, p.size, flat)
        begin_tiles()
        for first in range(start, last, TILE):
            columns = min(TILE, last - first)
            place = p.sums + 4 * first
            add_all_rows_amx(p.rows + first, p.stride, p.size, columns, flat, groups, p.spare, place, p.stride)
        end_tiles()
        return True
    # One group is quickest with whole rows, more of them where their sums stay in the second cache.
    tile = TILE if groups > 1 else last - start
    words = p.spare + TOGETHER * tile
    spread_counts(channels, counts, heads, p.size, words)
    for first in range(start, last, tile):
        columns = min(tile, last - first)
        place = p.sums + 4 * first
        add_all_rows_vnni(p.rows + first, p.stride, p.size, columns, words, groups, p.spare, place, p.stride)
    return True


@compiled
def spread_counts(channels, counts, heads, size, words):
    """Fill int32 [groups, size / 4, BATCH] with the counts of the lists of tokens, four channels in a word."""
    quads = -(-size // 4)
    flat = vector(words, groups_of(len(channels)) * quads * BATCH * 4, BYTE)
    flat[:] = 0
    for i in range(len(channels)):
        first = i // BATCH * quads
        for j in range(heads[i, NUMBER]):
            k = channels[i, j]
            flat[((first + k // 4) * BATCH + i % BATCH) * 4 + k % 4] += counts[i, j]


@njit(inline="always")
def _interleave_four(rows, stride, size, k, columns, out, strip):
    """Store rows k to k + 3 of `size` interleaved, 16 columns at `out` and every `strip` bytes behind it."""
    # In place of rows beyond the last, whose counts are 0, the last one is read.
    a = rows + k * stride
    b = rows + min(k + 1, size - 1) * stride
    c = rows + min(k + 2, size - 1) * stride
    d = rows + min(k + 3, size - 1) * stride
    for i in range(0, columns, BLOCK):
        interleave(a + i, b + i, c + i, d + i, out + i // 16 * strip, strip)


@njit(inline="always")
def _ask_for_next(row, stride, columns, left, at):
    """Ask for the lines of the next rows that come while a strip is multiplied: as many for each strip.

    Returns: the row, how many rows are left, and the place in the row, from which the next call goes on.
    """
    for _ in range(TOGETHER // 4):
        if left > 0:
            prefetch_second(row + at)
        at += LINE
        if at == columns:
            row = row + stride
            left = left - 1
            at = 0
    return row, left, at


@compiled
def add_all_rows_vnni(rows, stride, size, columns, words, groups, spare, sums, step):
    """Add `columns` (a multiple of 64) of all rows, for tokens, to int32 sums in the order of `vnni`.

    Rows are interleaved once for all groups of `BATCH` tokens.

    Args:
        rows: address of the first column; `stride` bytes to the next of `size` rows.
        words: address of int32 [groups, size / 4, BATCH], four counts of a token each.
        spare: address of `TOGETHER` columns bytes, at a cache line.
        sums: address of int32 [groups, BATCH, step].
    """
    for first in range(0, size, TOGETHER):
        quads = -(-min(TOGETHER, size - first) // 4)
        for n in range(quads):
            _interleave_four(rows, stride, size, first + 4 * n, columns, spare + LINE * n, LINE * quads)
        following = rows + (first + TOGETHER) * stride
        left = size - first - TOGETHER
        at = 0
        for strip in range(columns // 16):
            following, left, at = _ask_for_next(following, stride, columns, left, at)
            place = spare + LINE * strip * quads
            for group in range(groups):
                own = words + 4 * BATCH * (group * -(-size // 4) + first // 4)
                multiply(place, own, quads, sums + LINE * strip + 4 * group * BATCH * step, 4 * step)


@compiled
def flat_counts(channels, counts, heads, size, flat):
    """Fill int8 counts [tokens, size] at an address, size to the next multiple of 64, from the lists of tokens."""
    padded = -(-size // CHANNELS) * CHANNELS
    rows = matrix(flat, groups_of(len(channels)) * BATCH, padded, BYTE)
    rows[:] = 0
    for i in range(len(channels)):
        for j in range(heads[i, NUMBER]):
            rows[i, channels[i, j]] = counts[i, j]


@compiled
def add_all_rows_amx(rows, stride, size, columns, flat, groups, spare, sums, step):
    """Add rows as `add_all_rows_vnni`, by the tiles of AMX, which this thread has begun.

    One group takes 16 GB/s of weights, where memory streams 22, and four groups take half more time. To ask for the
    next rows ahead of time, as VNNI does, costs half more: the processor sees the order of the rows itself.

    Args:
        flat: address of int8 counts [groups, BATCH, size], size to the next multiple of 64.
        spare: address of `SPARE_AMX` bytes, at a cache line.
    """
    padded = -(-size // CHANNELS) * CHANNELS
    # A line more than the strip has: at multiples of 4 kB all strips would share the same lines of the first cache.
    strip = LINE * (TOGETHER_AMX // 4 + 1)
    for first in range(0, size, TOGETHER_AMX):
        number = min(TOGETHER_AMX, size - first)
        for n in range(-(-number // 4)):
            _interleave_four(rows, stride, size, first + 4 * n, columns, spare + LINE * n, strip)
        blocks = -(-number // CHANNELS)
        for i in range(0, columns, BLOCK):
            place = spare + i // 16 * strip
            for group in range(groups):
                own = flat + group * BATCH * padded + first
                multiply_tiles(place, strip, own, padded, blocks, sums + 4 * i + 4 * group * BATCH * step, 4 * step)
