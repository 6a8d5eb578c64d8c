"""The page of a network's run: rasters, rates, intervals, probed states, measures, energy, provenance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from ....base.errors import NeurosimError
from ....base.shown import counted
from ....data.files.arrays import read_arrays
from ....data.files.sonata import read_sonata
from ....data.spikes import Spikes
from ...report import charts, numbers, pixels
from ...report.played import Played, upright
from ...report.recordings import SPIKES, Figure, course, firing, intervals
from ..data import spread
from ..frame.folder import RunFolder
from .result import NetworkResult, ProbeResult, ReadingResult

STATES = "states.safetensors"
READINGS = "readings.safetensors"
# pixels of a raster; each row is one unit
COLUMNS = 470
ROWS = 100
MAX_ROW = 16  # pixels of the row of a unit, where there are few
MAX_DRAWN = 12  # populations and probes; the table lists all
UNITS = 5  # curves of one probe
COLOURS = ("var(--spike)", "var(--on)", "var(--off)", "var(--accent)", "var(--soft)")


def fill(folder: RunFolder, result: NetworkResult) -> Mapping[str, object]:
    """Return what fills the template, beside the result and the manifest."""
    spikes, why = _read(folder.path, [each.name for each in result.populations])
    states, why_no_states = _states(folder.path, result.probes)
    return {
        "played": _played(folder),
        "raster": [(_raster(spikes), "")] if spikes else [],
        "raster_words": f"A row is a unit, unit 0 at the foot; of more than {ROWS} units, as many spread evenly.",
        "rates": _rates(spikes),
        "states": states,
        "states_words": f"The first {UNITS} units of each probe.",
        "readings": _readings(folder.path, result.readings),
        "readings_words": f"One value a window; the first {UNITS} readings of each population are drawn.",
        "why": why,
        "why_no_states": why_no_states,
    }


def _read(run: Path, names: Sequence[str]) -> tuple[dict[str, Spikes], str]:
    if not (run / SPIKES).is_file():
        return {}, f"The run folder has no {SPIKES}."
    try:
        spikes = {name: read_sonata(run / SPIKES, name) for name in names[:MAX_DRAWN]}
    except NeurosimError as error:
        return {}, f"The spikes of this run cannot be shown: {error}"
    return spikes, "No population was recorded."


def _played(folder: RunFolder) -> list[Played]:
    """Return the recordings of cameras that the run played."""
    path = folder.path / SPIKES
    if path.is_file():
        # Large recordings are not in the folder: their facts have the digest of their file.
        data = folder.manifest.data or {}
        stored = [name for name, facts in data.items() if not isinstance(facts, Mapping) or "file_digest" not in facts]
        names = stored[:MAX_DRAWN]
    else:
        names = []
    try:
        recordings = [Played(name, upright(read_sonata(path, name), folder.manifest.data, name)) for name in names]
    except NeurosimError:
        return []  # `_read` says why
    return [each for each in recordings if each.camera and each.spikes.duration]


def _raster(spikes: Mapping[str, Spikes]) -> Markup:
    panels = []
    for name, each in spikes.items():
        some = _some(each)
        note = f"{counted(len(each), 'spike')} of {counted(each.size, 'unit')}"
        height = some.size * min(max(ROWS // some.size, 1), MAX_ROW)
        panels.append(charts.Panel(name, pixels.raster(some, some.size, COLUMNS), height, note))
    duration = max(each.duration for each in spikes.values())
    return charts.strips(panels, duration, "Raster of every population", width=charts.WIDE)


def _some(spikes: Spikes) -> Spikes:
    """Return the spikes of ROWS units, evenly spread, or of all."""
    chosen = spread(spikes.size, ROWS)
    place = np.full(spikes.size, -1, np.int32)
    place[chosen] = np.arange(chosen.size)
    units = place[spikes.units]
    return Spikes.unchecked(spikes.times[units >= 0], units[units >= 0], chosen.size, spikes.duration)


def _rates(spikes: Mapping[str, Spikes]) -> list[Figure]:
    """Return (picture, caption), kind by kind, so that populations stand side by side."""
    played = {name: each for name, each in spikes.items() if each.duration > 0}
    rates = []
    for name, each in played.items():
        curve = course([each], "var(--spike)", "spikes per unit and second", each.size)
        rates.append((curve, f"{name}: rate over time, in bins of 5 ms."))
    return [
        *rates,
        *(firing([each], f"units of {name}") for name, each in played.items()),
        *(intervals([each], f"a unit of {name}") for name, each in played.items()),
    ]


def _states(run: Path, probes: Sequence[ProbeResult]) -> tuple[list[Figure], str]:
    if not probes:
        return [], "The run recorded no state; add a [[probe]] to its config."
    try:
        stored = read_arrays(run / STATES)
    except NeurosimError as error:
        return [], f"The states of this run cannot be shown: {error}"
    return [_probe(probe, stored[probe.name]) for probe in probes[:MAX_DRAWN] if probe.name in stored], ""


def _probe(probe: ProbeResult, values: NDArray[Any]) -> Figure:
    step = probe.interval or 1e-3
    name = probe.name
    # At most two samples for each pixel of the chart.
    every = max(1, -(-len(values) // (2 * COLUMNS)))
    shown = np.asarray(values[::every, :UNITS], np.float64)
    # A sample is drawn in the middle of the interval that it stands for.
    x = (np.arange(len(shown), dtype=np.float64) + 0.5) * step * every
    names = [f"unit {k}" if shown.shape[1] > 1 else "" for k in range(shown.shape[1])]
    curves = [charts.Curve(names[k], x, y, COLOURS[k % len(COLOURS)]) for k, y in enumerate(shown.T)]
    low, high = (float(shown.min()), float(shown.max())) if shown.size else (0.0, 1.0)
    top = high + 0.05 * (high - low) if high > low else low + 1.0
    words = (
        f"{name}: {min(values.shape[1], UNITS)} of {values.shape[1]:,} units, one sample each {numbers.seconds(step)}"
    )
    picture = charts.over_time(curves, len(values) * step, probe.variable, words, y=(low, top), width=charts.WIDE)
    return picture, f"{words}{f'; drawn is one of {every}' if every > 1 else ''}."


def _readings(run: Path, readings: Sequence[ReadingResult]) -> list[Figure]:
    """Return the readings of each windowed population over time; none where the file cannot be read."""
    by_population: dict[str, list[ReadingResult]] = {}
    for each in readings:
        if each.windows and each.window:
            by_population.setdefault(each.population, []).append(each)
    if not by_population:
        return []
    try:
        stored = read_arrays(run / READINGS)
    except NeurosimError:
        return []  # the table has their means
    figures = []
    for name, own in list(by_population.items())[:MAX_DRAWN]:
        present = {each.name: stored[f"{name}/{each.name}"] for each in own if f"{name}/{each.name}" in stored}
        if present:
            figures.append(_curves_of_readings(name, own[0].window or 1.0, present))
    return figures


def _curves_of_readings(name: str, window: float, readings: Mapping[str, NDArray[Any]]) -> Figure:
    curves = []
    for colour, (reading, values) in zip(COLOURS, readings.items(), strict=False):
        # At most two values for each pixel of the chart.
        every = max(1, -(-len(values) // (2 * COLUMNS)))
        # A reading stands at the end of its window.
        x = (np.arange(0, len(values), every, dtype=np.float64) + 1) * window
        curves.append(charts.Curve(reading, x, np.asarray(values[::every], np.float64), colour))
    words = f"{name}: {', '.join(curve.name for curve in curves)}, one value each {numbers.seconds(window)}"
    values = np.concatenate([curve.y for curve in curves])
    low, high = float(values.min()), float(values.max())
    y = (min(low, 0.0), high + 0.05 * (high - low) if high > low else low + 1.0)
    duration = window * max(len(each) for each in readings.values())
    return charts.over_time(curves, duration, "reading", words, y=y, width=charts.WIDE), f"{words}."
