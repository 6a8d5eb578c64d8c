"""Asynchronous dynamics from several states, at temperature zero and above."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from . import cpu
from .reference import bounds_of, field_rounding


def relax(
    couplings: NDArray[np.float64],
    states: NDArray[np.float64],
    orders: NDArray[np.int64],
    flipped: NDArray[np.int64] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Compute `relax_reference` for each of the states [n, N]; return states [n, N], flips [n] and sweeps [n].

    Args:
        flipped: [N], to which the flips of each unit are added; None: they are not counted one by one.
    """
    relaxed = np.array(states, np.float64, order="C")
    if flipped is None:
        flipped = np.zeros(len(couplings), np.int64)
    # Couplings are symmetric.
    fields = relaxed @ couplings
    flips = np.zeros(len(relaxed), np.int64)
    sweeps = np.zeros(len(relaxed), np.int64)
    cpu.relax(couplings, relaxed, fields, orders, field_rounding(couplings), flipped, flips, sweeps)
    return relaxed, flips, sweeps


def heat(
    couplings: NDArray[np.float64],
    states: NDArray[np.float64],
    orders: NDArray[np.int64],
    chances: NDArray[np.float64],
    temperature: float,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Compute `heat_reference` for each of the states [n, N]; return mean states [n, N] and flips [n]."""
    heated = np.array(states, np.float64, order="C")
    fields = heated @ couplings
    means = np.zeros_like(heated)
    flips = np.zeros(len(heated), np.int64)
    cpu.heat(couplings, heated, fields, orders, bounds_of(chances, temperature), means, flips)
    return means / (len(orders) - len(orders) // 2), flips
