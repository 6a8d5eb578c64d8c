"""Spiking Heidelberg Digits and every HDF5 file of that layout.

`spikes/times` (ragged, seconds), `spikes/units` (ragged), `labels`, and where present `extra/speaker` and
`extra/keys`. Cramer et al. 2020, "The Heidelberg spiking data sets for the systematic evaluation of spiking neural
networks".
"""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from ..errors import require
from ..spikes import Recordings
from .hdf5 import Opened, opened

CHANNELS = 700


def read_shd(path: str | os.PathLike[str], channels: int | None = None) -> Recordings:
    """The whole file, read once into flat arrays: times as stored (half-precision seconds), channels in uint16.

    Args:
        channels: the size of the population; None means 700, or the highest channel there is where that is higher.

    Returns:
        Recordings with labels, the class names of `extra/keys`, and `extra/speaker` as the group "speaker". A
        recording lasts up to its last event.

    Raises:
        NeurosimMissingError: no such file.
        NeurosimFormatError: not HDF5, datasets missing, wrong-typed, external or absurdly large, times negative or
            running backwards, a channel outside the population.
    """
    require(channels is None or channels > 0, "read_shd.channels", "must be > 0", channels)
    with opened(path) as file:
        times, offsets = file.ragged("spikes/times", "f")
        units, same = file.ragged("spikes/units", "iu")
        if not np.array_equal(offsets, same):
            raise file.bad("/spikes/units", "as many units as times in every recording", "another number")
        recordings = len(offsets) - 1
        labels = file.numbers("labels", "iu", recordings).astype(np.int64)
        groups = {}
        if file.has("extra/speaker"):
            groups["speaker"] = file.numbers("extra/speaker", "iu", recordings)
        classes = file.texts("extra/keys") if file.has("extra/keys") else ()
        size = channels or max(CHANNELS, int(units.max(initial=0)) + 1)
        _check_events(file, times, units, offsets, size)
        if classes and labels.size and not 0 <= labels.min() <= labels.max() < len(classes):
            raise file.bad("/labels", f"0 <= label < {len(classes)} classes", f"{labels.min()} to {labels.max()}")
    durations = np.zeros(recordings)
    full = np.diff(offsets) > 0
    durations[full] = times[offsets[1:][full] - 1]
    # uint16 wherever it fits, whatever width the file chose.
    units = units.astype(np.uint16 if size <= 1 << 16 else np.int32, copy=False)
    return Recordings(times, units, offsets, durations, size, (size,), 1.0, labels, classes, groups)


def _check_events(file: Opened, times: NDArray, units: NDArray, offsets: NDArray[np.int64], size: int) -> None:
    if units.size and not 0 <= units.min() <= units.max() < size <= 1 << 31:
        at = int(np.argmax((units < 0) | (units >= size)))
        raise file.bad(f"/spikes/units event {at}", f"0 <= channel < {size}", units[at], "give channels=")
    # The comparison also refuses NaN.
    rising = times[1:] >= times[:-1]
    starts = offsets[1:-1]
    rising[starts[(starts > 0) & (starts < len(times))] - 1] = True
    first = times[offsets[:-1][np.diff(offsets) > 0]]
    if not (rising.all() and (first >= 0).all() and np.isfinite(times).all()):
        where = f"event {int(np.argmin(rising)) + 1}" if not rising.all() else "a first event"
        raise file.bad(f"/spikes/times {where}", "times >= 0 s that never run backwards", "others")
