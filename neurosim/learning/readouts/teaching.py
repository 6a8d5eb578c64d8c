"""Labels, rewards and announcements of tasks as spikes."""

from __future__ import annotations

import numpy as np

from ...base.errors import require
from ...data.recordings import Recordings


def label_recordings(labels: object, size: int, time: float, durations: object) -> Recordings:
    """Return recordings with one spike each: unit `labels[i]` spikes at `time`; a negative label has no spike.

    Played by a `SpikeSource` of `size` units that is linked to the receptor "label", "reward" or "task" of an
    `OnlineReadout`.

    Args:
        labels: [recordings] integers below `size`.
        size: number of units.
        time: s of the spikes.
        durations: s, one for all or one each.

    Raises:
        NeurosimInputError: labels that are not integers below `size`, or a time beyond a duration.
    """
    units = np.asarray(labels)
    good = units.ndim == 1 and (units.dtype.kind in "iu" or units.size == 0)
    require(good, "label_recordings.labels", "must be [recordings] integers", f"{units.dtype} {list(units.shape)}")
    require(units.max(initial=-1) < size, "label_recordings.labels", f"must be below {size}", units.max(initial=-1))
    lengths = np.broadcast_to(np.asarray(durations, np.float64), units.shape)
    shortest = float(lengths.min(initial=np.inf))
    require(0 <= time < shortest, "label_recordings.time", f"must be >= 0 s and before {shortest:g} s", time)
    spikes = units >= 0
    # One spike for each label that is not negative, in the order of the recordings.
    offsets = np.concatenate([[0], np.cumsum(spikes)])
    return Recordings(
        ticks=np.full(int(spikes.sum()), float(time)),
        units=units[spikes].astype(np.int32),
        offsets=offsets,
        durations=lengths.copy(),
        size=size,
    )
