"""Recordings as a page shows them: played, their rate over time, and where on the sensor the events were."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from ...data.spikes import Spikes
from . import charts, numbers, pixels
from .film import make_film
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


@dataclass(frozen=True)
class Played:
    """One recording of a page.

    Attributes:
        name: its heading.
        spikes: the recording.
        remarks: sentences below the heading.
    """

    name: str
    spikes: Spikes
    remarks: tuple[str, ...] = ()

    @property
    def camera(self) -> pixels.Plane | None:
        """Pixels of the sensor, if it is a camera."""
        return pixels.plane(self.spikes.shape)

    @property
    def legend(self) -> list[tuple[str, str]]:
        """(CSS colour, meaning) of the pixels; empty where they have no polarity."""
        return pixels.polarity_legend(self.camera)

    @property
    def rate(self) -> float | None:
        """Events a second; None where no time passed."""
        if self.spikes.duration:
            return len(self.spikes) / self.spikes.duration
        return None

    def facts(self) -> list[tuple[str, str]]:
        """Return (name, value) of sensor, duration, events and rate."""
        spikes = self.spikes
        facts = [
            ("Sensor", " x ".join(map(str, spikes.shape))),
            ("Duration", str(numbers.seconds(spikes.duration))),
            ("Events", f"{len(spikes):,}"),
            ("Rate", f"{numbers.si(self.rate)} events/s"),
        ]
        if self.legend and len(spikes):
            # Polarity is the first axis: the second half of the units are ON.
            on = np.count_nonzero(spikes.units >= spikes.size // 2) / len(spikes)
            facts.append(("ON", str(numbers.percent(on))))
        silent = np.count_nonzero(spikes.counts() == 0)
        return [*facts, ("Silent units", f"{silent:,} of {spikes.size:,}")]

    def figures(self, number: int) -> list[Figure]:
        """Return pictures with captions: a film and events by pixel, or events by channel over time, and their rate.

        Args:
            number: of the recording on its page.
        """
        lasts = self.spikes.duration > 0
        if self.camera is None:
            return [self._channels(), self._rate("var(--spike)")] if lasts else []
        if not lasts:
            return [self._map()]
        return [self._film(number), self._map(), self._rate("var(--on)")]

    def _film(self, number: int) -> Figure:
        played = make_film(self.spikes)
        return played.markup(f"film-{number}", f"{self.name}: events over time"), played.caption

    def _channels(self) -> Figure:
        spikes = self.spikes
        bands = pixels.channels(spikes, CHANNEL_ROWS, CHANNEL_COLUMNS)
        panel = charts.Panel("events", bands, 2 * CHANNEL_ROWS, f"{len(spikes):,} events of {spikes.size:,} units")
        words = f"{self.name}: events of each band of units over time"
        picture = charts.strips([panel], spikes.duration, words)
        return picture, "Events of each band of units, unit 0 at the foot."

    def _rate(self, colour: str) -> Figure:
        spikes = self.spikes
        step = spikes.duration / BINS
        counts = np.histogram(spikes.times, bins=BINS, range=(0.0, spikes.duration))[0]
        centres = np.asarray((np.arange(BINS) + 0.5) * step, np.float64)
        curve = charts.Curve("", centres, counts / (1e3 * step), colour)
        words = f"Events over time, in {BINS} bins of {numbers.seconds(step)}."
        return charts.over_time([curve], spikes.duration, "events per ms", f"{self.name}: rate of events"), words

    def _map(self) -> Figure:
        uri = data_uri(pixels.frame(self.spikes))
        most = int(self.spikes.counts().max(initial=0))
        picture = Markup('<div class="map"><img src="{}" alt="{}"></div>').format(
            uri, f"{self.name}: events of each pixel"
        )
        return picture, f"Events of each pixel over the whole recording; the busiest unit has {most:,}."
