"""A token's step as a list of compiled operations, run by one loop without the interpreter.

An operation is a function (p, context, begin, end): its operands, the address of the context, and the part of its work
that is this thread's: rows of a batch, columns, or heads. Every thread has its own list, with the same operations and
parts that tile the work; threads meet before an operation that needs what another has written.

Operands have names, which `operation` declares: sizes, addresses of arrays, and real numbers. They lie in a table of
one word each. Who appends an operation gives them by name, and the compiled function reads `p.name`.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import sigutils
from numba.core.ccallback import CFunc
from numba.core.typing.templates import AttributeTemplate
from numba.extending import infer_getattr, lower_getattr_generic, models, register_model

from ..tools.compiled import compiled, interruptible, open_cache, uncollected
from ..tools.intrinsics import barrier, flush_denormals, restore_denormals
from ..tools.pointers import call, vector

# Columns of a list of operations, int64 [operations, COLUMNS].
FUNCTION, OPERANDS, BEGIN, END, MEET, COLUMNS = range(6)
# Entries of the context, int64: what went wrong; whether rows are tokens of one sequence, in order, and not one of each
# sequence; then for each row the number of tokens before it in its sequence.
PROBLEM, IN_ORDER, POSITIONS = range(3)
# of PROBLEM
NOT_FINITE = 1
TOO_LARGE = 2
# Values of the types of arrays, for `vector` and `matrix`.
FLOAT = np.float32(0)
DOUBLE = np.float64(0)
BYTE = np.int8(0)
FLAG = np.uint8(0)
WORD = np.int32(0)
LONG = np.int64(0)
# Numbers of float32, so that arithmetic with them stays in 32 bits.
ZERO = np.float32(0)
ONE = np.float32(1)
WORD_BYTES = 8  # of a table of operands


class Operands(types.Type):
    """Type of the operands of an operation: the address of their table, with an attribute for each.

    Args:
        declaration: the names in their order. `name:real` is a float64, all others are int64: sizes, flags and
            addresses. One that ends in `?` may be left out, and is then 0.

    Attributes:
        places: by name, the word of the table.
        reals, optional: names of those that are real, and of those that may be left out.
    """

    def __init__(self, declaration):
        self.places = {}
        self.reals = set()
        self.optional = set()
        for place, word in enumerate(declaration.split()):
            name, _, kind = word.removesuffix("?").partition(":")
            if name in self.places:
                raise ValueError(f"operand {name!r} is declared twice")
            self.places[name] = place
            if kind == "real":
                self.reals.add(name)
            if word.endswith("?"):
                self.optional.add(name)
        super().__init__(f"Operands({declaration})")

    def table(self, values):
        """Return the table of operands given by name: numbers, and addresses as integers.

        Raises:
            TypeError: a name that is not declared, or one that is missing.
        """
        words = np.zeros(len(self.places), np.int64)
        for name, value in values.items():
            if name in self.reals:
                words.view(np.float64)[self.places[name]] = value
            else:
                words[self.places[name]] = value
        return words

    def check(self, given):
        """Raise `TypeError` unless `given` are the names of operands, all that may not be left out among them."""
        unknown = sorted(set(given) - set(self.places))
        if unknown:
            raise TypeError(f"unknown operands: {', '.join(unknown)}; choose from {', '.join(self.places)}")
        missing = [name for name in self.places if name not in given and name not in self.optional]
        if missing:
            raise TypeError(f"missing operands: {', '.join(missing)}")


@register_model(Operands)
class _OperandsModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, ir.IntType(64))


@infer_getattr
class _OperandsAttributes(AttributeTemplate):
    key = Operands

    def generic_resolve(self, kind, name):
        if name not in kind.places:
            return None
        return types.float64 if name in kind.reals else types.int64


@lower_getattr_generic(Operands)
def _read_operand(context, builder, kind, table, name):
    if name in kind.reals:
        word = ir.DoubleType()
    else:
        word = ir.IntType(64)
    address = builder.add(table, ir.IntType(64)(WORD_BYTES * kind.places[name]))
    value = builder.load(builder.inttoptr(address, word.as_pointer()), align=WORD_BYTES)
    # No operation writes to its table: without this, operands were read again after every write to an array.
    value.set_metadata("invariant.load", builder.module.add_metadata([]))
    return value


class Operation:
    """A function that is compiled when its address is first asked for, and the names of its operands.

    Called with operands by name it returns an `BoundOperation`, for a program to append.

    Attributes:
        in_order: its rows may be tokens of one sequence, which it then takes one after the other, see `state_of`.
    """

    def __init__(self, function, operands, in_order):
        self.function = function
        self.operands = operands
        self.in_order = in_order
        self.compiled = None
        self.__doc__ = function.__doc__

    @property
    def address(self):
        """The compiled function's address, valid as long as the process."""
        if self.compiled is None:
            signature = types.void(self.operands, types.intp, types.intp, types.intp)
            arguments, nothing = sigutils.normalize_signature(signature)
            compiled = CFunc(self.function, (arguments, nothing), {}, {"error_model": "numpy"})
            # Valid as long as the text of the operation's file and of what it imports: of this module, for one.
            compiled._cache = open_cache(self.function)
            with compiled._cache.lock(compiled._sig), uncollected(), interruptible():
                compiled.compile()
            self.compiled = compiled
        return self.compiled.address

    def __call__(self, **values):
        try:
            self.operands.check(values)
        except TypeError as error:
            raise TypeError(f"{self.function.__name__}: {error}") from None
        return BoundOperation(self, values)


class BoundOperation:
    """An operation with its operands by name, as a program appends it."""

    def __init__(self, operation, values):
        self.operation = operation
        self.values = values


def operation(declaration, in_order=False):
    """Decorate a function (p, context, begin, end) as an operation; the operands are declared as for `Operands`.

    An operation that changes states, and takes the rows of a prompt one after the other, is `in_order`.
    """

    def decorate(function):
        return Operation(function, Operands(declaration), in_order)

    return decorate


@njit(inline="always")
def skipped(mask, token):
    """Return whether an operation leaves a token out: its byte of the mask at an address is 0; no mask leaves none."""
    return mask != 0 and vector(mask, token + 1, FLAG)[token] == 0


@njit(inline="always")
def report(context, problem):
    vector(context, PROBLEM + 1, LONG)[PROBLEM] = problem


@njit(inline="always")
def position_of(context, token):
    """Return the number of tokens that the sequence of a row has read before this one."""
    return vector(context, POSITIONS + token + 1, LONG)[POSITIONS + token]


@njit(inline="always")
def state_of(context, token):
    """Return the row of the states that a token reads and changes: the first one, where rows are one sequence."""
    return 0 if vector(context, IN_ORDER + 1, LONG)[IN_ORDER] else token


@compiled
def run(program, context, thread, threads, sync, spins):
    """Run the list of one thread: `program` [operations, COLUMNS]; `sync` is zero, see `barrier`."""
    control = flush_denormals()
    epoch = 0
    for i in range(program.shape[0]):
        if program[i, MEET] and threads > 1:
            epoch += 1
            barrier(sync, thread, threads, epoch, spins)
        call(program[i, FUNCTION], program[i, OPERANDS], context, program[i, BEGIN], program[i, END])
    restore_denormals(control)
