"""Rows of bits, summed column by column: 8 rows at a time through full adders, 512 columns an instruction.

A population of synapses that share weight and delay is a matrix of bits, a row for each source. How many of the
rows that are due have column j set is what target j receives: counted here in bit planes (plane k holds bit k of every
column's count), which are then spread into bytes. The adder tree is Harley & Seal's (Warren, Hacker's Delight, 5-1).
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ...tools.compiled import compiled
from ...tools.intrinsics import BYTE, INT32, INT64, NOTHING

WIDE = ir.VectorType(INT64, 8)
# Columns of a strip: one vector. Rows consist of full strips.
STRIP = 512
MAX_ROWS = 255


def column_sums_reference(rows):
    """Specify the sums: [columns] sums of the bits of uint64 [n, words] rows, bit 0 of a word its first column."""
    return np.unpackbits(rows.view(np.uint8), axis=1, bitorder="little").sum(axis=0)


def _full(b, x, y, z):
    """Return sum and carry of a full adder."""
    t = b.xor(x, y)
    return b.xor(t, z), b.or_(b.and_(x, y), b.and_(t, z))


def _adder(total):
    @intrinsic
    def add(typing, rows, first, offset, planes, stride, ahead):
        """Add the strips at byte `offset` of the 8 rows whose addresses are rows[first:first + 8] to `total` planes.

        Args:
            planes: address of the strip's first plane, the others `stride` bytes apart. The strips of the 8 rows from
                `ahead` on are asked for.
        """

        def emit(context, builder, signature, arguments):
            b = builder
            data = context.make_array(signature.args[0])(context, b, arguments[0]).data
            wide = WIDE.as_pointer()
            kind = ir.FunctionType(NOTHING, [BYTE.as_pointer(), INT32, INT32, INT32])
            ask = cgutils.get_or_insert_function(b.module, kind, "llvm.prefetch.p0")

            def at(row, k):
                return b.add(b.load(b.gep(data, [b.add(row, INT64(k))])), arguments[2])

            def load(address):
                return b.load(b.inttoptr(address, wide), align=64)

            # Eight bits of a column are added into ones, twos and fours, and one carry of eight.
            r = [load(at(arguments[1], k)) for k in range(8)]
            for k in range(8):
                b.call(ask, [b.inttoptr(at(arguments[5], k), BYTE.as_pointer()), INT32(0), INT32(3), INT32(1)])
            places = [b.add(arguments[3], b.mul(arguments[4], INT64(k))) for k in range(total)]
            ones, twos, fours = (load(place) for place in places[:3])
            ones, a = _full(b, ones, r[0], r[1])
            ones, c = _full(b, ones, r[2], r[3])
            twos, four_a = _full(b, twos, a, c)
            ones, a = _full(b, ones, r[4], r[5])
            ones, c = _full(b, ones, r[6], r[7])
            twos, four_c = _full(b, twos, a, c)
            fours, carry = _full(b, fours, four_a, four_c)
            for place, value in zip(places, (ones, twos, fours), strict=False):
                b.store(value, b.inttoptr(place, wide), align=64)
            # The carry runs through the higher planes by half adders.
            for place in places[3:]:
                old = load(place)
                b.store(b.xor(old, carry), b.inttoptr(place, wide), align=64)
                carry = b.and_(old, carry)
            return context.get_dummy_value()

        signature = types.void(rows, types.intp, types.intp, types.intp, types.intp, types.intp)
        return signature, emit

    return add


# Planes enough for 15, 63 and 255 rows.
_add4 = _adder(4)
_add6 = _adder(6)
_add8 = _adder(8)


@intrinsic
def _spread64(typing, planes, stride, count, out):
    """Set 64 bytes at `out` to the sum over planes k of (bit of the plane) << k; planes `stride` bytes apart."""
    wide = ir.VectorType(BYTE, 64)
    mask_type = ir.VectorType(ir.IntType(1), 64)

    def emit(context, builder, signature, arguments):
        b = builder
        nothing = ir.Constant(wide, [0] * 64)
        unknown = ir.Constant(wide, ir.Undefined)
        total = cgutils.alloca_once(b, wide)
        weight = cgutils.alloca_once(b, BYTE)
        b.store(nothing, total)
        b.store(BYTE(1), weight)
        with cgutils.for_range(b, arguments[2]) as loop:
            address = b.add(arguments[0], b.mul(loop.index, arguments[1]))
            mask = b.bitcast(b.load(b.inttoptr(address, INT64.as_pointer())), mask_type)
            value = b.load(weight)
            single = b.insert_element(unknown, value, INT32(0))
            every = b.shuffle_vector(single, unknown, ir.Constant(ir.VectorType(INT32, 64), [0] * 64))
            b.store(b.add(b.load(total), b.select(mask, every, nothing)), total)
            b.store(b.shl(value, BYTE(1)), weight)
        b.store(b.load(total), b.inttoptr(arguments[3], wide.as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp, types.intp), emit


@compiled
def sum_rows(rows, first, last, low, high, planes, planes_at, counts_at, begin, end):
    """Write the column sums of some bit rows into bytes.

    Args:
        rows: int64 addresses, of which those from `first` to `last` count: at most 255, a multiple of 8. There must be
            24 more, which are asked for: what will be read next.
        low, high: the bytes of a row to sum, multiples of 64.
        planes: uint64 [8, words] scratch, at the address `planes_at`, aligned to 64 bytes.
        counts_at: address of the bytes; those of words `begin` to `end - 1`, 64 each, are written.
    """
    stride = planes.shape[1] * 8
    # Planes that hold the number of rows, and the next adder that has as many.
    count = 1
    while (1 << count) <= last - first:
        count += 1
    if count <= 4:
        total = 4
    elif count <= 6:
        total = 6
    else:
        total = 8
    for k in range(total):
        for w in range(low // 8, high // 8):
            planes[k, w] = 0
    # Eight rows at a time; those sixteen further on are prefetched.
    for g in range(first, last, 8):
        if total == 4:
            for o in range(low, high, 64):
                _add4(rows, g, o, planes_at + o, stride, g + 16)
        elif total == 6:
            for o in range(low, high, 64):
                _add6(rows, g, o, planes_at + o, stride, g + 16)
        else:
            for o in range(low, high, 64):
                _add8(rows, g, o, planes_at + o, stride, g + 16)
    # 64 columns of a word become 64 bytes.
    for w in range(begin, end):
        _spread64(planes_at + w * 8, stride, count, counts_at + w * 64)
