"""Dense products of weights in blocks of 8 bits, Q8_0 of GGUF files: a quarter of the bytes of float32.

A block has d (float16) and 32 q (int8); a weight is d q. Rows lie as in the file. The inputs are floats, and products
are summed in float32: y[n] = sum over blocks of d (sum of q x).
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ...tools.compiled import compiled
from ...tools.intrinsics import BYTE, INT32, INT64, processor_has
from ...tools.pointers import vector
from ..program import FLOAT, operation, skipped
from .floats import add_behind
from .vnni import BLOCK

CHANNELS = 32  # of a block
BYTES = 34  # of a block
LANES = 16
FLOAT32 = ir.FloatType()
FLOATS = ir.VectorType(FLOAT32, LANES)
WORDS = ir.VectorType(INT32, LANES)
QUARTER = ir.VectorType(BYTE, LANES)


def has_halves():
    """Return whether the code that numba makes may convert float16."""
    return processor_has("f16c", "avx2", "fma")


def _load(builder, address, offset, kind):
    place = builder.inttoptr(builder.add(address, INT64(offset)), kind.as_pointer())
    return builder.load(place, align=1)


def _fused(builder, a, b, c):
    kind = ir.FunctionType(FLOATS, [FLOATS] * 3)
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.fma.v16f32"), [a, b, c])


@intrinsic
def _dot(typing, row, x, blocks):
    """Return the product of a row at an address and float32 x, in one order of sums on every processor."""

    def emit(context, builder, signature, arguments):
        row, x, blocks = arguments
        total = cgutils.alloca_once_value(builder, ir.Constant(FLOATS, [0.0] * LANES))
        builder.store(ir.Constant(FLOATS, [0.0] * LANES), total)
        with cgutils.for_range(builder, blocks) as block:
            own = builder.add(row, builder.mul(block.index, INT64(BYTES)))
            inputs = builder.add(x, builder.mul(block.index, INT64(4 * CHANNELS)))
            halves = []
            for half in range(2):
                q = builder.sext(_load(builder, own, 2 + LANES * half, QUARTER), WORDS)
                halves.append((builder.sitofp(q, FLOATS), _load(builder, inputs, 4 * LANES * half, FLOATS)))
            sums = _fused(builder, *halves[1], builder.fmul(*halves[0]))
            step = builder.fpext(_load(builder, own, 0, ir.HalfType()), FLOAT32)
            first = builder.insert_element(ir.Constant(FLOATS, ir.Undefined), step, INT32(0))
            steps = builder.shuffle_vector(first, first, ir.Constant(WORDS, [0] * LANES))
            builder.store(_fused(builder, sums, steps, builder.load(total)), total)
        sums = builder.load(total)
        # The upper half is added to the lower until one lane is left: one order of sums for every processor.
        lanes = LANES
        while lanes > 1:
            lanes //= 2
            parts = []
            for begin in (0, lanes):
                index = ir.Constant(ir.VectorType(INT32, lanes), list(range(begin, begin + lanes)))
                parts.append(builder.shuffle_vector(sums, sums, index))
            sums = builder.fadd(*parts)
        return builder.extract_element(sums, INT32(0))

    return types.float32(*(types.intp,) * 3), emit


@compiled
def dots(weights, row_bytes, x, blocks, out):
    """Fill float32 out with the products of rows, at an address, with x."""
    for n in range(out.size):
        out[n] = _dot(weights + n * row_bytes, x, blocks)


@operation("weights size width tokens x bias? before? out mask?")
def dense_blocks(p, context, begin, end):
    """Multiply x [tokens, K] by all weights [N, K] in blocks; operands as of `floats.dense`."""
    blocks = p.size // CHANNELS
    row_bytes = BYTES * blocks
    width = p.width
    # Few rows at a time, so that they stay in the first cache while the tokens of a batch pass over them.
    for first in range(begin * BLOCK, min(end * BLOCK, width), 4):
        rows = min(4, width - first)
        for i in range(p.tokens):
            if skipped(p.mask, i):
                continue
            y = vector(p.out + 4 * (i * width + first), rows, FLOAT)
            dots(p.weights + first * row_bytes, row_bytes, p.x + 4 * i * p.size, blocks, y)
            add_behind(y, p.bias, p.before, first, i * width + first)
