"""N-MNIST .bin files: 5 bytes an event, x, y, then 1 bit of polarity and 23 bits of microseconds, big-endian.

A record with y == 240 is not an event: it advances the clock by 2^13 us, so a file can hold more than 8.4 s. Format:
Orchard et al. 2015, "Converting static image datasets to spiking neuromorphic datasets using saccades".
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.atomic import write_bytes
from ...base.errors import NeurosimFormatError, require
from ...base.raw import FileBlock, event_fault, format_error, read_blocks, read_bytes
from ...kernels.io.nmnist.cpu import nmnist_careful
from ...kernels.io.nmnist.launch import nmnist, nmnist_many
from ...kernels.io.nmnist.reference import OVERFLOW, OVERFLOW_Y, RECORD
from ..read_report import ReadReport
from ..recordings import Recordings
from ..spikes import Spikes
from .decoding import DecodedPiece, EventDecoder, FilePath, FilePiece, Sensor, counted

SENSOR = (2, 34, 34)
MICROSECOND = 1e-6


def read_nmnist(
    path: str | os.PathLike[str], shape: tuple[int, int, int] = SENSOR, *, until_fault: bool = False
) -> Spikes:
    """Return one recording; its duration is the time of its last event.

    Args:
        path: of the file.
        shape: polarities, height and width of the sensor, e.g. (2, 128, 128) for a DVS128.
        until_fault: return the events before the first fault instead of raising; `Spikes.report` names the fault.

    Raises:
        NeurosimMissingError: no such file.
        NeurosimFormatError: empty, cut short, an event outside the sensor, or times that run backwards.
    """
    height, width = _sensor(shape)
    raw = read_bytes(path)
    error = None
    if raw.size == 0 or raw.size % RECORD:
        error = _not_records(path, raw.size)
        if raw.size < RECORD or not until_fault:
            raise error
        # The records before the cut are whole.
        raw = raw[: raw.size // RECORD * RECORD]
    times: NDArray[Any] = np.empty(raw.size // RECORD, np.float64)
    units: NDArray[Any] = np.empty(raw.size // RECORD, np.int32)
    events, fault, at = nmnist(raw, height, width, MICROSECOND, times, units)
    if fault:
        error = event_fault(path, at * RECORD, fault, shape)
        if not until_fault:
            raise error
    times = times[:events]
    units = units[:events]
    duration = float(times[-1]) if events else 0.0
    report = None
    if error is not None:
        report = ReadReport("nmnist", fault=str(error).removeprefix(f"{path}: "), clocked=False)
    return Spikes.unchecked(times, units, 2 * height * width, duration, tuple(shape), report)


@dataclass
class NmnistDecoder(EventDecoder):
    """An N-MNIST file, decoded in pieces.

    Attributes:
        path, start, shape, report: as in `EventDecoder`.
        state: [2] us, of the overflow markers and of the latest event.
    """

    path: FilePath
    shape: Sensor | None
    start: int = 0
    report: ReadReport = field(default_factory=lambda: ReadReport("nmnist", clocked=False))
    state: NDArray[np.int64] = field(default_factory=lambda: np.zeros(2, np.int64))
    record = RECORD

    def find_shape(self, pieces: Iterable[FilePiece], end: int) -> Sensor:
        raise NotImplementedError("the sensor of an N-MNIST file is an argument")

    def decode(self, data: NDArray[np.uint8], byte: int, end: int) -> DecodedPiece:
        rest = data.size % RECORD
        room = data.size // RECORD
        times: NDArray[Any] = np.empty(room, np.float64)
        units: NDArray[Any] = np.empty(room, np.int32)
        shape = self.shape or SENSOR
        whole = data[: room * RECORD]
        events, fault, at = nmnist_careful(whole, *shape[1:], MICROSECOND, times, units, self.state)
        error = None
        if fault:
            error = event_fault(self.path, byte + at * RECORD, fault, shape)
        elif rest and byte + data.size >= end:
            error = _not_records(self.path, end)
        return DecodedPiece(times[:events], units[:events], error, data.size - rest)

    def final_report(self, error: NeurosimFormatError | None) -> ReadReport:
        return counted(self.report, self.path, error, {})


def open_nmnist(path: FilePath, head: NDArray[np.uint8], shape: Sensor = SENSOR) -> NmnistDecoder:
    """Return the decoder of an N-MNIST file, whose first bytes are `head`."""
    height, width = _sensor(shape)
    if head.size == 0:
        raise _not_records(path, 0)
    return NmnistDecoder(path, (2, height, width))


def read_nmnist_many(
    paths: Sequence[str | os.PathLike[str]],
    shape: tuple[int, int, int] = SENSOR,
    labels: object = None,
    classes: tuple[str, ...] = (),
) -> Recordings:
    """Return many recordings of one sensor in flat arrays: microseconds in uint32 and units in 2 or 4 bytes.

    Item i is equal to `read_nmnist(paths[i], shape)`.

    Raises:
        NeurosimInputError: no paths.
        NeurosimMissingError, NeurosimFormatError: as `read_nmnist`, for the first such file; a recording of more
            than 71 minutes.
    """
    require(len(paths) > 0, "read_nmnist_many", "needs at least one file", 0)
    return decode_nmnist(read_blocks(paths), paths, shape, labels, classes)


def decode_nmnist(
    blocks: Iterable[FileBlock],
    names: Sequence[object],
    shape: tuple[int, int, int] = SENSOR,
    labels: object = None,
    classes: tuple[str, ...] = (),
) -> Recordings:
    """Return recordings as `read_nmnist_many`, from the bytes of files in memory.

    Args:
        blocks: bytes of recordings end to end and their bounds, in order.
        names: of all recordings, for errors.

    Raises:
        NeurosimFormatError: as `read_nmnist_many`.
    """
    height, width = _sensor(shape)
    # Arrays grow with the blocks; `first` counts the recordings decoded before a block, `done` their events.
    size = 2 * height * width
    ticks: NDArray[Any] = np.empty(0, np.uint32)
    units: NDArray[Any] = np.empty(0, np.uint16 if size <= 1 << 16 else np.int32)
    events = np.zeros(len(names), np.int64)
    first = 0
    done = 0
    for block in blocks:
        last = first + len(block.bounds) - 1
        needed = done + _records_in(block, names[first:last])
        if needed > len(ticks):
            # Allocate for the other files too, if they are like the first ones: unwritten memory costs nothing.
            room = max(needed, needed * len(names) // last * 9 // 8)
            ticks = _grown(ticks, done, room)
            units = _grown(units, done, room)
        at, fault, record = nmnist_many(*block, height, width, ticks[done:], units[done:], events[first:last])
        if fault:
            raise event_fault(names[first + at], record * RECORD, fault, shape)
        _check_clock(block, events[first:last], names[first:last])
        done += int(events[first:last].sum())
        first = last
    offsets = np.concatenate([[0], np.cumsum(events)])
    durations = np.zeros(len(names))
    full = events > 0
    durations[full] = ticks[offsets[1:][full] - 1] * MICROSECOND
    return Recordings(
        ticks=ticks[:done],
        units=units[:done],
        offsets=offsets,
        durations=durations,
        size=size,
        shape=tuple(shape),
        tick=MICROSECOND,
        labels=None if labels is None else np.asarray(labels, np.int64),
        classes=tuple(classes),
    )


def _records_in(block: FileBlock, names: Sequence[object]) -> int:
    """Return the number of records; raise if the bytes are not complete records."""
    lengths = np.diff(block.bounds)
    broken = (lengths == 0) | (lengths % RECORD > 0)
    if broken.any():
        first = int(np.argmax(broken))
        raise _not_records(names[first], int(lengths[first]))
    return len(block.raw) // RECORD


def _grown(array: NDArray[Any], used: int, room: int) -> NDArray[Any]:
    larger = np.empty(room, array.dtype)
    larger[:used] = array[:used]
    return larger


def _check_clock(block: FileBlock, events: NDArray[np.int64], names: Sequence[object]) -> None:
    """Raise if overflow markers, the records that are not events, push the clock past 32 bits of microseconds."""
    markers = np.diff(block.bounds) // RECORD - events
    late = markers * OVERFLOW + (1 << 23) > 1 << 32
    if late.any():
        step = "read it alone, with read_nmnist"
        raise format_error(names[int(np.argmax(late))], "clock", "at most 71 minutes", "more", step)


def write_nmnist(path: str | os.PathLike[str], spikes: Spikes) -> None:
    """Write a recording, times rounded to microseconds, with overflow markers beyond 23 bits.

    Raises:
        NeurosimInputError: a sensor with more than 256 columns or 240 rows.
        NeurosimWriteError: as `replacing`.
    """
    write_bytes(path, encode_nmnist(spikes))


def encode_nmnist(spikes: Spikes) -> bytes:
    """Return the bytes that `write_nmnist` writes."""
    height, width = _sensor(spikes.shape)
    microseconds = np.rint(spikes.times / MICROSECOND).astype(np.int64)
    rest, x = np.divmod(spikes.units.astype(np.int64), width)
    polarity, y = np.divmod(rest, height)
    # Overflow markers before each event: the fewest that bring its time below 2^23, by a division rounded up.
    markers = np.maximum(-((2**23 - 1 - microseconds) // OVERFLOW), 0)
    events = _pack(x, y, polarity << 23 | (microseconds - markers * OVERFLOW))
    before = np.diff(markers, prepend=0)
    total = int(markers[-1]) if len(markers) else 1
    records = np.empty((len(events) + total, RECORD), np.uint8)
    # A file must not be empty: a recording without events is one marker.
    records[:] = _pack(np.zeros(1, int), np.full(1, OVERFLOW_Y), np.zeros(1, int))
    records[np.arange(len(events)) + np.cumsum(before)] = events
    return records.tobytes()


def _pack(x: NDArray[Any], y: NDArray[Any], word: NDArray[Any]) -> NDArray[np.uint8]:
    return np.stack([x, y, word >> 16, word >> 8 & 255, word & 255], axis=1).astype(np.uint8)


def _sensor(shape: Sequence[int]) -> tuple[int, int]:
    """Return height and width; raise if the format cannot hold them."""
    has_polarities = len(shape) == 3 and shape[0] == 2
    fits = has_polarities and 0 < shape[1] <= OVERFLOW_Y and 0 < shape[2] <= 256
    require(fits, "shape", "a .bin file holds (2 polarities, height <= 240, width <= 256)", tuple(shape))
    return int(shape[1]), int(shape[2])


def _not_records(path: object, size: int) -> NeurosimFormatError:
    if size == 0:
        return format_error(path, "byte 0", f"events of {RECORD} bytes", "an empty file", "fetch the recording again")
    step = "it was cut short or is not a .bin recording: fetch it again"
    where = f"byte {size // RECORD * RECORD}"
    return format_error(path, where, f"complete events of {RECORD} bytes", f"{size % RECORD} bytes", step)
