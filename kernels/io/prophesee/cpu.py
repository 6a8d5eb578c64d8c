"""Formats of Prophesee, decoded word by word, in pieces; see `faults` for what is returned.

A state of `reference.start_state` carries clock and row from one piece of a file to the next.
"""

from __future__ import annotations

import numba as nb
import numpy as np

from ...tools.compiled import compiled
from ..faults import BACKWARDS, OUTSIDE, SOUND
from .reference import (
    BASE,
    DAT_LOOP,
    EVT2_LOOP,
    EVT3_LOOP,
    LATE,
    LOOPS,
    LOWER,
    MASK_BITS,
    PREVIOUS,
    ROW,
    SIDE,
    UNTIMED,
    UPPER,
)


@compiled
def dat(words, height, width, tick, times, units, state):
    """Decode Prophesee DAT (CD events): [n, 2] uint32, microseconds, then 4 bits of polarity, 14 of y, 14 of x."""
    n = words.shape[0]
    previous = state[PREVIOUS]
    loops = state[LOOPS]
    for i in range(n):
        t = np.int64(words[i, 0]) + loops
        place = np.int64(words[i, 1])
        x = place & 0x3FFF
        y = place >> 14 & 0x3FFF
        polarity = place >> 28
        if x >= width or y >= height or polarity > 1:
            return i, OUTSIDE, i
        if t < previous:
            # Far back is the counter starting again; a little back is a fault.
            if previous - t <= DAT_LOOP // 2:
                return i, BACKWARDS, i
            loops += DAT_LOOP
            t += DAT_LOOP
        previous = t
        times[i] = t * tick
        units[i] = (polarity * height + y) * width + x
    state[PREVIOUS] = previous
    state[LOOPS] = loops
    return n, SOUND, n


@compiled
def evt2(words, height, width, tick, times, units, state):
    """Decode Prophesee EVT2: 32-bit words, 4 bits of type; types 0 and 1 are events, 8 the upper 28 bits of the time.

    Events before the first time are dropped, and counted in the state.
    """
    count = 0
    previous = state[PREVIOUS]
    loops = state[LOOPS]
    upper = state[UPPER]
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
            state[UNTIMED] += 1
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
    state[PREVIOUS] = previous
    state[LOOPS] = loops
    state[UPPER] = upper
    return count, SOUND, words.size


@nb.njit(inline="always")
def _ones(bits):
    """Return the number of ones of a word, one step for each."""
    count = 0
    while bits:
        bits &= bits - 1
        count += 1
    return count


@nb.njit(inline="always")
def _write_ones(bits, seconds, unit, times, units, count):
    """Write an event for each one of a mask from entry `count` on; return the number of events then."""
    while bits:
        if bits & 1:
            times[count] = seconds
            units[count] = unit
            count += 1
        bits >>= 1
        unit += 1
    return count


@compiled
def evt21_count(words):
    """Return the number of events in EVT2.1 words; those before the first time are still included."""
    count = 0
    for i in range(words.size):
        if words[i] >> np.uint64(60) <= np.uint64(1):
            bits = words[i] & np.uint64(0xFFFFFFFF)
        else:
            bits = np.uint64(0)
        count += _ones(np.int64(bits))
    return count


@compiled
def evt21(words, height, width, tick, times, units, state):
    """Decode Prophesee EVT2.1: 64-bit words, EVT2's in the upper half, and in the lower a mask of 32 events from x on.

    Events before the first time are dropped, and counted in the state.
    """
    count = 0
    previous = state[PREVIOUS]
    loops = state[LOOPS]
    upper = state[UPPER]
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
            continue
        if kind > 1 or bits == 0:
            continue
        if upper < 0:
            state[UNTIMED] += _ones(bits)
            continue
        x = word >> 11 & 0x7FF
        y = word & 0x7FF
        t = loops + upper + (word >> 22 & 63)
        if t < previous:
            return count, BACKWARDS, i
        previous = t
        # Events up to the first one outside.
        inside = min(max(width - x, 0), 32) if y < height else 0
        within = bits & ((np.int64(1) << inside) - 1)
        count = _write_ones(within, t * tick, (kind * height + y) * width + x, times, units, count)
        if within != bits:
            return count, OUTSIDE, i
    state[PREVIOUS] = previous
    state[LOOPS] = loops
    state[UPPER] = upper
    return count, SOUND, words.size


