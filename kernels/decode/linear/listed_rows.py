"""Sums of listed rows: the int8 rows [K, N] of a token's active channels, each times its count.

Sums are int32, so that their order changes no bit of them. They have three forms: `vnni`, `avx2`, and a plain loop for
other processors. Rows are fetched two groups of eight ahead: which they are is known from the list, but not to the
processor.
"""

from __future__ import annotations

from numba import int16, int32, int64, njit

from ...tools.compiled import compiled
from ...tools.intrinsics import prefetch, prefetch_second
from ...tools.pointers import vector
from ..program import BYTE, WORD
from .avx2 import SMALL, add_eight_small, add_eight_wide
from .encode import AHEAD, NUMBER, SUM
from .vnni import BLOCK, add_eight, settled

LINE = 64  # bytes
# Sums of eight products of an int8 stay within int16 if the counts' sizes sum to this at most.
SHORT = 255
# Forms of the sums, from the fastest on: what the processor has. AMX takes all rows of a batch; it adds listed rows as
# VNNI.
AMX, VNNI, AVX2, PLAIN = range(4)


@njit(inline="always")
def _words(counts):
    """Return the address of counts as int32 words of four."""
    return vector(counts.ctypes.data, counts.size // 4, WORD)


@njit(inline="always")
def _row(rows, stride, channel, columns):
    return vector(rows + channel * stride, columns, BYTE)


@njit(inline="always")
def _sizes(counts, j):
    """Return the sum of the sizes of eight counts."""
    sizes = 0
    for i in range(8):
        sizes += abs(int64(counts[j + i]))
    return sizes


@njit(inline="always")
def _eight_rows(rows, stride, channels, j):
    """Return the addresses of eight rows, of the channels from entry j of a list on."""
    return (
        rows + channels[j] * stride,
        rows + channels[j + 1] * stride,
        rows + channels[j + 2] * stride,
        rows + channels[j + 3] * stride,
        rows + channels[j + 4] * stride,
        rows + channels[j + 5] * stride,
        rows + channels[j + 6] * stride,
        rows + channels[j + 7] * stride,
    )


@njit(inline="always")
def _ask_for(rows, column):
    """Ask for a line of each of eight rows in the second cache."""
    prefetch_second(rows[0] + column)
    prefetch_second(rows[1] + column)
    prefetch_second(rows[2] + column)
    prefetch_second(rows[3] + column)
    prefetch_second(rows[4] + column)
    prefetch_second(rows[5] + column)
    prefetch_second(rows[6] + column)
    prefetch_second(rows[7] + column)


@njit(inline="always")
def _add_rows(rows, stride, channels, counts, number, columns, sums, form):
    """Add rows in the form `VNNI` or `AVX2`; return, for AVX2, the sum of counts whose weights had 128 added.

    Later rows are asked for in the second cache, line by line while these are added. Rows of 1,024 bytes in no order
    then come at 20 GB/s, where into the first cache, of which fewer lines can be under way, they came at 13 (AMD EPYC,
    family 25, model 17).
    """
    words = _words(counts)
    flipped = 0
    for j in range(0, number, 8):
        own = _eight_rows(rows, stride, channels, j)
        following = _eight_rows(rows, stride, channels, j + AHEAD - 8)
        first = words[j // 4]
        second = words[j // 4 + 1]
        small = form == AVX2 and _sizes(counts, j) <= SMALL
        if small:
            for i in range(8):
                flipped += int64(counts[j + i])
        for column in range(0, columns, BLOCK):
            _ask_for(following, column)
            if form == VNNI:
                add_eight(own, column, first, second, sums + 4 * column)
            elif small:
                add_eight_small(own, column, first, second, sums + 4 * column)
            else:
                add_eight_wide(own, column, first, second, sums + 4 * column)
    return flipped


@compiled
def add_rows_vnni(rows, stride, channels, counts, number, columns, sums):
    """Add `columns` (a multiple of 64) of the listed rows to int32 sums in the order of `vnni`.

    Args:
        rows: address of the first column.
        stride: bytes from one row to the next.
        channels, counts: of the list.
        number: of listed channels.
        sums: address of int32 [columns].
    """
    _add_rows(rows, stride, channels, counts, number, columns, sums, VNNI)


@compiled
def add_rows_avx2(rows, stride, channels, counts, number, columns, sums):
    """Add rows as `add_rows_plain`; the arguments are as in `add_rows_vnni`."""
    flipped = _add_rows(rows, stride, channels, counts, number, columns, sums, AVX2)
    if flipped:
        out = vector(sums, columns, WORD)
        more = int32(128 * flipped)
        for n in range(columns):
            out[n] -= more


@compiled
def settle(sums, columns, total):
    """Turn sums of `add_rows_vnni`, at an address, into sums of the columns in order; `total` is the sum of counts."""
    for n in range(0, columns, BLOCK):
        settled(sums + 4 * n, int32(128 * total))


@compiled
def add_rows_plain(rows, stride, channels, counts, number, columns, sums):
    """Add `columns` of the listed rows to int32 sums [columns] at an address, eight rows at a time.

    Their products are summed in int16 where counts are small enough: twice as many at once, and no wide product.
    """
    out = vector(sums, columns, WORD)
    for j in range(0, number, 8):
        a = _row(rows, stride, channels[j], columns)
        b = _row(rows, stride, channels[j + 1], columns)
        c = _row(rows, stride, channels[j + 2], columns)
        d = _row(rows, stride, channels[j + 3], columns)
        e = _row(rows, stride, channels[j + 4], columns)
        f = _row(rows, stride, channels[j + 5], columns)
        g = _row(rows, stride, channels[j + 6], columns)
        h = _row(rows, stride, channels[j + 7], columns)
        for i in range(8):
            for n in range(0, columns, LINE):
                prefetch(rows + channels[j + 8 + i] * stride + n)
        # Counts of the rows a to h.
        p = int32(counts[j])
        q = int32(counts[j + 1])
        r = int32(counts[j + 2])
        s = int32(counts[j + 3])
        t = int32(counts[j + 4])
        u = int32(counts[j + 5])
        v = int32(counts[j + 6])
        w = int32(counts[j + 7])
        if _sizes(counts, j) <= SHORT:
            for n in range(columns):
                lower = int16(int16(p * a[n]) + int16(q * b[n])) + int16(int16(r * c[n]) + int16(s * d[n]))
                upper = int16(int16(t * e[n]) + int16(u * f[n])) + int16(int16(v * g[n]) + int16(w * h[n]))
                out[n] += int32(int16(int16(lower) + int16(upper)))
        else:
            for n in range(columns):
                lower = int32(p * a[n]) + int32(q * b[n]) + int32(r * c[n]) + int32(s * d[n])
                upper = int32(t * e[n]) + int32(u * f[n]) + int32(v * g[n]) + int32(w * h[n])
                out[n] += int32(lower + upper)


@njit(inline="always")
def sum_rows(rows, stride, channels, counts, head, total, form):
    """Fill int32 total [columns] with sums of the listed rows, the first column of the first row at an address."""
    number = head[NUMBER]
    columns = total.size
    place = total.ctypes.data
    total[:] = 0
    # One form at a time: of `form in (AMX, VNNI)` numba compiles what follows for other processors, too.
    if form == PLAIN:
        add_rows_plain(rows, stride, channels, counts, number, columns, place)
    elif form == AVX2:
        add_rows_avx2(rows, stride, channels, counts, number, columns, place)
    else:
        add_rows_vnni(rows, stride, channels, counts, number, columns, place)
        settle(place, columns, head[SUM])
