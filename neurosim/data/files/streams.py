"""Recordings that are streams of bytes: AEDAT 3.1 (cAER, DVS Gesture as published) and Event Stream (.es)."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ...base.errors import NeurosimFormatError, require
from ...base.raw import event_fault, format_error, read_start
from ...kernels.io import faults
from ...kernels.io.streams import cpu as streams
from ...kernels.io.streams.reference import AEDAT31_STATE, ATIS, DVS, MIN_POLARITY, MIN_RECORD
from ..read_report import ReadReport
from ..spikes import Spikes
from .aedat import CAMERAS, open_aedat2, read_aedat2
from .aedat4 import open_aedat4, read_aedat4
from .cameras import parse_header
from .decoding import (
    AGAIN,
    MICROSECOND,
    DecodedPiece,
    EventDecoder,
    FilePath,
    FilePiece,
    Sensor,
    counted,
    decode_pieces,
    read_whole,
)

SIGNATURE = b"Event Stream"
# Version, kind, width and height follow the signature.
HEADER = 20
_AEDAT31 = (
    "special events",
    "invalid events",
    "frames",
    "inertial samples",
    "records of other kinds",
    "events of other sources",
)
_FAULTS: Mapping[int, tuple[str, str, str]] = {
    faults.CUT: ("a complete record", "the end of the file inside it", AGAIN),
    faults.SIZES: ("a packet whose sizes add up", "another", "it is damaged: fetch it again"),
}


def read_event_stream(path: str | os.PathLike[str], *, until_fault: bool = False) -> Spikes:
    """Return an Event Stream recording (.es, version 2) of a DVS or an ATIS; measurements of exposure are counted.

    Times count from the start of the stream; rows are those of the file, whose row 0 is at the bottom of the picture.
    `until_fault` is that of `read_aedat2`.

    Raises:
        NeurosimMissingError: no such file.
        NeurosimFormatError: another format, version or kind of stream, cut short, or an event outside the sensor.

    Source: github.com/neuromorphic-paris/event_stream and its library sepia, version 2.
    """
    return read_whole(path, open_event_stream, until_fault)


def open_event_stream(path: FilePath, head: NDArray[np.uint8]) -> EventStreamDecoder:
    """Return the decoder of an Event Stream file, whose first bytes are `head`."""
    first = head[:HEADER].tobytes()
    if not first.startswith(SIGNATURE):
        got = f"{first[:12]!r}" if first else "an empty file"
        raise format_error(path, "byte 0", "'Event Stream'", got, "is this an Event Stream file?")
    if len(first) < HEADER:
        raise format_error(path, f"byte {len(first)}", f"a header of {HEADER} bytes", "the end", AGAIN)
    # Bytes 12 to 14 are the version, byte 15 the kind of events, then width and height in 16 bits each.
    if first[12] != 2:
        raise format_error(path, "byte 12", "version 2", f"version {first[12]}.{first[13]}", "convert the file")
    kind = first[15]
    if kind not in (DVS, ATIS):
        names = {0: "generic events", 3: "display events", 4: "colour events"}
        got = names.get(kind, f"kind {kind}")
        raise format_error(path, "byte 15", "DVS or ATIS events (1 or 2)", got, "its records are not events of pixels")
    shape = (2, int.from_bytes(first[18:20], "little"), int.from_bytes(first[16:18], "little"))
    return EventStreamDecoder(path, HEADER, shape, ReadReport("event-stream", row_0="bottom"), kind)


@dataclass
class EventStreamDecoder(EventDecoder):
    """An Event Stream file, decoded in pieces.

    Attributes:
        path, start, shape, report: as in `EventDecoder`.
        kind: `DVS` or `ATIS`.
        clock: [1] us.
        tally: [1] number of measurements of exposure.
    """

    path: FilePath
    start: int
    shape: Sensor | None
    report: ReadReport
    kind: int
    clock: NDArray[np.int64] = field(default_factory=lambda: np.zeros(1, np.int64))
    tally: NDArray[np.int64] = field(default_factory=lambda: np.zeros(1, np.int64))

    def find_shape(self, pieces: Iterable[FilePiece], end: int) -> Sensor:
        raise NotImplementedError("the header of an Event Stream has its sensor")

    def decode(self, data: NDArray[np.uint8], byte: int, end: int) -> DecodedPiece:
        shape = self.shape or (2, 0, 0)
        # Memory of the room that stays empty is never touched.
        room = data.size // MIN_RECORD + 1
        times = np.empty(room, np.float64)
        units = np.empty(room, np.int32)
        # A record that is cut off at the end of a piece comes again with the next one, but not after the last.
        last = byte + data.size >= end
        events, fault, at = streams.event_stream(
            data, last, self.kind, shape[1], shape[2], MICROSECOND, times, units, self.clock, self.tally
        )
        return DecodedPiece(times[:events], units[:events], _error(self.path, fault, byte + at, shape), at)

    def final_report(self, error: NeurosimFormatError | None) -> ReadReport:
        return counted(self.report, self.path, error, {"measurements of exposure": self.tally[0]})


def read_aedat31(path: str | os.PathLike[str], shape: Sensor | None = None, *, until_fault: bool = False) -> Spikes:
    """Return the polarity events of an AEDAT 3.1 recording, of the first source that has any; others are counted.

    Args:
        path: of the file.
        shape: (2, height, width); None: as the chip has that the header names, or else the smallest that holds all
            events.
        until_fault: as for `read_aedat2`.

    Raises:
        NeurosimMissingError: no such file.
        NeurosimFormatError: another format or version, a packet whose sizes do not add up, cut short, an event
            outside the sensor, or times that run backwards.
    """
    return read_whole(path, open_aedat31, until_fault, shape)


def open_aedat31(path: FilePath, head: NDArray[np.uint8], shape: Sensor | None = None) -> Aedat31Decoder:
    """Return the decoder of an AEDAT 3.1 file, whose first bytes are `head`, with all of its header."""
    header, start = parse_header(path, head, b"#")
    if not re.match(r"#!AER-DAT3\.1\s", header):
        raise format_error(path, "byte 0", "'#!AER-DAT3.1'", f"{header[:12]!r}", "is this an AEDAT 3.1 file?")
    form = re.search(r"^#\s*Format:\s*(\S+)", header, re.M)
    if form and form[1].upper() != "RAW":
        raise format_error(
            path, "header", "the line '#Format: RAW'", form[1][:40], "write it again without compression"
        )
    return Aedat31Decoder(path, start, shape or _sensor(header), ReadReport("aedat31"))


@dataclass
class Aedat31Decoder(EventDecoder):
    """Packets of AEDAT 3.1, decoded in pieces.

    Attributes:
        path, start, shape, report: as in `EventDecoder`.
        state: place in a packet, source and latest time between two pieces.
        tally: numbers of records that are not returned, as in `_AEDAT31`.
        extent: largest y and x.
    """

    path: FilePath
    start: int
    shape: Sensor | None
    report: ReadReport
    state: NDArray[np.int64] = field(default_factory=lambda: np.array(AEDAT31_STATE, np.int64))
    tally: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(_AEDAT31), np.int64))
    extent: NDArray[np.int64] = field(default_factory=lambda: np.zeros(2, np.int64))

    def find_shape(self, pieces: Iterable[FilePiece], end: int) -> Sensor:
        # A kernel without a height and a width takes any place, and notes the largest.
        first = replace(self, state=self.state.copy(), tally=self.tally.copy(), extent=self.extent.copy())
        for _ in decode_pieces(first, pieces, end):
            pass
        return (2, int(first.extent[0]) + 1, int(first.extent[1]) + 1)

    def decode(self, data: NDArray[np.uint8], byte: int, end: int) -> DecodedPiece:
        shape = self.shape or (2, 0, 0)
        room = data.size // MIN_POLARITY + 1
        times = np.empty(room, np.float64)
        units = np.empty(room, np.int32)
        events, fault, at = streams.aedat31(
            data,
            end - byte,
            shape[1],
            shape[2],
            MICROSECOND,
            times,
            units,
            self.state,
            self.tally,
            self.extent,
        )
        return DecodedPiece(times[:events], units[:events], _error(self.path, fault, byte + at, shape), at)

    def final_report(self, error: NeurosimFormatError | None) -> ReadReport:
        return counted(self.report, self.path, error, dict(zip(_AEDAT31, self.tally.tolist(), strict=True)))


def read_aedat(
    path: str | os.PathLike[str],
    shape: Sensor | None = None,
    camera: str | None = None,
    *,
    until_fault: bool = False,
) -> Spikes:
    """Return an AEDAT recording, of the version in its first line.

    Args:
        path: of the file.
        shape: as for `read_aedat31`; for other versions it must have as many units as the camera.
        camera, until_fault: as for `read_aedat2`.

    Raises:
        NeurosimInputError: an option that the version does not have.
        NeurosimMissingError: no such file.
        NeurosimFormatError: as the reader of the version.
    """
    version = _version(path, camera)
    if version == b"3.1":
        return read_aedat31(path, shape, until_fault=until_fault)
    if version == b"4.0":
        spikes = read_aedat4(path, until_fault=until_fault)
    else:
        spikes = read_aedat2(path, camera, until_fault=until_fault)
    fits = shape is None or math.prod(shape) == spikes.size
    require(fits, f"{path}: shape", f"must be {spikes.shape}, as its camera has", shape)
    return spikes


def open_aedat(
    path: FilePath, head: NDArray[np.uint8], shape: Sensor | None = None, camera: str | None = None
) -> EventDecoder:
    """Return the decoder of an AEDAT file of the version in its first line, as the function of the version."""
    version = _version(path, camera)
    if version == b"3.1":
        return open_aedat31(path, head, shape)
    decoder: EventDecoder
    if version == b"4.0":
        decoder = open_aedat4(path, head)
    else:
        decoder = open_aedat2(path, head, camera)
    known = decoder.shape
    fits = shape is None or known is None or math.prod(shape) == math.prod(known)
    require(fits, f"{path}: shape", f"must be {known}, as its camera has", shape)
    return decoder


def _version(path: FilePath, camera: str | None) -> bytes:
    """Return the version in the first line of an AEDAT file; raise where it has no choice of a `camera`."""
    # Behind "#!AER-DAT".
    version = read_start(path, 12)[9:12]
    if version in (b"3.1", b"4.0"):
        rule = f"must be left out: AEDAT {version.decode()} has one layout"
        require(camera is None, f"{path}: camera", rule, camera)
    return version


def _sensor(header: str) -> Sensor | None:
    """Return the shape of the sensor of the source that the header names; None if it is not known."""
    sources = re.findall(r"^#\s*Source \d+:\s*(\w+)", header, re.M)
    # Several sources may be of several cameras.
    if len(sources) != 1:
        return None
    for name, camera in CAMERAS.items():
        if sources[0].lower().startswith(name):
            return (2, camera.height, camera.width)
    return None


def _error(path: object, fault: int, byte: int, shape: Sensor) -> NeurosimFormatError | None:
    """Return the error of a kernel that stopped at a byte of the file; None where it did not."""
    if fault == faults.SOUND:
        return None
    if fault in _FAULTS:
        return format_error(path, f"byte {byte}", *_FAULTS[fault])
    return event_fault(path, byte, fault, shape)
