"""Receptive fields of columns, as arrays [columns, inputs] of input units."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...base.errors import require
from ..sdr.code import generator


def patches(shape: tuple[int, ...], side: int | tuple[int, int], stride: int = 1) -> NDArray[np.int32]:
    """Return [fields, units] rectangular fields, one every `stride` along the last two dimensions, over all others.

    The last field of each row and column ends at the edge, so all inputs are seen.

    Args:
        shape: (..., height, width) of a frame.
        side: height and width of a field; one number for squares.

    Raises:
        NeurosimInputError: a frame of fewer than two dimensions, or a side or stride that does not fit it.
    """
    require(len(shape) >= 2 and min(shape) >= 1, "patches.shape", "must be (..., height, width)", shape)
    height, width = shape[-2:]
    if isinstance(side, int):
        tall = side
        wide = side
    else:
        tall, wide = side
    good = 1 <= tall <= height and 1 <= wide <= width
    require(good, "patches.side", f"must be in 1..{height} by 1..{width}", side)
    require(stride >= 1, "patches.stride", "must be >= 1", stride)
    units = np.arange(int(np.prod(shape)), dtype=np.int32).reshape(-1, height, width)
    fields = []
    for y in _starts(height, tall, stride):
        for x in _starts(width, wide, stride):
            fields.append(units[:, y : y + tall, x : x + wide].ravel())
    return np.stack(fields)


def scattered(size: int, columns: int, inputs: int, seed: int = 0) -> NDArray[np.int32]:
    """Return [columns, inputs] fields, drawn from `size` units without repeats within a field, ascending.

    Raises:
        NeurosimInputError: no columns, or another number of inputs than 1 to `size`.
    """
    require(1 <= inputs <= size, "scattered.inputs", f"must be in 1..{size}", inputs)
    require(columns >= 1, "scattered.columns", "must be >= 1", columns)
    rows = [np.sort(generator(seed, m).choice(size, inputs, replace=False)) for m in range(columns)]
    return np.array(rows, np.int32)


def _starts(length: int, side: int, stride: int) -> list[int]:
    """Return the first places of the fields along one axis; the last field ends at the edge."""
    starts = list(range(0, length - side + 1, stride))
    if starts[-1] == length - side:
        return starts
    return [*starts, length - side]
