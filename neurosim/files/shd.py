"""Spiking Heidelberg Digits and every HDF5 file of that layout.

`spikes/times` (ragged, seconds), `spikes/units` (ragged), `labels`, and where present `extra/speaker` and
`extra/keys`. Cramer et al. 2020, "The Heidelberg spiking data sets for the systematic evaluation of spiking neural
networks".
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import check
from ..spikes import Recordings
from .hdf5 import dataset, numbers, opened
from .raw import bad

CHANNELS = 700


def read_shd(path: str | os.PathLike[str], channels: int | None = None) -> Recordings:
    """The whole file, read once: times as stored (half-precision seconds), channels in uint16.

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
    check(channels is None or channels > 0, "read_shd.channels", "must be > 0", channels)
    with opened(path) as root:
        times, offsets = _ragged(path, root, "spikes/times", "f")
        units, same = _ragged(path, root, "spikes/units", "iu")
        if not np.array_equal(offsets, same):
            raise bad(path, "/spikes/units", "as many as times in each recording", "others", "fetch it again")
        labels = numbers(path, root, "labels", "iu", len(offsets) - 1)
        groups = {}
        if "extra/speaker" in root:
            groups["speaker"] = numbers(path, root, "extra/speaker", "iu", len(labels))
        classes = ()
        if "extra/keys" in root:
            classes = tuple(k.decode() for k in dataset(path, root, "extra/keys")[()])
    size = channels or max(CHANNELS, int(units.max(initial=0)) + 1)
    ends = offsets[1:] - 1
    durations = np.where(np.diff(offsets) > 0, times[np.maximum(ends, 0)].astype(np.float64), 0.0)
    return Recordings(times, units, offsets, durations, size, (size,), 1.0, labels.astype(np.int64), classes, groups)


def _ragged(path: object, root: Any, name: str, kinds: str) -> tuple[NDArray, NDArray[np.int64]]:
    rows = dataset(path, root, name)[()]
    offsets = np.concatenate([[0], np.cumsum([len(r) for r in rows])]).astype(np.int64)
    return np.concatenate(list(rows)), offsets