@nb.njit(inline="always")
def _bits_in(mask):
    """Return the number of ones among the lower 12 bits, by sums of pairs, fours and eights, without a branch."""
    pairs = mask - (mask >> 1 & 0x555)
    fours = (pairs & 0x333) + (pairs >> 2 & 0x333)
    return (fours + (fours >> 4) & 0x0F) + (fours >> 8)


@compiled
def evt3_count(words):
    """Return the number of events in EVT3 words; those before the first time are still included."""
    count = 0
    for i in range(words.size):
        word = np.int64(words[i])
        kind = word >> 12
        mask = (word & 0xFFF) * (kind == 4) + (word & 0xFF) * (kind == 5) + (kind == 2)
        count += _bits_in(mask)
    return count


@nb.njit(inline="always")
def _write_mask(bits, length, seconds, unit, times, units, count):
    """Write the events of the lower `length` bits of a mask from entry `count` on; return the number of events then.

    Every bit is written, and the next one over it where it was 0: no branch depends on the data.
    """
    for k in range(length):
        times[count] = seconds
        units[count] = unit + k
        count += bits >> k & 1
    return count


@compiled
def evt3(words, height, width, tick, times, units, state, running):  # noqa: PLR0912 - eight kinds of word
    """Decode Prophesee EVT3: 16-bit words, 4 bits of type, each changing one part of the state or emitting events.

    0 row; 2 one event at x; 3 base x; 4 and 5 a mask of 12 or 8 events from base x on; 6 and 8 the lower and upper 12
    bits of the time, `loops << 24 | upper << 12 | lower`. The upper part starts again every 16.8 s, which a fall by at
    least half of its range shows; a new one resets the lower part. Where the lower part alone falls, its source was a
    little late: those events are put at the time of the event before.

    Events before the first time are dropped, and counted in the state, as are late events.

    Args:
        times, units: room for all events, and `MASK_BITS` more: a mask is written without branches.
        running: the other rule, of the library expelliarmus: a lower part that falls begins the next period of
            4,096 us.
    """
    count = 0
    previous = state[PREVIOUS]
    loops = state[LOOPS]
    upper = state[UPPER]
    lower = state[LOWER]
    y = state[ROW]
    base = state[BASE]
    side = state[SIDE]
    # The time is computed at the first event after a word of time.
    new_time = True
    late = False
    seconds = 0.0
    for i in range(words.size):
        word = np.int64(words[i])
        kind = word >> 12
        value = word & 0xFFF
        if kind == 2:
            first = value & 0x7FF
            side = value >> 11
            bits = np.int64(1)
        elif kind == 4:
            first = base
            bits = value
            base += 12
        elif kind == 5:
            first = base
            bits = value & 0xFF
            base += 8
        elif kind == 3:
            base = value & 0x7FF
            side = value >> 11
            continue
        elif kind == 0:
            y = value & 0x7FF
            continue
        elif kind == 6:
            if running and value < lower:
                loops += 4096
            lower = value
            new_time = True
            continue
        elif kind == 8:
            # Far back is the counter starting again; a little back is a fault, which the next event shows.
            if upper - value >= (1 if running else 2048):
                loops += EVT3_LOOP
            if not running and value != upper:
                lower = np.int64(0)
            upper = value
            new_time = True
            continue
        else:
            continue
        if bits == 0:
            continue
        if upper < 0:
            state[UNTIMED] += _bits_in(bits)
            continue
        if new_time:
            t = loops + (upper << 12) + lower
            late = t < previous
            if late and (running or t >> 12 != previous >> 12):
                return count, BACKWARDS, i
            t = max(t, previous)
            previous = t
            seconds = t * tick
            new_time = False
        before = count
        unit = (side * height + y) * width + first
        if kind == 2:
            if first >= width or y >= height:
                return count, OUTSIDE, i
            times[count] = seconds
            units[count] = unit
            count += 1
        else:
            if y >= height or (first + MASK_BITS > width and bits >> max(width - first, 0)):
                # Events up to the first one outside.
                inside = max(width - first, 0) if y < height else 0
                return _write_mask(bits, inside, seconds, unit, times, units, count), OUTSIDE, i
            count = _write_mask(bits, MASK_BITS, seconds, unit, times, units, count)
        if late:
            state[LATE] += count - before
    state[PREVIOUS] = previous
    state[LOOPS] = loops
    state[UPPER] = upper
    state[LOWER] = lower
    state[ROW] = y
    state[BASE] = base
    state[SIDE] = side
    return count, SOUND, words.size
