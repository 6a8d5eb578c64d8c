"""Calls of the compiled functions of a neuron by address. Pointers are passed as the integers they are."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic


def _caller(result, kinds):
    """Return an intrinsic that calls the function at an address. Pointers are passed as integers."""

    def emit(context, builder, signature, arguments):
        values = [context.get_value_type(kind) for kind in signature.args[1:]]
        if result == types.void:
            returned = ir.VoidType()
        else:
            returned = context.get_value_type(result)
        function = ir.FunctionType(returned, values)
        value = builder.call(builder.inttoptr(arguments[0], function.as_pointer()), arguments[1:])
        if result == types.void:
            return context.get_dummy_value()
        return value

    return result(types.intp, *kinds), emit


@intrinsic
def call_flow(typing, address, state, elapsed, constants):
    return _caller(types.void, (types.intp, types.float64, types.intp))


@intrinsic
def call_jump(typing, address, state, receptor, weight, constants):
    return _caller(types.void, (types.intp, types.int64, types.float64, types.intp))


@intrinsic
def call_crossing(typing, address, state, constants):
    return _caller(types.float64, (types.intp, types.intp))


@intrinsic
def call_fire(typing, address, state, constants):
    return _caller(types.void, (types.intp, types.intp))
