"""Decoding event-camera bytes. Each kernel checks while it decodes and says where the first fault lies.

A kernel returns `(events, fault, at)`: `fault` is 0 for a sound file, otherwise one of the numbers below, and `at`
is the index of the record (event, or word) that broke the rule. Nothing is allocated here.
"""

from __future__ import annotations

import numba as nb
import numpy as np

SOUND, OUTSIDE, BACKWARDS, TOO_LATE = 0, 1, 2, 3
NMNIST_RECORD = 5
# A record with this y is no event: it moves the clock of everything after it on by OVERFLOW.
OVERFLOW_Y = 240
OVERFLOW = 1 << 13


def nmnist_reference(raw: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray, int, int]:
    """The specification of `nmnist`: 40-bit events, x, y, then polarity (1 bit) and microseconds (23 bits).

    Returns:
        microseconds [n] int64, units [n] int64 (polarity, y, x unfolded), fault and its record.
    """
    record = raw.reshape(-1, NMNIST_RECORD).astype(np.int64)
    x, y = record[:, 0], record[:, 1]
    polarity = record[:, 2] >> 7
    marker = y == OVERFLOW_Y
    t = ((record[:, 2] & 127) << 16 | record[:, 3] << 8 | record[:, 4]) + OVERFLOW * np.cumsum(marker)
    event = np.flatnonzero(~marker)
    outside = event[(x[event] >= width) | (y[event] >= height)]
    backwards = event[1:][np.diff(t[event]) < 0]
    first = min((int(bad[0]), fault) for bad, fault in ((outside, OUTSIDE), (backwards, BACKWARDS), ([len(t)], SOUND)))
    return t[event], ((polarity * height + y) * width + x)[event], first[1], first[0]


@nb.njit(cache=True, nogil=True)
def nmnist(raw, height, width, tick, times, units):
    """Decode all of `raw` into `times` (microseconds * tick) and `units`; both hold len(raw) // 5 entries.

    The first loop has no markers to follow and no branch on the data, so it runs at memory speed; anything it
    cannot vouch for is decoded again, record by record.
    """
    n = raw.size // 5
    bad = False
    previous = np.uint32(0)
    for i in range(n):
        j = i * 5
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
    """As `nmnist`, following overflow markers and stopping at the first fault."""
    n = raw.size // 5
    count = 0
    clock = np.int64(0)
    previous = np.int64(0)
    for i in range(n):
        j = i * 5
        x, y, high = np.int64(raw[j]), np.int64(raw[j + 1]), np.int64(raw[j + 2])
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
