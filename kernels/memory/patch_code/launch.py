"""Squares of a picture as the winners of one dictionary, on threads."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...tools.threads import spread
from . import cpu
from .reference import PatchPlaces

# Minimum number of weights of a thread: about 1 ms.
WEIGHTS_PER_THREAD = 1 << 23


def encode(
    items: NDArray,
    places: PatchPlaces,
    rows: NDArray[np.float32],
    stored: int,
    winners: int,
    threshold: float,
    regions: int,
    threads: int = 1,
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Compute `encode_reference` on `threads` threads; the result does not depend on them."""
    values = np.ascontiguousarray(items, np.float32)
    counts = np.zeros((len(values), rows.shape[1], regions), np.int32)
    operations = np.empty(len(values), np.int64)
    # A plain tuple, which a call unpacks ten times as fast as a named one.
    plain = tuple(places)
    bar = np.float32(threshold)

    def fill(begin: int, end: int) -> None:
        part = slice(begin, end)
        cpu.encode(values[part], plain, rows, stored, winners, bar, counts[part], operations[part])

    bounds = np.arange(len(values) + 1) * (len(places.first) * rows.size)
    spread(fill, bounds, threads, WEIGHTS_PER_THREAD)
    return counts, operations
