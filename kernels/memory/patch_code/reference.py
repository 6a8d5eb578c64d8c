"""Squares of a picture as the winners of one dictionary that all places share: the plain form, in numpy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class PatchPlaces(NamedTuple):
    """Places of the squares in a picture.

    Attributes:
        first: [places] int32, first input of each square.
        offsets: [size] int32, inputs of a square, counted from its first.
        regions: [places] int32, region whose counts the winners of a place enter.
    """

    first: NDArray[np.int32]
    offsets: NDArray[np.int32]
    regions: NDArray[np.int32]


def encode_reference(
    items: NDArray[np.float32],
    places: PatchPlaces,
    rows: NDArray[np.float32],
    stored: int,
    winners: int,
    threshold: float,
    regions: int,
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return [items, units, regions] numbers of places of a region at which a unit won, and [items] operations.

    At each place the inputs of the square that are not 0 add their rows, times their value, to the sums of the first
    `stored` units. The `winners` largest sums above `threshold` win; of equal ones the lower unit. An operation is a
    weight that an input selected.

    Args:
        items: [items, inputs] numbers of spikes.
        rows: [size, units] weights by input of a square.
    """
    counts = np.zeros((len(items), rows.shape[1], regions), np.int32)
    operations = np.zeros(len(items), np.int64)
    for i, item in enumerate(items):
        for first, region in zip(places.first, places.regions, strict=True):
            sums = np.zeros(stored, np.float32)
            # Rows are added in the order of inputs, so that every form gives the same bits.
            for value, row in zip(item[first + places.offsets], rows, strict=True):
                if value != 0:
                    sums += value * row[:stored]
                    operations[i] += stored
            order = np.argsort(-sums, kind="stable")[:winners]
            counts[i, order[sums[order] > threshold], region] += 1
    return counts, operations
