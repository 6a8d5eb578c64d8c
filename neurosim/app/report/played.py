"""Recordings as a page shows them: played, their rate over time, and where on the sensor the events were."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from ...base.errors import NeurosimInputError
from ...data.spikes import Spikes
from . import charts, numbers, pixels
from .film import FRAMES, Film, film_of_counts, film_pool
from .png import data_uri
from .recordings import Figure

BINS = 100  # of the rate over time
CHANNEL_COLUMNS = 180
CHANNEL_ROWS = 70


def upright(spikes: Spikes, inputs: Mapping[str, object] | None, name: str) -> Spikes:
    """Return a recording that a run stored, with row 0 at the top of the picture.

    Args:
        inputs: what the manifest says of each input of the run, among it `row_0`.
        name: of the input.
    """
    facts = (inputs or {}).get(name)
    if isinstance(facts, Mapping) and facts.get("row_0") == "bottom":
        return spikes.flip_rows()
    return spikes


@dataclass(frozen=True, eq=False)
class EventCounts:
    """Numbers of events of a recording, which a page shows; those of pieces of a recording add up.

    Attributes:
        shape: of the sensor.
        duration: s.
        by_unit: [units].
        by_time: [BINS] equal bins of the duration.
        by_frame: [FRAMES, polarities, rows, columns] of a camera, its pixels pooled to at most `MAX_SIDE`; empty for
            another sensor, or without a duration.
    """

    shape: tuple[int, ...]
    duration: float
    by_unit: NDArray[np.int64]
    by_time: NDArray[np.int64]
    by_frame: NDArray[np.int64]

    @property
    def events(self) -> int:
        """Return the number of all events."""
        return int(self.by_unit.sum())

    @classmethod
    def start(cls, shape: tuple[int, ...], duration: float) -> EventCounts:
        """Return the counts before the first event of a recording of this duration."""
        by_frame = np.zeros((0, 0, 0, 0), np.int64)
        camera = pixels.plane(shape)
        if camera is not None and duration > 0:
            pool = film_pool(camera)
            # -(-a // b) rounds up.
            rows = -(-camera.height // pool)
            columns = -(-camera.width // pool)
            by_frame = np.zeros((FRAMES, camera.polarities, rows, columns), np.int64)
        by_unit = np.zeros(math.prod(shape), np.int64)
        return cls(shape, duration, by_unit, np.zeros(BINS, np.int64), by_frame)

    @classmethod
    def of(cls, spikes: Spikes) -> EventCounts:
        """Return the counts of a recording."""
        counts = cls.start(spikes.shape, spikes.duration)
        counts.add(spikes)
        return counts

    def add(self, spikes: Spikes, zero: float = 0.0) -> None:
        """Add the events of a piece, whose clock shows `zero` seconds at time 0 of the recording."""
        from ...kernels.io.counts.cpu import add_counts

        if self.duration <= 0:
            self.by_unit[:] += spikes.counts()
            return
        camera = pixels.plane(self.shape)
        if camera is None:
            sensor = (1, 1, 1)
        else:
            sensor = (camera.height, camera.width, film_pool(camera))
        add_counts(spikes.times, spikes.units, zero, self.duration, sensor, self.by_unit, self.by_time, self.by_frame)


@dataclass(frozen=True)
class Played:
    """One recording of a page.

    Attributes:
        name: its heading.
        recording: its events, or their counts where it is larger than memory.
        remarks: sentences below the heading.
    """

    name: str
    recording: Spikes | EventCounts
    remarks: tuple[str, ...] = ()

    @property
    def spikes(self) -> Spikes:
        """The events.

        Raises:
            NeurosimInputError: only their counts are in memory.
        """
        if isinstance(self.recording, EventCounts):
            raise NeurosimInputError(f"{self.name}: is shown by counts of its events, which are not in memory")
        return self.recording

    @cached_property
    def counts(self) -> EventCounts:
        """Numbers of events."""
        if isinstance(self.recording, EventCounts):
            return self.recording
        return EventCounts.of(self.recording)

    @property
    def camera(self) -> pixels.Plane | None:
        """Pixels of the sensor, if it is a camera."""
        return pixels.plane(self.recording.shape)

    @property
    def legend(self) -> list[tuple[str, str]]:
        """(CSS colour, meaning) of the pixels; empty where they have no polarity."""
        return pixels.polarity_legend(self.camera)

    @property
    def rate(self) -> float | None:
        """Events a second; None where no time passed."""
        if self.recording.duration:
            return self.counts.events / self.recording.duration
        return None

    def facts(self) -> list[tuple[str, str]]:
        """Return (name, value) of sensor, duration, events and rate."""
        counts = self.counts
        facts = [
            ("Sensor", " x ".join(map(str, counts.shape))),
            ("Duration", str(numbers.seconds(counts.duration))),
            ("Events", f"{counts.events:,}"),
            ("Rate", f"{numbers.si(self.rate)} events/s"),
        ]
        size = len(counts.by_unit)
        if self.legend and counts.events:
            # Polarity is the first axis: the second half of the units are ON.
            on = counts.by_unit[size // 2 :].sum() / counts.events
            facts.append(("ON", str(numbers.percent(on))))
        silent = np.count_nonzero(counts.by_unit == 0)
        return [*facts, ("Silent units", f"{silent:,} of {size:,}")]

    def figures(self, number: int) -> list[Figure]:
        """Return pictures with captions: a film and events by pixel, or events by channel over time, and their rate.

        Args:
            number: of the recording on its page.
        """
        lasts = self.recording.duration > 0
        if self.camera is None:
            return [self._channels(), self._rate("var(--spike)")] if lasts else []
        if not lasts:
            return [self._map()]
        return [self._film(number), self._map(), self._rate("var(--on)")]

    def film(self) -> Film:
        """Return the film of a camera's recording.

        Raises:
            NeurosimInputError: the sensor is no camera, or the recording has no duration.
        """
        return film_of_counts(self.counts.by_frame, self.counts.duration)

    def _film(self, number: int) -> Figure:
        played = self.film()
        return played.markup(f"film-{number}", f"{self.name}: events over time"), played.caption

    def _channels(self) -> Figure:
        spikes = self.spikes
        bands = pixels.channels(spikes, CHANNEL_ROWS, CHANNEL_COLUMNS)
        panel = charts.Panel("events", bands, 2 * CHANNEL_ROWS, f"{len(spikes):,} events of {spikes.size:,} units")
        words = f"{self.name}: events of each band of units over time"
        picture = charts.strips([panel], spikes.duration, words)
        return picture, "Events of each band of units, unit 0 at the foot."

    def _rate(self, colour: str) -> Figure:
        counts = self.counts
        step = counts.duration / BINS
        centres = np.asarray((np.arange(BINS) + 0.5) * step, np.float64)
        curve = charts.Curve("", centres, counts.by_time / (1e3 * step), colour)
        words = f"Events over time, in {BINS} bins of {numbers.seconds(step)}."
        return charts.over_time([curve], counts.duration, "events per ms", f"{self.name}: rate of events"), words

    def _map(self) -> Figure:
        counts = self.counts
        uri = data_uri(pixels.frame_of_counts(counts.by_unit, counts.shape))
        most = int(counts.by_unit.max(initial=0))
        picture = Markup('<div class="map"><img src="{}" alt="{}"></div>').format(
            uri, f"{self.name}: events of each pixel"
        )
        return picture, f"Events of each pixel over the whole recording; the busiest unit has {most:,}."
