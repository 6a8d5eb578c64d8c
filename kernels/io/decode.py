"""Decoding event-camera bytes. Each kernel checks while it decodes and returns the place of the first fault.

A kernel returns `(events, fault, at)`: `fault` is 0 for a valid file, otherwise one of the numbers below, and `at`
is the index of the record (event, or word) that broke the rule. No kernel allocates memory.
"""

from __future__ import annotations

import numba as nb
import numpy as np

SOUND = 0
OUTSIDE = 1
BACKWARDS = 2
# Bytes of an N-MNIST event.
RECORD = 5
# A record with this y is no event: it moves the clock of everything after it on by OVERFLOW.
OVERFLOW_Y = 240
OVERFLOW = 1 << 13


def nmnist_reference(raw: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray, int, int]:
    """The specification of `nmnist`: 40-bit events, x, y, then polarity (1 bit) and microseconds (23 bits).

    Returns:
        microseconds [n] int64, units [n] int64 (polarity, y, x unfolded), fault and its record.
    """
    record = raw.reshape(-1, RECORD).astype(np.int64)
    x = record[:, 0]
    y = record[:, 1]
    polarity = record[:, 2] >> 7
    marker = y == OVERFLOW_Y
    t = ((record[:, 2] & 127) << 16 | record[:, 3] << 8 | record[:, 4]) + OVERFLOW * np.cumsum(marker)
    event = np.flatnonzero(~marker)
    outside = event[(x[event] >= width) | (y[event] >= height)]
    backwards = event[1:][np.diff(t[event]) < 0]
    faults = [(int(i), OUTSIDE) for i in outside[:1]] + [(int(i), BACKWARDS) for i in backwards[:1]]
    at, fault = min([*faults, (len(t), SOUND)])
    return t[event], ((polarity * height + y) * width + x)[event], fault, at


@nb.njit(cache=True, nogil=True)
def nmnist(raw, height, width, tick, times, units):
    """Decode all of `raw` into `times` (microseconds * tick) and `units`; both hold len(raw) // 5 entries.

    The first loop follows no markers and has no branch on the data, so it runs at memory speed; if it meets anything
    but plain events, all is decoded again, record by record.
    """
    n = raw.size // RECORD
    bad = False
    previous = np.uint32(0)
    for i in range(n):
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
    if bad:
        return nmnist_careful(raw, height, width, tick, times, units)
    return n, SOUND, n


@nb.njit(cache=True, nogil=True)
def nmnist_careful(raw, height, width, tick, times, units):
    """Decode as `nmnist`, following overflow markers and stopping at the first fault."""
    n = raw.size // RECORD
    count = 0
    clock = np.int64(0)
    previous = np.int64(0)
    for i in range(n):
        j = i * RECORD
        x = np.int64(raw[j])
        y = np.int64(raw[j + 1])
        high = np.int64(raw[j + 2])
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
    return count, SOUND, n


@nb.njit(cache=True, nogil=True)
def nmnist_many(raw, bounds, height, width, ticks, units, events):
    """Decode many N-MNIST files that lie end to end in `raw`; `events` receives the number of events of each.

    Returns:
        the first invalid file, its fault and record; (files, SOUND, 0) if all are valid.
    """
    done = np.int64(0)
    for i in range(events.size):
        a = bounds[i]
        b = bounds[i + 1]
        events[i], fault, at = nmnist(raw[a:b], height, width, np.uint32(1), ticks[done:], units[done:])
        if fault:
            return i, fault, at
        done += events[i]
    return events.size, SOUND, 0


def dat_reference(words: np.ndarray) -> np.ndarray:
    """The specification of `dat`: [n, 4] microseconds, polarity, y, x of each event."""
    t, place = words.astype(np.int64).T
    return np.stack([t, place >> 28, place >> 14 & 0x3FFF, place & 0x3FFF], axis=1)


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


# How much time the upper part of a clock counts before it starts again, in microseconds.
EVT2_LOOP = 1 << 34
EVT3_LOOP = 1 << 24


def evt2_reference(words: np.ndarray) -> np.ndarray:
    """The specification of `evt2` for a clock that does not loop: [n, 4] microseconds, polarity, y, x."""
    upper = -1
    found = []
    for word in words.tolist():
        if word >> 28 == 8:
            upper = word & 0xFFFFFFF
        elif word >> 28 < 2 and upper >= 0:
            found.append((upper << 6 | word >> 22 & 63, word >> 28, word & 0x7FF, word >> 11 & 0x7FF))
    return np.array(found, np.int64).reshape(-1, 4)


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


def evt21_reference(words: np.ndarray) -> np.ndarray:
    """The specification of `evt21` for a clock that does not loop: [n, 4] microseconds, polarity, y, x."""
    upper = -1
    found = []
    for word in words.tolist():
        kind = word >> 60
        middle = word >> 32 & 0xFFFFFFF
        if kind == 8:
            upper = middle
        elif kind < 2 and upper >= 0:
            t = upper << 6 | middle >> 22
            x = middle >> 11 & 0x7FF
            y = middle & 0x7FF
            found += [(t, kind, y, x + k) for k in range(32) if word >> k & 1]
    return np.array(found, np.int64).reshape(-1, 4)


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


def evt3_reference(words: np.ndarray, running: bool) -> np.ndarray:
    """The specification of `evt3`: [n, 4] microseconds, polarity, y, x of the events in a sensor without bounds."""
    high = -1
    low = 0
    loops = 0
    t = 0
    y = 0
    base = 0
    side = 0
    found = []
    for word in words.tolist():
        kind = word >> 12
        value = word & 0xFFF
        mask = {2: 1, 4: value, 5: value & 0xFF}.get(kind, 0)
        first = base
        if kind == 0:
            y = value & 0x7FF
        elif kind == 2:
            first = value & 0x7FF
            side = value >> 11
        elif kind == 3:
            base = value & 0x7FF
            side = value >> 11
        elif kind == 6:
            loops += 4096 if running and value < low else 0
            low = value
        elif kind == 8:
            loops += EVT3_LOOP if high - value >= (1 if running else 2048) else 0
            low = low if running or value == high else 0
            high = value
        now = loops + (high << 12) + low
        if mask and high >= 0:
            t = now if running or now >> 12 != t >> 12 else max(now, t)
            found += [(t, side, y, first + k) for k in range(12) if mask >> k & 1]
        base += {4: 12, 5: 8}.get(kind, 0)
    return np.array(found, np.int64).reshape(-1, 4)


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
