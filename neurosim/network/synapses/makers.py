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


def distinct_maker(key, n, sources, targets, skip, onto) -> Maker:
    """Return the maker of `n` different pairs. All are drawn at once: a bit for each pair says which."""
    from ...kernels.engine.connect.fixed import bit_rows, distinct_bits

    pairs = sources * (targets - skip)
    bits = np.zeros(pairs // 64 + 1, np.uint64)
    distinct_bits(np.uint64(key), pairs, n, bits)

    def rows(first: int, last: int, onto: tuple[int, int]) -> Rows:
        before = np.empty(last - first, np.int64)

        def fill(offsets: NDArray, out: NDArray) -> int:
            return bit_rows(bits, first, last, *onto, targets, skip, before, offsets, out)

        made = grown_rows(n * ((last - first) / sources) * ((onto[1] - onto[0]) / targets), last - first, fill)
        return Rows(made.offsets, made.targets, before=before)

    degrees = np.concatenate([np.empty(0, np.int64), rows(0, sources, (targets, targets)).before])
    first_synapse = np.concatenate([[0], np.cumsum(degrees)]).astype(np.int64)
    part = (0, targets) if onto is None else onto
    return Maker(lambda first, last: rows(first, last, part), first_synapse)


def choosing_maker(key, first_synapse, targets, with_replacement, skip, onto) -> Maker:
    """Return the maker of rows in which source i chooses first_synapse[i + 1] - first_synapse[i] targets."""
    from ...kernels.engine.connect.fixed import fixed_rows, fixed_rows_part

    def rows(first: int, last: int) -> Rows:
        offsets = first_synapse[first : last + 1] - first_synapse[first]
        out = np.empty(offsets[-1], np.int32)
        fixed_rows(np.uint64(key), first, last, np.diff(offsets), targets, with_replacement, skip, out)
        return Rows(offsets, out)

    def part(first: int, last: int) -> Rows:
        degrees = np.diff(first_synapse[first : last + 1])
        before = np.empty(last - first, np.int64)

        def fill(offsets: NDArray, out: NDArray) -> int:
            given = degrees, targets, with_replacement, skip, before, offsets, out
            return fixed_rows_part(np.uint64(key), first, last, low, high, *given)

        low, high = onto
        share = (high - low) / max(targets, 1)
        made = grown_rows(share * degrees.sum() + degrees.max(initial=0), last - first, fill)
        return Rows(made.offsets, made.targets, before=before)

    return Maker(rows if onto is None else part, first_synapse)


def part_of(rows: Rows, onto: tuple[int, int] | None) -> Rows:
    """Return the synapses of rows that end in a part of the targets; None: all."""
    if onto is None:
        return rows
    below = np.concatenate([[0], np.cumsum(rows.targets < onto[0])])[rows.offsets]
    mine = (rows.targets >= onto[0]) & (rows.targets < onto[1])
    offsets = np.concatenate([[0], np.cumsum(mine)])[rows.offsets]
    order = None if rows.order is None else rows.order[mine]
    weights = None if rows.weights is None else rows.weights[mine]
    return Rows(offsets, rows.targets[mine], order, weights, np.diff(below))


def maker_of(made: Rows, first_synapse: NDArray[np.int64] | None) -> Maker:
    """Return the maker of ranges of rows that are made; `first_synapse` as in `Maker`."""

    def rows(first: int, last: int) -> Rows:
        a = made.offsets[first]
        b = made.offsets[last]
        order = None if made.order is None else made.order[a:b]
        if made.before is None:
            before = None
        else:
            before = made.before[first:last]
        return Rows(made.offsets[first : last + 1] - a, made.targets[a:b], order, None, before)

    return Maker(rows, first_synapse)
