"""Expansion of vectors into sparse codes: each bit sums a few inputs, and the bits with the largest sums are on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def sums(x: NDArray[np.float32], table: NDArray[np.int32]) -> NDArray[np.float32]:
    """Return [n, size], of each bit the sum of its inputs, table [size, fan], of x [n, inputs].

    They are added in the order of the table, so that every form gives the same bits.
    """
    total = np.zeros((len(x), len(table)), np.float32)
    for sources in table.T:
        # A quarter of the time of `x[:, sources]`.
        total += x.take(sources, axis=1)
    return total


def expand_reference(
    x: NDArray[np.float32], table: NDArray[np.int32], scale: NDArray[np.float32], active: int
) -> NDArray[np.int32]:
    """Return the `active` largest of `sums` times `scale` [size], as [n, active] bits, ascending.

    Of equal ones the lower bit wins.
    """
    scaled = sums(x, table) * scale
    return np.sort(np.argsort(-scaled, axis=1, kind="stable")[:, :active], axis=1).astype(np.int32)
