"""Files of N-MNIST decoded by the quick loop, or record by record where that meets anything but plain events."""

from __future__ import annotations

import numpy as np

from ..faults import SOUND
from .cpu import nmnist_careful, nmnist_many_plain, nmnist_plain
from .reference import RECORD


def nmnist(raw, height, width, tick, times, units):
    """Decode all of `raw` into `times` (microseconds * tick) and `units`; both hold len(raw) // 5 entries.

    Returns:
        events, fault and its record; see `faults`.
    """
    if nmnist_plain(raw, height, width, tick, times, units):
        records = raw.size // RECORD
        return records, SOUND, records
    return nmnist_careful(raw, height, width, tick, times, units, np.zeros(2, np.int64))


def nmnist_many(raw, bounds, height, width, ticks, units, events):
    """Decode many N-MNIST files that lie end to end in `raw`; `events` receives the number of events of each.

    Returns:
        the first invalid file, its fault and record; (files, SOUND, 0) if all are valid.
    """
    done = 0
    first = 0
    # The careful loop is compiled only where a file needs it.
    while True:
        last = nmnist_many_plain(raw, bounds, first, height, width, ticks[done:], units[done:], events)
        done += int(events[first:last].sum())
        if last == events.size:
            return last, SOUND, 0
        file = raw[bounds[last] : bounds[last + 1]]
        state = np.zeros(2, np.int64)
        count, fault, at = nmnist_careful(file, height, width, np.uint32(1), ticks[done:], units[done:], state)
        if fault:
            return last, fault, at
        events[last] = count
        done += count
        first = last + 1
