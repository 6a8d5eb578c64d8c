"""Files of N-MNIST decoded record by record; see `faults` for what is returned."""

from __future__ import annotations

import numpy as np

from ...tools.compiled import compiled
from ..faults import BACKWARDS, OUTSIDE, SOUND
from .reference import OVERFLOW, OVERFLOW_Y, RECORD


@compiled
def nmnist_plain(raw, height, width, tick, times, units):
    """Decode all of `raw` into `times` (microseconds * tick) and `units`; both hold len(raw) // 5 entries.

    It follows no markers and has no branch on the data, so it runs at memory speed.

    Returns:
        whether all records are plain events; if not, `nmnist_careful` decodes them.
    """
    bad = False
    previous = np.uint32(0)
    for i in range(raw.size // RECORD):
        j = i * RECORD
        x = np.uint32(raw[j])
        # Four bytes in this order compile to one load and one byte swap.
        word = (
            np.uint32(raw[j + 1]) << np.uint32(24)
            | np.uint32(raw[j + 2]) << np.uint32(16)
            | np.uint32(raw[j + 3]) << np.uint32(8)
            | np.uint32(raw[j + 4])
        )
        y = word >> np.uint32(24)
        t = word & np.uint32(0x7FFFFF)
        bad |= (x >= width) | (y >= height) | (y == OVERFLOW_Y) | (t < previous)
        previous = t
        times[i] = t * tick
        units[i] = (((word >> np.uint32(23)) & np.uint32(1)) * height + y) * width + x
    return not bad


@compiled
def nmnist_careful(raw, height, width, tick, times, units, state):
    """Decode as `nmnist_plain`, following overflow markers and stopping at the first fault.

    `state` [2] int64 goes from one piece of a file to the next: time of the overflow markers and of the latest event.
    """
    n = raw.size // RECORD
    count = 0
    clock = state[0]
    previous = state[1]
    for i in range(n):
        j = i * RECORD
        x = np.int64(raw[j])
        y = np.int64(raw[j + 1])
        high = np.int64(raw[j + 2])
        # Before the check of the place, which a marker would fail.
        if y == OVERFLOW_Y:
            clock += OVERFLOW
            continue
        if x >= width or y >= height:
            return count, OUTSIDE, i
        t = clock + ((high & 127) << 16 | np.int64(raw[j + 3]) << 8 | np.int64(raw[j + 4]))
        if t < previous:
            return count, BACKWARDS, i
        previous = t
        times[count] = t * tick
        units[count] = ((high >> 7) * height + y) * width + x
        count += 1
    state[0] = clock
    state[1] = previous
    return count, SOUND, n


@compiled
def nmnist_many_plain(raw, bounds, first, height, width, ticks, units, events):
    """Decode files of plain events from number `first` on; all lie end to end in `raw`.

    `ticks` and `units` begin where its events go; `events` receives the number of events of each file.

    Returns:
        number of the first file that holds anything else, or of files.
    """
    done = np.int64(0)
    for i in range(first, events.size):
        a = bounds[i]
        b = bounds[i + 1]
        if not nmnist_plain(raw[a:b], height, width, np.uint32(1), ticks[done:], units[done:]):
            return i
        events[i] = (b - a) // RECORD
        done += events[i]
    return events.size
