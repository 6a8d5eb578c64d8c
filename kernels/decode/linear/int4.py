"""Linear layers of a decoder with int4 weights: blocks of 32 channels of an output share a step, as in GGUF files.

A weight is d (q - 8), or d q + m; q has 4 bits, d and m are float16, one for 32 channels of an output. The counts of a
block's active channels select rows of q, whose sums are integers:

    y[n] = sum over blocks b of d[n, b] (sum of s_k q[n, k] over k in b) + m[n, b] (sum of s_k over k in b)

The outer sum is float32, in the order of the blocks, each product and each sum rounded: every form gives the same bits.

Weights lie block after block: 32 rows, in which the outputs of a strip of 128 take 64 bytes, then d and m of all
outputs. The bytes of a strip are ordered so that outputs come out in their order, see `COLUMNS`. Strips apart, each
with its blocks behind each other, were read more slowly: 95 us in place of 80 for 1,024 x 4,096 weights of which .4
are active, one thread of an Intel Xeon (family 6, model 167), where int8 rows take 98.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import float32, int32, int64, njit, types, uint32
from numba.core import cgutils
from numba.extending import intrinsic, register_jitable

from ...tools.compiled import compiled
from ...tools.intrinsics import BYTE as INT8
from ...tools.intrinsics import INT32, INT64, prefetch_second
from ...tools.pointers import matrix, vector
from ..program import BYTE, FLAG, FLOAT, LONG, WORD, operation
from .avx2 import has_avx2
from .encode import AHEAD, ESCAPES, HEAD, LIST, NUMBER
from .product import BEFORE, BIAS, FIRST, OUT, OUTPUTS, PART, WIDTH, groups_of, spread_counts
from .vnni import BATCH, has_vnni, unpacked

CHANNELS = 32  # of a block
STRIP = 128  # outputs that are added at once
BYTES = STRIP // 2  # of a strip of a row
UNPACKED = STRIP * CHANNELS  # bytes of a strip of a block as `emit_batch` takes it
MIDDLE = 8  # q of weight 0, where there is no m
LANE = 16  # bytes within which vectors are interleaved
AHEAD_QUADS = 8  # of rows that are fetched ahead of time: 4 and 16 took as long
# Strips whose rows, of a thousand channels, stay in the second cache while the tokens of a batch pass over them.
TOGETHER = 4
# Times that a row must be active among `BATCH` tokens, in the mean, for all rows to be multiplied. For 16 tokens and
# 1,024 x 4,096 weights that takes 620 us; the listed rows 566 at .3 of the channels, 641 at .4 and 1,455 at .9.
MANY = 5
# Output of the low half of each byte of a strip; the high half is the output 64 behind it. Four rows are interleaved
# byte by byte, which leaves bytes 4 by 4 of each 16 in a vector of their own.
COLUMNS = np.array([16 * (byte % LANE // 4) + byte // LANE * 4 + byte % 4 for byte in range(BYTES)])
VNNI, AVX2, PLAIN = range(3)
FLOAT32 = ir.FloatType()
HALF = ir.HalfType()
OPERANDS = f"rows stride size tokens {LIST} has_levels has_minima parts part_count sums quads list_size spare?"


@register_jitable
def block_bytes(stride, has_minima):
    """Return the bytes of a block of `stride` outputs, a multiple of 128: rows, d, and m where there are minima."""
    return CHANNELS * stride // 2 + 2 * stride * (1 + has_minima)


def pack(q, steps, minima, out):
    """Fill `out`, uint8 [K / 32, `block_bytes`], with int4 weights as the operations read them.

    Args:
        q: uint8 [N, K] of 0 to 15; K is a multiple of 32, N of 128.
        steps, minima: float16 [N, K / 32]; minima may be None.
    """
    outputs, channels = q.shape
    blocks = channels // CHANNELS
    strips = q.reshape(outputs // STRIP, STRIP, channels)
    halves = strips[:, COLUMNS] | strips[:, BYTES + COLUMNS] << 4
    end = CHANNELS * outputs // 2
    out[:, :end] = halves.transpose(2, 0, 1).reshape(blocks, end)
    for each in (steps, minima):
        if each is not None:
            begin = end
            end += 2 * outputs
            out[:, begin:end] = np.ascontiguousarray(each.T).view(np.uint8)


def list_size(size):
    """Return the int32 entries of the quads of a token, see `list_quads`; with room for the sums of a strip."""
    blocks = size // CHANNELS
    return 2 * blocks + 1 + 5 * (CHANNELS // 4 * blocks) + 4 * AHEAD_QUADS + STRIP


@njit(inline="always")
def _parts_of(place, size):
    """Return addresses in the quads of a token: first quads [blocks + 1], sums of counts, counts, offsets."""
    blocks = size // CHANNELS
    totals = place + 4 * (blocks + 1)
    words = totals + 4 * blocks
    return totals, words, words + 4 * (CHANNELS // 4 * blocks)


@compiled
def list_quads(channels, counts, number, size, stride, has_minima, place):
    """List the active channels of a token by blocks, in fours, the last four of a block filled up with counts of 0.

    Args:
        channels, counts: of the list, see `encode`, ascending.
        number: of listed channels.
        size: of all channels, a multiple of 32.
        stride: outputs of a row.
        place: address of int32 [`list_size`] that is filled: the first four of each block, and the end; the sum of each
            block's counts; four counts a word; then the bytes from the first row to those of the fours.
    """
    blocks = size // CHANNELS
    block = block_bytes(stride, has_minima)
    totals_at, words_at, offsets_at = _parts_of(place, size)
    first = vector(place, blocks + 1, WORD)
    totals = vector(totals_at, blocks, WORD)
    bytes_of = vector(words_at, CHANNELS * blocks, BYTE)
    offsets = vector(offsets_at, CHANNELS * blocks + 4 * AHEAD_QUADS, WORD)
    at = 0
    j = 0
    for b in range(blocks):
        first[b] = at // 4
        total = 0
        end = (b + 1) * CHANNELS
        while j < number and channels[j] < end:
            offsets[at] = b * block + (channels[j] - b * CHANNELS) * (stride // 2)
            bytes_of[at] = counts[j]
            total += counts[j]
            at += 1
            j += 1
        totals[b] = total
        while at % 4 != 0:
            offsets[at] = offsets[at - 1]
            bytes_of[at] = 0
            at += 1
    first[blocks] = at // 4
    offsets[at : at + 4 * AHEAD_QUADS] = 0


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


class _Adder:
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

    def emit(self, rows, stride, first, totals, words, offsets, blocks, begin, end, out):
        builder = self.builder
        steps_in_block = builder.mul(stride, INT64(CHANNELS // 2))
        self.minima_behind = builder.mul(stride, INT64(2))
        block_size = builder.add(steps_in_block, builder.mul(self.minima_behind, INT64(1 + self.has_minima)))
        # Variables in memory, which LLVM turns into registers.
        sums = [cgutils.alloca_once(builder, self.words) for _ in range(8)]
        with cgutils.for_range(builder, blocks) as block:
            number = builder.mul(block.index, INT64(4))
            total = self._load(builder.add(totals, number), INT32)
            first_quad = builder.sext(self._load(builder.add(first, number), INT32), INT64)
            end_quad = builder.sext(self._load(builder.add(first, number), INT32, 4), INT64)
            start = _splat(builder, builder.mul(total, INT32(0 if self.has_minima else -MIDDLE)), self.lanes)
            counted = _splat(builder, builder.sitofp(total, FLOAT32), self.lanes)
            steps = builder.add(rows, builder.add(builder.mul(block.index, block_size), steps_in_block))
            with cgutils.for_range_slice(builder, begin, end, INT64(1)) as (strip, _):
                for half in range(16 // self.lanes):
                    for place in sums:
                        builder.store(start, place)
                    here = builder.add(rows, builder.mul(strip, INT64(BYTES)))
                    with cgutils.for_range_slice(builder, first_quad, end_quad, INT64(1)) as (quad, _):
                        self._add_quad(here, words, offsets, quad, sums, half)
                    own_steps = builder.add(steps, builder.mul(strip, INT64(2 * STRIP)))
                    own_out = builder.add(out, builder.mul(strip, INT64(4 * STRIP)))
                    self._scale(own_steps, counted, sums, own_out, half)

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

    def _add_quad(self, rows, words, offsets, quad, sums, half):
        """Add four rows of a strip, times their counts, to the sums of a block."""
        builder = self.builder
        at = builder.add(offsets, builder.mul(quad, INT64(16)))
        four = []
        for i in range(4):
            row = builder.add(rows, builder.sext(self._load(at, INT32, 4 * i), INT64))
            four.append(self._load(row, self.bytes, 32 * half))
            if not half:
                later = self._load(at, INT32, 16 * AHEAD_QUADS + 4 * i)
                _prefetch(builder, builder.add(rows, builder.sext(later, INT64)))
        counts = _splat(builder, self._load(builder.add(words, builder.mul(quad, INT64(4))), INT32), self.lanes)
        counts = builder.bitcast(counts, self.bytes)
        for j, parts in enumerate(self._halves(four)):
            for place, q in zip((sums[j], sums[4 + j]), parts, strict=True):
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

    def _scale(self, steps, counted, sums, out, half):
        """Add the sums of a block times their steps to outputs, and the minima times the sum of counts."""
        builder = self.builder
        for j in range(8):
            behind = 16 * j + 8 * half
            step = builder.fpext(self._load(steps, self.halves, 2 * behind), self.floats)
            product = builder.fmul(builder.sitofp(builder.load(sums[j]), self.floats), step)
            after = builder.fadd(self._load(out, self.floats, 4 * behind), product)
            if self.has_minima:
                minima = builder.add(steps, self.minima_behind)
                minimum = builder.fpext(self._load(minima, self.halves, 2 * behind), self.floats)
                after = builder.fadd(after, builder.fmul(minimum, counted))
            builder.store(after, _pointer(builder, builder.add(out, INT64(4 * behind)), self.floats), align=4)


def _adder(lanes, has_minima):
    """Return the intrinsic that adds the rows of some strips, with vectors of so many outputs."""

    @intrinsic
    def add(typing, rows, stride, first, totals, words, offsets, blocks, begin, end, out):
        def emit(context, builder, signature, arguments):
            _Adder(builder, lanes, has_minima).emit(*arguments)
            return context.get_dummy_value()

        return types.void(*(types.intp,) * 10), emit

    return add


_add_vnni = _adder(16, False)
_add_vnni_minima = _adder(16, True)
_add_avx2 = _adder(8, False)
_add_avx2_minima = _adder(8, True)


@intrinsic
def _unpack_four(typing, rows, size, out, group):
    def emit(context, builder, signature, arguments):
        _Adder(builder, 16, False).emit_four(*arguments)
        return context.get_dummy_value()

    return types.void(*(types.intp,) * 4), emit


def _multiplier(has_minima):
    """Return the intrinsic of `_Adder.emit_batch`."""

    @intrinsic
    def multiply(typing, weights, words, totals, steps, stride, out, step):
        def emit(context, builder, signature, arguments):
            _Adder(builder, 16, has_minima).emit_batch(*arguments)
            return context.get_dummy_value()

        return types.void(*(types.intp,) * 7), emit

    return multiply


_multiply = _multiplier(False)
_multiply_minima = _multiplier(True)


def batch_size(size, tokens):
    """Return the bytes that a thread needs to multiply all of `size` rows for tokens."""
    return UNPACKED + BATCH * groups_of(tokens) * (size + 4 * (size // CHANNELS))


@compiled
def spread_blocks(channels, counts, heads, size, words, totals):
    """Fill the counts of tokens as `product.spread_counts`, and int32 [groups, blocks, BATCH] with their sums."""
    spread_counts(channels, counts, heads, size, words)
    blocks = size // CHANNELS
    sums = vector(totals, groups_of(len(channels)) * blocks * BATCH, WORD)
    sums[:] = 0
    for i in range(len(channels)):
        first = i // BATCH * blocks
        for j in range(heads[i, NUMBER]):
            sums[(first + channels[i, j] // CHANNELS) * BATCH + i % BATCH] += counts[i, j]


@compiled
def add_all_strips_vnni(rows, stride, size, has_minima, words, totals, groups, spare, begin, end, out):
    """Add all rows of strips `begin` to `end`, for groups of tokens, to float32 [groups, BATCH, stride] at `out`.

    A strip of a block is unpacked once for all groups. Sums are the bits of `add_strips_vnni`.

    Args:
        words, totals: of `spread_blocks`.
        spare: address of `UNPACKED` bytes, at a cache line.
    """
    blocks = size // CHANNELS
    block = block_bytes(stride, has_minima)
    half = stride // 2
    for start in range(begin, end, TOGETHER):
        for b in range(blocks):
            place = rows + b * block
            steps = place + CHANNELS * half
            for strip in range(start, min(start + TOGETHER, end)):
                for quad in range(CHANNELS // 4):
                    row = place + 4 * quad * half + BYTES * strip
                    for i in range(4):
                        prefetch_second(row + i * half + block)
                    _unpack_four(row, half, spare + 64 * quad, 64 * (CHANNELS // 4))
                for group in range(groups):
                    own = words + 4 * BATCH * (group * blocks + b) * (CHANNELS // 4)
                    total = totals + 4 * BATCH * (group * blocks + b)
                    for n in range(STRIP // 16):
                        column = STRIP * strip + 16 * n
                        weights = spare + 64 * (CHANNELS // 4) * n
                        target = out + 4 * (group * BATCH * stride + column)
                        if has_minima:
                            _multiply_minima(weights, own, total, steps + 2 * column, stride, target, 4 * stride)
                        else:
                            _multiply(weights, own, total, steps + 2 * column, stride, target, 4 * stride)


@compiled
def add_strips_vnni(rows, stride, size, has_minima, quads, begin, end, out):
    """Add the rows of strips `begin` to `end` for a token to float32 [stride] at `out`.

    Args:
        rows: address of `pack`, of `stride` outputs and `size` channels.
        quads: address of the lists of `list_quads`.
    """
    totals, words, offsets = _parts_of(quads, size)
    blocks = size // CHANNELS
    if has_minima:
        _add_vnni_minima(rows, stride, quads, totals, words, offsets, blocks, begin, end, out)
    else:
        _add_vnni(rows, stride, quads, totals, words, offsets, blocks, begin, end, out)


@compiled
def add_strips_avx2(rows, stride, size, has_minima, quads, begin, end, out):
    """Add the rows of strips as `add_strips_vnni`."""
    totals, words, offsets = _parts_of(quads, size)
    blocks = size // CHANNELS
    if has_minima:
        _add_avx2_minima(rows, stride, quads, totals, words, offsets, blocks, begin, end, out)
    else:
        _add_avx2(rows, stride, quads, totals, words, offsets, blocks, begin, end, out)


@njit(inline="always")
def _widened(bits):
    """Return the float32 of a finite float16, by its bits; there are no denormals on the way, which may be zeros."""
    exponent = bits & uint32(0x7C00)
    wide = (bits & uint32(0x7FFF)) << uint32(13)
    value = _float_of(wide + uint32(112 << 23))
    if exponent == 0:
        value = _float_of(wide + uint32(113 << 23)) - float32(2.0**-14)
    return -value if bits & uint32(0x8000) else value


@intrinsic
def _float_of(typing, bits):
    """Return the float32 of these bits."""

    def emit(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], FLOAT32)

    return types.float32(types.uint32), emit


@njit(inline="always")
def _half_at(place):
    """Return the float16 at an address as float32."""
    both = vector(place, 2, FLAG)
    return _widened(uint32(both[0]) | uint32(both[1]) << uint32(8))


@compiled
def add_strips_plain(rows, stride, size, has_minima, quads, begin, end, out):
    """Add the rows of strips as `add_strips_vnni`."""
    totals_at, words, offsets_at = _parts_of(quads, size)
    blocks = size // CHANNELS
    block = block_bytes(stride, has_minima)
    first = vector(quads, blocks + 1, WORD)
    totals = vector(totals_at, blocks, WORD)
    counts = vector(words, CHANNELS * blocks, BYTE)
    offsets = vector(offsets_at, CHANNELS * blocks, WORD)
    # Behind the list, see `list_size`.
    low = vector(offsets_at + 4 * (CHANNELS * blocks + 4 * AHEAD_QUADS), BYTES, WORD)
    high = vector(low.ctypes.data + 4 * BYTES, BYTES, WORD)
    for b in range(blocks):
        steps = rows + b * block + CHANNELS * stride // 2
        for strip in range(begin, end):
            y = vector(out + 4 * STRIP * strip, STRIP, FLOAT)
            start = 0 if has_minima else -MIDDLE * totals[b]
            low[:] = start
            high[:] = start
            for j in range(4 * first[b], 4 * first[b + 1]):
                row = vector(rows + offsets[j] + BYTES * strip, BYTES, FLAG)
                count = int32(counts[j])
                for n in range(BYTES):
                    low[n] += count * int32(row[n] & 15)
                    high[n] += count * int32(row[n] >> 4)
            for n in range(BYTES):
                for output, total in ((COLUMNS[n], low[n]), (BYTES + COLUMNS[n], high[n])):
                    place = steps + 2 * (STRIP * strip + output)
                    y[output] += float32(total) * _half_at(place)
                    if has_minima:
                        y[output] += float32(totals[b]) * _half_at(place + 2 * stride)


@njit(inline="always")
def _weight(rows, stride, has_minima, channel, output):
    """Return a weight as float32."""
    column = output % BYTES
    # The byte of a column: `COLUMNS`, the other way round.
    byte = column % 16 // 4 * LANE + column // 16 * 4 + column % 4
    block = rows + channel // CHANNELS * block_bytes(stride, has_minima)
    place = block + channel % CHANNELS * (stride // 2) + output // STRIP * BYTES + byte
    both = int64(vector(place, 1, FLAG)[0])
    q = both >> 4 if output % STRIP >= BYTES else both & 15
    steps = block + CHANNELS * stride // 2 + 2 * output
    if has_minima:
        return float32(q) * _half_at(steps) + _half_at(steps + 2 * stride)
    return float32(q - MIDDLE) * _half_at(steps)


@njit(inline="always")
def _listed_rows(p, channels, counts, heads, has_minima, begin, end, form):
    """Add the listed rows of strips for each token on its own."""
    stride = p.stride
    list_bytes = 4 * p.list_size
    for i in range(p.tokens):
        list_quads(channels[i], counts[i], heads[i, NUMBER], p.size, stride, has_minima, p.quads + i * list_bytes)
    strips = TOGETHER if p.tokens > 1 else end - begin
    for start in range(begin, end, strips):
        last = min(start + strips, end)
        for i in range(p.tokens):
            quads = p.quads + i * list_bytes
            out = p.sums + 4 * i * stride
            if form == VNNI:
                add_strips_vnni(p.rows, stride, p.size, has_minima, quads, start, last, out)
            elif form == AVX2:
                add_strips_avx2(p.rows, stride, p.size, has_minima, quads, start, last, out)
            else:
                add_strips_plain(p.rows, stride, p.size, has_minima, quads, start, last, out)


@njit(inline="always")
def _block_rows(p, begin, end, form):
    """Add the int4 rows of the listed channels, see `encode`: those of layers that read the same list.

    Operands: `rows` of `pack`, of `stride` outputs; `has_levels`: tokens have levels; `parts`, the layers' columns, see
    `product.PART`; `sums` float32 [tokens, stride]; `quads`, int32 [tokens, list_size] for this thread; `spare`,
    `batch_size` bytes for this thread: there are then sums of whole groups of tokens. Parts are strips.
    """
    stride = p.stride
    tokens = p.tokens
    size = p.size
    has_minima = p.has_minima != 0
    room = -(-size // 8) * 8 + AHEAD
    channels = matrix(p.channels, tokens, room, WORD)
    counts = matrix(p.counts, tokens, room, BYTE)
    heads = matrix(p.head, tokens, HEAD, LONG)
    level = vector(p.level, tokens, FLOAT)
    escaped = matrix(p.escaped, tokens, size, WORD)
    excess = matrix(p.excess, tokens, size, WORD)
    parts = matrix(p.parts, p.part_count, PART, LONG)
    groups = groups_of(tokens) if p.spare else 0
    sums = matrix(p.sums, max(groups * BATCH, tokens), stride, FLOAT)
    sums[:, begin * STRIP : end * STRIP] = 0
    active = 0
    for i in range(tokens):
        active += heads[i, NUMBER]
    if form == VNNI and groups and active >= MANY * groups * size:
        words = p.spare + UNPACKED
        totals = words + BATCH * groups * size
        spread_blocks(channels, counts, heads, size, words, totals)
        add_all_strips_vnni(
            p.rows, stride, size, has_minima, words, totals, groups, p.spare, begin, end, sums.ctypes.data
        )
    elif begin < end:
        _listed_rows(p, channels, counts, heads, has_minima, begin, end, form)
    for n in range(p.part_count):
        part = parts[n]
        first = max(part[FIRST], begin * STRIP)
        columns = min(part[FIRST] + part[OUTPUTS], end * STRIP) - first
        if columns <= 0:
            continue
        # Addresses are those of the part's first column, of which this thread may begin later.
        behind = 4 * (first - part[FIRST])
        bias = vector(part[BIAS] + behind, columns if part[BIAS] else 0, FLOAT)
        for i in range(tokens):
            total = sums[i, first : first + columns]
            for e in range(heads[i, ESCAPES]):
                for j in range(columns):
                    weight = _weight(p.rows, stride, has_minima, escaped[i, e], first + j)
                    total[j] += float32(excess[i, e]) * weight
            place = behind + 4 * i * part[WIDTH]
            before = vector(part[BEFORE] + place, columns if part[BEFORE] else 0, FLOAT)
            own = level[i] if p.has_levels else float32(1)
            _finish(total, own, bias, before, vector(part[OUT] + place, columns, FLOAT))


# Called, not inlined: a loop over so few arrays becomes vector instructions.
@compiled
def _finish(total, level, bias, before, out):
    for j in range(out.size):
        out[j] = total[j] * level
    if bias.size:
        for j in range(out.size):
            out[j] = bias[j] + out[j]
    if before.size:
        for j in range(out.size):
            out[j] = before[j] + out[j]


@operation(OPERANDS)
def block_rows_vnni(p, context, begin, end):
    _block_rows(p, begin, end, VNNI)


@operation(OPERANDS)
def block_rows_avx2(p, context, begin, end):
    _block_rows(p, begin, end, AVX2)


@operation(OPERANDS)
def block_rows(p, context, begin, end):
    _block_rows(p, begin, end, PLAIN)


BLOCK_ROWS = (block_rows_vnni, block_rows_avx2, block_rows)


def fastest():
    """Return the form of the sums that is fastest on this processor."""
    if has_vnni():
        return VNNI
    return AVX2 if has_avx2() else PLAIN
