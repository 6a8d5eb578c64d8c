"""Recordings of spike sources, from memory or streamed, brought onto the grid a window at a time."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from ...base.errors import NeurosimInputError, require
from ...data.spikes import GRID_SLACK, Spikes
from ..inputs import MAX_STEPS, check_size, check_units

# Events a window holds, or more where one step has more: 3 MB, and changing windows costs a copy of the state.
WINDOW_EVENTS = 1 << 18


class GridEvents(NamedTuple):
    """Events on the grid: [n] ascending steps and [n] units."""

    steps: NDArray[np.int32]
    units: NDArray[np.int32]


NO_EVENTS = GridEvents(np.empty(0, np.int32), np.empty(0, np.int32))


def join_events(pieces: list[GridEvents]) -> GridEvents:
    """Return the events of pieces that follow one another."""
    if len(pieces) == 1:
        return pieces[0]
    none = np.empty(0, np.int32)
    steps = np.concatenate([none, *(piece.steps for piece in pieces)])
    units = np.concatenate([none, *(piece.units for piece in pieces)])
    return GridEvents(steps, units)


class EventSource(ABC):
    """Recording of one spike source, read in stretches that each start at or after the one before."""

    @abstractmethod
    def take(self, first: int, last: int) -> tuple[GridEvents, int]:
        """Return the events of steps `first` to `stop - 1`, and `stop`, which is above `first`.

        Args:
            last: end of the requested steps. A higher `stop` is the end of the steps that the events at hand cover.

        Raises:
            NeurosimInputError: times that are not ascending or negative, a unit that the population lacks.
        """


@final
class InMemorySource(EventSource):
    """A recording in memory.

    Args:
        spikes: the recording; silence follows its end.
        clock: s, the step.
        name: of the recording in errors.
        max_events: number of events of a window.
    """

    def __init__(self, spikes: Spikes, clock: float, name: str, max_events: int = WINDOW_EVENTS) -> None:
        self.spikes = spikes
        self.clock = clock
        self.name = name
        self.max_events = max_events

    def take(self, first: int, last: int) -> tuple[GridEvents, int]:
        times = self.spikes.times
        count = self.max_events
        # One step too early, because of rounding; events before `first` are cut off below.
        if first:
            start = int(np.searchsorted(times, (first - 1) * self.clock))
        else:
            start = 0
        while True:
            end = min(start + count, len(times))
            steps = steps_of_times(times[start:end], self.clock, self.name)
            if end == len(times):
                stop = MAX_STEPS + 1
                break
            # The last step may have events beyond `end`.
            stop = int(steps[-1])
            if stop > first:
                break
            count *= 2
        a, b = np.searchsorted(steps, (first, stop))
        units = check_units(self.spikes.units[start + a : start + b], self.spikes.size, self.name)
        return GridEvents(steps[a:b], units), stop


@final
class StreamedSource(EventSource):
    """A recording that comes as consecutive windows, such as the results of `Spikes.window`.

    Window k starts at the end of window k - 1, and its times count from there. Silence follows the last.

    Args:
        windows: read once, in order, no further than the run needs.
        size: number of units of the population.
        clock, name, max_events: as for `InMemorySource`.
    """

    def __init__(
        self, windows: Iterable[Spikes], size: int, clock: float, name: str, max_events: int = WINDOW_EVENTS
    ) -> None:
        self.windows: Iterator[Spikes] | None = iter(windows)
        self.size = size
        self.clock = clock
        self.name = name
        self.max_events = max_events
        # Exact: a sum of many rounded durations would drift over the grid.
        self.next_start = Fraction(0)
        self.until = 0
        self.events = join_events([])

    def take(self, first: int, last: int) -> tuple[GridEvents, int]:
        self._drop_before(first)
        pieces = [self.events]
        count = len(self.events.steps)
        # Read beyond `first` in any case, and on to `last` while there is room.
        while self.windows is not None:
            is_full = self.until >= last or count >= self.max_events
            if self.until > first and is_full:
                break
            window = next(self.windows, None)
            if window is None:
                self.windows = None
                self.until = MAX_STEPS + 1
                break
            pieces.append(self._read(window))
            count += len(pieces[-1].steps)
            if self.until <= first:
                # A resumed run skips the events before it.
                later = [GridEvents(p.steps[p.steps >= first], p.units[p.steps >= first]) for p in pieces]
                pieces = [p for p in later if len(p.steps)] or later[:1]
        self.events = join_events(pieces)
        self._drop_before(first)
        end = int(np.searchsorted(self.events.steps, self.until))
        return GridEvents(self.events.steps[:end].copy(), self.events.units[:end].copy()), self.until

    def _drop_before(self, first: int) -> None:
        begin = int(np.searchsorted(self.events.steps, first))
        self.events = GridEvents(self.events.steps[begin:], self.events.units[begin:])

    def _read(self, window: Spikes) -> GridEvents:
        if not isinstance(window, Spikes):
            raise NeurosimInputError(f"{self.name}: must yield Spikes (got {type(window).__name__})")
        check_size(window, self.size, self.name)
        steps = steps_of_times(window.times + float(self.next_start), self.clock, self.name)
        self.next_start += Fraction(window.duration)
        end = float(self.next_start)
        self.until = math.floor(end / self.clock + GRID_SLACK)
        require(self.until <= MAX_STEPS, self.name, f"must be < {MAX_STEPS} steps of the clock", end)
        return GridEvents(steps, check_units(window.units, self.size, self.name))


def steps_of_times(times: NDArray[np.float64], clock: float, name: str) -> NDArray[np.int32]:
    """Return [n] the step of each event: step k contains `k clock <= t < (k + 1) clock`.

    Raises:
        NeurosimInputError: times that are not ascending, negative, or beyond the steps that can be counted.
    """
    steps = np.floor(times / clock + GRID_SLACK)
    if steps.size:
        require(bool((steps[1:] >= steps[:-1]).all()), f"{name}: times", "must be ascending", "an earlier one")
        require(steps[0] >= 0, f"{name}: times", "must be >= 0 s", times[0])
        require(steps[-1] <= MAX_STEPS, f"{name}: times", f"must be < {MAX_STEPS} steps of the clock", times[-1])
    return steps.astype(np.int32)
