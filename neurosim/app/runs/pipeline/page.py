"""The page of a pipeline's run: every stage on one recording, accuracy, tasks, and the cost of each stage."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from ....base.errors import NeurosimError
from ....data.files.sonata import read_sonata
from ....data.spikes import GRID_SLACK, Spikes
from ....learning.continual.matrix import MEASURES
from ...report import charts, numbers, pixels
from ...report.recordings import SPIKES, Example, ShownRecording
from ..frame.folder import RunFolder
from .result import PipelineResult

# pixels of a raster
COLUMNS = 470
ROWS = 110
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
        events = read_sonata(run / SPIKES, result.source)
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
            found[name] = read_sonata(run / SPIKES, name)
        except NeurosimError:
            continue
    return found


def _panel(name: str, spikes: Spikes, window: float | None, duration: float) -> charts.Panel:
    """Return the raster of a population, or the codes of a windowed one."""
    note = f"{len(spikes):,} spikes of {spikes.size:,} units"
    rows = min(spikes.size, ROWS)
    if window is not None:
        return charts.Panel(
            name,
            _codes(spikes, window, duration),
            max(rows, MIN_HEIGHT),
            f"{note}, windows of {numbers.seconds(window)}",
        )
    whole = Spikes.unchecked(spikes.times, spikes.units, spikes.size, duration, spikes.shape)
    return charts.Panel(name, pixels.raster(whole, rows, COLUMNS), max(rows, MIN_HEIGHT), note)


def _codes(spikes: Spikes, window: float, duration: float) -> NDArray[np.uint8]:
    """Return a tile for each window, in which the units lie row by row, unit 0 at the foot."""
    wide = max(1, math.ceil(spikes.size / ROWS))
    rows = math.ceil(spikes.size / wide)
    count = max(1, math.ceil(duration / window - GRID_SLACK))
    # A code leaves at the end of its window.
    number = np.rint(spikes.times / window) - 1
    place = (spikes.units % wide + 0.5) / wide
    order = np.lexsort((spikes.units, number))
    tiles = Spikes.unchecked(
        ((number + place) * window)[order], (spikes.units // wide)[order], rows, count * window, (rows,)
    )
    shown = np.repeat(pixels.raster(tiles, rows, count * wide), max(1, COLUMNS // (count * wide)), axis=1)
    # A last window beyond the end of the axis is cut there.
    return shown[:, : max(1, round(shown.shape[1] * duration / (count * window)))]
