"""N-MNIST .bin files: 5 bytes an event, x, y, then 1 bit of polarity and 23 bits of microseconds, big-endian.

A record with y == 240 is no event but moves the clock on by 2^13 us, so a file can hold more than 8.4 s. Format:
Orchard et al. 2015, "Converting static image datasets to spiking neuromorphic datasets using saccades".
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import NeurosimFormatError, check
from ..kernels import decode
from ..kernels.parallel import spread
from ..spikes import Recordings, Spikes
from .atomic import write_bytes
from .raw import Block, bad, event_fault, read_blocks, read_bytes

SENSOR = (2, 34, 34)
RECORD = decode.RECORD
MICROSECOND = 1e-6
# Events worth a thread: some 0.2 ms of work.
GRAIN = 500_000


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

    Item i equals `read_nmnist(paths[i], shape)`; the result does not depend on `threads`.

    Raises:
        NeurosimInputError: no paths.
        NeurosimMissingError, NeurosimFormatError: as `read_nmnist`, for the first file at fault; and a recording of
            more than 71 minutes.
    """
    check(len(paths) > 0, "read_nmnist_many", "needs at least one file", 0)
    check(threads > 0, "read_nmnist_many", "needs threads > 0", threads)
    _sensor(shape)
    # Read by one thread: opening files is the interpreter's work, and two of them wait for each other.
    blocks = read_blocks(paths)
    return decode_nmnist(blocks, shape, labels, classes, threads, paths)


def decode_nmnist(
    blocks: Sequence[Block],
    shape: tuple[int, int, int] = SENSOR,
    labels: object = None,
    classes: tuple[str, ...] = (),
    threads: int = 2,
    names: Sequence[object] = (),
) -> Recordings:
    """As `read_nmnist_many`, from the bytes of files already in memory.

    Args:
        blocks: the bytes of recordings end to end and their bounds, in order.
        names: of the recordings, for errors; numbers where there are none.

    Raises:
        NeurosimFormatError: as `read_nmnist_many`.
    """
    lengths = np.concatenate([np.diff(block.bounds) for block in blocks])
    names = names or range(len(lengths))
    broken = (lengths == 0) | (lengths % RECORD > 0)
    if broken.any():
        first = int(np.argmax(broken))
        raise _not_records(names[first], int(lengths[first]))
    height, width = _sensor(shape)
    size = 2 * height * width
    starts = np.concatenate([[0], np.cumsum(lengths)]) // RECORD
    ticks = np.empty(starts[-1], np.uint32)
    units = np.empty(starts[-1], np.uint16 if size <= 1 << 16 else np.int32)
    events = np.empty(len(lengths), np.int64)

    firsts = np.cumsum([0, *(len(block.bounds) - 1 for block in blocks)])

    def part(a: int, b: int) -> None:
        for block, first in zip(blocks, firsts[:-1], strict=True):
            low, high = max(a, first), min(b, first + len(block.bounds) - 1)
            if low < high:
                bounds, room = block.bounds[low - first : high - first + 1], slice(starts[low], starts[high])
                bytes_ = block.raw[bounds[0] : bounds[-1]]
                at, fault, record = decode.nmnist_many(
                    bytes_, bounds - bounds[0], height, width, ticks[room], units[room], events[low:high]
                )
                if fault:
                    raise event_fault(names[low + at], record * RECORD, fault, shape)

    spread(part, starts, threads, GRAIN)
    if np.any(events < np.diff(starts)):
        ticks, units = _closed(ticks, units, starts, events, names)
    offsets = np.concatenate([[0], np.cumsum(events)])
    durations = np.zeros(len(events))
    full = events > 0
    durations[full] = ticks[offsets[1:][full] - 1] * MICROSECOND
    known = None if labels is None else np.asarray(labels, np.int64)
    return Recordings(ticks, units, offsets, durations, size, tuple(shape), MICROSECOND, known, classes)


def _closed(
    ticks: NDArray, units: NDArray, starts: NDArray[np.int64], events: NDArray[np.int64], names: Sequence[object]
) -> tuple[NDArray, NDArray]:
    """Without the gaps that overflow markers, which are no events, have left behind the events of each recording."""
    markers = np.diff(starts) - events
    late = markers * decode.OVERFLOW + (1 << 23) > 1 << 32
    if late.any():
        step = "read it alone, with read_nmnist"
        raise bad(names[int(np.argmax(late))], "clock", "at most 71 minutes", "more", step)
    pieces = [slice(a, a + n) for a, n in zip(starts, events, strict=False)]
    return np.concatenate([ticks[p] for p in pieces]), np.concatenate([units[p] for p in pieces])


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
    if raw.size == 0 or raw.size % RECORD:
        raise _not_records(path, raw.size)
    return raw


def _not_records(path: object, size: int) -> NeurosimFormatError:
    if size == 0:
        return bad(path, "byte 0", f"events of {RECORD} bytes", "an empty file", "fetch the recording again")
    step = "it was cut short or is no .bin recording: fetch it again"
    where = f"byte {size // RECORD * RECORD}"
    return bad(path, where, f"whole events of {RECORD} bytes", f"{size % RECORD} bytes", step)
