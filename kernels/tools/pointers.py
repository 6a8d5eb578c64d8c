"""Arrays at addresses and calls through addresses: with them one compiled loop runs any network and any neuron.

A kernel that takes tables of addresses has one signature whatever the number and kind of populations and
projections, so it is compiled once and cached on disk. The caller that fills a table keeps its arrays alive.
"""

from __future__ import annotations

from llvmlite import ir
from numba import carray, njit, types
from numba.extending import intrinsic


@intrinsic
def as_pointer(typing, address, like):
    """Return the address as a pointer to values of the type of `like`."""
    pointer = types.CPointer(like)

    def emit(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], context.get_value_type(pointer))

    return pointer(types.intp, like), emit


@njit
def vector(address, n, like):
    """Return a [n] array of `like`'s type over the memory at `address`."""
    return carray(as_pointer(address, like), (n,))


@njit
def matrix(address, rows, columns, like):
    """Return a [rows, columns] array of `like`'s type over the memory at `address`."""
    return carray(as_pointer(address, like), (rows, columns))


@intrinsic
def call(typing, address, a, b, c, d):
    """Call the compiled callback (`numba.cfunc`, returning nothing) at `address` with four arguments."""

    def emit(context, builder, signature, arguments):
        kinds = [context.get_value_type(kind) for kind in signature.args[1:]]
        function = ir.FunctionType(ir.VoidType(), kinds)
        builder.call(builder.inttoptr(arguments[0], function.as_pointer()), arguments[1:])
        return context.get_dummy_value()

    return types.void(types.intp, a, b, c, d), emit
