"""Byte streams of event cameras, in pieces; see `faults` for what is returned, with the place in bytes.

A kernel decodes the complete records of a piece and returns the byte where the next piece must begin.
"""

from __future__ import annotations

from typing import NamedTuple

import numba as nb
import numpy as np

from ...tools.compiled import compiled
from ..faults import BACKWARDS, CUT, OUTSIDE, SIZES, SOUND
from .reference import (
    ATIS,
    DVS,
    LEFT,
    MIN_RECORD,
    OFFSET,
    OVERFLOW,
    PACKET,
    POLARITY,
    PREVIOUS,
    SIZE,
    SKIP,
    SOURCE,
)


class Sensor(NamedTuple):
    """Height and width, pixels, 0 for any; and seconds of a tick of the clock."""

    height: int
    width: int
    tick: float


class Events(NamedTuple):
    """Events to be filled: times, s, and numbers of units."""

    times: np.ndarray
    units: np.ndarray


@compiled
def event_stream(raw, last, kind, height, width, tick, times, units, clock, tally):
    """Decode Event Stream 2: DVS or ATIS events of 5 bytes, and single bytes that move the clock.

    The first byte is the time since the event before, then for DVS one bit of polarity, for ATIS one of polarity and
    one that marks a measurement of exposure, which is no change of light. A time of all ones is not an event: the
    other bits times that time are added to the clock (0 is a reset). Columns and rows are of 16 bits, little-endian.

    Args:
        last: whether the file ends with these bytes.
        times, units: room for all events.
        clock: [1] us, goes on from piece to piece.
        tally: [1], counts measurements of exposure.
    """
    # A time of all ones, and the number of bits below the time.
    if kind == DVS:
        step = np.int64(127)
        rest = 1
    else:
        step = np.int64(63)
        rest = 2
    count = 0
    t = clock[0]
    i = np.int64(0)
    fault = SOUND
    while i < raw.size:
        head = np.int64(raw[i])
        if head >> rest == step:
            t += step * (head & ((1 << rest) - 1))
            i += 1
            continue
        if i + MIN_RECORD > raw.size:
            # Within a file the rest of an event comes with the next piece.
            fault = CUT if last else SOUND
            break
        x = np.int64(raw[i + 1]) | np.int64(raw[i + 2]) << 8
        y = np.int64(raw[i + 3]) | np.int64(raw[i + 4]) << 8
        if x >= width or y >= height:
            fault = OUTSIDE
            break
        t += head >> rest
        if kind == ATIS and head & 1:
            tally[0] += 1
        else:
            times[count] = t * tick
            units[count] = ((head >> (rest - 1) & 1) * height + y) * width + x
            count += 1
        i += MIN_RECORD
    clock[0] = t
    return count, fault, i


@nb.njit(inline="always")
def _int(raw, i):
    """Return the little-endian signed integer of 4 bytes at `i`."""
    low = np.int64(raw[i]) | np.int64(raw[i + 1]) << 8 | np.int64(raw[i + 2]) << 16 | np.int64(raw[i + 3]) << 24
    return low - (low >> 31 << 32)


@nb.njit
def _entry_of(kind):
    """Return the entry of the tally for a kind of packet that has no polarity events."""
    if kind in (0, 2):  # special events, frames
        return kind
    if kind in (3, 4):  # inertial sensors of 6 and 9 axes
        return 3
    return 4


