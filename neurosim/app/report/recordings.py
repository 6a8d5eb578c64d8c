"""Recordings that a run kept for its page: event frames, rasters, channels, and the rates of the neurons that answer:
a liquid, or a layer of a trained network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from ...base.errors import NeurosimError
from ...data.files.sonata import read_sonata
from ...data.spikes import Spikes
from . import charts, numbers, pixels
from .charts import BarGroup, Curve, Panel
from .png import data_uri

SPIKES = "spikes.h5"
FRAMES = 3  # N-MNIST's saccades are three equal parts of a recording
COLUMNS = 432
INPUT_ROWS = 110
NEURON_ROWS = 150
# coarse enough for a cell to hold several events
CHANNEL_COLUMNS = 144
CHANNEL_ROWS = 70
BIN = 5e-3  # seconds of a rate's time course
MAX_BINS = 1_000  # more than a chart has pixels
MAX_INTERVAL = 0.1  # seconds between two spikes of a neuron, as drawn
Figure = tuple[Markup, str]
CAMERA_LEAD = (
    "Events of the sensor in each third of a recording (one saccade each in N-MNIST and the embedded digits), the "
    "events as they went into the {who}, and the spikes of its neurons on the same clock."
)
CHANNEL_LEAD = (
    "Number of events of each band of channels, and the spikes of the neurons of the {who}, on the same clock."
)


@dataclass(frozen=True, kw_only=True)
class ShownRecording:
    """A recording whose spikes are stored for the page.

    Attributes:
        index: in the test recordings.
        label, predicted: class numbers.
        duration: s.
    """

    index: int = 0
    label: int | str | None = None
    predicted: int | str | None = None
    duration: float | None = None


@dataclass(frozen=True)
class Example:
    """One recording of the page.

    Attributes:
        index: its number in the split.
        label, predicted: names of its class and of the answer.
        right: whether they are the same.
        events: the recording.
        spikes: spikes of the neurons that answered, if they were stored.
        who: "liquid" or "layer".
        row_0: where event frames have row 0, "top" or "bottom".
    """

    index: int
    label: str
    predicted: str
    right: bool
    events: Spikes
    spikes: Spikes | None
    who: str = "liquid"
    row_0: str = "top"

    @property
    def camera(self) -> pixels.Plane | None:
        """Pixels of the sensor, if it is a camera."""
        return pixels.plane(self.events.shape)

    @property
    def aspect(self) -> str:
        """Width over height of an event frame, as CSS reads it."""
        if self.camera is None:
            return "1"
        return f"{self.camera.width / self.camera.height:.3f}"

    @property
    def verdict(self) -> str:
        """CSS class of the answer."""
        return "right" if self.right else "wrong"

    @property
    def mark(self) -> str:
        """Sign behind the answer."""
        return "\N{CHECK MARK}" if self.right else "\N{BALLOT X}"

    def frames(self) -> list[tuple[str, str]]:
        """Return (picture as data URI, caption) of each third of the recording."""
        span = self.events.duration / FRAMES
        images = []
        for k in range(FRAMES):
            # The last frame ends at the duration itself: 3 (duration / 3) may be one rounding below it.
            end = (k + 1) * span if k < FRAMES - 1 else self.events.duration
            part = self.events.window(k * span, end)
            words = f"{1e3 * k * span:.0f}\N{EN DASH}{1e3 * (k + 1) * span:.0f} ms, {len(part):,} events"
            images.append((data_uri(pixels.frame(part, self.row_0)), words))
        return images

    def strips(self) -> Markup:
        """Return the rasters of events and spikes on one clock."""
        events = self.events
        note = f"{len(self.events):,} events"
        if self.camera:
            panels = [Panel("input", pixels.raster(events, INPUT_ROWS, COLUMNS), INPUT_ROWS, note)]
        else:
            bands = pixels.channels(events, CHANNEL_ROWS, CHANNEL_COLUMNS)
            panels = [Panel(f"input, {events.size} channels, 0 at the foot", bands, 2 * CHANNEL_ROWS, note)]
        if self.spikes is not None:
            note = f"{len(self.spikes):,} spikes of {self.spikes.size:,} neurons"
            panels.append(Panel(self.who, pixels.raster(self.spikes, NEURON_ROWS, COLUMNS), NEURON_ROWS, note))
        return charts.strips(panels, events.duration, f"{self.label}: raster of input and {self.who} over time")


def read_examples(
    run: Path, shown: Sequence[ShownRecording], classes: Sequence[str], who: str = "liquid", row_0: str = "top"
) -> tuple[list[Example], str]:
    """Return the recordings whose spikes were stored, or none and the reason.

    Args:
        shown: entries of the recordings in the results.
        classes: names of the classes.
        who: the neurons that answer, as their spikes are named in the file.
        row_0: where pictures of the recordings have row 0, "top" or "bottom".
    """
    if not (run / SPIKES).is_file():
        return [], f"The run folder has no {SPIKES}: no recording was kept for this page."
    if not shown:
        return [], "The run's metrics name no recordings to show."
    try:
        examples = [_example(run / SPIKES, k, entry, classes, who) for k, entry in enumerate(shown)]
    except NeurosimError as error:
        return [], f"The recordings stored for this page cannot be shown: {error}"
    return [replace(each, row_0=row_0) for each in examples], ""


@dataclass(frozen=True)
class ShownExamples:
    """The section of a page with recordings.

    Attributes:
        examples: the recordings, all of one sensor.
        lead: first paragraph of the section.
        legend: (CSS colour, meaning) of the pixels.
        why: why there are no examples.
    """

    examples: Sequence[Example]
    lead: str = ""
    legend: Sequence[tuple[str, str]] = ()
    why: str = ""


def shown_examples(examples: Sequence[Example], why: str) -> ShownExamples:
    """Return the section of the recordings of `read_examples`."""
    if not examples:
        return ShownExamples(examples, why=why)
    camera = examples[0].camera
    who = examples[0].who
    legend = [*pixels.polarity_legend(camera), ("var(--spike)", f"a spike of a {who} neuron")]
    words = CAMERA_LEAD if camera else CHANNEL_LEAD
    return ShownExamples(examples, words.format(who=who), legend)


def _example(path: Path, k: int, entry: ShownRecording, classes: Sequence[str], who: str) -> Example:
    label, predicted = (_class(value, classes) for value in (entry.label, entry.predicted))
    events = read_sonata(path, f"input_{k}")
    try:
        spikes = read_sonata(path, f"{who}_{k}")
    except NeurosimError:
        spikes = None
    right = entry.predicted is not None and entry.label == entry.predicted
    return Example(
        index=entry.index, label=label, predicted=predicted, right=right, events=events, spikes=spikes, who=who
    )


def _class(value: int | str | None, classes: Sequence[str]) -> str:
    """Return the name of a class, which may be a number."""
    if isinstance(value, int) and 0 <= value < len(classes):
        return classes[value]
    return "not known" if value is None else str(value)


def rates(shown: Sequence[Example]) -> list[Figure]:
    """Return (picture, caption) of rates and intervals of the neurons, and of the events; none without spikes."""
    neurons = [each.spikes for each in shown if each.spikes is not None and each.spikes.duration > 0]
    # A damaged file could mix populations of several sizes.
    neurons = [spikes for spikes in neurons if spikes.size == neurons[0].size]
    if not neurons:
        return []
    inputs = [each.events for each in shown if each.events.duration > 0]
    spikes = course(neurons, "var(--spike)", "spikes per neuron and second", neurons[0].size)
    events = course(inputs, "var(--on)", "events per ms", 1e3)
    return [
        firing(neurons),
        intervals(neurons),
        (spikes, f"Rate of the {shown[0].who} over time: thin, each recording; thick, their mean."),
        (events, "Events from the sensor over time: thin, each recording; thick, their mean."),
    ]


def firing(recordings: Sequence[Spikes], of: str = "neurons") -> Figure:
    """Return the histogram of firing rates, and its caption."""
    seconds = sum(spikes.duration for spikes in recordings)
    hertz = np.sum([spikes.counts() for spikes in recordings], axis=0) / seconds
    chart = _histogram(hertz, "spikes per second", "neurons", "Histogram of firing rates")
    silent = np.count_nonzero(hertz == 0)
    mean = numbers.plain(float(hertz.mean()), 3)
    quiet = f", {silent:,} of them silent" if silent else ""
    return chart, f"Firing rates of {hertz.size:,} {of}: mean {mean} spikes per second{quiet}."


def intervals(recordings: Sequence[Spikes], of: str = "a neuron") -> Figure:
    """Return the histogram of intervals between spikes (regular firing is a peak, random a decay), and its caption."""
    gaps = np.concatenate([_intervals(spikes) for spikes in recordings])
    short = gaps[gaps <= MAX_INTERVAL] * 1e3
    chart = _histogram(short, "ms", "intervals", "Histogram of intervals between spikes")
    if gaps.size > short.size:
        longer = f"; {gaps.size - short.size:,} longer ones are not drawn"
    else:
        longer = ""
    return chart, f"Intervals between successive spikes of {of}, up to {1e3 * MAX_INTERVAL:.0f} ms{longer}."


def _histogram(values: NDArray[np.float64], x_name: str, y_name: str, words: str) -> Markup:
    return charts.histograms([BarGroup("", values, "var(--spike)")], x_name, words, x=None, counted=y_name)


def _intervals(spikes: Spikes) -> NDArray[np.float64]:
    """Return the seconds from each spike of a neuron to its next."""
    # By neuron, then time: differences across two neurons are dropped below.
    order = np.lexsort((spikes.times, spikes.units))
    times = spikes.times[order]
    units = spikes.units[order]
    return np.asarray(np.diff(times)[np.diff(units) == 0], np.float64)


def course(recordings: Sequence[Spikes], colour: str, name: str, share: float) -> Markup:
    """Return a chart of events a second and `share` of each recording and of all that still run.

    Bins are of `BIN` seconds; longer, where they would be more than `MAX_BINS`.
    """
    duration = max(spikes.duration for spikes in recordings)
    bins = max(round(min(duration / BIN, MAX_BINS)), 1)
    step = duration / bins
    # Rates: counts over the seconds of a bin, and over neurons or ms by `share`.
    curves = [np.histogram(spikes.times, bins=bins, range=(0.0, duration))[0] / (step * share) for spikes in recordings]
    running = np.array([spikes.duration > np.arange(bins) * step for spikes in recordings])
    # At each time, only recordings that still run count in the mean.
    mean = np.sum(curves, axis=0) / np.maximum(running.sum(axis=0), 1)
    centres = np.asarray((np.arange(bins) + 0.5) * step, np.float64)
    lines = [
        Curve(name="", x=centres[alive], y=curve[alive], colour=colour, kind="soft")
        for curve, alive in zip(curves, running, strict=True)
    ]
    return charts.over_time([*lines, Curve("", centres, mean, colour)], duration, name, f"{name} over time")
