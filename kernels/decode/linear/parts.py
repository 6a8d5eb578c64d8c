"""Parts of rows: outputs of layers that read the same list and lie side by side, finished layer by layer."""

from __future__ import annotations

from numba import njit

from ...tools.compiled import compiled
from ...tools.pointers import vector
from ..program import FLOAT

# Columns of a table of parts, int64 [parts, PART]. First column of the part in a row, and their number; addresses of
# its first step, bias, residual (0 for none) and output; outputs of the layer.
FIRST, OUTPUTS, STEPS, BIAS, BEFORE, OUT, WIDTH, PART = range(8)


@njit(inline="always")
def columns_of(part, start, last):
    """Return which columns of a part a thread has that has `start` to `last` of a row.

    Returns: the first in the row; their number, 0 or less where there are none; the bytes before them in arrays of the
    part.
    """
    first = max(part[FIRST], start)
    number = min(part[FIRST] + part[OUTPUTS], last) - first
    return first, number, 4 * (first - part[FIRST])


# Called, not inlined: a loop over two arrays becomes vector instructions.
@compiled
def _add(x, out):
    for n in range(out.size):
        out[n] = x[n] + out[n]


@njit(inline="always")
def finish(out, bias, before):
    """Add to outputs what lies behind two addresses, where they are not 0: the bias, then the residual."""
    if bias:
        _add(vector(bias, out.size, FLOAT), out)
    if before:
        _add(vector(before, out.size, FLOAT), out)


@njit(inline="always")
def later(address, size):
    """Return the address `size` bytes later, 0 of 0."""
    return address + size if address else 0
