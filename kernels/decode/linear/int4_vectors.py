"""Vector instructions that add int4 rows; `int4` has the layout of the weights and the operations.

The code is made by LLVM for 16 outputs a vector (AVX-512 VNNI) or 8 (AVX2): numba alone does not find these products.
"""

from __future__ import annotations

from typing import NamedTuple

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ...tools.intrinsics import BYTE as INT8
from ...tools.intrinsics import INT32, INT64
from .vnni import BATCH, unpacked

CHANNELS = 32  # of a block
STRIP = 128  # outputs that are added at once
BYTES = STRIP // 2  # of a strip of a row
MIDDLE = 8  # q of weight 0, where there is no m
LANE = 16  # bytes within which vectors are interleaved
AHEAD_QUADS = 8  # of rows that are fetched ahead of time: 4 and 16 took as long
FLOAT32 = ir.FloatType()
HALF = ir.HalfType()


class Quads(NamedTuple):
    """Active channels of a token by blocks, in fours; see `int4.list_quads`, which fills the lists.

    Attributes:
        blocks: their number.
        first: address of the first four of each block, and the end, int32 [blocks + 1].
        totals: address of the sum of each block's counts, int32 [blocks].
        words: address of four counts a word.
        offsets: address of the bytes from the first row to those of the fours.
    """

    blocks: int
    first: int
    totals: int
    words: int
    offsets: int


def _pointer(builder, address, kind):
    return builder.inttoptr(address, kind.as_pointer())


def _splat(builder, value, lanes):
    kind = ir.VectorType(value.type, lanes)
    first = builder.insert_element(ir.Constant(kind, ir.Undefined), value, INT32(0))
    return builder.shuffle_vector(first, first, ir.Constant(ir.VectorType(INT32, lanes), [0] * lanes))


