"""The event container: a recording, a stimulus and the output of a simulation are `Spikes`."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base.errors import NeurosimInputError, is_number, lookup, require
from ..base.shown import counted, html_table
from .event_arrays import convert_array, count_in_windows, digest_events, set_array, sort_events
from .read_report import ReadReport

# A time this close below a grid point, in steps, belongs to it: k * dt is rarely exact in binary.
GRID_SLACK = 1e-6
# Units in the last place by which a last event may lie behind the duration, which then becomes its time.
ROUNDING = 4


@dataclass(frozen=True, eq=False)
class Spikes:
    """Events of one population in one interval of time. It may be copied and pickled.

    Attributes:
        times: [n] float64, seconds from the start, ascending.
        units: [n] int32, `0 <= unit < size`.
        size: number of units of the population.
        duration: seconds; no event is later.
        shape: of the units, e.g. (2, 34, 34) = polarity, y, x; () means (size,).
        report: how a camera file was read; None for spikes of any other origin.

    Raises:
        NeurosimInputError: on construction, naming the attribute and its rule.
    """

    times: NDArray[Any]
    units: NDArray[Any]
    size: int
    duration: float
    shape: tuple[int, ...] = ()
    report: ReadReport | None = None

    def __post_init__(self) -> None:
        set_array(self, "times", np.float64)
        set_array(self, "units", np.int32)
        require(is_number(self.size), "Spikes.size", "must be > 0 units", self.size)
        object.__setattr__(self, "size", int(self.size))
        require(is_number(self.duration), "Spikes.duration", "must be finite and >= 0 s", self.duration)
        object.__setattr__(self, "duration", float(self.duration))
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape) or (self.size,))
        t = self.times
        u = self.units
        require(t.ndim == 1 and t.shape == u.shape, "Spikes.units", "must have one unit for each time", u.shape)
        require(self.size > 0, "Spikes.size", "must be > 0 units", self.size)
        require(math.prod(self.shape) == self.size, "Spikes.shape", f"must have the product {self.size}", self.shape)
        lasts = math.isfinite(self.duration) and self.duration >= 0
        require(lasts, "Spikes.duration", "must be finite and >= 0 s", self.duration)
        if t.size:
            self._check_events(t, u)

    def _check_events(self, t: NDArray[np.float64], u: NDArray[np.int32]) -> None:
        """Check times and units that there are; a duration one rounding short of the last event is set to it."""
        rises = t[1:] >= t[:-1]  # False beside a NaN
        if not rises.all() or math.isnan(t[0]):
            raise NeurosimInputError(
                f"Spikes.times: must be ascending, in seconds ({_descent(t, rises)}); see Spikes.sort"
            )
        require(t[0] >= 0, "Spikes.times", "must be >= 0 s", t[0])
        # n * dt may be one rounding below the time of an event at its end.
        if self.duration < t[-1] <= self.duration + ROUNDING * np.spacing(self.duration):
            object.__setattr__(self, "duration", float(t[-1]))
        require(t[-1] <= self.duration, "Spikes.duration", f"must reach the last event at {t[-1]} s", self.duration)
        require(u.min() >= 0, "Spikes.units", "must be >= 0", u.min())
        require(u.max() < self.size, "Spikes.units", f"must be < size {self.size}", u.max())

    @classmethod
    def unchecked(
        cls,
        times: NDArray[np.float64],
        units: NDArray[np.int32],
        size: int,
        duration: float,
        shape: tuple[int, ...] = (),
        report: ReadReport | None = None,
    ) -> Spikes:
        """Return spikes of times [n], s, and units [n] without checks and conversions, for readers and engines."""
        spikes = object.__new__(cls)
        values = {"times": times, "units": units, "size": size, "duration": duration, "shape": shape or (size,)}
        spikes.__dict__.update(values, report=report)
        return spikes

    @classmethod
    def sort(
        cls, times: object, units: object, size: int, duration: float | None = None, shape: tuple[int, ...] = ()
    ) -> Spikes:
        """Return spikes of events in any order; ties keep their order. `duration` None: up to the last event."""
        t = convert_array("Spikes.times", times, np.float64)
        u = np.asarray(units)
        require(t.ndim == 1 and t.shape == u.shape, "Spikes.units", "must have one unit for each time", u.shape)
        order = np.argsort(t, kind="stable")
        if duration is None:
            duration = float(t[order[-1]]) if t.size else 0.0
        return cls(times=t[order], units=u[order], size=size, duration=duration, shape=shape)

    def __len__(self) -> int:
        return len(self.times)

    def __repr__(self) -> str:
        events = counted(len(self), "event")
        units = counted(self.size, "unit")
        return f"Spikes({events} of {units} {self.shape}, {self.duration:.6g} s)"

    def _repr_html_(self) -> str:
        """Return a table of sizes, the mean rate of a unit, and what was said when a file was read."""
        rows: dict[str, object] = {"events": len(self), "shape": self.shape, "duration (s)": self.duration}
        if self.duration > 0:
            rows["mean rate (spikes/s per unit)"] = len(self) / (self.size * self.duration)
        if self.report is not None:
            rows["read as"] = self.report.format
            rows["remarks"] = "; ".join(self.report.remarks())
        return html_table("Spikes", rows)

    def window(self, start: float, stop: float) -> Spikes:
        """Return the events with `start <= t < stop`, with times from `start`.

        A `stop` at or after `duration` includes an event exactly at it, so windows that tile a recording hold all
        events.

        Raises:
            NeurosimInputError: `start` below 0 or above `stop`, or a `stop` that is not finite.
        """
        valid = 0 <= start <= stop < math.inf
        require(valid, "Spikes.window", "needs 0 <= start <= stop, in finite seconds", (start, stop))
        first = np.searchsorted(self.times, start, side="left")
        last = np.searchsorted(self.times, stop, side="right" if stop >= self.duration else "left")
        times = np.minimum(self.times[first:last] - start, stop - start)
        return Spikes.unchecked(times, self.units[first:last], self.size, stop - start, self.shape)

    def starting(self, start: float | str | None = None) -> Spikes:
        """Return the events from `start` on, with times from there; `report.start` moves with them.

        Args:
            start: seconds, "first" for the first event, or "file" for time 0 as it is. None: "first" for a recording
                that was read from a file with the clock of a camera, "file" for others.

        Raises:
            NeurosimInputError: another word for `start`, or seconds that are not finite.
        """
        if start is None:
            has_clock = self.report is not None and self.report.clocked
            start = "first" if has_clock else "file"
        start = seconds_of_start(start, float(self.times[0]) if len(self) else 0.0)
        if start == 0:
            return self
        first = np.searchsorted(self.times, start, side="left")
        report = None
        if self.report is not None:
            report = replace(self.report, start=self.report.start + start)
        times = self.times[first:] - start
        duration = max(self.duration - start, 0.0)
        return Spikes.unchecked(times, self.units[first:], self.size, duration, self.shape, report)

    def upright(self) -> Spikes:
        """Return the recording with row 0 at the top of the picture; itself, unless `report.row_0` is "bottom"."""
        if self.report is None or self.report.row_0 == "top":
            return self
        units = self.flip_rows().units
        report = replace(self.report, row_0="top")
        return Spikes.unchecked(self.times, units, self.size, self.duration, self.shape, report)

    def flip_rows(self) -> Spikes:
        """Return the recording of a camera, of shape [..., y, x], with its last row first."""
        plane = math.prod(self.shape[-2:])
        width = self.shape[-1]
        first, pixel = np.divmod(self.units, plane)
        row, column = np.divmod(pixel, width)
        units = first * plane + (self.shape[-2] - 1 - row) * width + column
        return Spikes.unchecked(self.times, units.astype(np.int32), self.size, self.duration, self.shape, self.report)

    def merge(self, *others: Spikes) -> Spikes:
        """Return all events of several recordings of the same population, in order of time (ties: of arguments).

        Raises:
            NeurosimInputError: recordings of another shape.
        """
        for other in others:
            require(other.shape == self.shape, "Spikes.merge", f"needs the same shape {self.shape}", other.shape)
        every = (self, *others)
        times = np.concatenate([s.times for s in every])
        units = np.concatenate([s.units for s in every])
        return Spikes.sort(times, units, self.size, max(s.duration for s in every), self.shape)

    def counts(self) -> NDArray[np.int64]:
        """Return [size] numbers of events of each unit."""
        return np.bincount(self.units, minlength=self.size)

    def coordinates(self) -> tuple[NDArray[np.int64], ...]:
        """Return an array [n] for each dimension of `shape`, e.g. polarity, y and x of every event."""
        return tuple(np.unravel_index(self.units, self.shape))

    def steps(self, dt: float) -> NDArray[np.int64]:
        """Return [n] grid steps of the events: step k holds `k dt <= t < (k + 1) dt`.

        Raises:
            NeurosimInputError: `dt` that is not > 0 s.
        """
        require(dt > 0, "Spikes.steps", "needs dt > 0 s", dt)
        return np.floor(self.times / dt + GRID_SLACK).astype(np.int64)

    def to_grid(self, dt: float) -> NDArray[np.int32]:
        """Return [steps, size] numbers of events of each unit in each step of `dt` seconds."""
        steps = self.steps(dt)
        needed = int(steps[-1]) + 1 if steps.size else 0
        count = max(math.ceil(self.duration / dt - GRID_SLACK), needed)
        grid = np.zeros((count, self.size), np.int32)
        np.add.at(grid, (steps, self.units), 1)
        return grid

    def window_counts(self, windows: int | NDArray[Any]) -> NDArray[np.float32]:
        """Return [windows, size] numbers of events in windows of time, as `Recordings.window_counts`."""
        offsets = np.array([0, len(self)], np.int64)
        durations = np.array([self.duration])
        return count_in_windows(self.times.copy(), self.units, offsets, durations, self.size, windows)[0]

    @classmethod
    def from_grid(cls, grid: object, dt: float, shape: tuple[int, ...] = ()) -> Spikes:
        """Return spikes of [steps, size] counts; a count of c becomes c events at `step * dt`."""
        counts = np.asarray(grid)
        require(counts.ndim == 2, "Spikes.from_grid", "needs a grid [steps, size]", counts.shape)
        require(counts.size == 0 or counts.min() >= 0, "Spikes.from_grid", "needs counts >= 0", counts.min(initial=0))
        steps, units = np.nonzero(counts)
        repeats = convert_array("Spikes.from_grid.grid", counts[steps, units], np.int64)
        times = np.repeat(steps * dt, repeats)
        return cls(
            times=times,
            units=np.repeat(units, repeats),
            size=counts.shape[1],
            duration=counts.shape[0] * dt,
            shape=shape,
        )

    def digest(self) -> str:
        """Return the SHA-256 of the events sorted by (time, unit): times as '<f8', then units as '<u8'."""
        times, units = sort_events(self.times, self.units, np.array([0, len(self)]), self.size)
        return digest_events(times, units)


def seconds_of_start(start: float | str, first: float) -> float:
    """Return the time in s from which a recording is read: "first", its first event, "file", 0, or seconds as they are.

    Raises:
        NeurosimInputError: another word, or seconds that are not finite.
    """
    if isinstance(start, str):
        return lookup({"first": first, "file": 0.0}, start, "start")
    is_finite = is_number(start) and math.isfinite(start)
    require(is_finite, "start", 'must be "first", "file" or seconds', start)
    return float(start)


def check_spikes(spikes: object, name: str, otherwise: str = "") -> None:
    """Raise `NeurosimInputError` unless this is one recording; `otherwise` names further types that are allowed."""
    require(isinstance(spikes, Spikes), name, f"must be Spikes of one recording{otherwise}", type(spikes).__name__)


def _descent(times: NDArray[np.float64], rises: NDArray[np.bool_]) -> str:
    """Return the place of the first time that is NaN or before the one before."""
    if rises.all():
        return f"got {times[0]} at event 0"
    event = int(np.argmin(rises)) + 1
    return f"got {times[event]} s after {times[event - 1]} s at event {event}"
