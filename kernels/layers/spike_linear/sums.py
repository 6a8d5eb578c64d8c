"""Sums of rows that a list selects, term by term in its order."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ...tools.compiled import compiled

# Columns that are summed at once, and at once behind the last block.
BLOCK = 64
PART = 16


@intrinsic
def add_block(typing, target, source, stride, units, count):
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
    """Add as `add_block`, `size` float32 of at most `PART`; those behind are neither read nor written."""
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
        add_block(row.ctypes.data + 4 * n, source.ctypes.data + 4 * n, stride, chosen, units.size)
    for n in range(whole, row.size, PART):
        size = min(PART, row.size - n)
        _add_part(row.ctypes.data + 4 * n, source.ctypes.data + 4 * n, stride, chosen, units.size, size)


@compiled
def add_weighted(source, units, values, row):
    for k in range(units.size):
        a = source[units[k]]
        value = values[k]
        for n in range(row.size):
            row[n] += value * a[n]