def _interleaved(builder, rows):
    """Return four vectors of bytes interleaved: four vectors, each with the bytes 4 by 4 of every 16 of the rows."""
    pairs = ir.VectorType(ir.IntType(16), rows[0].type.count // 2)
    halves = [
        [builder.bitcast(unpacked(builder, a, b, LANE, upper), pairs) for a, b in (rows[:2], rows[2:])]
        for upper in (0, 1)
    ]
    return [unpacked(builder, *half, LANE // 2, upper) for half in halves for upper in (0, 1)]


def _call(builder, name, result, *values):
    kind = ir.FunctionType(result, [value.type for value in values])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), values)


def _dot(builder, sums, unsigned, signed):
    """Add products of four unsigned and four signed bytes to each int32 of sums; unsigned bytes are at most 15."""
    if sums.type.count == 16:
        return _call(builder, "llvm.x86.avx512.vpdpbusd.512", sums.type, sums, unsigned, signed)
    # Sums of two products are at most 2 * 15 * 128: they fit the 16 bits of `vpmaddubsw`.
    shorts = ir.VectorType(ir.IntType(16), 16)
    pairs = _call(builder, "llvm.x86.avx2.pmadd.ub.sw", shorts, unsigned, signed)
    fours = _call(builder, "llvm.x86.avx2.pmadd.wd", sums.type, pairs, ir.Constant(shorts, [1] * 16))
    return builder.add(sums, fours)


def _prefetch(builder, address):
    pointer = _pointer(builder, address, INT8)
    nothing = ir.FunctionType(ir.VoidType(), [pointer.type, INT32, INT32, INT32])
    function = cgutils.get_or_insert_function(builder.module, nothing, "llvm.prefetch.p0")
    builder.call(function, [pointer, INT32(0), INT32(2), INT32(1)])


class RowAdder:
    """Code that adds the rows of some strips for a token.

    Attributes:
        lanes: outputs of a vector: 16 with AVX-512, 8 with AVX2, which takes each strip in halves.
    """

    def __init__(self, builder, lanes, has_minima):
        self.builder = builder
        self.lanes = lanes
        self.has_minima = has_minima
        self.bytes = ir.VectorType(INT8, 4 * lanes)
        self.words = ir.VectorType(INT32, lanes)
        self.floats = ir.VectorType(FLOAT32, lanes)
        self.halves = ir.VectorType(HALF, lanes)

    def emit(self, rows, stride, quads, begin, end, out):
        """Add the rows of the strips `begin` to `end` to float32 sums at `out`; the types are those of `row_adder`."""
        builder = self.builder
        steps_in_block = builder.mul(stride, INT64(CHANNELS // 2))
        self.minima_behind = builder.mul(stride, INT64(2))
        block_size = builder.add(steps_in_block, builder.mul(self.minima_behind, INT64(1 + self.has_minima)))
        # Variables in memory, which LLVM turns into registers.
        self.sums = [cgutils.alloca_once(builder, self.words) for _ in range(8)]
        with cgutils.for_range(builder, quads.blocks) as block:
            number = builder.mul(block.index, INT64(4))
            total = self._load(builder.add(quads.totals, number), INT32)
            first = builder.sext(self._load(builder.add(quads.first, number), INT32), INT64)
            behind = builder.sext(self._load(builder.add(quads.first, number), INT32, 4), INT64)
            # Weights are q - 8 but q is stored: 8 times the sum of the counts is taken off before the sums begin.
            start = _splat(builder, builder.mul(total, INT32(0 if self.has_minima else -MIDDLE)), self.lanes)
            counted = _splat(builder, builder.sitofp(total, FLOAT32), self.lanes)
            steps = builder.add(rows, builder.add(builder.mul(block.index, block_size), steps_in_block))
            with cgutils.for_range_slice(builder, begin, end, INT64(1)) as (strip, _):
                own_rows = builder.add(rows, builder.mul(strip, INT64(BYTES)))
                own_steps = builder.add(steps, builder.mul(strip, INT64(2 * STRIP)))
                own_out = builder.add(out, builder.mul(strip, INT64(4 * STRIP)))
                for half in range(16 // self.lanes):
                    self._sum(own_rows, quads, (first, behind), start, half)
                    self._scale(own_steps, counted, own_out, half)

    def emit_four(self, rows, size, out, group):
        """Store a strip of four rows, `size` bytes apart, for `emit_batch`: 16 outputs at `out`, and every `group`
        bytes behind it."""
        builder = self.builder
        four = [self._load(builder.add(rows, builder.mul(size, INT64(i))), self.bytes) for i in range(4)]
        for j, parts in enumerate(self._halves(four)):
            for half, q in enumerate(parts):
                place = builder.add(out, builder.mul(group, INT64(4 * half + j)))
                builder.store(q, _pointer(builder, place, self.bytes), align=64)

    def emit_batch(self, weights, words, totals, steps, stride, out, step):
        """Add 16 outputs of a block for a group of tokens to float32 sums, `step` bytes from one token to the next.

        The block's counts are multiplied, zeros among them; `totals` int32 [tokens] are their sums.
        """
        builder = self.builder
        counted = [self._load(totals, INT32, 4 * t) for t in range(BATCH)]
        # As in `emit`: q - 8 is multiplied as q, and 8 times the sum of the counts is taken off.
        middle = INT32(0 if self.has_minima else -MIDDLE)
        sums = [_splat(builder, builder.mul(total, middle), self.lanes) for total in counted]
        for quad in range(CHANNELS // 4):
            q = self._load(weights, self.bytes, 64 * quad)
            for t in range(BATCH):
                word = self._load(words, INT32, 4 * (BATCH * quad + t))
                counts = builder.bitcast(_splat(builder, word, self.lanes), self.bytes)
                sums[t] = _dot(builder, sums[t], q, counts)
        step_of = builder.fpext(self._load(steps, self.halves), self.floats)
        minimum = None
        if self.has_minima:
            minima = builder.add(steps, builder.mul(stride, INT64(2)))
            minimum = builder.fpext(self._load(minima, self.halves), self.floats)
        for t in range(BATCH):
            place = builder.add(out, builder.mul(step, INT64(t)))
            product = builder.fmul(builder.sitofp(sums[t], self.floats), step_of)
            after = builder.fadd(self._load(place, self.floats), product)
            if self.has_minima:
                total = _splat(builder, builder.sitofp(counted[t], FLOAT32), self.lanes)
                after = builder.fadd(after, builder.fmul(minimum, total))
            builder.store(after, _pointer(builder, place, self.floats), align=4)

    def _load(self, address, kind, offset=0):
        place = self.builder.add(address, INT64(offset))
        return self.builder.load(_pointer(self.builder, place, kind), align=1)

    def _sum(self, rows, quads, span, start, half):
        """Set the sums of a block to `start`, and add the rows of a strip, of the fours from the first up to an end."""
        builder = self.builder
        for place in self.sums:
            builder.store(start, place)
        with cgutils.for_range_slice(builder, *span, INT64(1)) as (quad, _):
            self._add_quad(rows, quads, quad, half)

    def _add_quad(self, rows, quads, quad, half):
        """Add four rows of a strip, times their counts, to the sums of a block."""
        builder = self.builder
        at = builder.add(quads.offsets, builder.mul(quad, INT64(16)))
        four = []
        for i in range(4):
            row = builder.add(rows, builder.sext(self._load(at, INT32, 4 * i), INT64))
            four.append(self._load(row, self.bytes, 32 * half))
            if not half:
                later = self._load(at, INT32, 16 * AHEAD_QUADS + 4 * i)
                _prefetch(builder, builder.add(rows, builder.sext(later, INT64)))
        counts = _splat(builder, self._load(builder.add(quads.words, builder.mul(quad, INT64(4))), INT32), self.lanes)
        counts = builder.bitcast(counts, self.bytes)
        for j, parts in enumerate(self._halves(four)):
            for place, q in zip((self.sums[j], self.sums[4 + j]), parts, strict=True):
                builder.store(_dot(builder, builder.load(place), q, counts), place)

    def _halves(self, four):
        """Yield four vectors of outputs, the low and the high halves of their bytes, of a strip of four rows."""
        builder = self.builder
        mask = ir.Constant(self.words, [0x0F0F0F0F] * self.lanes)
        shift = ir.Constant(self.words, [4] * self.lanes)
        for each in _interleaved(builder, four):
            packed = builder.bitcast(each, self.words)
            low = builder.and_(packed, mask)
            high = builder.and_(builder.lshr(packed, shift), mask)
            yield builder.bitcast(low, self.bytes), builder.bitcast(high, self.bytes)

    def _scale(self, steps, counted, out, half):
        """Add the sums of a block times their steps to outputs, and the minima times the sum of counts."""
        builder = self.builder
        for j in range(8):
            behind = 16 * j + 8 * half
            step = builder.fpext(self._load(steps, self.halves, 2 * behind), self.floats)
            product = builder.fmul(builder.sitofp(builder.load(self.sums[j]), self.floats), step)
            after = builder.fadd(self._load(out, self.floats, 4 * behind), product)
            if self.has_minima:
                minima = builder.add(steps, self.minima_behind)
                minimum = builder.fpext(self._load(minima, self.halves, 2 * behind), self.floats)
                after = builder.fadd(after, builder.fmul(minimum, counted))
            builder.store(after, _pointer(builder, builder.add(out, INT64(4 * behind)), self.floats), align=4)


def row_adder(lanes, has_minima):
    """Return the intrinsic that adds the rows of some strips, with vectors of so many outputs."""
    quads_type = types.NamedUniTuple(types.intp, len(Quads._fields), Quads)

    @intrinsic
    def add(typing, rows, stride, quads, begin, end, out):
        def emit(context, builder, signature, arguments):
            rows, stride, quads, begin, end, out = arguments
            lists = Quads(*cgutils.unpack_tuple(builder, quads, len(Quads._fields)))
            RowAdder(builder, lanes, has_minima).emit(rows, stride, lists, begin, end, out)
            return context.get_dummy_value()

        return types.void(types.intp, types.intp, quads_type, types.intp, types.intp, types.intp), emit

    return add


add_vnni = row_adder(16, False)
add_vnni_minima = row_adder(16, True)
add_avx2 = row_adder(8, False)
add_avx2_minima = row_adder(8, True)


@intrinsic
def unpack_four(typing, rows, size, out, group):
    def emit(context, builder, signature, arguments):
        RowAdder(builder, 16, False).emit_four(*arguments)
        return context.get_dummy_value()

    return types.void(*(types.intp,) * 4), emit


def batch_multiplier(has_minima):
    """Return the intrinsic of `RowAdder.emit_batch`."""

    @intrinsic
    def multiply(typing, weights, words, totals, steps, stride, out, step):
        def emit(context, builder, signature, arguments):
            RowAdder(builder, 16, has_minima).emit_batch(*arguments)
            return context.get_dummy_value()

        return types.void(*(types.intp,) * 7), emit

    return multiply


multiply_batch = batch_multiplier(False)
multiply_batch_minima = batch_multiplier(True)


@intrinsic
def float_of(typing, bits):
    """Return the float32 of these bits."""

    def emit(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], FLOAT32)

    return types.float32(types.uint32), emit
