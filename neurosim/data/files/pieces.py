"""Recordings in pieces and in windows of time, for files larger than memory."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.errors import NeurosimFormatError, check_keys, lookup, require
from ...base.raw import read_start, unreadable
from ..read_report import ReadReport
from ..spikes import Spikes, seconds_of_start
from .aedat import open_aedat2
from .aedat4 import open_aedat4
from .camera_hdf5 import open_camera_hdf5
from .cameras import open_dat, open_evt2, open_evt3, open_evt21, open_raw
from .csv import open_csv
from .decoding import EventDecoder, FileEvents, FilePiece, decode_pieces
from .formats import FORMATS, ReadOptions, find_format
from .nmnist import open_nmnist
from .numpy_files import open_npy
from .ros import open_ros
from .streams import open_aedat, open_aedat31, open_event_stream

# Bytes that are decoded at a time: at most 6 million events of EVT3.
PIECE = 1 << 20
# Bytes at the start of a file in which its header ends as a rule; longer ones are read on, up to MAX_HEADER.
HEADER = 1 << 16
MAX_HEADER = 1 << 26
# Bytes of a file from which on it is read in pieces.
LARGE = 1 << 26
# Decoders of formats of cameras, of whose bytes a piece is enough.
OPENERS: Mapping[str, Callable[..., EventDecoder]] = {
    "aedat": open_aedat,
    "aedat2": open_aedat2,
    "aedat31": open_aedat31,
    "aedat4": open_aedat4,
    "dat": open_dat,
    "event-stream": open_event_stream,
    "evt2": open_evt2,
    "evt21": open_evt21,
    "evt3": open_evt3,
    "nmnist": open_nmnist,
    "prophesee": open_raw,
}
# Other formats that are read in pieces.
SOURCES: Mapping[str, Callable[..., FileEvents]] = {
    "camera-hdf5": open_camera_hdf5,
    "csv": open_csv,
    "numpy": open_npy,
    "ros": open_ros,
}


class CameraSource(FileEvents):
    """A file of a camera, whose bytes are decoded in pieces.

    Attributes:
        shape, report: as in `FileEvents`.
    """

    def __init__(self, path: str | os.PathLike[str], name: str, options: ReadOptions) -> None:
        """Open a file of the format `name`.

        Raises:
            NeurosimMissingError: no such file.
            NeurosimFormatError: as the reader of its format.
        """
        self._path = path
        self._name = name
        self._options = options
        decoder = self._open()
        end = self._end(decoder)
        self._sensor = decoder.check_shape(self._data(decoder, end), end)
        self.shape = self._sensor
        self.report = decoder.report

    def __iter__(self) -> Iterator[Spikes]:
        """Yield the events; those before a fault where `until_fault` is set."""
        decoder = self._open()
        decoder.shape = self._sensor
        end = self._end(decoder)
        if decoder.cut is not None and not self._options.until_fault:
            raise decoder.cut
        size = math.prod(self._sensor)
        error = None
        for piece in decode_pieces(decoder, self._data(decoder, end), end):
            error = piece.error
            if error is not None and not self._options.until_fault:
                raise error
            duration = float(piece.times[-1]) if len(piece.times) else 0.0
            yield Spikes.unchecked(piece.times, piece.units, size, duration, self._sensor, decoder.report)
        self.report = decoder.final_report(error)

    def _open(self) -> EventDecoder:
        """Return the decoder behind the header of the file, of which no more is read."""
        arguments = self._options.arguments()
        arguments.pop("until_fault", None)
        opener = lookup(OPENERS, self._name, "read in pieces: format")
        size = HEADER
        while True:
            head = np.frombuffer(read_start(self._path, size), np.uint8)
            is_whole = head.size < size or size >= MAX_HEADER
            try:
                decoder = opener(self._path, head, **arguments)
            except NeurosimFormatError:
                # Headers of jAER may have hundreds of kilobytes of settings.
                if is_whole:
                    raise
            else:
                # Without the end of a line behind the header, its last line may go on where the head ends.
                if is_whole or (head[decoder.start :] == ord("\n")).any():
                    return decoder
            size *= 4

    def _end(self, decoder: EventDecoder) -> int:
        """Return the byte after the last record."""
        if decoder.end is not None:
            return decoder.end
        return os.stat(self._path).st_size

    def _data(self, decoder: EventDecoder, end: int) -> Iterator[FilePiece]:
        """Yield the bytes between the header and `end`, in pieces."""
        step = PIECE // decoder.record * decoder.record
        byte = decoder.start
        try:
            with open(self._path, "rb") as file:
                file.seek(byte)
                # Empty where the file ends before `end`, as one that was cut while it is read.
                while (data := np.fromfile(file, np.uint8, min(step, max(end - byte, 0)))).size:
                    yield FilePiece(byte, data)
                    byte += data.size
        except OSError as error:
            raise unreadable(self._path, error) from None


class EventPieces:
    """The events of a file, in order, in pieces of bounded memory; each iteration reads the file anew.

    Attributes:
        shape: of the sensor, after the filters.
        report: how the file was read, with all counts after an iteration.
    """

    def __init__(self, path: str | os.PathLike[str], options: ReadOptions) -> None:
        """Open a file. Tables, whose sensor and unit of time follow from all rows, are read once for it.

        Raises:
            NeurosimInputError: a format that is not read in pieces, or an option that it does not have.
            NeurosimMissingError: no such file.
            NeurosimFormatError: as the reader of its format.
        """
        name = find_format(path, options.format)
        options.check(lookup(FORMATS, name, "read.format"))
        self._filter = options.filter
        self._source: FileEvents
        if name in OPENERS:
            self._source = CameraSource(path, name, options)
        else:
            opener = lookup(SOURCES, name, "read in pieces: format")
            self._source = opener(path, **options.arguments())
        self.shape = self._source.shape
        if self._filter:
            self.shape = self._filter.start(self._source.shape).shape
        self.report: ReadReport = self._source.report

    def __iter__(self) -> Iterator[Spikes]:
        """Yield the events on the clock of the file.

        Raises:
            NeurosimFormatError: as the reader of the format, unless `until_fault` is set.
        """
        filters = self._filter.start(self._source.shape)
        for spikes in self._source:
            yield filters.apply(spikes) if self._filter else spikes
        report = self._source.report
        self.report = replace(report, skipped={**report.skipped, **filters.dropped()})


def is_read_in_pieces(path: str | os.PathLike[str], options: ReadOptions) -> bool:
    """Return whether a file has a format of `OPENERS` or `SOURCES`."""
    return find_format(path, options.format) in {*OPENERS, *SOURCES}


def is_large(path: str | os.PathLike[str], options: ReadOptions) -> bool:
    """Return whether a file has more than `LARGE` bytes and a format that is read in pieces."""
    return os.path.isfile(path) and os.stat(path).st_size > LARGE and is_read_in_pieces(path, options)


def read_recording(path: str | os.PathLike[str], options: ReadOptions) -> Spikes:
    """Return a recording as `ReadOptions.read`; with filters, memory holds only the events that pass, where it can.

    Raises:
        NeurosimError: as `ReadOptions.read`.
    """
    # Small tables are in memory sooner than they are read twice.
    in_pieces = find_format(path, options.format) in OPENERS or is_large(path, options)
    if not options.filter or not in_pieces:
        return options.read(path)
    source = EventPieces(path, options)
    times: list[NDArray[np.float64]] = [np.empty(0)]
    units: list[NDArray[np.int32]] = [np.empty(0, np.int32)]
    duration = 0.0
    for piece in source:
        # Copies: a piece that lost most of its events would hold the memory of all.
        times.append(piece.times.copy())
        units.append(piece.units.copy())
        duration = max(duration, piece.duration)
    size = math.prod(source.shape)
    return Spikes.unchecked(np.concatenate(times), np.concatenate(units), size, duration, source.shape, source.report)


def stream(
    path: str | os.PathLike[str], window: float, *, start: float | str | None = None, **options: Any
) -> Iterator[Spikes]:
    """Yield a recording in windows of time, with times from the start of each window.

    Memory holds a window and a megabyte of the file, of HDF5 a chunk of each dataset, of a bag a message. MATLAB files
    and SONATA are read as a whole first. Windows without events are yielded too, so that time goes on.

    Args:
        path: of the file.
        window: s.
        start: time 0, as `Spikes.starting`: "first" event, "file", or seconds; None: the first event of a file with
            the clock of a camera.
        options: as for `data.read`.

    Raises:
        NeurosimInputError: a window that is not > 0 s, or an option that breaks its rule.
        NeurosimMissingError, NeurosimFormatError: as `data.read`.
    """
    require(0 < window < math.inf, "stream.window", "must be > 0 s", window)
    check_keys(options, [field.name for field in fields(ReadOptions)], "stream")
    chosen = ReadOptions(**options)
    if is_read_in_pieces(path, chosen):
        source = EventPieces(path, chosen)
        if start is None:
            start = "first" if source.report.clocked else "file"
        yield from _windows(source, source.shape, window, start)
    else:
        spikes = chosen.read(path).starting(start)
        yield from _windows([spikes], spikes.shape, window, "file")


def _windows(
    pieces: EventPieces | list[Spikes], shape: tuple[int, ...], window: float, start: float | str
) -> Iterator[Spikes]:
    """Yield the events of pieces window by window; each begins at 0 s and lasts as long as the others."""
    times: NDArray[np.float64] = np.empty(0)
    units: NDArray[np.int32] = np.empty(0, np.int32)
    size = math.prod(shape)
    zero: float | None = None
    number = 0
    for piece in pieces:
        if not len(piece):
            continue
        # Known with the first event, not before: a file may begin with pieces that filters leave empty.
        if zero is None:
            zero = seconds_of_start(start, float(piece.times[0]))
        first = int(np.searchsorted(piece.times, zero))
        times = np.concatenate([times, piece.times[first:] - zero])
        units = np.concatenate([units, piece.units[first:]])
        # A window is whole once an event lies beyond it; what is left waits for the next piece.
        while len(times) and times[-1] >= (number + 1) * window:
            cut = int(np.searchsorted(times, (number + 1) * window))
            yield _window(times[:cut], units[:cut], number, window, size, shape)
            times = times[cut:]
            units = units[cut:]
            number += 1
    if len(times):
        yield _window(times, units, number, window, size, shape)


def _window(
    times: NDArray[np.float64],
    units: NDArray[np.int32],
    number: int,
    window: float,
    size: int,
    shape: tuple[int, ...],
) -> Spikes:
    # Rounding may put an event a little outside.
    local = np.clip(times - number * window, 0.0, window)
    return Spikes.unchecked(local, units, size, window, shape)
