"""Processor instructions that Python has no word for: prefetch, barriers, bits of a vector, treatment of denormals.

Each intrinsic is one instruction or two; its docstring and the references below say what it computes.
"""

from __future__ import annotations

import os
import platform
from functools import cache

from llvmlite import binding, ir
from numba import config, types, uint32
from numba.core import cgutils
from numba.extending import intrinsic

from .compiled import compiled

BYTE = ir.IntType(8)
INT32 = ir.IntType(32)
INT64 = ir.IntType(64)
NOTHING = ir.VoidType()
MACHINE = platform.machine().lower()
# Bytes from one thread's word of a barrier to the next: two cache lines, for they are fetched in pairs.
APART = 16
X86 = MACHINE in ("x86_64", "amd64")
# Flush to zero (results) and denormals are zeros (operands): Intel's manual, volume 1, section 10.2.3.
FLUSH = 0x8040


def processor_has(*names):
    """Return whether the code that numba makes may use these features of an x86 processor."""
    if not X86:
        return False
    if config.CPU_NAME or config.CPU_FEATURES:
        found = {name.strip() for name in (config.CPU_FEATURES or "").split(",")}
        return {f"+{name}" for name in names} <= found
    features = _host_features()
    return all(features.get(name) for name in names)


@cache
def _host_features():
    """Return the features of this processor by name; LLVM takes .1 ms to list them."""
    return dict(binding.get_host_cpu_features())


def _call(builder, name, *arguments):
    """Call an intrinsic of LLVM that returns nothing."""
    kind = ir.FunctionType(NOTHING, [argument.type for argument in arguments])
    builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)


@intrinsic
def prefetch(typing, address):
    """Ask for the cache line at `address`, to be read soon; any address is allowed."""

    def emit(context, builder, signature, arguments):
        pointer = builder.inttoptr(arguments[0], BYTE.as_pointer())
        _call(builder, "llvm.prefetch.p0", pointer, INT32(0), INT32(3), INT32(1))
        return context.get_dummy_value()

    return types.void(types.intp), emit


@intrinsic
def prefetch_second(typing, address):
    """Ask for the cache line at `address` in the second cache; more of these are under way at once than of the others.

    Any address is allowed.
    """

    def emit(context, builder, signature, arguments):
        pointer = builder.inttoptr(arguments[0], BYTE.as_pointer())
        _call(builder, "llvm.prefetch.p0", pointer, INT32(0), INT32(2), INT32(1))
        return context.get_dummy_value()

    return types.void(types.intp), emit


@intrinsic
def drain_stores(typing):
    """Wait until stores past the caches are visible to other threads."""

    def emit(context, builder, signature, arguments):
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), emit


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
        if X86:
            _call(builder, "llvm.x86.sse2.pause")
        elif MACHINE in ("aarch64", "arm64"):
            _call(builder, "llvm.aarch64.hint", INT32(1))
        return context.get_dummy_value()

    return types.void(), emit


_give_way = types.ExternalFunction("sched_yield" if os.name == "posix" else "SwitchToThread", types.int32())


@compiled
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
    """Return the word of `flags64`, its specification: bit k is whether flags[index + k] is set."""
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
def differing64(typing, one, other):
    """Return a uint64 whose bit k is whether the bytes at one + k and other + k differ."""
    wide = ir.VectorType(BYTE, 64)

    def emit(context, builder, signature, arguments):
        values = [builder.load(builder.inttoptr(each, wide.as_pointer()), align=1) for each in arguments]
        return builder.bitcast(builder.icmp_unsigned("!=", *values), INT64)

    return types.uint64(types.intp, types.intp), emit


@intrinsic
def copy64(typing, source, target):
    """Copy 64 bytes from one address to another."""
    wide = ir.VectorType(BYTE, 64)

    def emit(context, builder, signature, arguments):
        source, target = (builder.inttoptr(each, wide.as_pointer()) for each in arguments)
        builder.store(builder.load(source, align=1), target, align=1)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp), emit


def add_where_reference(numbers, mask, value):
    """Add `value` to each of 32 numbers whose bit of `mask` is set: the specification of `add_where`."""
    for k in range(32):
        if mask >> k & 1:
            numbers[k] += value


@intrinsic
def add_where(typing, address, mask, value):
    """Add a real to those of 32 of its type, from `address` on, whose bit of the uint32 `mask` is set."""

    def emit(context, builder, signature, arguments):
        address, mask, value = arguments
        wide = ir.VectorType(value.type, 32)
        unknown = ir.Constant(wide, ir.Undefined)
        single = builder.insert_element(unknown, value, INT32(0))
        every = builder.shuffle_vector(single, unknown, ir.Constant(ir.VectorType(INT32, 32), [0] * 32))
        pointer = builder.inttoptr(address, wide.as_pointer())
        before = builder.load(pointer, align=64)
        chosen = builder.bitcast(mask, ir.VectorType(ir.IntType(1), 32))
        builder.store(builder.select(chosen, builder.fadd(before, every), before), pointer, align=64)
        return context.get_dummy_value()

    return types.void(types.intp, types.uint32, value), emit


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


@intrinsic
def _control(typing):
    """Return the register MXCSR; 0 on machines without one."""

    def emit(context, builder, signature, arguments):
        slot = cgutils.alloca_once_value(builder, INT32(0))
        if X86:
            _call(builder, "llvm.x86.sse.stmxcsr", slot)
        return builder.load(slot)

    return types.uint32(), emit


@intrinsic
def restore_denormals(typing, control):
    """Restore the register to the value that `flush_denormals` returned."""

    def emit(context, builder, signature, arguments):
        if X86:
            _call(builder, "llvm.x86.sse.ldmxcsr", cgutils.alloca_once_value(builder, arguments[0]))
        return context.get_dummy_value()

    return types.void(types.uint32), emit


@compiled
def flush_denormals():
    """Treat denormals as zeros in this thread from now on; return the value for `restore_denormals`. Only on x86-64.

    A membrane or a gradient that decays by half a step falls below the normal numbers of float32 after 126 steps, and
    each operation on it then takes a hundred times as long. Sums with any normal number are unchanged.
    """
    before = _control()
    restore_denormals(uint32(before | uint32(FLUSH)))
    return before
