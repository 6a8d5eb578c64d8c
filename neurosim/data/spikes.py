"""The event containers: recordings, stimuli and outputs of simulations are `Spikes`; many of them `Recordings`."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base.errors import NeurosimInputError, is_number, lookup, require
from ..base.shown import counted, html_table
from .read_report import ReadReport

# A time this close below a grid point, in steps, belongs to it: k * dt is rarely exact in binary.
GRID_SLACK = 1e-6
# Units in the last place by which a last event may lie behind the duration, which then becomes its time.
ROUNDING = 4
# Number of events of a part of recordings that is in memory at a time: features of it take 50 bytes an event.
PART_EVENTS = 1 << 21
# Of a part that is sorted for its digest at a time: 50 bytes an event.
DIGEST_EVENTS = 1 << 18


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
        _convert(self, "times", np.float64)
        _convert(self, "units", np.int32)
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
        t = _converted("Spikes.times", times, np.float64)
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
            NeurosimInputError: `start` below 0, or above `stop`.
        """
        require(0 <= start <= stop, "Spikes.window", "needs 0 <= start <= stop, in seconds", (start, stop))
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
            NeurosimInputError: another word for `start`.
        """
        if start is None:
            has_clock = self.report is not None and self.report.clocked
            start = "first" if has_clock else "file"
        if isinstance(start, str):
            first_time = float(self.times[0]) if len(self) else 0.0
            start = lookup({"first": first_time, "file": 0.0}, start, "start")
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
        return Recordings.collect([self]).window_counts(windows)[0]

    @classmethod
    def from_grid(cls, grid: object, dt: float, shape: tuple[int, ...] = ()) -> Spikes:
        """Return spikes of [steps, size] counts; a count of c becomes c events at `step * dt`."""
        counts = np.asarray(grid)
        require(counts.ndim == 2, "Spikes.from_grid", "needs a grid [steps, size]", counts.shape)
        require(counts.size == 0 or counts.min() >= 0, "Spikes.from_grid", "needs counts >= 0", counts.min(initial=0))
        steps, units = np.nonzero(counts)
        repeats = counts[steps, units].astype(np.int64)
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
        times, units = _sorted(self.times, self.units, np.array([0, len(self)]), self.size)
        return _digest(times, units)


@dataclass(frozen=True, eq=False)
class Recordings(Sequence[Spikes]):
    """Many recordings of the same sensor in flat arrays; item i is a `Spikes`.

    The time of event j is `ticks[j] * tick` seconds: ticks keep the type of their file (microseconds in uint32,
    half-precision seconds), and a million recordings do not need a million objects. They may be copied and pickled.

    Attributes:
        ticks: [n] numbers, ascending within a recording.
        units: [n] integers, `0 <= unit < size`.
        offsets: [recordings + 1] int64; recording i holds events `offsets[i]:offsets[i + 1]`.
        durations: [recordings] float64, seconds.
        size, shape: as in `Spikes`.
        tick: seconds per tick.
        labels: [recordings] int64 class of each, or None.
        classes: name of each label.
        groups: other properties of the recordings by name, e.g. {"speaker": [recordings]}.

    Raises:
        NeurosimInputError: on construction, if lengths do not fit together.
    """

    ticks: NDArray[Any]
    units: NDArray[Any]
    offsets: NDArray[Any]
    durations: NDArray[Any]
    size: int
    shape: tuple[int, ...] = ()
    tick: float = 1.0
    labels: NDArray[Any] | None = None
    classes: tuple[str, ...] = ()
    groups: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _convert(self, "offsets", np.int64)
        _convert(self, "durations", np.float64)
        object.__setattr__(self, "shape", tuple(self.shape) or (self.size,))
        o = self.offsets
        n = len(self.durations)
        require(
            o.shape == (n + 1,) and o[0] == 0 and bool(np.all(o[1:] >= o[:-1])),
            "Recordings.offsets",
            f"must rise from 0 in {n + 1} entries",
            o.shape,
        )
        require(
            len(self.ticks) == len(self.units) == o[-1],
            "Recordings.ticks",
            f"must hold {o[-1]} events, as units",
            (len(self.ticks), len(self.units)),
        )
        if self.labels is not None:
            _convert(self, "labels", np.int64)
            require(self.labels.shape == (n,), "Recordings.labels", f"must hold {n} labels", self.labels.shape)
        for name, values in self.groups.items():
            require(len(values) == n, f"Recordings.groups[{name!r}]", f"must hold {n} values", len(values))

    @classmethod
    def collect(cls, spikes: Sequence[Spikes], labels: object = None, classes: tuple[str, ...] = ()) -> Recordings:
        """Return separate recordings of one sensor as one batch."""
        require(len(spikes) > 0, "Recordings.collect", "needs at least one recording", 0)
        first = spikes[0]
        for s in spikes:
            require(s.shape == first.shape, "Recordings.collect", f"needs the same shape {first.shape}", s.shape)
        offsets = np.cumsum([0, *(len(s) for s in spikes)])
        return cls(
            ticks=np.concatenate([s.times for s in spikes]),
            units=np.concatenate([s.units for s in spikes]),
            offsets=offsets,
            durations=np.array([s.duration for s in spikes]),
            size=first.size,
            shape=first.shape,
            labels=None if labels is None else np.asarray(labels, np.int64),
            classes=classes,
        )

    def __len__(self) -> int:
        return len(self.durations)

    def __getitem__(self, index: int) -> Spikes:  # type: ignore[override]
        n = len(self)
        if not -n <= index < n:
            raise IndexError(f"recording {index} of {n}")
        i = index % n
        events = slice(self.offsets[i], self.offsets[i + 1])
        times = self.ticks[events].astype(np.float64)
        times *= self.tick
        return Spikes.unchecked(
            times, self.units[events].astype(np.int32), self.size, float(self.durations[i]), self.shape
        )

    def __iter__(self) -> Iterator[Spikes]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        events = counted(len(self.ticks), "event")
        units = counted(self.size, "unit")
        return f"Recordings({len(self)} of {units} {self.shape}, {events})"

    def _repr_html_(self) -> str:
        """Return a table of sizes, and of the number of recordings of each class."""
        rows: dict[str, object] = {"recordings": len(self), "events": len(self.ticks), "shape": self.shape}
        if len(self):
            rows["durations (s)"] = f"{self.durations.min():.4g} to {self.durations.max():.4g}"
        if self.labels is not None:
            values, counts = np.unique(self.labels, return_counts=True)
            names = {value: self.classes[value] if 0 <= value < len(self.classes) else str(value) for value in values}
            rows["classes"] = {names[value]: int(n) for value, n in zip(values, counts, strict=True)}
        return html_table("Recordings", rows)

    @property
    def in_memory(self) -> bool:
        """Return whether the events are in memory, and not in the files of `shards.open_shards`."""
        return isinstance(self.ticks, np.ndarray)

    def parts(self, max_events: int = PART_EVENTS) -> Iterator[Recordings]:
        """Yield the recordings in order, in memory, as parts of at most `max_events` events or of one recording."""
        bounds = [0]
        while bounds[-1] < len(self):
            # As many as fit, one at least.
            begin = bounds[-1]
            end = int(np.searchsorted(self.offsets, self.offsets[begin] + max_events, side="right")) - 1
            bounds.append(max(end, begin + 1))
        if len(bounds) < 3 and self.in_memory:
            yield self
            return
        if len(bounds) == 1:
            # One part without recordings.
            bounds.append(0)
        for begin, end in pairwise(bounds):
            events = slice(int(self.offsets[begin]), int(self.offsets[end]))
            yield replace(
                self,
                ticks=self.ticks[events],
                units=self.units[events],
                offsets=self.offsets[begin : end + 1] - self.offsets[begin],
                durations=self.durations[begin:end],
                labels=None if self.labels is None else self.labels[begin:end],
                groups={name: np.asarray(values)[begin:end] for name, values in self.groups.items()},
            )

    def select(self, indices: object) -> Recordings:
        """Return the recordings at `indices` (integers or a mask over recordings), in that order."""
        rows = np.arange(len(self))[np.asarray(indices)]
        lengths = np.diff(self.offsets)[rows]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        if self.in_memory:
            # A slice for each run of neighbours: an index of every event would take more memory than the events.
            firsts = np.flatnonzero(np.diff(rows, prepend=-2) != 1)
            lasts = np.append(firsts, len(rows))[1:] - 1
            begins = self.offsets[rows[firsts]].tolist()
            ends = self.offsets[rows[lasts] + 1].tolist()
            runs = [slice(begin, end) for begin, end in zip(begins, ends, strict=True)]
            ticks = np.concatenate([self.ticks[:0], *(self.ticks[run] for run in runs)])
            units = np.concatenate([self.units[:0], *(self.units[run] for run in runs)])
        else:
            # Events stay in the files of `shards`.
            ticks = self.ticks.spans(self.offsets[rows], lengths)  # type: ignore[attr-defined]
            units = self.units.spans(self.offsets[rows], lengths)  # type: ignore[attr-defined]
        return replace(
            self,
            ticks=ticks,
            units=units,
            offsets=offsets,
            durations=self.durations[rows],
            labels=None if self.labels is None else self.labels[rows],
            groups={name: np.asarray(values)[rows] for name, values in self.groups.items()},
        )

    def counts(self) -> NDArray[np.int64]:
        """Return [recordings, size] numbers of events of each unit."""
        bounds = zip(self.offsets[:-1], self.offsets[1:], strict=True)
        return np.stack([np.bincount(self.units[a:b], minlength=self.size) for a, b in bounds])

    def pool(self, pools: object, shape: tuple[int, ...]) -> Recordings:
        """Return the same events with unit i as unit `pools[i]` of a population of `shape`: neighbours joined.

        Raises:
            NeurosimInputError: not one pool for each unit, or one that the shape lacks.
        """
        table = np.asarray(pools)
        size = math.prod(shape)
        good = table.shape == (self.size,) and table.dtype.kind in "iu"
        require(good, "Recordings.pool.pools", f"must be {self.size} integers", table.shape)
        low = table.min(initial=0)
        high = table.max(initial=0)
        require(low >= 0 and high < size, "Recordings.pool.pools", f"must be in 0..{size - 1}", (low, high))
        return replace(self, units=table[np.asarray(self.units)].astype(np.int32), size=size, shape=shape)

    def window_counts(self, windows: int | NDArray[Any]) -> NDArray[np.float32]:
        """Return [recordings, windows, size] numbers of events in windows of time; each exact up to 2^24.

        Args:
            windows: how many equal windows each duration is cut into: an event at t is in window
                floor(t * (windows / duration)), or in the last where that is beyond it. Or edges in seconds, rising,
                [windows + 1] for all recordings or [recordings, windows + 1]: window w holds
                edges[w] <= t < edges[w + 1]; events before the first edge or from the last edge on are in the first
                or last window.

        Raises:
            NeurosimInputError: no windows, edges of another shape, or units beyond `size`.
        """
        from ..kernels.io.traces.cpu import window_counts

        units = self.units.astype(np.int32, copy=False)
        if units.size:  # the kernel does not check them
            low = int(units.min())
            high = int(units.max())
            require(low >= 0 and high < self.size, "Recordings.units", f"must be in 0..{self.size - 1}", (low, high))
        times = self.ticks.astype(np.float64)
        times *= self.tick
        if isinstance(windows, int | np.integer):
            require(windows >= 1, "window_counts.windows", "must be >= 1", windows)
            # In units of a window.
            times *= np.repeat(windows / np.where(self.durations > 0, self.durations, 1.0), np.diff(self.offsets))
            edges = np.arange(windows + 1, dtype=np.float64)
        else:
            edges = np.asarray(windows, np.float64)
        good = edges.shape[-1:] >= (2,) and edges.shape[:-1] in ((), (len(self),))
        require(good, "window_counts.windows", f"must be edges [n] or [{len(self)}, n], n >= 2", edges.shape)
        out = np.empty((len(self), edges.shape[-1] - 1, self.size), np.float32)
        # In one order, which is part of the types that a kernel is compiled for.
        edges = np.array(np.broadcast_to(edges, (len(self), edges.shape[-1])), order="C")
        window_counts(times, units, self.offsets, edges, out)
        return out

    def digest(self) -> str:
        """Return the SHA-256 of the digests of the recordings, in order."""
        digests: list[str] = []
        for part in self.parts(DIGEST_EVENTS):
            times, units = _sorted(part.ticks.astype(np.float64) * part.tick, part.units, part.offsets, part.size)
            digests.extend(_digest(times[a:b], units[a:b]) for a, b in pairwise(part.offsets))
        return hashlib.sha256("".join(digests).encode()).hexdigest()


def _sorted(
    times: NDArray[Any], units: NDArray[Any], offsets: NDArray[np.int64], size: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the events of recordings, each sorted by (time, unit).

    Args:
        times: [n] s.
        units: [n] below `size`.
        offsets: [recordings + 1] recording i holds events `offsets[i]:offsets[i + 1]`.
    """
    # Adding 0.0 turns -0.0 into 0.0: equal times must have equal bytes.
    times = np.asarray(times, np.float64) + 0.0
    units = np.asarray(units, np.int64)
    begins = np.zeros(len(times), bool)
    begins[offsets[:-1][offsets[:-1] < len(times)]] = True
    steps = np.diff(times, prepend=times[:1])
    if np.any((steps < 0) & ~begins):
        recordings = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
        order = np.lexsort((units, times, recordings))
        return times[order], units[order]
    # Times ascend, and only units of one moment have to be sorted: by one integer in place of two keys.
    moments = np.cumsum(begins | (steps > 0)) * size
    return times, np.sort(moments + units) - moments


