"""Spiking Heidelberg Digits and every HDF5 file of that layout.

`spikes/times` (ragged, seconds), `spikes/units` (ragged), `labels`, and where present `extra/speaker` and
`extra/keys`. Cramer et al. 2020, "The Heidelberg spiking data sets for the systematic evaluation of spiking neural
networks".
"""

from __future__ import annotations

import os
import warnings
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...base.errors import GuessWarning, require
from ..recordings import Recordings
from .hdf5 import HDF5File, open_hdf5

CHANNELS = 700
# Words last a second: files whose recordings last longer than this hardly count seconds, s.
LONGEST = 60.0


def read_shd(path: str | os.PathLike[str], channels: int | None = None) -> Recordings:
    """Return all recordings of a file in flat arrays: times as stored (half-precision seconds), channels in uint16.

    Args:
        path: of the file.
        channels: size of the population; None: 700, or more if there are higher channels.

    Returns:
        Recordings with labels, the class names of `extra/keys`, and `extra/speaker` as the group "speaker", if it holds
        integers. A recording ends with its last event.

    Warns:
        GuessWarning: times that are hardly seconds, or speakers that are no integers and are left out.

    Raises:
        NeurosimMissingError: no such file.
        NeurosimFormatError: not HDF5; datasets that are missing, of another type, external or larger than the file;
            times that are negative or not ascending; a channel outside the population.
    """
    require(channels is None or channels > 0, "read_shd.channels", "must be > 0", channels)
    with open_hdf5(path) as file:
        times, offsets = file.ragged("spikes/times", "f")
        units, same = file.ragged("spikes/units", "iu")
        if not np.array_equal(offsets, same):
            raise file.error("/spikes/units", "as many units as times in every recording", "another number")
        recordings = len(offsets) - 1
        labels = file.numbers("labels", "iu", recordings).astype(np.int64)
        groups = _speakers(file, recordings)
        if file.has("extra/keys"):
            classes = file.texts("extra/keys")
        else:
            classes = ()
        size = channels or max(CHANNELS, int(units.max(initial=0)) + 1)
        _check_events(file, times, units, offsets, size)
        if classes and labels.size and not 0 <= labels.min() <= labels.max() < len(classes):
            raise file.error("/labels", f"0 <= label < {len(classes)} classes", f"{labels.min()} to {labels.max()}")
    # uint16 if it fits, whatever the type in the file.
    units = units.astype(np.uint16 if size <= 1 << 16 else np.int32, copy=False)
    return Recordings(
        ticks=times,
        units=units,
        offsets=offsets,
        durations=_durations(path, times, offsets),
        size=size,
        shape=(size,),
        tick=1.0,
        labels=labels,
        classes=classes,
        groups=groups,
    )


def _speakers(file: HDF5File, recordings: int) -> dict[str, NDArray[Any]]:
    """Return the group "speaker" of a file; nothing, with a warning, where its speakers are no integers."""
    if not file.has("extra/speaker"):
        return {}
    if file.dataset("extra/speaker").dtype.kind in "iu":
        return {"speaker": file.numbers("extra/speaker", "iu", recordings)}
    # Names in two files have no common numbers.
    rule = "are no integers and were left out; number them to hold speakers out"
    warnings.warn(f"{file.path}: /extra/speaker: speakers {rule}", GuessWarning, stacklevel=3)
    return {}


def _durations(path: object, times: NDArray[Any], offsets: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the time of the last event of each recording, s, 0 without events; warn where they are hardly seconds."""
    durations = np.zeros(len(offsets) - 1)
    full = np.diff(offsets) > 0
    durations[full] = times[offsets[1:][full] - 1]
    usual = float(np.median(durations[full])) if full.any() else 0.0
    if usual > LONGEST:
        warnings.warn(
            f"{path}: half of the recordings last over {usual:.0f} s, for times of this layout are seconds; if these "
            "are milliseconds, divide them by 1,000",
            GuessWarning,
            stacklevel=3,
        )
    return durations


def is_shd_file(path: str | os.PathLike[str]) -> bool:
    """Return whether a file is HDF5 in this layout: ragged times and units, and labels.

    Raises:
        NeurosimMissingError: no such file.
    """
    with open_hdf5(path) as file:
        return all(file.has(name) for name in ("spikes/times", "spikes/units", "labels"))


class ShdExtent(NamedTuple):
    """Sizes of a file.

    Attributes:
        channels: one more than the highest channel, at least 1.
        classes: their names, if the file has them.
        labels: one more than the highest label; 0 where there are labels below 0, or above the number of recordings.
    """

    channels: int
    classes: tuple[str, ...]
    labels: int


def shd_extent(path: str | os.PathLike[str]) -> ShdExtent:
    """Return the sizes of a file.

    Raises:
        NeurosimMissingError, NeurosimFormatError: as `read_shd`.
    """
    with open_hdf5(path) as file:
        units, _ = file.ragged("spikes/units", "iu")
        if units.size and not 0 <= units.min() <= units.max() < 1 << 31:
            raise file.error("/spikes/units", "channels >= 0 and below 2^31", f"{units.min()} to {units.max()}")
        classes = file.texts("extra/keys") if file.has("extra/keys") else ()
        count = 0
        if file.dataset("labels").dtype.kind in "iu":
            labels = file.numbers("labels", "iu")
            if labels.size and 0 <= labels.min() <= labels.max() < labels.size:
                count = int(labels.max()) + 1
        return ShdExtent(int(units.max(initial=0)) + 1, classes, count)


def _check_events(
    file: HDF5File, times: NDArray[Any], units: NDArray[Any], offsets: NDArray[np.int64], size: int
) -> None:
    if units.size and not 0 <= units.min() <= units.max() < size <= 1 << 31:
        at = int(np.argmax((units < 0) | (units >= size)))
        raise file.error(f"/spikes/units event {at}", f"0 <= channel < {size}", units[at], "give channels=")
    # Times rise within a recording; between the last event of one and the first of the next they may fall. The
    # comparison refuses NaN too.
    rising = times[1:] >= times[:-1]
    starts = offsets[1:-1]
    rising[starts[(starts > 0) & (starts < len(times))] - 1] = True
    first = times[offsets[:-1][np.diff(offsets) > 0]]
    if not (rising.all() and (first >= 0).all() and np.isfinite(times).all()):
        if not rising.all():
            where = f"event {int(np.argmin(rising)) + 1}"
        else:
            where = "a first event"
        raise file.error(f"/spikes/times {where}", "times >= 0 s in ascending order", "others")
