"""Formats of Prophesee, decoded word by word; see `faults` for what is returned."""

from __future__ import annotations

import numba as nb
import numpy as np

from ..faults import BACKWARDS, OUTSIDE, SOUND
from .reference import EVT2_LOOP, EVT3_LOOP


@nb.njit(cache=True, nogil=True)
def dat(words, height, width, tick, times, units):
    """Decode Prophesee DAT (CD events): [n, 2] uint32, microseconds, then 4 bits of polarity, 14 of y, 14 of x."""
    n = words.shape[0]
    previous = np.int64(0)
    for i in range(n):
        t = np.int64(words[i, 0])
        place = np.int64(words[i, 1])
        x = place & 0x3FFF
        y = place >> 14 & 0x3FFF
        polarity = place >> 28
        if x >= width or y >= height or polarity > 1:
            return i, OUTSIDE, i
        if t < previous:
            return i, BACKWARDS, i
        previous = t
        times[i] = t * tick
        units[i] = (polarity * height + y) * width + x
    return n, SOUND, n


@nb.njit(cache=True, nogil=True)
def evt2(words, height, width, tick, times, units, tally):
    """Decode Prophesee EVT2: 32-bit words, 4 bits of type; types 0 and 1 are events, 8 the upper 28 bits of the time.

    Args:
        tally: [1], receives the number of events before the first time, which are dropped.
    """
    count = 0
    tally[:] = 0
    previous = np.int64(0)
    loops = np.int64(0)
    upper = np.int64(-1)
    for i in range(words.size):
        word = np.int64(words[i])
        kind = word >> 28
        if kind == 8:
            new = (word & 0xFFFFFFF) << 6
            # Far back is the counter starting again; a little back is a fault, which the next event shows.
            if upper - new > EVT2_LOOP // 2:
                loops += EVT2_LOOP
            upper = new
        elif kind <= 1 and upper < 0:
            tally[0] += 1
        elif kind <= 1:
            x = word >> 11 & 0x7FF
            y = word & 0x7FF
            if x >= width or y >= height:
                return count, OUTSIDE, i
            t = loops + upper + (word >> 22 & 63)
            if t < previous:
                return count, BACKWARDS, i
            previous = t
            times[count] = t * tick
            units[count] = (kind * height + y) * width + x
            count += 1
    return count, SOUND, words.size


@nb.njit(cache=True, nogil=True)
def evt21_count(words):
    """Return the number of events in EVT2.1 words; those before the first time are still included."""
    count = 0
    for i in range(words.size):
        if words[i] >> np.uint64(60) <= np.uint64(1):
            bits = words[i] & np.uint64(0xFFFFFFFF)
        else:
            bits = np.uint64(0)
        while bits:
            bits &= bits - np.uint64(1)
            count += 1
    return count


@nb.njit(cache=True, nogil=True)
def evt21(words, height, width, tick, times, units, tally):
    """Decode Prophesee EVT2.1: 64-bit words, EVT2's in the upper half, and in the lower a mask of 32 events from x on.

    Args:
        tally: [1], receives the number of events before the first time, which are dropped.
    """
    count = 0
    previous = np.int64(0)
    loops = np.int64(0)
    upper = np.int64(-1)
    tally[:] = 0
    for i in range(words.size):
        word = np.int64(words[i] >> np.uint64(32))
        bits = np.int64(words[i] & np.uint64(0xFFFFFFFF))
        kind = word >> 28
        if kind == 8:
            new = (word & 0xFFFFFFF) << 6
            # As in `evt2`.
            if upper - new > EVT2_LOOP // 2:
                loops += EVT2_LOOP
            upper = new
        elif kind <= 1 and bits:
            x = word >> 11 & 0x7FF
            y = word & 0x7FF
            t = loops + upper + (word >> 22 & 63)
            if upper >= 0 and t < previous:
                return count, BACKWARDS, i
            while bits:
                if bits & 1:
                    if upper < 0:
                        tally[0] += 1
                    elif x >= width or y >= height:
                        return count, OUTSIDE, i
                    else:
                        previous = t
                        times[count] = t * tick
                        units[count] = (kind * height + y) * width + x
                        count += 1
                bits >>= 1
                x += 1
    return count, SOUND, words.size


@nb.njit(cache=True, nogil=True)
def evt3_count(words):
    """Return the number of events in EVT3 words; those before the first time are still included."""
    count = 0
    for i in range(words.size):
        kind = words[i] >> 12
        if kind == 2:
            bits = 1
        elif kind == 4:
            bits = words[i] & 0xFFF
        else:
            bits = words[i] & 0xFF if kind == 5 else 0
        while bits:
            bits &= bits - 1
            count += 1
    return count


@nb.njit(cache=True, nogil=True)
def evt3(words, height, width, tick, times, units, tally, running):  # noqa: PLR0912 - eight kinds of word
    """Decode Prophesee EVT3: 16-bit words, 4 bits of type, each changing one part of the state or emitting events.

    0 row; 2 one event at x; 3 base x; 4 and 5 a mask of 12 or 8 events from base x on; 6 and 8 the lower and upper 12
    bits of the time, `loops << 24 | upper << 12 | lower`. The upper part starts again every 16.8 s, which a fall by at
    least half of its range shows; a new one resets the lower part. Where the lower part alone falls, its source was a
    little late: those events are put at the time of the event before.

    `running`: the other rule, of the library expelliarmus: a lower part that falls begins the next period of 4,096 us.

    Args:
        tally: [2], receives the numbers of events before the first time, which are dropped, and of late events.
    """
    count = 0
    t = np.int64(0)
    previous = np.int64(0)
    loops = np.int64(0)
    upper = np.int64(-1)
    lower = np.int64(0)
    y = np.int64(0)
    base = np.int64(0)
    side = np.int64(0)
    tally[:] = 0
    for i in range(words.size):
        word = np.int64(words[i])
        kind = word >> 12
        value = word & 0xFFF
        first = base
        bits = np.int64(0)
        if kind == 2:
            first = value & 0x7FF
            side = value >> 11
            bits = np.int64(1)
        elif kind == 4:
            bits = value
            base += 12
        elif kind == 5:
            bits = value & 0xFF
            base += 8
        elif kind == 3:
            base = value & 0x7FF
            side = value >> 11
        elif kind == 0:
            y = value & 0x7FF
        elif kind == 6:
            if running and value < lower:
                loops += 4096
            lower = value
        elif kind == 8:
            # Far back is the counter starting again; a little back is a fault, which the next event shows.
            if upper - value >= (1 if running else 2048):
                loops += EVT3_LOOP
            if not running and value != upper:
                lower = np.int64(0)
            upper = value
        if bits == 0:
            continue
        late = False
        if upper >= 0:
            t = loops + (upper << 12) + lower
            if t < previous:
                if running or t >> 12 != previous >> 12:
                    return count, BACKWARDS, i
                late = True
                t = previous
            previous = t
        before = count
        while bits:
            if bits & 1:
                if upper < 0:
                    tally[0] += 1
                elif first >= width or y >= height:
                    return count, OUTSIDE, i
                else:
                    times[count] = t * tick
                    units[count] = (side * height + y) * width + first
                    count += 1
            bits >>= 1
            first += 1
        if late:
            tally[1] += count - before
    return count, SOUND, words.size
