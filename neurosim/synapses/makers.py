"""Makers of rows that several patterns share."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .base import Maker, Rows


def grown_rows(expected, sources, fill) -> Rows:
    """Return rows of an unknown number of synapses: `fill(offsets, out)` returns it, or -1 if `out` is too short."""
    offsets = np.empty(sources + 1, np.int64)
    room = int(expected + 6 * math.sqrt(expected)) + 64
    while True:
        out = np.empty(room, np.int32)
        count = fill(offsets, out)
        if count >= 0:
            return Rows(offsets, out[:count])
        room *= 2


def distinct_numbers(key: int, among: int, n: int) -> NDArray[np.int64]:
    """Return `n` different numbers of range(among), ascending."""
    from ..kernels.engine.connect import fixed_columns

    out = np.empty((1, n), np.int64)
    fixed_columns(np.uint64(key), among, 0, 1, n, False, False, out)
    return out[0]


def choosing_maker(key, first_synapse, targets, with_replacement, skip) -> Maker:
    """Return the maker of rows in which source i chooses first_synapse[i + 1] - first_synapse[i] targets."""
    from ..kernels.engine.connect import fixed_rows

    def rows(first: int, last: int) -> Rows:
        offsets = first_synapse[first : last + 1] - first_synapse[first]
        out = np.empty(offsets[-1], np.int32)
        fixed_rows(np.uint64(key), first, last, np.diff(offsets), targets, with_replacement, skip, out)
        return Rows(offsets, out)

    return Maker(rows, first_synapse)


def maker_of(whole: Rows) -> Maker:
    """Return the maker of ranges of `whole`."""

    def rows(first: int, last: int) -> Rows:
        a, b = whole.offsets[first], whole.offsets[last]
        order = None if whole.order is None else whole.order[a:b]
        weights = None if whole.weights is None else whole.weights[a:b]
        return Rows(whole.offsets[first : last + 1] - a, whole.targets[a:b], order, weights)

    return Maker(rows, whole.offsets)
