"""Blocks of lanes: rows of a step, prefetching of rows ahead, work space that begins at a cache line."""

from __future__ import annotations

from numba import njit

from ...tools.intrinsics import prefetch_second
from ...tools.pointers import vector

# Lanes of a block: a page of float32, and rows that stay in the first cache.
LANES = 1024
LINE = 64  # bytes
AHEAD = 2  # steps by which rows are asked for


@njit(inline="always")
def ask(x, t, a, b):
    """Ask for lanes a to b of step t of x [T, M], if there is such a step.

    The rows of a block lie so far apart that the processor fetches none ahead by itself.
    """
    if 0 <= t < x.shape[0]:
        begin = x.ctypes.data + x.itemsize * (t * x.shape[1] + a)
        for i in range(0, (b - a) * x.itemsize, LINE):
            prefetch_second(begin + i)


@njit(inline="always")
def lanes_of(x, t, first, size):
    """Return lanes `first` to `first + size` of step t of x [T, M], without its owner."""
    return vector(x.ctypes.data + x.itemsize * (t * x.shape[1] + first), size, x.dtype.type(0))


@njit(inline="always")
def room(space, row, size):
    """Return `size` numbers of a row of work space [rows, LANES + 2 lines], which begins at a line."""
    begin = space.ctypes.data
    begin += -begin % LINE
    return vector(begin + space.itemsize * row * (LANES + LINE // space.itemsize), size, space.dtype.type(0))
