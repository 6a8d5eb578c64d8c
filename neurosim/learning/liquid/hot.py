"""Hot units of a sensor: those that send far more events than any unit did in the recordings that a liquid knows."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...data.recordings import Recordings

# Times the largest known number of events, and share of events, of a unit from which on it is hot. On 320 left-out
# recordings of N-MNIST-800 no event is dropped; of 12 pixels that fire 1,000 times a second, all are.
RATIO = 2.0


@dataclass(frozen=True)
class HotFilter:
    """Largest activity of a unit in the recordings that a liquid knows.

    A unit of another recording is hot if it sends `RATIO` times as many events, and if these are `RATIO` times as large
    a share of the events: a recording with more events of all units has none. Its events are dropped.

    Attributes:
        events: of a unit in a recording.
        share: of the events of a recording that are of one unit.
        longest: duration of a recording, s; longer ones may have more events in proportion.
    """

    events: int
    share: float
    longest: float

    @classmethod
    def of(cls, recordings: Recordings) -> HotFilter | None:
        """Return the filter of recordings; None where none has a duration and events."""
        if not len(recordings.ticks) or not recordings.durations.max() > 0:
            return None
        busiest = np.array([_counts(recordings, i).max(initial=0) for i in range(len(recordings))])
        totals = np.diff(recordings.offsets)
        shares = busiest / np.maximum(totals, 1)
        return cls(int(busiest.max()), float(shares.max()), float(recordings.durations.max()))

    def applied(self, recordings: Recordings) -> Recordings:
        """Return the recordings without the events of hot units; without one, the recordings themselves."""
        keep = np.ones(len(recordings.ticks), bool)
        for i in range(len(recordings)):
            counts = _counts(recordings, i)
            limit = RATIO * self.events * max(1.0, recordings.durations[i] / self.longest)
            busy = counts > limit
            if busy.any():
                # Of the events of other units: hot units do not hide each other.
                others = max(int(counts[~busy].sum()), 1)
                hot = busy & (counts > RATIO * self.share * others)
                begin, end = recordings.offsets[i : i + 2]
                keep[begin:end] = ~hot[recordings.units[begin:end]]
        if keep.all():
            return recordings
        ends = np.concatenate([[0], np.cumsum(keep)])
        return replace(
            recordings,
            ticks=recordings.ticks[keep],
            units=recordings.units[keep],
            offsets=ends[recordings.offsets].astype(np.int64),
        )


def _counts(recordings: Recordings, number: int) -> NDArray[np.int64]:
    """Return the numbers of events of the units of a recording."""
    begin, end = recordings.offsets[number : number + 2]
    return np.bincount(np.asarray(recordings.units[begin:end], np.int64))
