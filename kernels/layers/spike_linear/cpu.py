"""A linear layer whose input is spikes: products with a matrix that is mostly zeros, forward and for the weights.

Both are one operation. The spikes of a row select rows of the weights, which are added: y[i] = sum_k x[i, k] W[k].
The rows in which an input spiked select rows of the gradient: dW[k] = sum_i x[i, k] g[i]. Terms are added one by one
in ascending order, in float32 and without fused multiply-adds, as the event-driven engine adds the input of a step,
so results depend neither on threads nor on how the work is cut.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, types, uint64
from numba.core import cgutils
from numba.extending import intrinsic

from ...tools.compiled import compiled
from ...tools.intrinsics import popcount, prefetch_second, trailing_zeros
from ...tools.pointers import matrix
from ...tools.threads import spread

# A tile of the source rows stays in a core's second cache.
TILE_BYTES = 1 << 20
MIN_WIDTH = 64
# Numbers that are compared at once, and columns that are summed at once.
WORD = 64
BLOCK = 64
PART = 16  # columns that are summed at once behind the last block
LINE = 64  # bytes
AHEAD = 16  # rows by which a tile's are asked for while it is packed
FLOAT = np.float32(0)
# Least additions, and entries to look at, of a thread.
GRAIN = 1 << 21
LOOK_GRAIN = 1 << 18
# Above this part of ones the dense product is faster (2 cores with AVX-512: it needs 9 ps a multiply-add, an addition
# here 30 ps).
MAX_DENSITY = 0.2


class ActiveInputs(NamedTuple):
    """Row i of a matrix has `units[starts[i]:starts[i + 1]]` other than 0, ascending."""

    starts: np.ndarray  # [rows + 1] int64
    units: np.ndarray  # [n] int32
    values: np.ndarray  # [n] float32; [0] where all are 1


def listed(x, max_density=MAX_DENSITY, threads=1):
    """Return `Active` of x [R, M] float32, or None if more than the fraction `max_density` of x is not 0."""
    starts = np.zeros(len(x) + 1, np.int64)
    plain = np.zeros(len(x), np.uint8)
    # A bit for each entry: the second pass reads a 32nd of the memory of the first.
    words = np.empty((len(x), -(-x.shape[1] // WORD)), np.uint64)
    bounds = np.arange(len(x) + 1) * x.shape[1]
    spread(lambda a, b: _count(x, starts, plain, words, a, b), bounds, threads, LOOK_GRAIN)
    np.cumsum(starts, out=starts)
    if starts[-1] > max_density * x.size:
        return None
    units = np.empty(starts[-1], np.int32)
    values = np.empty(0 if plain.all() else starts[-1], np.float32)
    spread(lambda a, b: _list(x, starts, words, units, values, a, b), bounds, threads, LOOK_GRAIN)
    return ActiveInputs(starts, units, values)


def turned(active, size):
    """Return `Active` of the transposed matrix, of `size` rows."""
    starts = np.zeros(size + 1, np.int64)
    rows = np.empty_like(active.units)
    values = np.empty_like(active.values)
    _turn(active.starts, active.units, active.values, starts, rows, values)
    return ActiveInputs(starts, rows, values)


def product(active, source, threads=1):
    """Return the product [R, N] of an `Active` and source [M, N] float32."""
    rows = len(active.starts) - 1
    size, columns = source.shape
    source = np.ascontiguousarray(source)
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

    def fill(a, b):
        for piece in range(a, b):
            tile, cut = divmod(piece, cuts)
            first = tile * width
            last = min(columns, (tile + 1) * width)
            _product(places, block, active.units, active.values, source, edges[cut], edges[cut + 1], first, last, out)

    spread(fill, bounds, threads, GRAIN)
    return out


def column_sums(x, threads=1):
    """Return the sums [N] over the rows of [R, N], added in order."""
    out = np.zeros(x.shape[1], np.float32)
    tiles = -(-x.shape[1] // 256)
    bounds = np.arange(tiles + 1) * max(1, len(x) * 256)
    spread(lambda a, b: _sum_rows(x, 256 * a, min(x.shape[1], 256 * b), out), bounds, threads, LOOK_GRAIN)
    return out


@intrinsic
def _unlike(typing, address, value):
    """Return a uint64 whose bit k is whether the float32 number k from `address` on is other than `value`."""
    wide = ir.VectorType(ir.FloatType(), 64)

    def emit(context, builder, signature, arguments):
        numbers = builder.load(builder.inttoptr(arguments[0], wide.as_pointer()), align=4)
        lanes = ir.Constant(ir.IntType(32), 0)
        one = builder.insert_element(ir.Constant(wide, ir.Undefined), arguments[1], lanes)
        mask = ir.Constant(ir.VectorType(ir.IntType(32), 64), [0] * 64)
        same = builder.shuffle_vector(one, one, mask)
        return builder.bitcast(builder.fcmp_unordered("!=", numbers, same), ir.IntType(64))

    return types.uint64(types.intp, types.float32), emit


@compiled
def _count(x, starts, plain, words, first, last):
    """Count the entries other than 0 of rows `first` to `last`, and mark them in words [rows, ceil(columns / WORD)]."""
    zero = np.float32(0)
    one = np.float32(1)
    whole = x.shape[1] // WORD
    for i in range(first, last):
        row = x[i]
        at = x[i].ctypes.data
        n = 0
        odd = uint64(0)
        # A bit a column: rows whose entries are all 0 or 1 need no values, only the places of their ones.
        for k in range(whole):
            active = _unlike(at + 4 * WORD * k, zero)
            odd |= active & _unlike(at + 4 * WORD * k, one)
            n += popcount(active)
            words[i, k] = active
        if whole < words.shape[1]:
            active = uint64(0)
            for k in range(whole * WORD, row.size):
                active |= uint64(row[k] != zero) << uint64(k - whole * WORD)
                odd |= uint64(row[k] != zero and row[k] != one)
            n += popcount(active)
            words[i, whole] = active
        starts[i + 1] = n
        plain[i] = odd == 0


@compiled
def _list(x, starts, words, units, values, first, last):
    for i in range(first, last):
        at = starts[i]
        for k in range(words.shape[1]):
            active = words[i, k]
            while active:
                units[at] = WORD * k + trailing_zeros(active)
                at += 1
                active &= active - uint64(1)
        if values.size:
            row = x[i]
            for j in range(starts[i], at):
                values[j] = row[units[j]]


@compiled
def _turn(starts, units, values, turned_starts, rows, turned_values):
    for unit in units:
        turned_starts[unit + 1] += 1
    for unit in range(turned_starts.size - 1):
        turned_starts[unit + 1] += turned_starts[unit]
    places = turned_starts[:-1].copy()
    for i in range(starts.size - 1):
        for j in range(starts[i], starts[i + 1]):
            at = places[units[j]]
            places[units[j]] = at + 1
            rows[at] = i
            if values.size:
                turned_values[at] = values[j]


@intrinsic
def _add_block(typing, target, source, stride, units, count):
    """Add to `BLOCK` float32 at `target` those at source + stride u for each of `count` int32 u at `units`, in order.

    The sums stay in registers, unlike in a loop over the elements of an array.
    """
    vector = ir.VectorType(ir.FloatType(), 16)
    parts = range(BLOCK // 16)

    def emit(context, builder, signature, arguments):
        target, source, stride, units, count = arguments
        word = stride.type

        def at(base, part):
            place = builder.add(base, ir.Constant(word, 64 * part))
            return builder.inttoptr(place, vector.as_pointer())

        sums = [cgutils.alloca_once_value(builder, builder.load(at(target, p), align=4)) for p in parts]
        with cgutils.for_range(builder, count) as loop:
            place = builder.add(units, builder.mul(loop.index, ir.Constant(word, 4)))
            unit = builder.load(builder.inttoptr(place, ir.IntType(32).as_pointer()))
            row = builder.add(source, builder.mul(builder.sext(unit, word), stride))
            for p, total in zip(parts, sums, strict=True):
                builder.store(builder.fadd(builder.load(total), builder.load(at(row, p), align=4)), total)
        for p, total in zip(parts, sums, strict=True):
            builder.store(builder.load(total), at(target, p), align=4)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp, types.intp, types.intp), emit


@intrinsic
def _add_part(typing, target, source, stride, units, count, size):
    """Add as `_add_block`, `size` float32 of at most `PART`; those behind are neither read nor written."""
    vector = ir.VectorType(ir.FloatType(), PART)
    numbers = ir.VectorType(ir.IntType(32), PART)
    lanes = ir.VectorType(ir.IntType(1), PART)

    def emit(context, builder, signature, arguments):
        target, source, stride, units, count, size = arguments
        word = stride.type
        align = ir.IntType(32)(4)
        nothing = ir.Constant(vector, [0.0] * PART)
        first = builder.insert_element(ir.Constant(numbers, ir.Undefined), size, ir.IntType(32)(0))
        sizes = builder.shuffle_vector(first, first, ir.Constant(numbers, [0] * PART))
        inside = builder.icmp_unsigned("<", ir.Constant(numbers, list(range(PART))), sizes)
        pointer = vector.as_pointer()
        read = ir.FunctionType(vector, [pointer, align.type, lanes, vector])
        write = ir.FunctionType(ir.VoidType(), [vector, pointer, align.type, lanes])
        load = cgutils.get_or_insert_function(builder.module, read, f"llvm.masked.load.v{PART}f32.p0")
        store = cgutils.get_or_insert_function(builder.module, write, f"llvm.masked.store.v{PART}f32.p0")
        place = builder.inttoptr(target, pointer)
        total = cgutils.alloca_once_value(builder, builder.call(load, [place, align, inside, nothing]))
        with cgutils.for_range(builder, count) as loop:
            at = builder.add(units, builder.mul(loop.index, ir.Constant(word, 4)))
            unit = builder.load(builder.inttoptr(at, ir.IntType(32).as_pointer()))
            row = builder.inttoptr(builder.add(source, builder.mul(builder.sext(unit, word), stride)), pointer)
            builder.store(builder.fadd(builder.load(total), builder.call(load, [row, align, inside, nothing])), total)
        builder.call(store, [builder.load(total), place, align, inside])
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp, types.intp, types.intp, types.int32), emit


@compiled
def add_rows(source, units, row):
    """Add source[k] to row for each int32 k in units, in that order."""
    whole = row.size // BLOCK * BLOCK
    stride = source.shape[1] * 4
    chosen = units.ctypes.data
    for n in range(0, whole, BLOCK):
        _add_block(row.ctypes.data + 4 * n, source.ctypes.data + 4 * n, stride, chosen, units.size)
    for n in range(whole, row.size, PART):
        size = min(PART, row.size - n)
        _add_part(row.ctypes.data + 4 * n, source.ctypes.data + 4 * n, stride, chosen, units.size, size)


@compiled
def _add_weighted(source, units, values, row):
    for k in range(units.size):
        a = source[units[k]]
        value = values[k]
        for n in range(row.size):
            row[n] += value * a[n]


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
def _product(cuts, block, units, values, source, top, bottom, first, last, out):
    """Fill rows `top` to `bottom`, columns `first` to `last` of out, by blocks of source rows that fit a cache.

    A tile of some columns is packed first: otherwise its rows would share a few sets of the cache.
    """
    size = source.shape[0]
    width = last - first
    whole = width == source.shape[1] and size <= block
    if whole:
        tile = source
    else:
        tile = np.empty((min(block, size), width), source.dtype)
    for at in range(cuts.shape[0] - 1):
        begin = at * block
        end = min(begin + block, size)
        if not whole:
            for m in range(begin, end):
                ahead = source[min(m + AHEAD, size - 1), first:last].ctypes.data
                for line in range(0, 4 * width, LINE):
                    prefetch_second(ahead + line)
                a = source[m, first:last]
                b = tile[m - begin]
                for n in range(width):
                    b[n] = a[n]
        # Units count from the first row of the source, which would lie in front of the tile.
        rows = matrix(tile.ctypes.data - 4 * width * begin, end, width, FLOAT)
        for i in range(top, bottom):
            row = out[i, first:last]
            k = cuts[at, i]
            stop = cuts[at + 1, i]
            if values.size:
                _add_weighted(rows, units[k:stop], values[k:stop], row)
            else:
                add_rows(rows, units[k:stop], row)


@compiled
def _sum_rows(x, first, last, out):
    total = out[first:last]
    for i in range(x.shape[0]):
        row = x[i, first:last]
        for n in range(row.size):
            total[n] += row[n]
