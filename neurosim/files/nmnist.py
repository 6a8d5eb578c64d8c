"""N-MNIST .bin files: 5 bytes an event, x, y, then 1 bit of polarity and 23 bits of microseconds, big-endian.

A record with y == 240 is no event but moves the clock on by 2^13 us, so a file can hold more than 8.4 s. Format:
Orchard et al. 2015, "Converting static image datasets to spiking neuromorphic datasets using saccades".
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from ..errors import check
from ..kernels import decode
from ..spikes import Recordings, Spikes
from .atomic import write_bytes
from .raw import bad, event_fault, read_bytes

SENSOR = (2, 34, 34)
RECORD = decode.NMNIST_RECORD
MICROSECOND = 1e-6


def read_nmnist(path: str | os.PathLike[str], shape: tuple[int, int, int] = SENSOR) -> Spikes:
    """One recording; its duration is the time of its last event.

    Args:
        shape: polarities, height and width of the sensor, e.g. (2, 128, 128) for a DVS128.

    Raises:
        NeurosimMissingError: no such file.
        NeurosimFormatError: empty, cut short, an event outside the sensor, or a time before the one before it.
    """
    height, width = _sensor(shape)
    raw = _records(path)
    times = np.empty(raw.size // RECORD, np.float64)
    units = np.empty(raw.size // RECORD, np.int32)
    events, fault, at = decode.nmnist(raw, height, width, MICROSECOND, times, units)
    if fault:
        raise event_fault(path, at * RECORD, fault, shape)
    times, units = times[:events], units[:events]
    return Spikes.trusted(times, units, 2 * height * width, float(times[-1]) if events else 0.0, tuple(shape))


def read_nmnist_many(
    paths: Sequence[str | os.PathLike[str]],
    shape: tuple[int, int, int] = SENSOR,
    labels: object = None,
    classes: tuple[str, ...] = (),
    threads: int = 2,
) -> Recordings:
    """Many recordings of one sensor in flat arrays: microseconds in uint32 and units in 2 or 4 bytes.

    Item i equals `read_nmnist(paths[i], shape)`.

    Raises:
        NeurosimInputError: no paths.
        NeurosimMissingError, NeurosimFormatError: as `read_nmnist`, for the first file at fault.
    """
    check(len(paths) > 0, "read_nmnist_many", "needs at least one file", 0)
    check(threads > 0, "read_nmnist_many", "needs threads > 0", threads)
    height, width = _sensor(shape)
    size = 2 * height * width
    with ThreadPoolExecutor(threads) as pool:
        raws = list(pool.map(_records, paths))
        counts = np.array([raw.size // RECORD for raw in raws])
        bounds = np.concatenate([[0], np.cumsum(counts)])
        ticks = np.empty(bounds[-1], np.uint32)
        units = np.empty(bounds[-1], np.uint16 if size <= 1 << 16 else np.int32)
        events = np.empty(len(raws), np.int64)

        def decode_part(part: NDArray[np.int64]) -> None:
            for i in part:
                a, b = bounds[i], bounds[i + 1]
                events[i], fault, at = decode.nmnist(raws[i], height, width, np.uint32(1), ticks[a:b], units[a:b])
                if fault:
                    raise event_fault(paths[i], at * RECORD, fault, shape)

        list(pool.map(decode_part, np.array_split(np.arange(len(raws)), threads)))
    if np.any(events != counts):
        # Overflow markers are no events: close the gaps they left.
        keep = np.concatenate([np.arange(a, a + n) for a, n in zip(bounds, events, strict=False)])
        ticks, units = ticks[keep], units[keep]
    offsets = np.concatenate([[0], np.cumsum(events)])
    ends = np.maximum(offsets[1:] - 1, 0)
    durations = np.where(events > 0, ticks[ends] * MICROSECOND, 0.0)
    known = None if labels is None else np.asarray(labels, np.int64)
    return Recordings(ticks, units, offsets, durations, size, tuple(shape), MICROSECOND, known, classes)


def write_nmnist(path: str | os.PathLike[str], spikes: Spikes) -> None:
    """Write a recording, times rounded to whole microseconds, with overflow markers where 23 bits do not reach.

    Raises:
        NeurosimInputError: a sensor that one byte of x and y below 240 cannot address.
        NeurosimWriteError: as `replacing`.
    """
    write_bytes(path, encode_nmnist(spikes))


def encode_nmnist(spikes: Spikes) -> bytes:
    """The bytes `write_nmnist` writes, for whoever replaces a whole folder of them in one step."""
    height, width = _sensor(spikes.shape)
    microseconds = np.rint(spikes.times / MICROSECOND).astype(np.int64)
    rest, x = np.divmod(spikes.units.astype(np.int64), width)
    polarity, y = np.divmod(rest, height)
    markers = np.maximum(-((2**23 - 1 - microseconds) // decode.OVERFLOW), 0)
    events = _pack(x, y, polarity << 23 | (microseconds - markers * decode.OVERFLOW))
    before = np.diff(markers, prepend=0)
    total = int(markers[-1]) if len(markers) else 1
    records = np.empty((len(events) + total, RECORD), np.uint8)
    # A file must not be empty, so a recording without events is one marker.
    records[:] = _pack(np.zeros(1, int), np.full(1, decode.OVERFLOW_Y), np.zeros(1, int))
    records[np.arange(len(events)) + np.cumsum(before)] = events
    return records.tobytes()


def _pack(x: NDArray, y: NDArray, word: NDArray) -> NDArray[np.uint8]:
    return np.stack([x, y, word >> 16, word >> 8 & 255, word & 255], axis=1).astype(np.uint8)


def _sensor(shape: Sequence[int]) -> tuple[int, int]:
    """Height and width, checked to be what the format can hold."""
    fits = len(shape) == 3 and shape[0] == 2 and 0 < shape[1] <= decode.OVERFLOW_Y and 0 < shape[2] <= 256
    check(fits, "shape", "a .bin file holds (2 polarities, height <= 240, width <= 256)", tuple(shape))
    return int(shape[1]), int(shape[2])


def _records(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    raw = read_bytes(path)
    if raw.size == 0:
        raise bad(path, "byte 0", f"events of {RECORD} bytes", "an empty file", "fetch the recording again")
    if raw.size % RECORD:
        step = "it was cut short or is no .bin recording: fetch it again"
        raise bad(
            path, f"byte {raw.size // RECORD * RECORD}", f"whole events of {RECORD} bytes", f"{raw.size} bytes", step
        )
    return raw
