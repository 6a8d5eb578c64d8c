"""Byte streams of event cameras, Event Stream (.es) and AEDAT 3.1, decoded in Python: the specification."""

from __future__ import annotations

import numpy as np

# Kinds of Event Stream.
DVS = 1
ATIS = 2
# Microseconds of one overflow, and bits of the first byte of an event that are not time.
STEP = (0, 127, 63)
REST = (0, 1, 2)
PACKET = 28
POLARITY = 1
# Bytes of a record of Event Stream, and of a polarity event of AEDAT 3.1: a place and a time.
MIN_RECORD = 5
MIN_POLARITY = 8
# Places in the state of a decoder of AEDAT 3.1 between two pieces of a file.
PREVIOUS = 0  # time of the latest event, us
SOURCE = 1  # of the events; -1 before the first
LEFT = 2  # number of events of the present packet that follow
SIZE = 3  # of each, bytes
OFFSET = 4  # of its time, bytes
OVERFLOW = 5  # number of overflows of the time
SKIP = 6  # number of bytes behind them up to the next packet
AEDAT31_STATE = (0, -1, 0, 0, 0, 0, 0)


def event_stream_reference(data: bytes, kind: int) -> tuple[np.ndarray, int]:
    """Decode Event Stream: [n, 4] microseconds, polarity, y, x, and the number of other records."""
    step = STEP[kind]
    rest = REST[kind]
    at = 0
    t = 0
    events = []
    others = 0
    while at < len(data):
        head = data[at]
        if head >> rest == step:
            t += step * (head & ((1 << rest) - 1))
            at += 1
            continue
        t += head >> rest
        x, y = (int.from_bytes(data[at + k : at + k + 2], "little") for k in (1, 3))
        if kind == ATIS and head & 1:
            others += 1
        else:
            events.append((t, head >> (rest - 1) & 1, y, x))
        at += 5
    return np.array(events, np.int64).reshape(-1, 4), others


def aedat31_reference(data: bytes) -> np.ndarray:
    """Decode AEDAT 3.1 of one source: [n, 4] microseconds, polarity, y, x of the valid events."""
    events = []
    at = 0
    while at < len(data):
        head = np.frombuffer(data, "<i2", 2, at).tolist() + np.frombuffer(data, "<i4", 6, at + 4).tolist()
        kind, _, size, offset, overflow, capacity, number, _ = head
        for i in range(at + PACKET, at + PACKET + number * size, size) if kind == POLARITY else ():
            place, t = (int.from_bytes(data[k : k + 4], "little") for k in (i, i + offset))
            if place & 1:
                events.append((overflow << 31 | t, place >> 1 & 1, place >> 2 & 0x7FFF, place >> 17))
        at += PACKET + capacity * size
    return np.array(events, np.int64).reshape(-1, 4)
