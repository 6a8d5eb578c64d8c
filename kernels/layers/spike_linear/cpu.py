"""A linear layer whose input is spikes: products with a matrix that is mostly zeros, forward and for the weights.

Both are one operation. The spikes of a row select rows of the weights, which are added: y[i] = sum_k x[i, k] W[k].
The rows in which an input spiked select rows of the gradient: dW[k] = sum_i x[i, k] g[i]. Terms are added one by one
in ascending order, in float32 and without fused multiply-adds, as the event-driven engine adds the input of a step,
so results depend neither on threads nor on how the work is cut.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from ...tools.compiled import compiled
from ...tools.pointers import matrix
from ...tools.threads import spread
from .blocks import pack, wide_product, wide_turned_product
from .lists import LOOK_GRAIN, turned
from .sums import add_rows, add_weighted

# A tile of the source rows stays in a core's second cache.
TILE_BYTES = 1 << 20
MIN_WIDTH = 64
# Columns from which a product is taken by blocks: fewer do not repay the order of the rows.
WIDE = 320
FLOAT = np.float32(0)
# Least additions of a thread.
GRAIN = 1 << 21


def product(active, source, threads=1):
    """Return the product [R, N] of an `Active` and source [M, N] float32."""
    source = np.ascontiguousarray(source)
    if source.shape[1] >= WIDE:
        return wide_product(active, source, threads)
    rows = len(active.starts) - 1
    size, columns = source.shape
    out = np.zeros((rows, columns), np.float32)
    width = min(columns, max(MIN_WIDTH, TILE_BYTES // (4 * max(size, 1)) // MIN_WIDTH * MIN_WIDTH))
    tiles = -(-columns // width)
    # Rows are cut too where threads have few tiles; each cut packs its tile again.
    cuts = 1
    if threads > 1:
        cuts = max(1, min(-(-4 * threads // tiles), rows // 64))
    edges = np.arange(cuts + 1) * rows // cuts
    bounds = np.arange(tiles * cuts + 1) * max(1, len(active.units) * width // cuts)
    block = max(1, TILE_BYTES // (4 * width))
    places = np.empty((max(1, -(-size // block)) + 1, rows), np.int64)
    _cut_rows(active.starts, active.units, block, places)
    packed = None if tiles == 1 and size <= block else 1

    def fill(a, b):
        for piece in range(a, b):
            tile, cut = divmod(piece, cuts)
            first = tile * width
            last = min(columns, (tile + 1) * width)
            how = packed, first, last
            _product(places, block, active.units, active.values, source, *how, edges[cut], edges[cut + 1], out)

    spread(fill, bounds, threads, GRAIN)
    return out


def turned_product(active, size, source, threads=1):
    """Return the product [size, N] of the transpose of an `Active`, of `size` rows, and source [R, N] float32."""
    source = np.ascontiguousarray(source)
    if source.shape[1] >= WIDE:
        return wide_turned_product(active, size, source, threads)
    return product(turned(active, size), source, threads)


def column_sums(x, threads=1):
    """Return the sums [N] over the rows of [R, N], added in order."""
    out = np.zeros(x.shape[1], np.float32)
    tiles = -(-x.shape[1] // 256)
    bounds = np.arange(tiles + 1) * max(1, len(x) * 256)
    spread(lambda a, b: _sum_rows(x, 256 * a, min(x.shape[1], 256 * b), out), bounds, threads, LOOK_GRAIN)
    return out


@njit(inline="always")
def _find(units, begin, end, bound):
    """Return the first place from `begin` to `end` whose unit is `bound` or above."""
    while begin < end:
        middle = (begin + end) // 2
        if units[middle] < bound:
            begin = middle + 1
        else:
            end = middle
    return begin


@compiled
def _cut_rows(starts, units, block, cuts):
    """Fill cuts [blocks + 1, rows]: where the units of each row enter each block of source rows, and where they end."""
    rows = starts.size - 1
    for i in range(rows):
        cuts[0, i] = starts[i]
        cuts[-1, i] = starts[i + 1]
        for b in range(1, cuts.shape[0] - 1):
            cuts[b, i] = _find(units, cuts[b - 1, i], starts[i + 1], b * block)


@compiled
def _product(cuts, block, units, values, source, packed, first, last, top, bottom, out):
    """Fill rows `top` to `bottom`, columns `first` to `last` of out, by blocks of source rows that fit a cache.

    Args:
        packed: a tile of some columns is packed first. None: all of the source is one tile, and nothing that packs is
            compiled.
    """
    size = source.shape[0]
    width = last - first
    if packed is None:
        tile = source
    else:
        tile = np.empty((min(block, size), width), source.dtype)
    for at in range(cuts.shape[0] - 1):
        begin = at * block
        end = min(begin + block, size)
        if packed is not None:
            pack(source[begin:end], first, width, tile)
        # Units count from the first row of the source, which would lie in front of the tile.
        rows = matrix(tile.ctypes.data - 4 * width * begin, end, width, FLOAT)
        for i in range(top, bottom):
            row = out[i, first:last]
            k = cuts[at, i]
            stop = cuts[at + 1, i]
            if values.size:
                add_weighted(rows, units[k:stop], values[k:stop], row)
            else:
                add_rows(rows, units[k:stop], row)


@compiled
def _sum_rows(x, first, last, out):
    total = out[first:last]
    for i in range(x.shape[0]):
        row = x[i, first:last]
        for n in range(row.size):
            total[n] += row[n]
