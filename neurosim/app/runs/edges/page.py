"""The page of a run of a table of edges: raster and rates of the neurons that fired, measures, energy, provenance."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from markupsafe import Markup

from ....base.errors import NeurosimError
from ....base.shown import counted
from ....data.files.sonata import read_sonata
from ....data.spikes import Spikes
from ...report import charts, pixels
from ...report.recordings import SPIKES, Figure, course, firing, intervals
from ..data import spread
from ..frame.folder import RunFolder
from .result import EdgesResult

# pixels of the raster; each row is one neuron
COLUMNS = 470
ROWS = 200
MAX_ROW = 8


def fill(folder: RunFolder, result: EdgesResult) -> Mapping[str, object]:
    """Return what fills the template, beside the result and the manifest."""
    spikes, why = _fired(folder.path)
    raster: list[Figure] = []
    rates: list[Figure] = []
    if spikes is not None:
        raster = [(_raster(spikes), "")]
        rates = [
            (course([spikes], "var(--spike)", "spikes per neuron and second", spikes.size), "In bins of 5 ms."),
            firing([spikes], "neurons that fired"),
            intervals([spikes]),
        ]
    words = f"The first trial. A row is a neuron that fired; of more than {ROWS}, as many spread evenly."
    return {"raster": raster, "raster_words": words, "rates": rates, "why": why}


def _fired(run: Path) -> tuple[Spikes | None, str]:
    """Return the spikes of the first trial, of the neurons that fired alone; or None and the reason."""
    if not (run / SPIKES).is_file():
        return None, f"The run folder has no {SPIKES}."
    try:
        spikes = read_sonata(run / SPIKES, "neurons")
    except NeurosimError as error:
        return None, f"The spikes of this run cannot be shown: {error}"
    if not len(spikes) or not spikes.duration:
        return None, "No neuron fired in the first trial."
    active, units = np.unique(spikes.units, return_inverse=True)
    return Spikes.unchecked(spikes.times, units.astype(np.int32), len(active), spikes.duration), ""


def _raster(spikes: Spikes) -> Markup:
    chosen = spread(spikes.size, ROWS)
    place = np.full(spikes.size, -1, np.int32)
    place[chosen] = np.arange(chosen.size)
    units = place[spikes.units]
    some = Spikes.unchecked(spikes.times[units >= 0], units[units >= 0], chosen.size, spikes.duration)
    note = f"{counted(len(spikes), 'spike')} of {counted(spikes.size, 'neuron')}"
    height = some.size * min(max(ROWS // some.size, 1), MAX_ROW)
    panel = charts.Panel("neurons", pixels.raster(some, some.size, COLUMNS), height, note)
    return charts.strips([panel], spikes.duration, "Raster of the neurons that fired", width=charts.WIDE)
