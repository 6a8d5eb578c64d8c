"""The recordings a run kept for its page: event frames, rasters, channels, and the rates of the neurons that answer:
a liquid, or a layer of a trained network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .. import files
from ..errors import NeurosimError
from ..spikes import Spikes
from . import numbers, page, pixels, plots
from .html import Html, el
from .page import Section
from .parts import Json, list_of, table_of
from .png import data_uri

SPIKES = "spikes.h5"
FRAMES = 3  # N-MNIST's saccades are three equal stretches of a recording
COLUMNS, INPUT_ROWS, LIQUID_ROWS = 432, 110, 150
CHANNEL_COLUMNS, CHANNEL_ROWS = 144, 70  # coarse enough for a cell to hold several events
BIN = 5e-3  # seconds of a rate's time course
LONGEST_INTERVAL = 0.1  # seconds between two spikes of a neuron, as drawn


@dataclass(frozen=True)
class Shown:
    """One recording of the page: what it was, what was said of it, and its spikes."""

    index: object
    label: str
    predicted: str
    right: bool
    input: Spikes
    liquid: Spikes | None
    who: str = "liquid"


def read(run: Path, metrics: Json, who: str = "liquid") -> tuple[list[Shown], str]:
    """The recordings whose spikes were kept, or none and why. `who` answers to the input; so its spikes are named."""
    listed = [table_of(entry) for entry in list_of(metrics.get("shown"))]
    if not (run / SPIKES).is_file():
        return [], f"The run folder has no {SPIKES}: no recording was kept for this page."
    if not listed:
        return [], "The run's metrics name no recordings to show."
    try:
        return [_recording(run / SPIKES, k, entry, metrics, who) for k, entry in enumerate(listed)], ""
    except NeurosimError as error:
        return [], f"The recordings kept for this page cannot be shown: {error}"


def _recording(path: Path, k: int, entry: Json, metrics: Json, who: str) -> Shown:
    label, predicted = (_class(entry.get(key), metrics) for key in ("label", "predicted"))
    recording = files.read_sonata(path, f"input_{k}")
    try:
        liquid = files.read_sonata(path, f"{who}_{k}")
    except NeurosimError:
        liquid = None
    right = "predicted" in entry and entry.get("label") == entry["predicted"]
    return Shown(entry.get("index", k), label, predicted, right, recording, liquid, who)


def _class(value: object, metrics: Json) -> str:
    """A class by name, where it is given by number."""
    classes = list_of(metrics.get("classes"))
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(classes):
        return str(classes[value])
    return "not known" if value is None else str(value)


def pictures(shown: Sequence[Shown], why: str) -> Section:
    title, camera = "Recordings", bool(shown) and pixels.plane(shown[0].input.shape) is not None
    if not shown:
        return Section("recordings", title, None, page.notice(why))
    who = shown[0].who
    lead = (
        "What the sensor saw in each third of a recording (one saccade each in N-MNIST and the embedded digits), the "
        f"events as they went into the {who}, and the spikes of its neurons on the same clock."
        if camera
        else f"How many events each band of channels had, and the spikes of the {who}'s neurons, on the same clock."
    )
    keys = [("var(--spike)", f"a {who} neuron's spike")]
    if camera and pixels.plane(shown[0].input.shape)[0] == 2:  # type: ignore[index]
        keys = [("var(--on)", "ON: brighter"), ("var(--off)", "OFF: darker"), *keys]
    return Section("recordings", title, lead, [page.legend(keys), page.cards(_card(each, camera) for each in shown)])


def _card(each: Shown, camera: bool) -> Html:
    said = f"read as {each.predicted}"
    tag = el(
        "span",
        {"class": f"tag {'right' if each.right else 'wrong'}"},
        said,
        " \N{CHECK MARK}" if each.right else " \N{BALLOT X}",
    )
    head = el("h3", {}, each.label, tag, el("span", {"class": "tag"}, f"recording {each.index}"))
    return el("article", {"class": "card"}, head, _frames(each) if camera else None, _strips(each, camera))


def _frames(each: Shown) -> Html:
    span = each.input.duration / FRAMES
    _, height, width = pixels.plane(each.input.shape) or (1, 1, 1)
    pictures = []
    for k in range(FRAMES):
        part = each.input.window(k * span, (k + 1) * span if k < FRAMES - 1 else each.input.duration)
        words = f"{1e3 * k * span:.0f}\N{EN DASH}{1e3 * (k + 1) * span:.0f} ms, {len(part):,} events"
        picture = {
            "src": data_uri(pixels.frame(part)),
            "alt": f"{each.label}: {words}",
            "width": width,
            "height": height,
        }
        pictures.append(el("figure", {}, el("img", picture), el("figcaption", {}, words)))
    return el("div", {"class": "frames", "style": f"--aspect:{width / height:.3f}"}, pictures)


def _strips(each: Shown, camera: bool) -> Html:
    events = f"{len(each.input):,} events"
    if camera:
        panels = [plots.Panel("input", pixels.raster(each.input, INPUT_ROWS, COLUMNS), INPUT_ROWS, events)]
    else:
        bands = pixels.channels(each.input, CHANNEL_ROWS, CHANNEL_COLUMNS)
        panels = [plots.Panel(f"input, {each.input.size} channels, 0 at the foot", bands, 2 * CHANNEL_ROWS, events)]
    if each.liquid is not None:
        note = f"{len(each.liquid):,} spikes of {each.liquid.size:,} neurons"
        panels.append(plots.Panel(each.who, pixels.raster(each.liquid, LIQUID_ROWS, COLUMNS), LIQUID_ROWS, note))
    return plots.strips(panels, each.input.duration, f"{each.label}: raster of input and {each.who} over time")


def rates(shown: Sequence[Shown], why: str) -> Section:
    title = "Rates"
    liquids = [each.liquid for each in shown if each.liquid is not None and each.liquid.duration > 0]
    liquids = [liquid for liquid in liquids if liquid.size == liquids[0].size]
    if not liquids:
        return Section("rates", title, None, page.notice(why or f"{SPIKES} holds no spikes of neurons."))
    inputs = [each.input for each in shown if each.input.duration > 0]
    figures = [
        firing(liquids),
        intervals(liquids),
        page.figure(
            course(liquids, "var(--spike)", "spikes per neuron and second", liquids[0].size),
            f"Rate of the {shown[0].who} over time: thin, each recording; thick, their mean.",
        ),
        page.figure(
            course(inputs, "var(--on)", "events per ms", 1e3),
            "Events from the sensor over time: thin, each recording; thick, their mean.",
        ),
    ]
    return Section("rates", title, f"Over the {len(shown)} recordings shown above.", page.cards(figures))


def firing(liquids: Sequence[Spikes], of: str = "neurons") -> Html:
    """How many neurons fire at which rate."""
    seconds = sum(liquid.duration for liquid in liquids)
    hertz = np.sum([liquid.counts() for liquid in liquids], axis=0) / seconds
    chart = plots.histogram(hertz, "spikes per second", "neurons", "var(--spike)", "Histogram of firing rates")
    silent = np.count_nonzero(hertz == 0)
    return page.figure(
        chart,
        f"Firing rates of {hertz.size:,} {of}: mean {numbers.plain(float(hertz.mean()), 3)} spikes per second, "
        f"{silent:,} {of} silent.",
    )


def intervals(liquids: Sequence[Spikes], of: str = "a neuron") -> Html:
    """Between successive spikes of one neuron: regular firing is a peak, random firing a decay."""
    found = np.concatenate([_between(liquid) for liquid in liquids])
    short = found[found <= LONGEST_INTERVAL] * 1e3
    chart = plots.histogram(short, "ms", "intervals", "var(--spike)", "Histogram of intervals between spikes")
    longer = f"; {found.size - short.size:,} longer ones are not drawn" if found.size > short.size else ""
    return page.figure(
        chart,
        f"Intervals between successive spikes of {of}, up to {1e3 * LONGEST_INTERVAL:.0f} ms{longer}.",
    )


def _between(spikes: Spikes) -> NDArray[np.float64]:
    """Seconds from each spike of a neuron to its next."""
    order = np.lexsort((spikes.times, spikes.units))
    times, units = spikes.times[order], spikes.units[order]
    return np.diff(times)[np.diff(units) == 0]


def course(every: Sequence[Spikes], colour: str, name: str, share: float) -> Html:
    """Events a second and `share`, in bins of BIN, of each recording and of all that still run."""
    longest = max(spikes.duration for spikes in every)
    bins = max(round(longest / BIN), 1)
    step = longest / bins
    curves = [np.histogram(spikes.times, bins=bins, range=(0.0, longest))[0] / (step * share) for spikes in every]
    running = np.array([spikes.duration > np.arange(bins) * step for spikes in every])
    mean = np.sum(curves, axis=0) / np.maximum(running.sum(axis=0), 1)
    drawn = [plots.Line(curve[alive], step, colour, soft=True) for curve, alive in zip(curves, running, strict=True)]
    return plots.lines([*drawn, plots.Line(mean, step, colour)], longest, name, f"{name} over time")
