"""Lists of the entries of a matrix that are not 0, row by row, and of its transpose."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, types, uint64
from numba.extending import intrinsic

from ...tools.compiled import compiled
from ...tools.intrinsics import popcount, trailing_zeros
from ...tools.threads import spread

# Numbers that are compared at once.
WORD = 64
LAST = np.uint64(1 << 63)
# Entries of a word that are listed at once.
ROUND = 4
# Least entries to look at, of a thread.
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
    """List the marked entries of rows `first` to `last`."""
    end = starts[last]
    for i in range(first, last):
        at = starts[i]
        for k in range(words.shape[1]):
            at = _list_word(words[i, k], WORD * k, at, end, units)
        if values.size:
            row = x[i]
            for j in range(starts[i], at):
                values[j] = row[units[j]]


@njit(inline="always")
def _list_word(active, first, at, end, units):
    """List the bits of a word, whose first is column `first`, in units[at:end]; return the place after them."""
    after = at + np.int64(popcount(active))
    if after + ROUND > end:
        for place in range(at, after):
            units[place] = first + trailing_zeros(active)
            active &= active - uint64(1)
        return after
    # Places past the last are overwritten. The processor would guess the end of a loop over the entries wrongly in
    # most words: .85 ms for .47, 8,000 rows of 512 with 5 % of spikes.
    for begin in range(at, after, ROUND):
        for j in range(ROUND):
            units[begin + j] = first + trailing_zeros(active | LAST)
            active &= active - uint64(1)
    return after


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
