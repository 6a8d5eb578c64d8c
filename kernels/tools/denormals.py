"""Treatment of denormal numbers as zeros in one thread.

A membrane or a gradient that decays by half a step falls below the normal numbers of float32 after 126 steps, and each
operation on it then takes a hundred times as long. Sums with any normal number are unchanged.
"""

from __future__ import annotations

import platform

from llvmlite import ir
from numba import njit, types, uint32
from numba.core import cgutils
from numba.extending import intrinsic

INT32 = ir.IntType(32)
X86 = platform.machine().lower() in ("x86_64", "amd64")
# Flush to zero (results) and denormals are zeros (operands): Intel's manual, volume 1, section 10.2.3.
FLUSH = 0x8040


def _with_control(builder, name, slot):
    kind = ir.FunctionType(ir.VoidType(), [slot.type])
    builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [slot])


@intrinsic
def _control(typing):
    """Return the register MXCSR; 0 on machines without one."""

    def emit(context, builder, signature, arguments):
        slot = cgutils.alloca_once_value(builder, INT32(0))
        if X86:
            _with_control(builder, "llvm.x86.sse.stmxcsr", slot)
        return builder.load(slot)

    return types.uint32(), emit


@intrinsic
def restore(typing, control):
    """Restore the register to the value that `flush` returned."""

    def emit(context, builder, signature, arguments):
        if X86:
            _with_control(builder, "llvm.x86.sse.ldmxcsr", cgutils.alloca_once_value(builder, arguments[0]))
        return context.get_dummy_value()

    return types.void(types.uint32), emit


@njit(cache=True, nogil=True)
def flush():
    """Treat denormals as zeros in this thread from now on; return the value for `restore`. Only on x86-64."""
    before = _control()
    restore(uint32(before | uint32(FLUSH)))
    return before
