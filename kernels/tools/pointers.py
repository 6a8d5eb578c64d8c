"""Arrays at addresses and calls through addresses: with them one compiled loop runs any network and any neuron.

A kernel that takes tables of addresses has one signature whatever the number and kind of populations and
projections, so it is compiled once and cached on disk. The caller that fills a table keeps its arrays alive.

What not every network needs is called by the address that `address_of` returns: it is compiled for networks that need
it, and is no part of the loop that calls it, which takes LLVM a second longer for each.
"""

from __future__ import annotations

import functools

from llvmlite import ir
from numba import cfunc, njit, types
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

from .written import callback


# Intrinsics, not compiled functions: `carray` costs .1 s of compilation for every type of `address`, `n` and `like`.
def _view(kind, sizes):
    """Return the emitter of a C-ordered array of `kind`, whose arguments are address, `sizes` sizes and an example."""

    def emit(context, builder, signature, arguments):
        address = arguments[0]
        shape = list(arguments[1 : 1 + sizes])
        width = context.get_abi_sizeof(context.get_data_type(kind.dtype))
        strides = [ir.Constant(address.type, width)]
        for size in reversed(shape[1:]):
            strides.insert(0, builder.mul(strides[0], size))
        array = context.make_array(kind)(context, builder)
        data = builder.inttoptr(address, array.data.type)
        size = ir.Constant(address.type, width)
        populate_array(array, data=data, shape=shape, strides=strides, itemsize=size, meminfo=None)
        return array._getvalue()

    return emit


@intrinsic
def vector(typing, address, n, like):
    """Return a [n] array of `like`'s type over the memory at `address`."""
    kind = types.Array(types.unliteral(like), 1, "C")
    return kind(types.intp, types.intp, kind.dtype), _view(kind, 1)


@intrinsic
def matrix(typing, address, rows, columns, like):
    """Return a [rows, columns] array of `like`'s type over the memory at `address`."""
    kind = types.Array(types.unliteral(like), 2, "C")
    return kind(types.intp, types.intp, types.intp, kind.dtype), _view(kind, 2)


@njit(inline="always")
def bare_vector(array):
    """Return a [n] array without its owner: numba counts references to every view of an owned array, atomically."""
    return vector(array.ctypes.data, array.size, array.dtype.type(0))


@njit(inline="always")
def bare_matrix(array):
    """Return a [rows, columns] array without its owner."""
    return matrix(array.ctypes.data, array.shape[0], array.shape[1], array.dtype.type(0))


@njit(inline="always")
def copy_into(source, target):
    """Do `target[:] = source`, which takes numba 2 s to compile, most of it for the text of an error."""
    for i in range(target.size):
        target[i] = source[i]


@intrinsic
def call(typing, address, a, b, c, d):
    """Call the compiled callback (`numba.cfunc`, returning nothing) at `address` with four arguments."""

    def emit(context, builder, signature, arguments):
        kinds = [context.get_value_type(kind) for kind in signature.args[1:]]
        function = ir.FunctionType(ir.VoidType(), kinds)
        builder.call(builder.inttoptr(arguments[0], function.as_pointer()), arguments[1:])
        return context.get_dummy_value()

    return types.void(types.intp, a, b, c, d), emit


def address_of(function: object, *kinds: object) -> int:
    """Return the address of a function of arguments of these types, compiled; valid as long as the process."""
    return _compiled(function, types.void(*kinds)).address


@functools.cache  # which keeps the compiled function alive
def _compiled(function, signature):
    try:
        return callback(function, signature, error_model="numpy")
    except RuntimeError:  # typed into an interpreter: there is no file beside which the code could lie
        return cfunc(signature, error_model="numpy")(function)