def _digest(times: NDArray[np.float64], units: NDArray[np.int64]) -> str:
    """Return the SHA-256 of sorted events."""
    hashed = hashlib.sha256(times.astype("<f8", copy=False).data)
    hashed.update(units.astype("<u8", copy=False).data)
    return hashed.hexdigest()


def check_spikes(spikes: object, name: str, otherwise: str = "") -> None:
    """Raise `NeurosimInputError` unless this is one recording; `otherwise` names further types that are allowed."""
    require(isinstance(spikes, Spikes), name, f"must be Spikes of one recording{otherwise}", type(spikes).__name__)


def _convert(owner: object, name: str, dtype: type) -> None:
    object.__setattr__(owner, name, _converted(f"{type(owner).__name__}.{name}", getattr(owner, name), dtype))


def _converted(name: str, value: object, dtype: type) -> NDArray[Any]:
    """Return a value as an array of a type; raise where that would change it."""
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "biuf":
            raise TypeError
        to_integer = array.dtype.kind == "f" and np.dtype(dtype).kind == "i"
        if to_integer and np.any(array % 1):
            raise TypeError
        if np.dtype(dtype).kind == "i" and array.dtype != dtype and array.size:
            # A cast keeps the lower bits alone: unit 2^32 would become unit 0.
            bounds = np.iinfo(dtype)
            if int(array.min()) < bounds.min or int(array.max()) > bounds.max:
                raise OverflowError
        converted: NDArray[Any] = array.astype(dtype, copy=False)
    except (TypeError, ValueError, OverflowError):
        raise NeurosimInputError(f"{name}: must be an array of {np.dtype(dtype).name} (got {value!r:.60})") from None
    return converted


def _descent(times: NDArray[np.float64], rises: NDArray[np.bool_]) -> str:
    """Return the place of the first time that is NaN or before the one before."""
    if rises.all():
        return f"got {times[0]} at event 0"
    event = int(np.argmin(rises)) + 1
    return f"got {times[event]} s after {times[event - 1]} s at event {event}"
