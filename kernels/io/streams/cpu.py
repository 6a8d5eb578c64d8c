"""Byte streams of event cameras; see `faults` for what is returned, with the place in bytes.

A kernel is called twice: without room, to count the events, and with it.
"""

from __future__ import annotations

import numba as nb
import numpy as np

from ...tools.compiled import compiled
from ..faults import BACKWARDS, CUT, OUTSIDE, SIZES, SOUND
from .reference import ATIS, DVS, PACKET, POLARITY


@compiled
def event_stream(raw, start, kind, height, width, tick, times, units, tally):
    """Decode Event Stream 2 from byte `start` on: DVS or ATIS events of 5 bytes, and single bytes that move the clock.

    The first byte is the time since the event before, then for DVS one bit of polarity, for ATIS one of polarity and
    one that marks a measurement of exposure, which is no change of light. A time of all ones is not an event: the
    other bits times that time are added to the clock (0 is a reset). Columns and rows are of 16 bits, little-endian.

    Args:
        times, units: room for all events, or none.
        tally: [1], receives the number of measurements of exposure.
    """
    step, rest = (np.int64(127), 1) if kind == DVS else (np.int64(63), 2)
    count = 0
    t = np.int64(0)
    i = np.int64(start)
    tally[:] = 0
    while i < raw.size:
        head = np.int64(raw[i])
        if head >> rest == step:
            t += step * (head & ((1 << rest) - 1))
            i += 1
            continue
        if i + 5 > raw.size:
            return count, CUT, i
        t += head >> rest
        x = np.int64(raw[i + 1]) | np.int64(raw[i + 2]) << 8
        y = np.int64(raw[i + 3]) | np.int64(raw[i + 4]) << 8
        if x >= width or y >= height:
            return count, OUTSIDE, i
        if kind == ATIS and head & 1:
            tally[0] += 1
        else:
            if times.size:
                times[count] = t * tick
                units[count] = ((head >> (rest - 1) & 1) * height + y) * width + x
            count += 1
        i += 5
    return count, SOUND, i


@nb.njit(inline="always")
def _int(raw, i):
    """Return the little-endian signed integer of 4 bytes at `i`."""
    low = np.int64(raw[i]) | np.int64(raw[i + 1]) << 8 | np.int64(raw[i + 2]) << 16 | np.int64(raw[i + 3]) << 24
    return low - (low >> 31 << 32)


@compiled
def aedat31(raw, start, height, width, tick, times, units, tally, extent):
    """Decode the polarity events of AEDAT 3.1 from byte `start` on, of the source that has the first of them.

    A file is packets: kind and source (2 bytes each), then size of an event, offset of its time, overflows of the
    time, capacity, number of events and of valid ones (4 bytes each), then `capacity` events. A polarity event is a
    word, 1 bit valid, 1 polarity, 15 y, 15 x, and 31 bits of microseconds.

    Args:
        height, width: 0: any.
        times, units: room for all events, or none.
        tally: [6], receives numbers of records that are not returned: special, invalid, frames, inertial, others, and
            polarity events of other sources.
        extent: [2], receives the largest y and x.
    """
    count = 0
    i = np.int64(start)
    previous = np.int64(0)
    source = np.int64(-1)
    tally[:] = 0
    extent[:] = 0
    while i < raw.size:
        if i + PACKET > raw.size:
            return count, CUT, i
        kind = np.int64(raw[i]) | np.int64(raw[i + 1]) << 8
        origin = np.int64(raw[i + 2]) | np.int64(raw[i + 3]) << 8
        size = _int(raw, i + 4)
        offset = _int(raw, i + 8)
        overflow = _int(raw, i + 12)
        capacity = _int(raw, i + 16)
        number = _int(raw, i + 20)
        if size < 1 or overflow < 0 or not 0 <= number <= capacity:
            return count, SIZES, i
        if kind == POLARITY and not 4 <= offset <= size - 4:
            return count, SIZES, i
        if capacity > (raw.size - i - PACKET) // size:
            return count, CUT, i
        if kind == POLARITY and number > 0:
            source = origin if source < 0 else source
        if kind != POLARITY:
            tally[0 if kind == 0 else 2 if kind == 2 else 3 if 3 <= kind <= 4 else 4] += number
        elif origin != source:
            tally[5] += number
        else:
            for j in range(i + PACKET, i + PACKET + number * size, size):
                place = _int(raw, j)
                t = overflow << 31 | _int(raw, j + offset) & 0x7FFFFFFF
                if place & 1 == 0:
                    tally[1] += 1
                    continue
                x = place >> 17 & 0x7FFF
                y = place >> 2 & 0x7FFF
                if (width > 0 and x >= width) or (height > 0 and y >= height):
                    return count, OUTSIDE, j
                if t < previous:
                    return count, BACKWARDS, j
                previous = t
                extent[0], extent[1] = max(extent[0], y), max(extent[1], x)
                if times.size:
                    times[count] = t * tick
                    units[count] = ((place >> 1 & 1) * height + y) * width + x
                count += 1
        i += PACKET + capacity * size
    return count, SOUND, i
