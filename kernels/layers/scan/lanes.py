"""Blocks of lanes: addresses of rows of a step, prefetching of rows ahead.

Rows are addresses, not views: numba takes a third of the time to compile a pass over them.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ...tools.intrinsics import BYTE, INT32, INT64, NOTHING

# Lanes of a block: a page of float32, and rows that stay in the first cache.
LANES = 1024
LINE = 64  # bytes
AHEAD = 2  # steps by which rows are asked for


def _row(context, builder, kind, value, step, lane):
    """Emit the address of a lane of a step of a C-ordered array [T, ..., M], whose middle sizes are 1."""
    array = context.make_array(kind)(context, builder, value)
    lanes = builder.extract_value(array.shape, kind.ndim - 1)
    number = builder.add(builder.mul(step, lanes), lane)
    begin = builder.ptrtoint(array.data, INT64)
    return builder.add(begin, builder.mul(number, array.itemsize))


def _prefetch_second(builder, address):
    """Emit what `intrinsics.prefetch_second` does."""
    pointer = BYTE.as_pointer()
    kind = ir.FunctionType(NOTHING, [pointer, INT32, INT32, INT32])
    request = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    builder.call(request, [builder.inttoptr(address, pointer), INT32(0), INT32(2), INT32(1)])


@intrinsic
def row_at(typing, x, step, lane):
    """Return the address of a lane of a step of x [T, M] or [T, 1, M], C-ordered; the caller keeps x alive."""

    def emit(context, builder, signature, arguments):
        return _row(context, builder, signature.args[0], *arguments)

    return types.intp(x, types.intp, types.intp), emit


@intrinsic
def ask(typing, x, step, first, last):
    """Ask for lanes `first` to `last` of a step of x [T, M], if there is such a step.

    The rows of a block lie so far apart that the processor fetches none ahead by itself.
    """

    def emit(context, builder, signature, arguments):
        value, step, first, last = arguments
        kind = signature.args[0]
        array = context.make_array(kind)(context, builder, value)
        # A step below 0 is a large one without a sign.
        inside = builder.icmp_unsigned("<", step, builder.extract_value(array.shape, 0))
        with builder.if_then(inside):
            begin = _row(context, builder, kind, value, step, first)
            size = builder.mul(builder.sub(last, first), array.itemsize)
            lines = builder.ashr(builder.add(size, INT64(LINE - 1)), INT64(6))
            with cgutils.for_range(builder, lines) as loop:
                _prefetch_second(builder, builder.add(begin, builder.mul(loop.index, INT64(LINE))))
        return context.get_dummy_value()

    return types.void(x, types.intp, types.intp, types.intp), emit


@intrinsic
def copy_row(typing, source, target, size, like):
    """Copy `size` numbers of the type of `like` from one address to another; the two do not overlap."""

    def emit(context, builder, signature, arguments):
        source, target, size, _ = arguments
        width = context.get_abi_sizeof(context.get_value_type(signature.args[3]))
        pointer = BYTE.as_pointer()
        cgutils.raw_memcpy(builder, builder.inttoptr(target, pointer), builder.inttoptr(source, pointer), size, width)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp, like), emit
