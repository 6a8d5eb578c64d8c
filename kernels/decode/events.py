"""Patches of a sensor, which linear layers take where a network has convolutions."""

from __future__ import annotations

from ..tools.pointers import vector
from .program import FLOAT, integers, operation


@operation
def patches(arguments, context, begin, end):
    """Copy the patches of a sensor into rows, their entries in the order plane, row, column.

    Arguments: x, planes, height, width; rows and columns of a patch; steps down and across; whether the planes of a
    pixel lie side by side in x (else a plane lies in one piece); out [tokens positions, planes rows columns]. Parts are
    rows of `out`.
    """
    p = integers(arguments)
    planes, height, width, rows, columns, down, across, together = p[1], p[2], p[3], p[4], p[5], p[6], p[7], p[8]
    wide = (width - columns) // across + 1
    positions, size = ((height - rows) // down + 1) * wide, planes * rows * columns
    pixel, row, plane = (planes, planes * width, 1) if together else (1, width, height * width)
    for i in range(begin, end):
        place = i % positions
        x = vector(p[0] + 4 * (i // positions) * planes * height * width, planes * height * width, FLOAT)
        out = vector(p[9] + 4 * i * size, size, FLOAT)
        first, at = place // wide * down * row + place % wide * across * pixel, 0
        for c in range(planes):
            for y in range(rows):
                for j in range(columns):
                    out[at] = x[first + c * plane + y * row + j * pixel]
                    at += 1
