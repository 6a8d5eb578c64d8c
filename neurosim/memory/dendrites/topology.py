"""Positions of columns over their inputs, and neighbourhoods."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ...base.errors import require


def centres(places: tuple[int, ...], grid: tuple[int, ...]) -> NDArray[np.int64]:
    """Return [n, d], the cell of `grid` under each of `places`, both spread evenly over the same field.

    Raises:
        NeurosimInputError: the two have different numbers of dimensions.
    """
    require(len(places) == len(grid), "SpatialPooler.columns", f"must have {len(grid)} dimensions, as inputs", places)
    # The middle of cell i of n is (2 i + 1) / (2 n) of the field.
    positions = np.stack(np.unravel_index(np.arange(math.prod(places)), places), axis=1)
    return ((2 * positions + 1) * np.array(grid) // (2 * np.array(places))).astype(np.int64)


def boxes(
    grid: tuple[int, ...], middles: NDArray[np.int64], radius: int
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return ([n + 1] offsets, flat indices) of the cells of `grid` within `radius` of `middles`, along every axis.

    The field does not wrap at its edges.
    """
    fields = []
    for middle in middles:
        axes = [np.arange(max(m - radius, 0), min(m + radius + 1, n)) for m, n in zip(middle, grid, strict=True)]
        fields.append(np.ravel_multi_index(np.meshgrid(*axes, indexing="ij"), grid).ravel())
    offsets = np.cumsum([0, *(len(cells) for cells in fields)])
    return offsets.astype(np.int64), np.concatenate(fields).astype(np.int32)