@compiled
def aedat31(raw, remaining, height, width, tick, times, units, state, tally, extent):
    """Decode the polarity events of AEDAT 3.1, of the source that has the first of them.

    A file is packets: kind and source (2 bytes each), then size of an event, offset of its time, overflows of the
    time, capacity, number of events and of valid ones (4 bytes each), then `capacity` events. A polarity event is a
    word, 1 bit valid, 1 polarity, 15 y, 15 x, and 31 bits of microseconds. A packet may reach over several pieces.

    Args:
        remaining: number of bytes from the first of these to the end of the file.
        height, width: 0: any.
        times, units: room for all events.
        state: [7] goes on from piece to piece, see `reference`.
        tally: [6] counts records that are not returned: special, invalid, frames, inertial, others, and polarity
            events of other sources.
        extent: [2], receives the largest y and x.
    """
    sensor = Sensor(height, width, tick)
    events = Events(times, units)
    count = 0
    i = np.int64(0)
    while True:
        count, fault, i = _events_of_packet(raw, i, sensor, events, count, state, tally, extent)
        # A packet may go on in the next piece.
        if fault != SOUND or state[LEFT] > 0:
            return count, fault, i
        # Room behind the last event of a packet, or all of a packet of another kind.
        skip = min(state[SKIP], raw.size - i)
        i += skip
        state[SKIP] -= skip
        if i >= raw.size:
            return count, SOUND, i
        if i + PACKET > raw.size:
            return count, CUT if remaining <= raw.size else SOUND, i
        fault = _head_of_packet(raw, i, remaining, state, tally)
        if fault != SOUND:
            return count, fault, i
        i += PACKET


@compiled
def _events_of_packet(raw, i, sensor, events, count, state, tally, extent):
    """Decode the LEFT events of a packet, or those that lie in this piece; return count, fault and the place after."""
    height, width, tick = sensor
    times, units = events
    size = state[SIZE]
    offset = state[OFFSET]
    overflow = state[OVERFLOW]
    left = state[LEFT]
    previous = state[PREVIOUS]
    fault = SOUND
    while left > 0 and i + size <= raw.size:
        # Address and time of AEDAT 3.1's polarity event: bit 0 validity, 1 polarity, 2 to 16 y, 17 to 31 x.
        place = _int(raw, i)
        t = overflow << 31 | _int(raw, i + offset) & 0x7FFFFFFF
        if place & 1 == 0:
            tally[1] += 1
            i += size
            left -= 1
            continue
        x = place >> 17 & 0x7FFF
        y = place >> 2 & 0x7FFF
        if (width > 0 and x >= width) or (height > 0 and y >= height):
            fault = OUTSIDE
            break
        if t < previous:
            fault = BACKWARDS
            break
        previous = t
        extent[0] = max(extent[0], y)
        extent[1] = max(extent[1], x)
        times[count] = t * tick
        units[count] = ((place >> 1 & 1) * height + y) * width + x
        count += 1
        i += size
        left -= 1
    # A piece may end within a packet: the next one continues with what is left of it.
    state[LEFT] = left
    state[PREVIOUS] = previous
    return count, fault, i


@compiled
def _head_of_packet(raw, i, remaining, state, tally):
    """Read the head of the packet at place i into the state; return what is wrong with it, SOUND for nothing."""
    kind = np.int64(raw[i]) | np.int64(raw[i + 1]) << 8
    origin = np.int64(raw[i + 2]) | np.int64(raw[i + 3]) << 8
    size = _int(raw, i + 4)
    offset = _int(raw, i + 8)
    overflow = _int(raw, i + 12)
    capacity = _int(raw, i + 16)
    number = _int(raw, i + 20)
    # These numbers are the file's, and decide how far the loops read.
    if size < 1 or overflow < 0 or not 0 <= number <= capacity:
        return SIZES
    if kind == POLARITY and not 4 <= offset <= size - 4:
        return SIZES
    if capacity > (remaining - i - PACKET) // size:
        return CUT
    if kind == POLARITY and number > 0 and state[SOURCE] < 0:
        state[SOURCE] = origin
    if kind == POLARITY and origin == state[SOURCE]:
        state[LEFT] = number
        state[SIZE] = size
        state[OFFSET] = offset
        state[OVERFLOW] = overflow
        state[SKIP] = (capacity - number) * size
        return SOUND
    if kind == POLARITY:
        tally[5] += number
    else:
        tally[_entry_of(kind)] += number
    state[SKIP] = capacity * size
    return SOUND
