"""Rows of int8 added by AVX2, for processors without AVX-512 VNNI: pairs of rows, interleaved byte by byte.

Where counts are small `vpmaddubsw` multiplies 32 bytes and adds neighbours in int16. One operand is unsigned: weights
are made so by adding 128, and a sum then comes out larger by 128 times the sum of its counts. Otherwise bytes are
widened first, and `vpmaddwd` adds products of int16 in int32. Both are exact, and leave columns in their order.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ...tools.intrinsics import BYTE, INT32, INT64, processor_has
from .vnni import EIGHT_ROWS, columns_at, unpacked

SHORT = ir.IntType(16)
INDEX = ir.VectorType(INT32, 16)
BYTES = ir.VectorType(BYTE, 32)
PAIRS = ir.VectorType(SHORT, 16)
SUMS = ir.VectorType(INT32, 8)
FLIP = ir.Constant(BYTES, [-128] * 32)
# Sizes of eight counts may sum to this for `add_eight_small`: their products with 0 to 255 then fit 16 bits.
SMALL = 128


def has_avx2():
    """Return whether the code that numba makes may use AVX2."""
    return processor_has("avx2")


def _at(builder, address, offset, kind):
    return builder.inttoptr(builder.add(address, INT64(offset)), kind.as_pointer())


def _call(builder, name, result, a, b):
    kind = ir.FunctionType(result, [a.type, b.type])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [a, b])


def _counts(builder, words):
    """Return two counts each of two words as int8, side by side in every 16 bits."""
    found = []
    for word, shift in ((word, shift) for word in words for shift in (0, 16)):
        both = builder.trunc(builder.lshr(word, INT32(shift)), SHORT)
        first = builder.insert_element(ir.Constant(PAIRS, ir.Undefined), both, INT32(0))
        found.append(builder.bitcast(builder.shuffle_vector(first, first, ir.Constant(INDEX, [0] * 16)), BYTES))
    return found


def _half(builder, x, upper):
    """Return the lower or upper half of a vector."""
    n = x.type.count // 2
    return builder.shuffle_vector(x, x, ir.Constant(ir.VectorType(INT32, n), [*range(upper * n, (upper + 1) * n)]))


def _small(builder, pairs, counts):
    """Return sums of 16 columns as two vectors of eight."""
    products = [
        _call(builder, "llvm.x86.avx2.pmadd.ub.sw", PAIRS, pair, own) for pair, own in zip(pairs, counts, strict=True)
    ]
    total = products[0]
    for product in products[1:]:
        total = builder.add(total, product)
    return [builder.sext(_half(builder, total, upper), SUMS) for upper in (0, 1)]


def _wide(builder, pairs, counts):
    """Return sums as `_small`."""
    found = []
    for upper in (0, 1):
        total = ir.Constant(SUMS, [0] * 8)
        for pair, own in zip(pairs, counts, strict=True):
            words = [builder.sext(_half(builder, x, half), PAIRS) for x, half in ((pair, upper), (own, 0))]
            total = builder.add(total, _call(builder, "llvm.x86.avx2.pmadd.wd", SUMS, *words))
        found.append(total)
    return found


def _add(builder, addresses, words, sums, *, small):
    """Add 64 columns of the eight rows at `addresses` to the sums at an address."""
    counts = _counts(builder, words)
    multiply = _small if small else _wide
    for start in (0, 32):
        rows = [builder.load(_at(builder, address, start, BYTES), align=1) for address in addresses]
        if small:
            rows = [builder.xor(row, FLIP) for row in rows]
        for upper in (0, 1):
            pairs = [unpacked(builder, *rows[i : i + 2], 16, upper) for i in range(0, 8, 2)]
            for lane, total in enumerate(multiply(builder, pairs, counts)):
                place = _at(builder, sums, 4 * (start + 16 * lane + 8 * upper), SUMS)
                builder.store(builder.add(builder.load(place, align=4), total), place, align=4)


@intrinsic
def add_eight_small(typing, rows, column, first, second, sums):
    """Add 64 columns of eight rows, 128 added to each weight, times their counts, as `vnni.add_eight`.

    The sizes of the counts sum to `SMALL` at most.
    """

    def emit(context, builder, signature, arguments):
        rows, column, first, second, sums = arguments
        _add(builder, columns_at(builder, rows, column), (first, second), sums, small=True)
        return context.get_dummy_value()

    return types.void(EIGHT_ROWS, types.intp, types.int32, types.int32, types.intp), emit


@intrinsic
def add_eight_wide(typing, rows, column, first, second, sums):
    """Add 64 columns of eight rows, as they are, times any counts, as `vnni.add_eight`."""

    def emit(context, builder, signature, arguments):
        rows, column, first, second, sums = arguments
        _add(builder, columns_at(builder, rows, column), (first, second), sums, small=False)
        return context.get_dummy_value()

    return types.void(EIGHT_ROWS, types.intp, types.int32, types.int32, types.intp), emit
