"""Moved copies of the recordings of a camera, which a readout learns beside them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...base.rules import Natural, check_rules
from ...data.recordings import Recordings
from .draws import uniform

# Recordings and events up to which copies are made: a readout's time grows as the cube of the recordings, and copies
# are in memory.
MAX_RECORDINGS = 2000
MAX_EVENTS = 20_000_000
# Events that are moved at once.
BLOCK = 1 << 20


@dataclass(frozen=True)
class Copies:
    """Copies of training recordings, moved by some pixels.

    Attributes:
        count: copies of each recording.
        shift: pixels that a copy is moved by at most, up or down and left or right; each number is as likely.

    Raises:
        NeurosimInputError: on construction, naming the attribute and its rule.
    """

    count: Natural = 0
    shift: Natural = 2

    def __post_init__(self) -> None:
        check_rules(self)

    def count_of(self, recordings: Recordings) -> int:
        """Return how many copies of each recording are made.

        There are none where recordings or events are very many or on the disk, or where a sensor has no rows.
        """
        few = len(recordings) <= MAX_RECORDINGS and len(recordings.ticks) <= MAX_EVENTS
        if few and recordings.in_memory and len(recordings.shape) >= 2:
            return self.count
        return 0

    def added(self, recordings: Recordings, seed: int) -> Recordings:
        """Return the recordings, and behind them their copies; events that leave the sensor are dropped."""
        count = self.count_of(recordings)
        if not count:
            return recordings
        n = len(recordings)
        every = recordings.select(np.tile(np.arange(n), 1 + count))
        shifts = np.concatenate([np.zeros((n, 2), np.int64), self._shifts(count * n, seed)])
        return _moved(every, shifts)

    def _shifts(self, n: int, seed: int) -> NDArray[np.int64]:
        """Return [n, 2] rows and columns that each copy is moved by."""
        u = uniform(seed, "copies", n, 2)
        return np.floor(u * (2 * self.shift + 1)).astype(np.int64) - self.shift


def _moved(recordings: Recordings, shifts: NDArray[np.int64]) -> Recordings:
    """Return the recordings of a camera, each moved by its rows and columns."""
    height, width = recordings.shape[-2:]
    planes = (math.prod(recordings.shape[:-2]), height, width)
    units = np.empty(len(recordings.units), np.int32)
    inside = np.empty(len(units), np.bool_)
    kept = np.zeros(len(recordings), np.int64)
    # A block at a time: places and shifts of all events would take many times the memory of the events.
    for begin in range(0, len(units), BLOCK):
        block = slice(begin, begin + BLOCK)
        ends = np.clip(recordings.offsets, begin, min(begin + BLOCK, len(units))) - begin
        down, across = np.repeat(shifts, np.diff(ends), axis=0).T
        plane, y, x = np.unravel_index(np.asarray(recordings.units[block], np.int64), planes)
        y = y + down
        x = x + across
        here = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        # Units of events that leave the sensor are numbers without a meaning, which are dropped.
        units[block] = (plane * height + y) * width + x
        inside[block] = here
        kept += np.diff(np.concatenate([[0], np.cumsum(here)])[ends])
    return replace(
        recordings,
        ticks=recordings.ticks[inside],
        units=units[inside],
        offsets=np.concatenate([[0], np.cumsum(kept)]),
    )
