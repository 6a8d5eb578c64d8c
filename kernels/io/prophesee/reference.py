"""Formats of Prophesee, DAT, EVT2, EVT2.1 and EVT3, decoded word by word in Python: the specification."""

from __future__ import annotations

import numpy as np

# How much time a counter, or the upper part of a clock, counts before it starts again, in microseconds.
DAT_LOOP = 1 << 32
EVT2_LOOP = 1 << 34
EVT3_LOOP = 1 << 24
# Maximum number of events of a word of EVT3.
MASK_BITS = 12
# Places in the state that a decoder carries from one piece of a file to the next.
PREVIOUS = 0  # time of the latest event, us
LOOPS = 1  # us, of the counter starting again
UPPER = 2  # part of the time; -1 before the first
LOWER = 3
ROW = 4
BASE = 5  # column of the next mask
SIDE = 6  # polarity of the next mask
UNTIMED = 7  # number of events before the first time, which are dropped
LATE = 8  # number of events that are put at the time of the event before


def start_state() -> np.ndarray:
    """Return the state of a decoder at the start of a file, [9] int64."""
    state = np.zeros(9, np.int64)
    state[UPPER] = -1
    return state


def dat_reference(words: np.ndarray) -> np.ndarray:
    """Decode DAT for a counter that does not start again: [n, 4] microseconds, polarity, y, x of each event."""
    t, place = words.astype(np.int64).T
    return np.stack([t, place >> 28, place >> 14 & 0x3FFF, place & 0x3FFF], axis=1)


def evt2_reference(words: np.ndarray) -> np.ndarray:
    """Decode EVT2 for a clock that does not loop: [n, 4] microseconds, polarity, y, x."""
    upper = -1
    events = []
    for word in words.tolist():
        if word >> 28 == 8:
            upper = word & 0xFFFFFFF
        elif word >> 28 < 2 and upper >= 0:
            events.append((upper << 6 | word >> 22 & 63, word >> 28, word & 0x7FF, word >> 11 & 0x7FF))
    return np.array(events, np.int64).reshape(-1, 4)


def evt21_reference(words: np.ndarray) -> np.ndarray:
    """Decode EVT2.1 for a clock that does not loop: [n, 4] microseconds, polarity, y, x."""
    upper = -1
    events = []
    for word in words.tolist():
        kind = word >> 60
        middle = word >> 32 & 0xFFFFFFF
        if kind == 8:
            upper = middle
        elif kind < 2 and upper >= 0:
            t = upper << 6 | middle >> 22
            x = middle >> 11 & 0x7FF
            y = middle & 0x7FF
            events += [(t, kind, y, x + k) for k in range(32) if word >> k & 1]
    return np.array(events, np.int64).reshape(-1, 4)


def evt3_reference(words: np.ndarray, running: bool) -> np.ndarray:
    """Decode EVT3: [n, 4] microseconds, polarity, y, x of the events in a sensor without bounds."""
    high = -1
    low = 0
    loops = 0
    t = 0
    y = 0
    base = 0
    side = 0
    events = []
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
            # A running clock never falls but at the end of its range; in others late events fall back a little.
            least = 1 if running else 2048
            if high - value >= least:
                loops += EVT3_LOOP
            if not running and value != high:
                low = 0
            high = value
        now = loops + (high << 12) + low
        if mask and high >= 0:
            t = now if running or now >> 12 != t >> 12 else max(now, t)
            events += [(t, side, y, first + k) for k in range(12) if mask >> k & 1]
        base += {4: 12, 5: 8}.get(kind, 0)
    return np.array(events, np.int64).reshape(-1, 4)
