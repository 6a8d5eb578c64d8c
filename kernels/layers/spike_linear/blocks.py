"""The product of spikes and wide rows, by blocks of source rows that stay in the first cache.

A row has few spikes in a block: the processor would guess the end of each of these short sums wrongly. So the rows are
taken in the order of their numbers of spikes in the block, and the sums of one length follow one another. The sums of a
group of rows stay in the second cache meanwhile. Each is still taken term by term in ascending order.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from ...tools.compiled import compiled
from ...tools.intrinsics import drain_stores, prefetch_second
from ...tools.lines import LINE, aligned_empty, begin_of_line, can_stream, store_lines
from ...tools.pointers import matrix
from ...tools.threads import spread
from .sums import BLOCK, add_block, add_weighted

# Rows of a group.
GROUP = 1024
# Source rows of a block: at least so many, as a power of two, and more where a row would have fewer spikes than these.
MIN_SHIFT = 7
SPIKES = 12
AHEAD = 16  # rows by which a tile's are asked for while it is packed
FLOAT = np.float32(0)
ROW_BYTES = 4 * BLOCK
# Least additions of a thread, and spikes to put in order.
GRAIN = 1 << 21
ORDER_GRAIN = 1 << 16


class Order(NamedTuple):
    """Spikes by group of rows, block of source rows, and number of spikes of a row in the block.

    Attributes:
        rows: [groups, blocks, GROUP] int32, rows of a group by their number of spikes in a block.
        ends: [groups, blocks, size of a block + 1] int32, how many rows have at most so many.
        begins: [groups, blocks] the first spike of the rows in a block.
        units: [n] int32 source rows, in the order in which they are added.
        values: [n] float32; [0] where all are 1.
    """

    rows: np.ndarray
    ends: np.ndarray
    begins: np.ndarray
    units: np.ndarray
    values: np.ndarray


def wide_product(active, source, threads):
    """Compute `product`, for a contiguous source."""
    rows = len(active.starts) - 1
    order, shift = _room(active, rows, len(source))
    bounds = np.append(active.starts[:-1:GROUP], active.starts[-1])
    spread(lambda a, b: _arrange(*active, shift, order, a, b), bounds, threads, ORDER_GRAIN)
    return _summed(order, rows, source, threads)


def wide_turned_product(active, size, source, threads):
    """Compute `turned_product`, for a contiguous source."""
    order, shift = _room(active, size, len(source))
    bounds = np.append(active.starts[: -1 : 1 << shift], active.starts[-1])
    spread(lambda a, b: _arrange_turned(*active, size, shift, order, a, b), bounds, threads, ORDER_GRAIN)
    return _summed(order, size, source, threads)


def _room(active, rows, size):
    """Return an `Order` without values, of so many rows and source rows, and the power of two that a block holds."""
    mean = len(active.units) / max(1, rows * size)
    shift = MIN_SHIFT
    while 1 << shift < size and mean * (1 << shift) < SPIKES:
        shift += 1
    groups = -(-rows // GROUP)
    blocks = -(-size >> shift)
    order = Order(
        rows=np.empty((groups, blocks, GROUP), np.int32),
        ends=np.empty((groups, blocks, (1 << shift) + 1), np.int32),
        begins=np.empty((groups, blocks), np.int64),
        units=np.empty_like(active.units),
        values=np.empty_like(active.values),
    )
    return order, shift


def _summed(order, rows, source, threads):
    """Return the product of an `Order`."""
    columns = source.shape[1]
    out = aligned_empty((rows, columns), np.float32)
    streaming = can_stream(out)
    groups = len(order.rows)
    tiles = -(-columns // BLOCK)
    # Groups of a tile are shared where threads have few tiles; each thread packs the tile again.
    parts = max(1, min(groups, -(-4 * threads // tiles))) if threads > 1 else 1
    bounds = np.arange(tiles * parts + 1) * max(1, len(order.units) * BLOCK // parts)
    spread(lambda a, b: _fill(source, order, parts, streaming, out, a, b), bounds, threads, GRAIN)
    return out


@compiled
def _arrange(starts, units, values, shift, order, first, last):
    """Fill the groups `first` to `last` of the `Order`."""
    place = np.empty(order.rows.shape[1:], np.int64)
    for g in range(first, last):
        top = g * GROUP
        rows = min(GROUP, starts.size - 1 - top)
        # First the number of spikes of a row in a block, then where they begin.
        place[:] = 0
        for i in range(rows):
            for k in range(starts[top + i], starts[top + i + 1]):
                place[units[k] >> shift, i] += 1
        at = starts[top]
        for b in range(place.shape[0]):
            order.begins[g, b] = at
            at = _sort(place[b, :rows], at, order.rows[g, b], order.ends[g, b])
        _place(starts[top : top + rows + 1], units, values, shift, place, order)


@compiled
def _arrange_turned(starts, units, values, size, shift, order, first, last):
    """Fill the blocks `first` to `last` of the `Order` of the transposed matrix, of `size` rows.

    The spikes of a block follow one another in the list, as its source rows are rows of the list.
    """
    place = np.empty(size, np.int64)
    for b in range(first, last):
        top = b << shift
        bottom = min(top + (1 << shift), starts.size - 1)
        # First the number of spikes of a row in the block, then where they begin.
        place[:] = 0
        for k in range(starts[top], starts[bottom]):
            place[units[k]] += 1
        at = starts[top]
        for g in range(order.rows.shape[0]):
            order.begins[g, b] = at
            at = _sort(place[g * GROUP : (g + 1) * GROUP], at, order.rows[g, b], order.ends[g, b])
        for i in range(top, bottom):
            for k in range(starts[i], starts[i + 1]):
                at = place[units[k]]
                place[units[k]] = at + 1
                order.units[at] = i
                if values.size:
                    order.values[at] = values[k]


@njit(inline="always")
def _place(starts, units, values, shift, place, order):
    """Write the spikes of a group to their places; place [blocks, GROUP] is the next of a row in a block."""
    for i in range(starts.size - 1):
        for k in range(starts[i], starts[i + 1]):
            b = units[k] >> shift
            at = place[b, i]
            place[b, i] = at + 1
            order.units[at] = units[k]
            if values.size:
                order.values[at] = values[k]


@compiled
def _sort(place, at, rows, ends):
    """Sort the rows of a group by their numbers `place` of spikes, and replace these by the first of each row.

    Returns:
        the spike after the last.
    """
    ends[:] = 0
    for count in place:
        ends[count] += 1
    total = 0
    for count in range(ends.size):
        size = ends[count]
        ends[count] = total
        total += size
    for i in range(place.size):
        count = place[i]
        rows[ends[count]] = i
        ends[count] += 1
    for j in range(place.size):
        count = place[rows[j]]
        place[rows[j]] = at
        at += count
    return at


@compiled
def _fill(source, order, parts, streaming, out, first, last):
    """Fill the pieces `first` to `last` of out: tiles of columns, each in `parts` of the groups of rows."""
    groups = order.rows.shape[0]
    columns = source.shape[1]
    tile_room = np.zeros(source.shape[0] * BLOCK + LINE // 4, np.float32)
    sums_room = np.empty(GROUP * BLOCK + LINE // 4, np.float32)
    tile = matrix(begin_of_line(tile_room), source.shape[0], BLOCK, FLOAT)
    sums = matrix(begin_of_line(sums_room), GROUP, BLOCK, FLOAT)
    for piece in range(first, last):
        part = piece % parts
        left = piece // parts * BLOCK
        width = min(BLOCK, columns - left)
        if part == 0 or piece == first:
            pack(source, left, width, tile)
        for g in range(part * groups // parts, (part + 1) * groups // parts):
            top = g * GROUP
            rows = min(GROUP, out.shape[0] - top)
            sums[:rows] = 0
            for b in range(order.rows.shape[1]):
                _add_block_of(order, g, b, rows, tile, sums)
            _store(sums, streaming, out[top : top + rows, left : left + width])
    if streaming:
        drain_stores()
    # Their addresses alone are used above.
    tile_room[0] = sums_room[0]


@njit(inline="always")
def _store(sums, streaming, out):
    """Copy the sums of a group to out [rows, width]."""
    width = out.shape[1]
    for i in range(out.shape[0]):
        row = out[i]
        if streaming:
            store_lines(row.ctypes.data, sums[i].ctypes.data, width)
        else:
            for n in range(width):
                row[n] = sums[i, n]


@compiled
def pack(source, left, width, tile):
    """Copy columns of the source side by side: otherwise its rows would share a few sets of the cache."""
    size = source.shape[0]
    for m in range(size):
        ahead = source[min(m + AHEAD, size - 1), left : left + width].ctypes.data
        for line in range(0, 4 * width, LINE):
            prefetch_second(ahead + line)
        for n in range(width):
            tile[m, n] = source[m, left + n]


@compiled
def _add_block_of(order, group, block, rows, tile, sums):
    """Add the source rows of a block to the sums [rows, BLOCK] of a group."""
    ends = order.ends[group, block]
    chosen = order.rows[group, block]
    at = order.begins[group, block]
    # Addresses, for a view of an array in the loop over rows takes as long as the sum of a row.
    sums_at = sums.ctypes.data
    tile_at = tile.ctypes.data
    units_at = order.units.ctypes.data
    for count in range(1, ends.size):
        if ends[count - 1] == rows:
            break
        for j in range(ends[count - 1], ends[count]):
            if order.values.size:
                add_weighted(tile, order.units[at : at + count], order.values[at : at + count], sums[chosen[j]])
            else:
                add_block(sums_at + ROW_BYTES * chosen[j], tile_at, ROW_BYTES, units_at + 4 * at, count)
            at += count
