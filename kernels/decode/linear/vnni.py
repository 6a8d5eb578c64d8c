"""Rows of int8 added by the dot products of AVX-512 VNNI: four rows, 64 columns, 256 products in four instructions.

`vpdpbusd` adds products of four unsigned and four signed bytes to an int32. Weights are made unsigned by adding 128, so
that a sum comes out larger by 128 times the sum of its counts, which `settled` takes away: exact in int32. The four
rows are interleaved byte by byte, which leaves the columns of a block of 64 in another order; `settled` restores it.

Of a batch nearly every row is active for some token. Rows are then interleaved once (`interleave`), and all of them
multiplied with the counts of all tokens, zeros among them (`multiply`).
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ...tools.intrinsics import processor_has

BLOCK = 64  # columns
BATCH = 16  # tokens of `multiply`
BYTE = ir.IntType(8)
INT32 = ir.IntType(32)
INT64 = ir.IntType(64)
BYTES = ir.VectorType(BYTE, 64)
PAIRS = ir.VectorType(ir.IntType(16), 32)
SUMS = ir.VectorType(INT32, 16)
EIGHT_ROWS = types.UniTuple(types.intp, 8)  # their addresses
FLIP = ir.Constant(BYTES, [-128] * 64)


def has_vnni():
    """Return whether the code that numba makes may use AVX-512 VNNI."""
    return processor_has("avx512f", "avx512bw", "avx512vnni")


def _at(builder, address, kind):
    return builder.inttoptr(address, kind.as_pointer())


def unpacked(builder, a, b, entries, upper):
    """Interleave the lower or upper halves of each 128 bits of two vectors, of so many entries in 128 bits."""
    total = a.type.count
    index = []
    for lane in range(0, total, entries):
        for i in range(lane + upper * entries // 2, lane + (upper + 1) * entries // 2):
            index += [i, total + i]
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(INT32, total), index))


def _interleaved(builder, rows):
    """Return four rows of 64 bytes as four vectors, each of 16 columns with four bytes of the rows."""
    halves = [
        [builder.bitcast(unpacked(builder, a, b, 16, upper), PAIRS) for a, b in (rows[:2], rows[2:])]
        for upper in (0, 1)
    ]
    return [unpacked(builder, *half, 8, upper) for half in halves for upper in (0, 1)]


def _dot(builder, sums, unsigned, signed):
    kind = ir.FunctionType(SUMS, [SUMS, BYTES, BYTES])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx512.vpdpbusd.512")
    return builder.call(function, [sums, builder.bitcast(unsigned, BYTES), builder.bitcast(signed, BYTES)])


def _spread(builder, word):
    first = builder.insert_element(ir.Constant(SUMS, ir.Undefined), word, INT32(0))
    return builder.shuffle_vector(first, first, ir.Constant(SUMS, [0] * 16))


def columns_at(builder, rows, column):
    """Return the addresses of a column of eight rows."""
    return [builder.add(row, column) for row in cgutils.unpack_tuple(builder, rows, EIGHT_ROWS.count)]


def _add(builder, addresses, words, sums):
    """Add 64 columns of rows at `addresses`, four for each word of counts, to the sums at an address."""
    rows = [builder.xor(builder.load(_at(builder, a, BYTES), align=1), FLIP) for a in addresses]
    groups = [(_interleaved(builder, rows[4 * i : 4 * i + 4]), _spread(builder, w)) for i, w in enumerate(words)]
    for j in range(4):
        place = _at(builder, builder.add(sums, INT64(64 * j)), SUMS)
        total = builder.load(place, align=4)
        for columns, counts in groups:
            total = _dot(builder, total, columns[j], counts)
        builder.store(total, place, align=4)


@intrinsic
def add_eight(typing, rows, column, first, second, sums):
    """Add 64 columns of eight rows times their counts, four int8 in each of two words, to int32 [64] at `sums`.

    Args:
        rows: addresses of the rows.
        column: the first of the 64.
    """

    def emit(context, builder, signature, arguments):
        rows, column, first, second, sums = arguments
        _add(builder, columns_at(builder, rows, column), (first, second), sums)
        return context.get_dummy_value()

    return types.void(EIGHT_ROWS, types.intp, types.int32, types.int32, types.intp), emit


@intrinsic
def interleave(typing, a, b, c, d, out, step):
    """Store 64 columns of four rows as `multiply` takes them, 16 columns at `out` and every `step` bytes behind it."""

    def emit(context, builder, signature, arguments):
        rows = [builder.xor(builder.load(_at(builder, each, BYTES), align=1), FLIP) for each in arguments[:4]]
        place = arguments[4]
        for columns in _interleaved(builder, rows):
            builder.store(builder.bitcast(columns, BYTES), _at(builder, place, BYTES), align=64)
            place = builder.add(place, arguments[5])
        return context.get_dummy_value()

    return types.void(*(types.intp,) * 6), emit


@intrinsic
def multiply(typing, weights, words, quads, sums, stride):
    """Add the products of 16 columns with the counts of `BATCH` tokens to their int32 sums.

    Args:
        weights: address of [quads, 64 bytes], see `interleave`.
        words: address of int32 [quads, BATCH], four counts of a token each.
        sums: address of the first token's; the next token's are `stride` bytes further.
    """

    def emit(context, builder, signature, arguments):
        weights, words, quads, sums, stride = arguments
        places = [_at(builder, builder.add(sums, builder.mul(stride, INT64(t))), SUMS) for t in range(BATCH)]
        entry = builder.block
        loop = builder.append_basic_block("quads")
        end = builder.append_basic_block("end")
        first = [builder.load(place, align=4) for place in places]
        builder.branch(loop)
        builder.position_at_end(loop)
        index = builder.phi(INT64)
        # The sums of all tokens stay in registers over the loop.
        totals = [builder.phi(SUMS) for _ in places]
        index.add_incoming(INT64(0), entry)
        offset = builder.mul(index, INT64(64))
        columns = builder.load(_at(builder, builder.add(weights, offset), BYTES), align=64)
        after = []
        for t, (total, before) in enumerate(zip(totals, first, strict=True)):
            total.add_incoming(before, entry)
            word = builder.load(_at(builder, builder.add(builder.add(words, offset), INT64(4 * t)), INT32), align=4)
            after.append(_dot(builder, total, columns, _spread(builder, word)))
            total.add_incoming(after[-1], loop)
        following = builder.add(index, INT64(1))
        index.add_incoming(following, loop)
        builder.cbranch(builder.icmp_signed("<", following, quads), loop, end)
        builder.position_at_end(end)
        for place, total in zip(places, after, strict=True):
            builder.store(total, place, align=4)
        return context.get_dummy_value()

    return types.void(*(types.intp,) * 5), emit


@intrinsic
def settled(typing, sums, excess):
    """Put the int32 [64] at `sums` into the order of their columns, less `excess`."""

    def emit(context, builder, signature, arguments):
        places = [_at(builder, builder.add(arguments[0], INT64(64 * j)), SUMS) for j in range(4)]
        found = [builder.load(place, align=4) for place in places]

        def interleaved(first):
            """Take fours in turn from neighbouring vectors, of their 8 columns from `first` on."""
            index = ir.Constant(SUMS, [16 * (i // 4 % 2) + first + i // 8 * 4 + i % 4 for i in range(16)])
            return [builder.shuffle_vector(found[j], found[j + 1], index) for j in (0, 2)]

        # What `unpacked` did to the rows is undone: it interleaves bytes within parts of 128 bits, not across them.
        pairs = interleaved(0)
        upper = interleaved(8)
        less = _spread(builder, arguments[1])
        for i, place in enumerate(places):
            a, b = pairs if i < 2 else upper
            half = 8 * (i % 2)
            index = [*range(half, half + 8), *range(16 + half, 24 + half)]
            ordered = builder.shuffle_vector(a, b, ir.Constant(SUMS, index))
            builder.store(builder.sub(ordered, less), place, align=4)
        return context.get_dummy_value()

    return types.void(types.intp, types.int32), emit
