"""Readers of the rows that are due: those of BITS and COUNTS are counted, those of SUMS and JOINT are summed.

The run loop calls the reader of a row table by the address in the table, so that a network compiles those of its own
forms alone. The forms are in `deliver`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba import from_dtype, njit, types

from ...tools.compiled import compiled
from ...tools.intrinsics import add_where, prefetch
from ...tools.pointers import address_of, matrix, vector
from .bits import MAX_ROWS, sum_rows
from .deliver import (
    BATCH,
    BITS,
    COUNTS,
    CUT_BLOCK,
    CUT_COLUMNS,
    CUTS,
    JOINT,
    MATRIX,
    ROW_WEIGHTS,
    ROWS,
    STARTS,
    STRIDE,
    SUMS,
    TARGETS,
    WEIGHTS,
    add_counts,
    add_each,
    add_one,
    reaches,
)

# What a reader is asked, int64 [REQUEST_ENTRIES].
(
    FIRST,  # the rows that are due are rows[FIRST:LAST], at least one
    LAST,
    WEIGHT,  # address: real, the weight of all
    COUNTED,  # BITS, COUNTS: address of uint8 [slots]; zero between steps
    SUMMED,  # answer: 1 where the sums received anything
    BEGIN_BLOCK,  # the blocks of the thread
    END_BLOCK,
    PAGE_BLOCKS,  # blocks of a page
    BLOCK_SLOTS,  # slots of a block
    ZERO_ROW,  # BITS: address of a row of zero bits
    AGAIN,  # BITS: address of int64 [MAX_ROWS], for rows whose repeated synapses are listed
    PLANES,  # BITS: address of uint64 [8, ROW_WORDS], for sums of rows as planes of bits
    ROW_WORDS,
    REQUEST_ENTRIES,
) = range(14)


def read_bits(table, request, rows, sums):
    """Add rows of BITS, at the addresses in `rows`, in batches that cannot overflow a byte.

    A full batch is added to the sums.
    """
    counts = vector(request[COUNTED], sums.size, np.uint8(0))
    again = vector(request[AGAIN], MAX_ROWS, np.int64(0))
    planes = matrix(request[PLANES], 8, request[ROW_WORDS], np.uint64(0))
    low = request[BEGIN_BLOCK] * request[BLOCK_SLOTS]
    high = request[END_BLOCK] * request[BLOCK_SLOTS]
    begin = low // 8 // 64 * 64
    end = (high // 8 + 63) // 64 * 64
    first = request[FIRST]
    while True:
        last = min(request[LAST], first + table[BATCH])
        sum_rows(rows, first, last, begin, end, planes, request[PLANES], request[COUNTED], low // 64, high // 64)
        # The synapses whose bit was set already are listed.
        if table[CUTS]:
            n = _number_rows(table, request[ZERO_ROW], rows, first, last, again)
            _count(table, request, again, np.int64(0), n, counts)
        first = last
        if first >= request[LAST]:
            return
        _spill(request, counts, sums)


@njit(inline="always")
def _number_rows(table, zero_row, rows, first, last, numbers):
    """Fill `numbers` with those of rows[first:last], which are addresses, but the rows of zeros; return how many."""
    n = np.int64(0)
    for i in range(first, last):
        if rows[i] != zero_row:
            numbers[n] = (rows[i] - table[MATRIX]) // table[STRIDE]
            n += 1
    return n


def read_counts(table, request, rows, sums):
    """Add rows of COUNTS, as `read_bits` does those of BITS."""
    counts = vector(request[COUNTED], sums.size, np.uint8(0))
    first = request[FIRST]
    while True:
        last = min(request[LAST], first + table[BATCH])
        _count(table, request, rows, first, last, counts)
        first = last
        if first >= request[LAST]:
            return
        _spill(request, counts, sums)


def read_sums(table, request, rows, sums):
    """Add the weights of rows of SUMS to sums[target]."""
    request[SUMMED] = 1
    weight = vector(request[WEIGHT], 1, sums.dtype.type(0))[0]
    cuts = matrix(table[CUTS], table[ROWS], table[CUT_COLUMNS], np.uint32(0))
    at = vector(table[TARGETS], table[ROWS], np.int64(0))
    own = vector(table[WEIGHTS], table[ROWS] if table[WEIGHTS] else 0, np.int64(0))
    width = sums.itemsize
    blocks = request[PAGE_BLOCKS]
    for page in range(request[BEGIN_BLOCK] // blocks, (request[END_BLOCK] - 1) // blocks + 1):
        if not reaches(table, page):
            continue
        low = max(request[BEGIN_BLOCK], page * blocks) - table[CUT_BLOCK]
        high = min(request[END_BLOCK], (page + 1) * blocks) - table[CUT_BLOCK]
        line = sums[page * blocks * request[BLOCK_SLOTS] :]
        for i in range(request[FIRST], request[LAST]):
            row = rows[i]
            a = np.int64(cuts[row, low])
            z = np.int64(cuts[row, high])
            _ask(table, cuts, at, rows, i, request[LAST], low, high, width)
            targets = vector(at[row] + 2 * a, z - a, np.uint16(0))
            if own.size:
                add_each(line, targets, vector(own[row] + width * a, z - a, weight))
            else:
                add_one(line, targets, weight)


@njit(inline="always")
def _ask_joint(table, starts, rows, i, last, width):
    """Ask for rows of JOINT as `_ask`, but further ahead: these rows are short, of populations that are small."""
    if i + 16 < last:
        prefetch(table[STARTS] + 8 * rows[i + 16])
    if i + 6 < last:
        a = starts[rows[i + 6]]
        z = starts[rows[i + 6] + 1]
        for j in range(4 * a, 4 * z, 64):
            prefetch(table[TARGETS] + j)
        if table[WEIGHTS]:
            for j in range(width * a, width * z, 64):
                prefetch(table[WEIGHTS] + j)


def read_joint(table, request, rows, sums):
    """Add the weights of rows of JOINT to sums[target]."""
    request[SUMMED] = 1
    weight = vector(request[WEIGHT], 1, sums.dtype.type(0))[0]
    low = request[BEGIN_BLOCK] * request[BLOCK_SLOTS]
    high = request[END_BLOCK] * request[BLOCK_SLOTS]
    starts = vector(table[STARTS], table[ROWS] + 1, np.int64(0))
    slots = vector(table[TARGETS], starts[table[ROWS]], np.uint32(0))
    own = vector(table[WEIGHTS], slots.size if table[WEIGHTS] else 0, weight)
    by_row = vector(table[ROW_WEIGHTS], table[ROWS] if table[ROW_WEIGHTS] else 0, weight)
    part = low > 0 or high < sums.size
    width = sums.itemsize
    last = request[LAST]
    for i in range(request[FIRST], last):
        _ask_joint(table, starts, rows, i, last, width)
        row = rows[i]
        a = starts[row]
        z = starts[row + 1]
        if part:
            # Searched for: a column of cuts for each block would be longer than such a row.
            a = _reached(slots, a, z, low)
            z = _reached(slots, a, z, high)
        targets = slots[a:z]
        if own.size:
            add_each(sums, targets, own[a:z])
        else:
            add_one(sums, targets, by_row[row] if by_row.size else weight)


def read_packed(table, request, rows, sums):
    """Add the weights of rows of JOINT, whose targets are bits of words of 32 slots, to sums[target].

    The sums begin at a cache line, and their number is a multiple of 32: those of a word are read and written together.
    """
    request[SUMMED] = 1
    weight = vector(request[WEIGHT], 1, sums.dtype.type(0))[0]
    low = request[BEGIN_BLOCK] * request[BLOCK_SLOTS]
    high = request[END_BLOCK] * request[BLOCK_SLOTS]
    starts = vector(table[STARTS], table[ROWS] + 1, np.int64(0))
    words = vector(table[TARGETS], starts[table[ROWS]], np.uint64(0))
    by_row = vector(table[ROW_WEIGHTS], table[ROWS] if table[ROW_WEIGHTS] else 0, weight)
    part = low > 0 or high < sums.size
    sums_at = sums.ctypes.data
    last = request[LAST]
    for i in range(request[FIRST], last):
        # As `read_joint`: a row is a line or two.
        if i + 16 < last:
            prefetch(table[STARTS] + 8 * rows[i + 16])
        if i + 6 < last:
            a = starts[rows[i + 6]]
            z = starts[rows[i + 6] + 1]
            for j in range(8 * a, 8 * z, 64):
                prefetch(table[TARGETS] + j)
        row = rows[i]
        a = starts[row]
        z = starts[row + 1]
        if part:
            # Blocks consist of whole words.
            a = _reached(words, a, z, np.uint64(low // 32) << np.uint64(32))
            z = _reached(words, a, z, np.uint64(high // 32) << np.uint64(32))
        one = by_row[row] if by_row.size else weight
        for j in range(a, z):
            place = np.int64(words[j] >> np.uint64(32)) * 32 * sums.itemsize
            add_where(sums_at + place, np.uint32(words[j] & np.uint64(0xFFFFFFFF)), one)


_READERS: dict[int, Callable[..., None]] = {BITS: read_bits, COUNTS: read_counts, SUMS: read_sums, JOINT: read_joint}


def address_of_reader(form: int, real: object) -> int:
    """Return the address of the reader of a form, compiled for a network of a dtype."""
    whole = types.Array(types.int64, 1, "C")
    return address_of(_READERS[form], whole, whole, whole, types.Array(from_dtype(np.dtype(real)), 1, "C"))


def address_of_packed(real: object) -> int:
    """Return the address of the reader of rows of JOINT that are packed."""
    whole = types.Array(types.int64, 1, "C")
    return address_of(read_packed, whole, whole, whole, types.Array(from_dtype(np.dtype(real)), 1, "C"))


@compiled
def _count(table, request, rows, first, last, counts):
    """Add 1 to counts[target] over rows[first:last], targets in the blocks of the thread."""
    cuts = matrix(table[CUTS], table[ROWS], table[CUT_COLUMNS], np.uint32(0))
    at = vector(table[TARGETS], table[ROWS], np.int64(0))
    blocks = request[PAGE_BLOCKS]
    for page in range(request[BEGIN_BLOCK] // blocks, (request[END_BLOCK] - 1) // blocks + 1):
        low = max(request[BEGIN_BLOCK], page * blocks) - table[CUT_BLOCK]
        high = min(request[END_BLOCK], (page + 1) * blocks) - table[CUT_BLOCK]
        line = counts[page * blocks * request[BLOCK_SLOTS] :]
        for i in range(first, last):
            row = rows[i]
            a = np.int64(cuts[row, low])
            z = np.int64(cuts[row, high])
            _ask(table, cuts, at, rows, i, last, low, high, counts.itemsize)
            targets = vector(at[row] + 2 * a, z - a, np.uint16(0))
            for j in range(targets.size):
                line[targets[j]] += np.uint8(1)


@compiled
def _spill(request, counts, sums):
    """Add a full batch of counts to the sums."""
    request[SUMMED] = 1
    low = request[BEGIN_BLOCK] * request[BLOCK_SLOTS]
    high = request[END_BLOCK] * request[BLOCK_SLOTS]
    add_counts(sums[low:high], counts[low:high], vector(request[WEIGHT], 1, sums.dtype.type(0))[0])


@compiled(inline="always")
def _ask(table, cuts, at, rows, i, last, first_block, last_block, width):
    """Prefetch rows that are read soon."""
    # In two stages: the addresses of a row first, then, once they have come, the lines that they point to.
    if i + 8 < last:
        prefetch(table[CUTS] + rows[i + 8] * cuts.shape[1] * 4)
        prefetch(table[TARGETS] + rows[i + 8] * 8)
        if table[WEIGHTS]:
            prefetch(table[WEIGHTS] + rows[i + 8] * 8)
    if i + 2 < last:
        row = rows[i + 2]
        a = np.int64(cuts[row, first_block])
        z = np.int64(cuts[row, last_block])
        for j in range(2 * a, 2 * z, 64):
            prefetch(at[row] + j)
        if table[WEIGHTS]:
            weights = vector(table[WEIGHTS], table[ROWS], np.int64(0))
            for j in range(width * a, width * z, 64):
                prefetch(weights[row] + j)


@compiled
def _reached(places, first, last, limit):
    """Return where places[first:last], those of each block after those of the block before, reach the first of one."""
    while first < last:
        middle = (first + last) // 2
        if places[middle] < limit:
            first = middle + 1
        else:
            last = middle
    return first
