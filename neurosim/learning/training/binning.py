"""Recordings as tensors: events counted in bins of time, with neighbouring units pooled."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...base.errors import require
from ...base.rules import Rule, check_rules
from ...data.recordings import Recordings
from ...data.spikes import GRID_SLACK
from .augment import Augment

if TYPE_CHECKING:
    from ...kernels.layers.bins.reference import Bins, Events
    from ...kernels.layers.spike_linear.lists import ActiveInputs

# Recordings that are binned at a time, which bounds the memory of their tensor.
CHUNK = 64
# Changes the key of random numbers for the events of the second recording of a blend.
OTHER = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class EventBatch:
    """Recordings as one tensor.

    Attributes:
        x: [steps, recordings, units] float32 counts; zeros after the end of a recording.
        lengths: [recordings] int64, steps of each recording.
        labels: [recordings] int64.
        others: [recordings] int64, class of the recording whose stretch `Augment.cutmix` put into each.
        shares: [recordings] float32, fraction of the events in that stretch; 0 without a stretch.
    """

    x: NDArray[np.float32]
    lengths: NDArray[np.int64]
    labels: NDArray[np.int64]
    others: NDArray[np.int64]
    shares: NDArray[np.float32]


class Draws(NamedTuple):
    """Random changes of n recordings in an epoch.

    Attributes:
        views: [n, COLUMNS] of `kernels.layers.bins.reference`.
        keys: [n], keys of the random numbers of events.
        partners: [n], the recording that each is blended with: itself, if it is not blended.
    """

    views: NDArray[np.float64]
    keys: NDArray[np.uint64]
    partners: NDArray[np.int64]


@dataclass(frozen=True)
class Binning:
    """Conversion of the recordings of one sensor to tensors.

    Attributes:
        sensor: shape of the recordings: (channels,), (height, width) or (planes, height, width).
        dt: length of a bin, s.
        duration: time after which events are left out, s.
        pool: number of pixels along both sides of the camera, or of channels, that are summed into one unit.
        max_count: largest count of a pool in a bin; 1 makes the tensor binary, 0 counts all events.

    Raises:
        NeurosimInputError: on construction, naming the attribute and its rule.
    """

    sensor: tuple[int, ...]
    dt: Annotated[float, Rule("> 0 s")] = 0.01
    duration: float = 1.0
    pool: int = 1
    max_count: Annotated[int, Rule(">= 0 events")] = 1

    def __post_init__(self) -> None:
        require(1 <= len(self.sensor) <= 3, "Binning.sensor", "must have one to three dimensions", self.sensor)
        check_rules(self)
        require(self.dt <= self.duration < math.inf, "Binning.duration", f"must be >= dt {self.dt} s", self.duration)
        rule = f"must leave fewer than 2^31 bins of {self.duration:g} s"
        require(self.duration / self.dt < 2**31, "Binning.dt", rule, self.dt)
        require(1 <= self.pool <= max(self.sensor), "Binning.pool", f"must be 1 to {max(self.sensor)}", self.pool)

    @property
    def camera(self) -> bool:
        """Return whether the sensor has two dimensions in space."""
        return len(self.sensor) > 1

    @property
    def steps(self) -> int:
        """Bins of a recording of the maximum duration."""
        return max(1, math.ceil(self.duration / self.dt - GRID_SLACK))

    @cached_property
    def planes(self) -> tuple[int, int, int]:
        """The sensor as planes, height, width."""
        # Missing dimensions in front are 1.
        planes, height, width = (1,) * (3 - len(self.sensor)) + tuple(self.sensor)
        return planes, height, width

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Shape of the units of the tensor."""
        planes, height, width = self.planes
        pooled = planes, -(-height // self.pools[0]), -(-width // self.pools[1])
        return pooled[-len(self.sensor) :]

    @property
    def units(self) -> int:
        return math.prod(self.shape)

    @property
    def pools(self) -> tuple[int, int]:
        """Numbers of rows and columns that are summed into one."""
        if self.camera:
            return self.pool, self.pool
        return 1, self.pool

    def batch(
        self,
        recordings: Recordings,
        chosen: NDArray[np.int64],
        augment: Augment | None = None,
        seed: int = 0,
        epoch: int = 0,
    ) -> EventBatch:
        """Return the `chosen` [n] recordings, with the steps of the longest of them.

        Args:
            augment: random changes, drawn by seed, epoch and recording; None: no changes.

        Raises:
            NeurosimInputError: recordings of another sensor, or without labels.
        """
        from ...kernels.layers.bins import reference as bins

        labels = self._check(recordings)
        chosen = np.asarray(chosen, np.int64)
        views, keys, partners = self._draws(recordings, chosen, augment, seed, epoch)
        lengths = self.lengths(recordings.durations[chosen] * views[:, bins.STRETCH])
        x = np.empty((int(lengths.max(initial=1)), len(chosen), self.units), np.float32)
        blended = partners != chosen
        # Half of the events of each of the two recordings: of the events left by `drop`, half drop out.
        views[blended, bins.DROP] = (1 + views[blended, bins.DROP]) / 2
        self._fill(recordings, chosen, views, keys, x)
        if blended.any():
            draws = Draws(views[blended], keys[blended], partners[blended])
            both = x[:, blended] + self._partners(recordings, chosen[blended], draws, len(x))
            if self.max_count:
                both = np.minimum(both, self.max_count)
            x[:, blended] = both
        # An event exactly at the end of a recording lies in the step after it.
        short = np.flatnonzero(lengths < len(x))
        x[lengths[short], short] = 0
        if blended.any() or views[:, bins.LAG].any():
            # Events of the other recording, or of late columns, may lie later still.
            x *= np.arange(len(x))[:, None, None] < lengths[:, None]
        others_in = chosen
        shares = np.zeros(len(chosen), np.float32)
        if augment is not None and augment.cutmix:
            others_in, shares = self._cut(recordings, chosen, augment, seed, epoch, lengths, x)
        return EventBatch(x=x, lengths=lengths, labels=labels[chosen], others=labels[others_in], shares=shares)

    def entries(self, recordings: Recordings) -> ActiveInputs:
        """Return the entries other than 0 of all recordings, which are in memory, as they are.

        There is a row for each step of a recording, and the rows of a recording lie together.

        Raises:
            NeurosimInputError: as `batch`.
        """
        from ...kernels.layers.bins.lists import list_events

        self._check(recordings)
        events = _events(recordings, np.arange(len(recordings)))
        return list_events(events, self._bins(), self.lengths(recordings.durations))

    def _check(self, recordings: Recordings) -> NDArray[np.int64]:
        """Return the labels of recordings that can be binned."""
        require(recordings.shape == self.sensor, "Binning.batch", f"needs the sensor {self.sensor}", recordings.shape)
        labels = recordings.labels
        require(labels is not None, "Binning.batch", "needs labelled recordings", "none")
        assert labels is not None
        return labels

    def _bins(self) -> Bins:
        """Return the bins as the kernels take them."""
        from ...kernels.layers.bins.reference import Bins

        return Bins(dt=self.dt, sensor=self.planes, pool=self.pools, max_count=self.max_count)

    def _draws(
        self,
        recordings: Recordings,
        chosen: NDArray[np.int64],
        augment: Augment | None,
        seed: int,
        epoch: int,
    ) -> Draws:
        """Return the changes of the `chosen` [n] recordings; none without `augment`."""
        from ...kernels.layers.bins import reference as bins

        if augment is None or augment == Augment():
            return Draws(np.tile(bins.STILL, (len(chosen), 1)), np.zeros(len(chosen), np.uint64), chosen)
        durations = recordings.durations[chosen]
        views, keys = augment.views(seed, epoch, chosen, self.camera, self.planes[2], durations)
        if not augment.blend:
            return Draws(views, keys, chosen)
        assert recordings.labels is not None
        return Draws(views, keys, augment.partners(seed, epoch, chosen, recordings.labels))

    def _partners(
        self, recordings: Recordings, chosen: NDArray[np.int64], draws: Draws, steps: int
    ) -> NDArray[np.float32]:
        """Return [steps, n, units] the binned partners of `chosen` [n], moved onto them."""
        from ...kernels.layers.bins import reference as bins

        views = self._moved_views(recordings, draws.views, chosen, draws.partners)
        # Noise is added once, with the first recording.
        views[:, bins.NOISE] = 0
        x = np.zeros((steps, len(chosen), self.units), np.float32)
        self._fill(recordings, draws.partners, views, draws.keys ^ OTHER, x)
        return x

    def _cut(
        self,
        recordings: Recordings,
        chosen: NDArray[np.int64],
        augment: Augment,
        seed: int,
        epoch: int,
        lengths: NDArray[np.int64],
        x: NDArray[np.float32],
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Replace a stretch of each recording in x by the same stretch of another recording.

        Returns:
            [n] the other recordings, and [n] their fractions of the events.
        """
        others, begins, ends = augment.cuts(seed, epoch, chosen, len(recordings), lengths)
        shares = np.zeros(len(chosen), np.float32)
        cut = np.flatnonzero(ends > begins)
        if len(cut):
            durations = recordings.durations[others[cut]]
            views, keys = augment.views(seed, epoch, others[cut], self.camera, self.planes[2], durations)
            part = np.empty((len(x), len(cut), self.units), np.float32)
            self._fill(recordings, others[cut], views, keys, part)
            for j, k in enumerate(cut):
                stretch = slice(begins[k], ends[k])
                x[stretch, k] = part[stretch, j]
                shares[k] = part[stretch, j].sum() / max(float(x[:, k].sum()), 1.0)
        return others, shares

    def _fill(
        self,
        recordings: Recordings,
        chosen: NDArray[np.int64],
        views: NDArray[np.float64],
        keys: NDArray[np.uint64],
        x: NDArray[np.float32],
    ) -> None:
        """Fill x [steps, n, units] with the binned events of the `chosen` [n] recordings."""
        from ...kernels.layers.bins.cpu import bin_events

        if not recordings.in_memory:
            self._fill_in_parts(recordings, chosen, views, keys, x)
            return
        bin_events(_events(recordings, chosen), self._bins(), views, keys, x)

    def _fill_in_parts(
        self,
        recordings: Recordings,
        chosen: NDArray[np.int64],
        views: NDArray[np.float64],
        keys: NDArray[np.uint64],
        x: NDArray[np.float32],
    ) -> None:
        """Fill x as `_fill`, from recordings in files, of which a part is in memory at a time."""
        begin = 0
        for part in recordings.select(chosen).parts():
            rows = slice(begin, begin + len(part))
            binned = np.empty((len(x), len(part), self.units), np.float32)
            self._fill(part, np.arange(len(part)), views[rows], keys[rows], binned)
            x[:, rows] = binned
            begin = rows.stop

    def _moved_views(
        self,
        recordings: Recordings,
        views: NDArray[np.float64],
        chosen: NDArray[np.int64],
        others: NDArray[np.int64],
    ) -> NDArray[np.float64]:
        """Return the views of `others`, moved so that they have the mean times and places of `chosen`."""
        from ...kernels.layers.bins import reference as bins

        moved = views.copy()
        t, y, x = (self._middles(recordings, chosen) - self._middles(recordings, others)).T
        moved[:, bins.LATER] = t
        # The distance, turned and scaled as the recording is.
        moved[:, bins.Y] += views[:, bins.YY] * y + views[:, bins.YX] * x
        moved[:, bins.X] += views[:, bins.XY] * y + views[:, bins.XX] * x
        return moved

    def _middles(self, recordings: Recordings, chosen: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return [n, 3] mean time (s), row and column of the events of each recording."""
        _, height, width = self.planes
        middles = np.zeros((len(chosen), 3))
        for k, i in enumerate(chosen):
            events = slice(recordings.offsets[i], recordings.offsets[i + 1])
            units = recordings.units[events].astype(np.int64)
            # A recording without events has its middle at 0.
            if units.size:
                ticks = np.asarray(recordings.ticks[events], np.float64)
                rows = units // width % height
                columns = units % width
                middles[k] = ticks.mean() * recordings.tick, rows.mean(), columns.mean()
        return middles

    def lengths(self, durations: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return [recordings] the steps of recordings of these durations [recordings], s; at least one."""
        steps = np.ceil(durations / self.dt - GRID_SLACK).astype(np.int64)
        return np.clip(steps, 1, self.steps)

    def recordings(self, recordings: Recordings) -> Recordings:
        """Return the tensors as events: the engine's input of a network that was trained on the tensors.

        An entry of c becomes c events at the start of its step; a recording has the steps of its tensor.
        """
        ticks = []
        units = []
        sizes = []
        for first in range(0, len(recordings), CHUNK):
            numbers = np.arange(first, min(first + CHUNK, len(recordings)))
            x = self.batch(recordings, numbers).x.transpose(1, 0, 2)
            # Sorted by recording and step, as events must be.
            recording, step, unit = np.nonzero(x)
            repeats = x[recording, step, unit].astype(np.int64)
            ticks.append(np.repeat(step, repeats).astype(np.int32))
            units.append(np.repeat(unit, repeats).astype(np.int32))
            sizes.append(np.bincount(np.repeat(recording, repeats), minlength=len(numbers)))
        return replace(
            recordings,
            ticks=np.concatenate(ticks),
            units=np.concatenate(units),
            offsets=np.concatenate([[0], *sizes]).cumsum(),
            durations=self.lengths(recordings.durations) * self.dt,
            size=self.units,
            shape=self.shape,
            tick=self.dt,
        )


def _events(recordings: Recordings, chosen: NDArray[np.int64]) -> Events:
    """Return the events of the `chosen` recordings, which are in memory, as the kernels take them."""
    from ...kernels.layers.bins.reference import Events

    return Events(
        ticks=recordings.ticks,
        units=recordings.units,
        begins=recordings.offsets[:-1][chosen],
        ends=recordings.offsets[1:][chosen],
        tick=recordings.tick,
    )
