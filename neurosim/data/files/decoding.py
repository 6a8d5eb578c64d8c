"""Decoders of camera files, piece by piece: the contract, and reading by it."""

from __future__ import annotations

import math
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...base.errors import NeurosimFormatError, require
from ...base.raw import format_error, read_bytes
from ..read_report import ReadReport
from ..spikes import Spikes

MICROSECOND = 1e-6
Sensor = tuple[int, int, int]
FilePath: TypeAlias = str | os.PathLike[str]
AGAIN = "it was cut short: fetch it again, or read what lies before with until_fault"


class FilePiece(NamedTuple):
    """Bytes of a file, and the byte at which they begin."""

    byte: int
    data: NDArray[np.uint8]


class DecodedPiece(NamedTuple):
    """Events of a piece of a file.

    Attributes:
        times, units: of the events.
        error: where decoding stopped, or None.
        used: number of bytes that were decoded; the others belong to a record that goes on in the next piece.
    """

    times: NDArray[np.float64]
    units: NDArray[np.int32]
    error: NeurosimFormatError | None
    used: int


class EventDecoder(ABC):
    """Events of a camera file behind its header, decoded in pieces, in order; what one piece leaves is state.

    Attributes:
        path: of the file.
        start: byte after the header.
        end: byte after the last record; None: the end of the file.
        record: number of bytes of a record; 1 where records have several sizes.
        shape: (2, height, width); None: the smallest that holds all events, which takes a look at all of them.
        report: facts of the header.
        cut: error of a file whose header says that it was longer, or None.
    """

    path: FilePath
    start: int
    end: int | None = None
    record: int = 1
    shape: Sensor | None
    report: ReadReport
    cut: NeurosimFormatError | None = None

    @abstractmethod
    def find_shape(self, pieces: Iterable[FilePiece], end: int) -> Sensor:
        """Return the smallest sensor that holds all events of a file without one in its header."""

    @abstractmethod
    def decode(self, data: NDArray[np.uint8], byte: int, end: int) -> DecodedPiece:
        """Return the events of the next bytes.

        Args:
            data: of the file, from `byte` on.
            byte: place of the first of them.
            end: place after the last byte of all records.
        """

    @abstractmethod
    def final_report(self, error: NeurosimFormatError | None) -> ReadReport:
        """Return the report after the last piece; `error` names the fault where decoding stopped."""

    def check_shape(self, pieces: Iterable[FilePiece], end: int) -> Sensor:
        """Return the shape of the sensor, from all records where the header has none."""
        if self.shape is None:
            self.shape = self.find_shape(pieces, end)
        check_sensor(self.path, self.shape)
        return self.shape


class FileEvents(ABC):
    """Events of a file in pieces of bounded memory, in order, on the clock of the file.

    Each iteration reads the file anew and raises `NeurosimFormatError` where it breaks its format.

    Attributes:
        shape: of the sensor.
        report: how the file was read, with all counts after an iteration.
    """

    shape: tuple[int, ...]
    report: ReadReport

    @abstractmethod
    def __iter__(self) -> Iterator[Spikes]:
        """Yield the events."""


def decode_pieces(decoder: EventDecoder, pieces: Iterable[FilePiece], end: int) -> Iterator[DecodedPiece]:
    """Yield the events of each piece of a file, up to the first fault; bytes of an unfinished record are kept."""
    rest: NDArray[np.uint8] = np.empty(0, np.uint8)
    for byte, data in pieces:
        joined = np.concatenate([rest, data]) if rest.size else data
        piece = decoder.decode(joined, byte - rest.size, end)
        yield piece
        if piece.error is not None:
            return
        rest = joined[piece.used :]


def read_whole(path: FilePath, opener: Callable[..., EventDecoder], until_fault: bool, *options: object) -> Spikes:
    """Return all events of a file.

    Args:
        path: of the file.
        opener: function of a path, the first bytes of the file and `options`.
        until_fault: return the events before the first fault instead of raising.
        options: of the format.

    Raises:
        NeurosimMissingError: no such file.
        NeurosimFormatError: a file that breaks its format.
    """
    raw = read_bytes(path)
    decoder = opener(path, raw, *options)
    end = raw.size if decoder.end is None else decoder.end
    if decoder.cut is not None and not until_fault:
        raise decoder.cut
    data = raw[decoder.start : end]
    rest = data.size % decoder.record
    if rest and not until_fault:
        # Before the records are decoded: a cut is the likelier fault.
        raise cut_record(path, end, decoder.record, rest)
    shape = decoder.check_shape([FilePiece(decoder.start, data)], end)
    piece = decoder.decode(data, decoder.start, end)
    if piece.error is not None and not until_fault:
        raise piece.error
    return build_spikes(piece.times, piece.units, shape, decoder.final_report(piece.error or decoder.cut))


def cut_record(path: object, end: int, record: int, rest: int) -> NeurosimFormatError:
    """Return the error of a file that ends at byte `end` with `rest` bytes of a record of `record` bytes."""
    return format_error(path, f"byte {end - rest}", f"complete words of {record} bytes", f"{rest} bytes", AGAIN)


def fault_text(path: object, error: NeurosimFormatError | None) -> str:
    """Return the text of an error without the path of the file; "" for none."""
    return "" if error is None else str(error).removeprefix(f"{path}: ")


def counted(
    report: ReadReport,
    path: object,
    error: NeurosimFormatError | None,
    skipped: Mapping[str, int],
    changed: Mapping[str, int] | None = None,
) -> ReadReport:
    """Return a report with counts, without those that are 0, and the fault where decoding stopped."""
    return replace(
        report,
        skipped={name: int(count) for name, count in skipped.items() if count},
        changed={name: int(count) for name, count in (changed or {}).items() if count},
        fault=fault_text(path, error),
    )


def check_sensor(path: object, shape: tuple[int, ...]) -> None:
    """Raise `NeurosimInputError` unless `shape` is the shape of a sensor."""
    has_polarities = len(shape) == 3 and shape[0] == 2
    fits = has_polarities and all(0 < n < 1 << 15 for n in shape) and math.prod(shape) < 1 << 31
    rule = "must be (2 polarities, height, width), with fewer than 2^31 units"
    require(fits, f"{path}: shape", rule, tuple(shape))


def build_spikes(times: NDArray[np.float64], units: NDArray[np.int32], shape: Sensor, report: ReadReport) -> Spikes:
    """Return checked events as spikes that end with the last one."""
    size = shape[0] * shape[1] * shape[2]
    return Spikes.unchecked(times, units, size, float(times[-1]) if times.size else 0.0, tuple(shape), report)
