"""Recordings of any length, brought onto the grid a window at a time."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import final

import numpy as np
from numpy.typing import NDArray

from ...errors import NeurosimInputError, require
from ...spikes import GRID_SLACK, Spikes
from .workspace import Events

# Events a window holds, or more where one step has more: 3 MB, and changing windows costs a copy of the state.
WINDOW_EVENTS = 1 << 18
# Steps are counted in 32 bits in the output.
MAX_STEPS = 2**31 - 2


class EventSource(ABC):
    """What one spike source plays. Asked for one stretch after another, each starting at or after the one before."""

    @abstractmethod
    def take(self, first: int, last: int) -> tuple[Events, int]:
        """The events of steps `first` to `stop - 1`, and `stop`, which is above `first`.

        last: what is wanted. Above it, `stop` says how far the events at hand reach.

        Raises:
            NeurosimInputError: times that are unordered or negative, a unit the population lacks.
        """


@final
class InMemorySource(EventSource):
    """A recording in memory.

    Args:
        spikes: the recording; silence follows its end.
        clock: s, the step.
        thing: names it in errors.
        most: events of a window.
    """

    def __init__(self, spikes: Spikes, clock: float, thing: str, most: int = WINDOW_EVENTS) -> None:
        self.spikes, self.clock, self.thing, self.most = spikes, clock, thing, most

    def take(self, first: int, last: int) -> tuple[Events, int]:
        times, most = self.spikes.times, self.most
        # A step earlier than need be, for rounding; what is before `first` falls away below.
        start = int(np.searchsorted(times, (first - 1) * self.clock)) if first else 0
        while True:
            end = min(start + most, len(times))
            steps = steps_of_times(times[start:end], self.clock, self.thing)
            if end == len(times):
                stop = MAX_STEPS + 1
                break
            # The last step may have events beyond `end`.
            stop = int(steps[-1])
            if stop > first:
                break
            most *= 2
        a, b = np.searchsorted(steps, (first, stop))
        units = checked_units(self.spikes.units[start + a : start + b], self.spikes.size, self.thing)
        return Events(steps[a:b], units), stop


@final
class StreamedSource(EventSource):
    """A recording that comes as windows, each following the one before: window k starts where window k - 1 ends, and
    its times count from there, as `Spikes.window` gives them. Silence follows the last.

    Args:
        windows: read once, in order, no further than the run needs.
        size: units of the population.
        clock, thing, most: as `InMemorySource`.
    """

    def __init__(
        self, windows: Iterable[Spikes], size: int, clock: float, thing: str, most: int = WINDOW_EVENTS
    ) -> None:
        self.windows: Iterator[Spikes] | None = iter(windows)
        self.size, self.clock, self.thing, self.most = size, clock, thing, most
        # Where the next window starts, exactly: a sum of many rounded durations would drift over the grid.
        self.start = Fraction(0)
        self.until = 0
        self.steps: NDArray[np.int32] = np.empty(0, np.int32)
        self.units: NDArray[np.int32] = np.empty(0, np.int32)

    def take(self, first: int, last: int) -> tuple[Events, int]:
        self._drop(first)
        pieces, held = [(self.steps, self.units)], len(self.steps)
        while self.windows is not None and (self.until <= first or (self.until < last and held < self.most)):
            window = next(self.windows, None)
            if window is None:
                self.windows, self.until = None, MAX_STEPS + 1
                break
            pieces.append(self._grid(window))
            held += len(pieces[-1][0])
            if self.until <= first:
                # Skipped on the way to where a resumed run stands.
                kept = [(s[s >= first], u[s >= first]) for s, u in pieces]
                pieces = [piece for piece in kept if len(piece[0])] or kept[:1]
        self.steps, self.units = (np.concatenate([piece[k] for piece in pieces]) for k in (0, 1))
        self._drop(first)
        b = int(np.searchsorted(self.steps, self.until))
        return Events(self.steps[:b].copy(), self.units[:b].copy()), self.until

    def _drop(self, first: int) -> None:
        a = int(np.searchsorted(self.steps, first))
        self.steps, self.units = self.steps[a:], self.units[a:]

    def _grid(self, window: Spikes) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        if not isinstance(window, Spikes):
            raise NeurosimInputError(f"{self.thing}: must yield Spikes (got {type(window).__name__})")
        require(window.size == self.size, self.thing, f"must have the population's {self.size} units", window.size)
        steps = steps_of_times(window.times + float(self.start), self.clock, self.thing)
        self.start += Fraction(window.duration)
        self.until = math.floor(float(self.start) / self.clock + GRID_SLACK)
        require(self.until <= MAX_STEPS, self.thing, f"must be < {MAX_STEPS} steps of the clock", float(self.start))
        return steps, checked_units(window.units, self.size, self.thing)


def steps_of_times(times: NDArray[np.float64], clock: float, thing: str) -> NDArray[np.int32]:
    """[n] the step of each event: step k holds `k clock <= t < (k + 1) clock`.

    Raises:
        NeurosimInputError: times that are unordered, negative, or beyond the steps that can be counted.
    """
    steps = np.floor(times / clock + GRID_SLACK)
    if steps.size:
        require(bool((steps[1:] >= steps[:-1]).all()), f"{thing}: times", "must be ascending", "an earlier one")
        require(steps[0] >= 0, f"{thing}: times", "must be >= 0 s", times[0])
        require(steps[-1] <= MAX_STEPS, f"{thing}: times", f"must be < {MAX_STEPS} steps of the clock", times[-1])
    return steps.astype(np.int32)


def checked_units(units: NDArray, size: int, thing: str) -> NDArray[np.int32]:
    """The units as int32.

    Raises:
        NeurosimInputError: one below 0, or not below `size`.
    """
    if units.size:
        require(units.min() >= 0, f"{thing}: units", "must be >= 0", units.min())
        require(units.max() < size, f"{thing}: units", f"must be < {size}", units.max())
    return np.ascontiguousarray(units, np.int32)
