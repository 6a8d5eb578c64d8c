"""The page of a pipeline's run: every stage on one recording, accuracy, tasks, and the cost of each stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from markupsafe import Markup

from ... import files
from ...continual.matrix import MEASURES
from ...errors import NeurosimError
from ...report import charts, numbers, pixels
from ...report.recordings import SPIKES, Example, ShownRecording
from ...spikes import GRID_SLACK, Spikes
from ..folder import RunFolder
from .result import PipelineResult

COLUMNS, ROWS = 470, 110  # pixels of a raster
MIN_HEIGHT = 24


@dataclass(frozen=True)
class Stages:
    """Pictures of one recording: as the camera saw it, and the spikes of every stage on one clock."""

    frames: Sequence[tuple[str, str]]
    camera: tuple[int, int, int] | None
    rasters: Markup


def fill(folder: RunFolder, result: PipelineResult) -> Mapping[str, object]:
    """Return what fills the template, beside the result and the manifest."""
    stages, why = _stages(folder.path, result)
    return {
        "stages": stages,
        "why": why,
        "shown": result.shown[0] if result.shown else ShownRecording(),
        "definitions": MEASURES,
        "rows": list(zip(["nothing", *result.tasks], result.matrix, strict=False)),
        "fixed": numbers.fixed,
    }


def _stages(run: Path, result: PipelineResult) -> tuple[Stages | None, str]:
    if not result.shown or not (run / SPIKES).is_file():
        return None, f"The run folder has no {SPIKES}: no recording was kept for this page."
    names = [stage.name for stage in result.stages]
    try:
        events = files.read_sonata(run / SPIKES, result.source)
        spikes = _found(run, names)
    except NeurosimError as error:
        return None, f"The recording kept for this page cannot be shown: {error}"
    seen = Example(0, "", "", False, events, None)
    duration = max(each.duration for each in (events, *spikes.values()))
    panels = [_panel(result.source, events, None, duration)]
    panels += [_panel(name, each, result.windows.get(name), duration) for name, each in spikes.items()]
    words = "Spikes of every stage over time, the sensor first"
    rasters = charts.strips(panels, duration, words, width=charts.WIDE)
    return Stages(seen.frames() if seen.camera else (), seen.camera, rasters), ""


def _found(run: Path, names: Sequence[str]) -> Mapping[str, Spikes]:
    """Return the spikes of the populations that were recorded."""
    found = {}
    for name in names:
        try:
            found[name] = files.read_sonata(run / SPIKES, name)
        except NeurosimError:
            continue
    return found


def _panel(name: str, spikes: Spikes, window: float | None, duration: float) -> charts.Panel:
    """Return the raster of a population; the codes of a windowed one fill the window that they answer."""
    note = f"{len(spikes):,} spikes of {spikes.size:,} units"
    rows = min(spikes.size, ROWS)
    if window is None:
        whole = Spikes.unchecked(spikes.times, spikes.units, spikes.size, duration, spikes.shape)
        return charts.Panel(name, pixels.raster(whole, rows, COLUMNS), max(rows, MIN_HEIGHT), note)
    count = max(1, int(np.ceil(duration / window - GRID_SLACK)))
    # A code is drawn over its window: half a window before the end is inside, whatever the rounding.
    times = np.maximum(spikes.times - window / 2, 0.0)
    codes = Spikes.unchecked(times, spikes.units, spikes.size, count * window, (spikes.size,))
    # As many columns as the axis has, so that a last window beyond its end is cut.
    wide = np.repeat(pixels.raster(codes, rows, count), max(1, COLUMNS // count), axis=1)
    shown = wide[:, : max(1, round(wide.shape[1] * duration / (count * window)))]
    return charts.Panel(name, shown, max(rows, MIN_HEIGHT), f"{note}, a column a window of {numbers.seconds(window)}")
