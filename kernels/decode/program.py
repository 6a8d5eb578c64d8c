"""A token's step as a list of compiled operations, run by one loop without the interpreter.

An operation is a function (arguments, context, begin, end): the address of its arguments, that of the context, and the
part of its work that is this thread's: rows of a batch, columns, or heads. Every thread has its own list, with the same
operations and parts that tile the work; threads meet before an operation that needs what another has written.
"""

from __future__ import annotations

import numpy as np
from numba import cfunc, njit, types

from ..tools.intrinsics import barrier, flush_denormals, restore_denormals
from ..tools.pointers import call, vector

# Columns of a list of operations, int64 [operations, COLUMNS].
FUNCTION, ARGUMENTS, BEGIN, END, MEET, COLUMNS = range(6)
# Entries of the context, int64: tokens before this one, and what went wrong.
POSITION, PROBLEM, CONTEXT = range(3)
NOT_FINITE, TOO_LARGE = 1, 2  # of PROBLEM
ARGUMENT_COUNT = 32
# Values of the types of arrays, for `vector` and `matrix`.
FLOAT, DOUBLE, BYTE, FLAG = np.float32(0), np.float64(0), np.int8(0), np.uint8(0)
WORD, LONG = np.int32(0), np.int64(0)

SIGNATURE = types.void(types.intp, types.intp, types.intp, types.intp)


class Operation:
    """A function that is compiled when its address is first asked for."""

    def __init__(self, function):
        self.function, self.compiled = function, None

    @property
    def address(self):
        """The compiled function's address, valid as long as the process."""
        if self.compiled is None:
            self.compiled = cfunc(SIGNATURE, cache=True, error_model="numpy")(self.function)
        return self.compiled.address


def operation(function):
    """Decorate a function (arguments, context, begin, end) as an operation of a program."""
    return Operation(function)


@njit(inline="always")
def integers(arguments):
    """Return the arguments as integers: sizes, and addresses of arrays."""
    return vector(arguments, ARGUMENT_COUNT, LONG)


@njit(inline="always")
def reals(arguments):
    """Return the arguments as float64, of those that were stored as such."""
    return vector(arguments, ARGUMENT_COUNT, DOUBLE)


@njit(inline="always")
def skipped(mask, token):
    """Return whether an operation leaves a token out: its byte of the mask at an address is 0; no mask leaves none."""
    return mask != 0 and vector(mask, token + 1, FLAG)[token] == 0


@njit(inline="always")
def report(context, problem):
    vector(context, CONTEXT, LONG)[PROBLEM] = problem


@njit(cache=True, nogil=True)
def run(program, context, thread, threads, sync, spins):
    """Run the list of one thread: `program` [operations, COLUMNS]; `sync` is zero, see `barrier`."""
    control = flush_denormals()
    epoch = 0
    for i in range(program.shape[0]):
        if program[i, MEET] and threads > 1:
            epoch += 1
            barrier(sync, thread, threads, epoch, spins)
        call(program[i, FUNCTION], program[i, ARGUMENTS], context, program[i, BEGIN], program[i, END])
    restore_denormals(control)
