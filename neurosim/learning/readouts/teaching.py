"""Labels, rewards and announcements of tasks as spikes."""

from __future__ import annotations

import numpy as np

from ...base.errors import require
from ...data.spikes import Recordings


def label_recordings(labels: object, size: int, time: float, durations: object) -> Recordings:
    """Return recordings with one spike each: of the unit `labels[i]` at `time`, or none where it is negative.

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
    chosen = np.asarray(labels)
    good = chosen.ndim == 1 and (chosen.dtype.kind in "iu" or chosen.size == 0)
    require(good, "label_recordings.labels", "must be [recordings] integers", f"{chosen.dtype} {list(chosen.shape)}")
    require(chosen.max(initial=-1) < size, "label_recordings.labels", f"must be below {size}", chosen.max(initial=-1))
    lengths = np.broadcast_to(np.asarray(durations, np.float64), chosen.shape)
    shortest = float(lengths.min(initial=np.inf))
    require(0 <= time < shortest, "label_recordings.time", f"must be >= 0 s and before {shortest:g} s", time)
    spikes = chosen >= 0
    offsets = np.concatenate([[0], np.cumsum(spikes)])
    return Recordings(
        np.full(int(spikes.sum()), float(time)), chosen[spikes].astype(np.int32), offsets, lengths.copy(), size
    )
