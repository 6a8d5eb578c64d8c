"""Processor instructions that Python has no word for: prefetch, a barrier of spinning threads, bits of a vector.

Each intrinsic is one instruction or two; its docstring and the references below say what it computes.
"""

from __future__ import annotations

import os
import platform

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

BYTE, INT32, INT64, NOTHING = ir.IntType(8), ir.IntType(32), ir.IntType(64), ir.VoidType()
MACHINE = platform.machine().lower()
# Bytes from one thread's word of a barrier to the next: two cache lines, for they are fetched in pairs.
APART = 16


@intrinsic
def prefetch(typing, address):
    """Ask for the cache line at `address`, to be read soon; any address is allowed."""

    def emit(context, builder, signature, arguments):
        kind = ir.FunctionType(NOTHING, [BYTE.as_pointer(), INT32, INT32, INT32])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        pointer = builder.inttoptr(arguments[0], BYTE.as_pointer())
        builder.call(function, [pointer, INT32(0), INT32(3), INT32(1)])
        return context.get_dummy_value()

    return types.void(types.intp), emit


@intrinsic
def _load_acquire(typing, address):
    def emit(context, builder, signature, arguments):
        return builder.load_atomic(builder.inttoptr(arguments[0], INT64.as_pointer()), "acquire", 8)

    return types.int64(types.intp), emit


@intrinsic
def _store_release(typing, address, value):
    def emit(context, builder, signature, arguments):
        builder.store_atomic(arguments[1], builder.inttoptr(arguments[0], INT64.as_pointer()), "release", 8)
        return context.get_dummy_value()

    return types.void(types.intp, types.int64), emit


@intrinsic
def _pause(typing):
    """Hint that this is a spin loop; do nothing on machines other than x86-64 and AArch64."""

    def emit(context, builder, signature, arguments):
        if MACHINE in ("x86_64", "amd64"):
            kind = ir.FunctionType(NOTHING, [])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.sse2.pause"), [])
        elif MACHINE in ("aarch64", "arm64"):
            kind = ir.FunctionType(NOTHING, [INT32])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.aarch64.hint"), [INT32(1)])
        return context.get_dummy_value()

    return types.void(), emit


_give_way = types.ExternalFunction("sched_yield" if os.name == "posix" else "SwitchToThread", types.int32())


@njit(cache=True, nogil=True)
def barrier(sync, thread, threads, epoch, spins):
    """Wait until every thread has called with this `epoch` or a later one.

    Each thread writes its own line of memory and reads the others', so that no line is written by two.

    Args:
        sync: address of int64 [threads * APART], zero before the first epoch, which is 1.
        spins: reads before the thread yields its core; 0 if there are more threads than cores.
    """
    _store_release(sync + thread * APART * 8, epoch)
    for other in range(threads):
        tries = 0
        while _load_acquire(sync + other * APART * 8) < epoch:
            tries += 1
            if tries > spins:
                _give_way()
            else:
                _pause()


def flags_reference(flags, index):
    """The specification of `flags64`: bit k is whether flags[index + k] is set."""
    return sum(1 << k for k in range(64) if flags[index + k])


@intrinsic
def flags64(typing, address):
    """Return a uint64 whose bit k is whether the uint8 at address + k is set."""
    wide = ir.VectorType(BYTE, 64)

    def emit(context, builder, signature, arguments):
        values = builder.load(builder.inttoptr(arguments[0], wide.as_pointer()), align=1)
        return builder.bitcast(builder.icmp_unsigned("!=", values, ir.Constant(wide, [0] * 64)), INT64)

    return types.uint64(types.intp), emit


@intrinsic
def trailing_zeros(typing, word):
    """Return the place of the lowest set bit of a uint64, which must not be 0."""

    def emit(context, builder, signature, arguments):
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), emit


@intrinsic
def popcount(typing, word):
    """Count the set bits of a uint64: LLVM's ctpop, one instruction if the machine has it, vectorised with AVX-512."""

    def emit(context, builder, signature, arguments):
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), emit
