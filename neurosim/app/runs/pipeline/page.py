"""The page of a pipeline's run: every stage on one recording, accuracy, tasks, and the cost of each stage."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ....base.errors import NeurosimError
from ....data.files.sonata import read_sonata
from ....data.spikes import GRID_SLACK, Spikes
from ....learning.continual.matrix import MEASURES
from ...report import charts, numbers, pixels
from ...report.recordings import SPIKES, Example, Figure
from ..frame.folder import RunFolder
from .result import PipelineResult

# pixels of a raster
COLUMNS = 470
ROWS = 110
MIN_HEIGHT = 24
COSTS = "Energy is an estimate from counts and published costs, with memory."
STAGES = (
    "A row is a unit, unit 0 at the foot. A windowed stage has a tile for each window, in which its units lie row "
    "by row."
)


@dataclass(frozen=True)
class Stages:
    """Pictures of one recording: its event frames, and the spikes of every stage on one clock."""

    example: Example
    rasters: Sequence[Figure]


def fill(folder: RunFolder, result: PipelineResult) -> Mapping[str, object]:
    """Return what fills the template, beside the result and the manifest."""
    stages, why = _stages(folder.path, result)
    values = {name: value for name, value in result.measures_of_tasks.items() if value is not None and name in MEASURES}
    noted = folder.manifest.facts.get("remarks")
    if isinstance(noted, list | tuple):
        remarks = [f"{str(line)[:1].upper()}{str(line)[1:]}." for line in noted]
    else:
        remarks = []
    # Weights that are not kept learn while the pipeline is tested.
    learns = any("also while testing" in line for line in remarks)
    learning = "" if learns else ", with all learning off"
    unanswered = f"{result.unanswered} recordings had no answer and count as wrong."
    return {
        "stages": stages,
        "stages_words": f"The first test recording of class {_class(result)}. {STAGES}",
        "costs_words": f"Means over the test recordings{learning}. {COSTS}",
        "remarks": remarks,
        "why": why,
        "measures": [(MEASURES[name], numbers.fixed(value)) for name, value in values.items()],
        "unanswered": unanswered if result.unanswered else "",
    }


def _class(result: PipelineResult) -> str:
    """Return the name of the class of the recording that is shown, or its number."""
    label = result.shown[0].label if result.shown else None
    if isinstance(label, int) and result.classes:
        return result.classes[label]
    return str(label)


def _stages(run: Path, result: PipelineResult) -> tuple[Stages | None, str]:
    """Return the picture of one recording stage by stage, or why there is none."""
    if not result.shown or not (run / SPIKES).is_file():
        return None, f"The run folder has no {SPIKES}: no recording was kept for this page."
    names = [stage.name for stage in result.stages]
    try:
        events = read_sonata(run / SPIKES, result.source)
        spikes = _recorded_spikes(run, names)
    except NeurosimError as error:
        return None, f"The recording kept for this page cannot be shown: {error}"
    example = Example(
        index=0, label=result.source, predicted="", right=False, events=events, spikes=None, row_0=result.row_0
    )
    duration = max(each.duration for each in (events, *spikes.values()))
    panels = [_panel(result.source, events, None, duration)]
    panels += [_panel(name, each, result.windows.get(name), duration) for name, each in spikes.items()]
    words = "Spikes of every stage over time, the sensor first"
    rasters = charts.strips(panels, duration, words, width=charts.WIDE)
    return Stages(example, [(rasters, "Spikes of every stage.")]), ""


def _recorded_spikes(run: Path, names: Sequence[str]) -> Mapping[str, Spikes]:
    """Return the spikes of the populations that were recorded."""
    recorded = {}
    for name in names:
        try:
            recorded[name] = read_sonata(run / SPIKES, name)
        except NeurosimError:
            continue
    return recorded


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
    # Units lie row by row: `wide` of them in a row of the tile, at the middle of their pixels.
    place = (spikes.units % wide + 0.5) / wide
    order = np.lexsort((spikes.units, number))
    tiles = Spikes.unchecked(
        ((number + place) * window)[order],
        (spikes.units // wide)[order],
        size=rows,
        duration=count * window,
        shape=(rows,),
    )
    shown = np.repeat(pixels.raster(tiles, rows, count * wide), max(1, COLUMNS // (count * wide)), axis=1)
    # A last window beyond the end of the axis is cut there.
    return shown[:, : max(1, round(shown.shape[1] * duration / (count * window)))]
