"""Zero-temperature asynchronous dynamics from a state."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import cpu
from .reference import field_rounding


def relax(
    couplings: NDArray[np.float64],
    state: ArrayLike,
    orders: NDArray[np.int64],
    flipped: NDArray[np.int64] | None = None,
) -> tuple[NDArray[np.float64], int, int]:
    """Compute `relax_reference`.

    Args:
        flipped: [N], to which the flips of each unit are added; None: they are not counted one by one.
    """
    relaxed = np.array(state, np.float64)
    if flipped is None:
        flipped = np.zeros(relaxed.size, np.int64)
    field = couplings @ relaxed
    flips, sweeps = cpu.relax(couplings, relaxed, field, orders, field_rounding(couplings), flipped)
    return relaxed, flips, sweeps
