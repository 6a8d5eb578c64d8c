"""Files of N-MNIST, events of 40 bits, decoded by numpy: the specification."""

from __future__ import annotations

import numpy as np

from ..faults import BACKWARDS, OUTSIDE, SOUND

# Bytes of an N-MNIST event.
RECORD = 5
# A record with this y is no event: it moves the clock of everything after it on by OVERFLOW.
OVERFLOW_Y = 240
OVERFLOW = 1 << 13


def nmnist_reference(raw: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray, int, int]:
    """Decode 40-bit events: x, y, then polarity (1 bit) and microseconds (23 bits).

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
