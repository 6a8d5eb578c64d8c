"""Patches of a sensor, which linear layers take where a network has convolutions."""

from __future__ import annotations

from numba import njit

from ...tools.pointers import vector
from ..program import FLOAT, operation


@njit(inline="always")
def _copy_row(x, first, pixel, out):
    """Copy the entries of x from `first` on, `pixel` apart."""
    for j in range(out.size):
        out[j] = x[first + j * pixel]


@operation("x planes height width rows columns down across together out")
def patches(p, context, begin, end):
    """Copy the patches of a sensor into rows, their entries in the order plane, row, column.

    Operands: patches of `rows` and `columns`, which are `down` and `across` apart; `together`: the planes of a pixel
    lie side by side in x (else a plane lies in one piece); `out` [tokens positions, planes rows columns]. Parts are
    rows of `out`.
    """
    planes = p.planes
    height = p.height
    width = p.width
    wide = (width - p.columns) // p.across + 1
    positions = ((height - p.rows) // p.down + 1) * wide
    size = planes * p.rows * p.columns
    # Distances in x of neighbours in a row, in a column, and of planes.
    if p.together:
        pixel = planes
        row = planes * width
        plane = 1
    else:
        pixel = 1
        row = width
        plane = height * width
    for i in range(begin, end):
        place = i % positions
        x = vector(p.x + 4 * (i // positions) * planes * height * width, planes * height * width, FLOAT)
        out = vector(p.out + 4 * i * size, size, FLOAT)
        first = place // wide * p.down * row + place % wide * p.across * pixel
        at = 0
        for c in range(planes):
            for y in range(p.rows):
                _copy_row(x, first + c * plane + y * row, pixel, out[at : at + p.columns])
                at += p.columns
