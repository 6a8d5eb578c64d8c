"""Makers of rows that several patterns share.

A part of the targets, `onto`, is half-open: the first target and the one after the last.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .base import Maker, Rows

Onto: TypeAlias = "tuple[int, int] | None"


def offsets_of(degrees: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return where each row begins, and the end of the last, from the numbers of synapses of the rows."""
    return np.concatenate([[0], np.cumsum(degrees)]).astype(np.int64)


def grown_rows(expected: float, sources: int, fill: Callable[[NDArray[Any], NDArray[Any]], int]) -> Rows:
    """Return rows of an unknown number of synapses: `fill(offsets, out)` returns it, or -1 if `out` is too short."""
    # Six standard deviations above the mean of a Poisson number: almost never too short.
    offsets = np.empty(sources + 1, np.int64)
    room = int(expected + 6 * math.sqrt(expected)) + 64
    while True:
        out = np.empty(room, np.int32)
        count = fill(offsets, out)
        if count >= 0:
            return Rows(offsets, out[:count])
        room *= 2


def distinct_maker(key: int, n: int, sources: int, targets: int, skip: bool, onto: Onto) -> Maker:
    """Return the maker of `n` different pairs, drawn at once and marked by one bit for each pair.

    Args:
        skip: no pair of a unit with itself.
    """
    from ...kernels.engine.connect.fixed.cpu import bit_rows, distinct_bits
    from ...kernels.engine.connect.views import RowRange

    pairs = sources * (targets - skip)
    bits = np.zeros(pairs // 64 + 1, np.uint64)
    distinct_bits(np.uint64(key), pairs, n, bits)

    def rows(first: int, last: int, onto: tuple[int, int]) -> Rows:
        before = np.empty(last - first, np.int64)

        def fill(offsets: NDArray[Any], out: NDArray[Any]) -> int:
            return bit_rows(bits, RowRange(first, last, *onto), targets, skip, before, offsets, out)

        expected = n * ((last - first) / sources) * ((onto[1] - onto[0]) / targets)
        grown = grown_rows(expected, last - first, fill)
        return Rows(grown.offsets, grown.targets, before=before)

    # Rows onto the empty part behind the last target: all synapses of a row are before it.
    degrees = np.concatenate([np.empty(0, np.int64), rows(0, sources, (targets, targets)).before])
    first_synapse = offsets_of(degrees)
    part = (0, targets) if onto is None else onto
    return Maker(lambda first, last: rows(first, last, part), first_synapse)


def choosing_maker(
    key: int, first_synapse: NDArray[np.int64], targets: int, with_replacement: bool, skip: bool, onto: Onto
) -> Maker:
    """Return the maker of rows in which source i chooses first_synapse[i + 1] - first_synapse[i] targets.

    Args:
        skip: no source chooses itself.
    """
    from ...kernels.engine.connect.fixed.cpu import fixed_rows, fixed_rows_part
    from ...kernels.engine.connect.views import RowRange

    def rows(first: int, last: int) -> Rows:
        offsets = first_synapse[first : last + 1] - first_synapse[first]
        out = np.empty(offsets[-1], np.int32)
        fixed_rows(np.uint64(key), first, last, np.diff(offsets), targets, with_replacement, skip, out)
        return Rows(offsets, out)

    def part(first: int, last: int, low: int, high: int) -> Rows:
        degrees = np.diff(first_synapse[first : last + 1])
        before = np.empty(last - first, np.int64)
        span = RowRange(first, last, low, high)

        def fill(offsets: NDArray[Any], out: NDArray[Any]) -> int:
            return fixed_rows_part(np.uint64(key), span, degrees, targets, with_replacement, skip, before, offsets, out)

        # How many targets fall into a part is chance: room for their mean, and for one whole row, without which the
        # kernel does not begin a row.
        share = (high - low) / max(targets, 1)
        grown = grown_rows(share * degrees.sum() + degrees.max(initial=0), last - first, fill)
        return Rows(grown.offsets, grown.targets, before=before)

    if onto is None:
        return Maker(rows, first_synapse)
    low, high = onto
    return Maker(lambda first, last: part(first, last, low, high), first_synapse)


def part_of(rows: Rows, onto: Onto) -> Rows:
    """Return the synapses of rows that end in a part of the targets; None: all."""
    if onto is None:
        return rows
    low, high = onto
    below = np.concatenate([[0], np.cumsum(rows.targets < low)])[rows.offsets]
    inside = (rows.targets >= low) & (rows.targets < high)
    offsets = np.concatenate([[0], np.cumsum(inside)])[rows.offsets]
    order = None if rows.order is None else rows.order[inside]
    weights = None if rows.weights is None else rows.weights[inside]
    return Rows(offsets=offsets, targets=rows.targets[inside], order=order, weights=weights, before=np.diff(below))


def maker_of(rows: Rows, first_synapse: NDArray[np.int64] | None) -> Maker:
    """Return a maker that cuts ranges out of complete rows; `first_synapse` as in `Maker`."""

    def cut(first: int, last: int) -> Rows:
        begin = rows.offsets[first]
        end = rows.offsets[last]
        order = None if rows.order is None else rows.order[begin:end]
        before = None if rows.before is None else rows.before[first:last]
        return Rows(
            offsets=rows.offsets[first : last + 1] - begin,
            targets=rows.targets[begin:end],
            order=order,
            weights=None,
            before=before,
        )

    return Maker(cut, first_synapse)
