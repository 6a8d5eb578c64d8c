"""Many recordings of one sensor in one container: the recordings of a dataset, or of a batch."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base.errors import require
from ..base.shown import counted, html_table
from .event_arrays import count_in_windows, digest_events, set_array, sort_events
from .spikes import Spikes

# Number of events of a part of recordings that is in memory at a time: features of it take 50 bytes an event.
PART_EVENTS = 1 << 21
# Of a part that is sorted for its digest at a time: 50 bytes an event.
DIGEST_EVENTS = 1 << 18


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
        NeurosimInputError: on construction, if lengths or sizes do not fit together.
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
        set_array(self, "offsets", np.int64)
        set_array(self, "durations", np.float64)
        object.__setattr__(self, "shape", tuple(self.shape) or (self.size,))
        require(self.size > 0, "Recordings.size", "must be > 0 units", self.size)
        product = math.prod(self.shape)
        require(product == self.size, "Recordings.shape", f"must have the product {self.size}", self.shape)
        require(0 < self.tick < math.inf, "Recordings.tick", "must be > 0 s", self.tick)
        o = self.offsets
        n = len(self.durations)
        last = np.isfinite(self.durations) & (self.durations >= 0)
        require(bool(last.all()), "Recordings.durations", "must be finite and >= 0 s", self.durations[~last][:1])
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
            set_array(self, "labels", np.int64)
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
        chosen = np.asarray(indices)
        if not chosen.size:
            # An empty list has no type of its own.
            chosen = np.empty(0, np.int64)
        rows = np.arange(len(self))[chosen]
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
        counts = np.zeros((len(self), self.size), np.int64)
        for row, (begin, end) in zip(counts, pairwise(self.offsets), strict=True):
            row[:] = np.bincount(self.units[begin:end], minlength=self.size)
        return counts

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
        times = self.ticks.astype(np.float64)
        times *= self.tick
        return count_in_windows(times, self.units, self.offsets, self.durations, self.size, windows)

    def digest(self) -> str:
        """Return the SHA-256 of the digests of the recordings, in order."""
        digests: list[str] = []
        for part in self.parts(DIGEST_EVENTS):
            times, units = sort_events(part.ticks.astype(np.float64) * part.tick, part.units, part.offsets, part.size)
            digests.extend(digest_events(times[a:b], units[a:b]) for a, b in pairwise(part.offsets))
        return hashlib.sha256("".join(digests).encode()).hexdigest()
