"""AEDAT4 recordings (DV, dv-processing): packets of FlatBuffers, plain or compressed by LZ4 or Zstandard."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from ...base.distribution import install
from ...base.errors import NeurosimFormatError, NeurosimMissingError
from ...base.raw import format_error, max_unpacked
from ...kernels.io.compressed import cpu as unpack
from ..read_report import ReadReport
from ..spikes import Spikes
from .decoding import (
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

SIGNATURE = b"#!AER-DAT4.0\r\n"
EVENT = np.dtype(
    {"names": ["t", "x", "y", "p"], "formats": ["<i8", "<i2", "<i2", "u1"], "offsets": [0, 8, 10, 12], "itemsize": 16}
)
# Kinds of compression by the number in the header.
PLAIN = (0,)
LZ4 = (1, 2)
ZSTD = (3, 4)
# A packet may unpack to this many times its size.
MAX_RATIO = 255
LZ4_MAGIC = 0x184D2204
LZ4_SIZES = {4: 1 << 16, 5: 1 << 18, 6: 1 << 20, 7: 1 << 22}
KINDS = {"FRME": "frames", "IMUS": "packets of inertial samples", "TRIG": "packets of triggers"}
AGAIN = "the file is damaged: fetch it again"


class _Broken(Exception):
    """Bytes that break the format; the text says what was there instead."""


@dataclass(frozen=True)
class _Stream:
    """Kind of the packets of a stream, and shape of its sensor if it has one."""

    kind: str
    shape: Sensor | None


def read_aedat4(path: str | os.PathLike[str], *, until_fault: bool = False) -> Spikes:
    """Return the events of an AEDAT4 recording, of the stream of events with the lowest number; others are counted.

    Times count from the first event, for the file has Unix time; `Spikes.report.start` is the time of the first event.
    `until_fault` is that of `read_aedat2`: the packets before the first damaged one.

    Raises:
        NeurosimMissingError: no such file; a file compressed by Zstandard without the package zstandard.
        NeurosimFormatError: another format, no stream of events, damaged, an event outside the sensor, or times
            that run backwards.

    Source: docs.inivation.com, AEDAT 4; the FlatBuffers schemas of dv-processing.
    """
    return read_whole(path, open_aedat4, until_fault)


def open_aedat4(path: FilePath, head: NDArray[np.uint8]) -> Aedat4Decoder:
    """Return the decoder of an AEDAT4 file, whose first bytes are `head`, with all of its header.

    Raises:
        NeurosimFormatError: another format, no stream of events, or damaged.
    """
    if head[: len(SIGNATURE)].tobytes() != SIGNATURE:
        if head.size:
            got = f"{head[:12].tobytes()!r}"
        else:
            got = "an empty file"
        raise format_error(path, "byte 0", "'#!AER-DAT4.0'", got, "is this an AEDAT 4.0 file?")
    at = len(SIGNATURE)
    size = os.stat(path).st_size
    cut = None
    try:
        length = _unsigned(head, at)
        compression, end, streams = _header(_slice(head, at + 4, length))
        begin = at + 4 + length
        # Without a table of packets at the end, as after a crash of the recorder, the packets fill the file.
        end = size if end < 0 else end
        if not begin <= end:
            raise _Broken(f"packets up to byte {end}")
        if end > size:
            cut = format_error(path, f"byte {at}", "a header with streams", f"packets up to byte {end}", AGAIN)
            end = size
    except _Broken as fault:
        raise format_error(path, f"byte {at}", "a header with streams", fault, AGAIN) from None
    first = min((number for number, stream in streams.items() if stream.kind == "EVTS"), default=None)
    if first is None:
        got = ", ".join(stream.kind for stream in streams.values()) or "none"
        raise format_error(path, "header", "a stream of events (EVTS)", got, "it holds no events")
    return Aedat4Decoder(
        path=path,
        start=begin,
        end=end,
        compression=compression,
        streams=streams,
        first=first,
        budget=max_unpacked(size),
        cut=cut,
    )


@dataclass(kw_only=True)
class Aedat4Decoder(EventDecoder):
    """Packets of AEDAT4, decoded in pieces.

    Attributes:
        path, start, end: as in `EventDecoder`.
        compression: its number.
        streams: by their numbers.
        first: number of the stream of events that is read.
        budget: number of bytes that the packets to come may unpack to, all together.
        cut: as in `EventDecoder`.
        skipped: numbers of records that are no events, by kind.
        zero: time of the first event, us; None before it.
        latest: time of the latest event, us.
        events: number of the events so far.
    """

    path: FilePath
    start: int
    end: int | None
    compression: int
    streams: Mapping[int, _Stream]
    first: int
    budget: int
    cut: NeurosimFormatError | None = None
    skipped: Counter[str] = field(default_factory=Counter)
    zero: int | None = None
    latest: int = 0
    events: int = 0

    def __post_init__(self) -> None:
        self.shape = self.streams[self.first].shape
        self.report = ReadReport("aedat4")

    def find_shape(self, pieces: Iterable[FilePiece], end: int) -> Sensor:
        other = replace(self, skipped=Counter())
        # Any place is inside the largest sensor that units can number.
        other.shape = (2, 1 << 15, 1 << 15)
        rows = 0
        columns = 0
        for piece in decode_pieces(other, pieces, end):
            places = piece.units.astype(np.int64) & (1 << 30) - 1
            rows = max(rows, int((places >> 15).max(initial=0)))
            columns = max(columns, int((places & (1 << 15) - 1).max(initial=0)))
        return (2, rows + 1, columns + 1)

    def decode(self, data: NDArray[np.uint8], byte: int, end: int) -> DecodedPiece:
        shape = self.shape or (2, 0, 0)
        pieces: list[NDArray[Any]] = [np.empty(0, EVENT)]
        used = 0
        error = None
        try:
            for at, number, packet in _packets(self.path, data, byte, end):
                # Counted also where the packet is damaged: its place is in the error.
                used = at - byte + 8 + packet.size
                if (events := self._events_of(at, number, packet)) is not None:
                    pieces.append(events)
        except NeurosimFormatError as fault:
            error = fault
        events = np.concatenate(pieces)
        at, early = first_fault(self.path, events, sensor=shape, before=self.latest, done=self.events)
        t, x, y, p = (events[name][:at].astype(np.int64) for name in ("t", "x", "y", "p"))
        if at and self.zero is None:
            self.zero = int(t[0])
        if at:
            self.latest = int(t[-1])
        self.events += at
        units = ((p * shape[1] + y) * shape[2] + x).astype(np.int32)
        times = np.asarray((t - (self.zero or 0)) * MICROSECOND, np.float64)
        return DecodedPiece(times, units, early or error, used)

    def final_report(self, error: NeurosimFormatError | None) -> ReadReport:
        report = ReadReport("aedat4", (self.zero or 0) * MICROSECOND)
        return counted(report, self.path, error or self.cut, self.skipped)

    def _events_of(self, byte: int, number: int, packet: NDArray[np.uint8]) -> NDArray[Any] | None:
        """Return the events of a packet of the stream `first`; None for others, whose content is counted.

        Raises:
            NeurosimFormatError: a damaged packet.
        """
        stream = self.streams.get(number)
        if stream is None:
            self.skipped["packets of unknown streams"] += 1
            return None
        if stream.kind != "EVTS":
            self.skipped[KINDS.get(stream.kind, "packets of other kinds")] += 1
            return None
        try:
            content = _unpacked(self.path, packet, self.compression, self.budget)
            events = _events(content)
        except _Broken as error:
            raise format_error(self.path, f"byte {byte}", "a packet of events", error, AGAIN) from None
        self.budget -= content.size
        # Packets of other streams are read all the same, to count their events.
        if number == self.first:
            return events
        self.skipped["events of other streams"] += len(events)
        return None


def first_fault(
    path: object, events: NDArray[Any], sensor: Sensor, before: int = 0, done: int = 0
) -> tuple[int, NeurosimFormatError | None]:
    """Return the place of the first event that breaks a rule, and the error; the number of events and None for none.

    Args:
        path: of the file.
        events: in order.
        sensor: (2, height, width).
        before: time of the event before, us.
        done: number of events before these.
    """
    t, x, y, p = (events[name].astype(np.int64) for name in ("t", "x", "y", "p"))
    outside = (x < 0) | (x >= sensor[2]) | (y < 0) | (y >= sensor[1]) | (p > 1)
    # Differences of times below 2^62 cannot overflow.
    falls = (t < 0) | (t >= 1 << 62)
    falls |= t < np.concatenate([[before], t[:-1]])[: len(t)]
    places = np.flatnonzero(outside | falls)
    if not len(places):
        return len(t), None
    at = int(places[0])
    if outside[at]:
        got = f"x {x[at]}, y {y[at]}, polarity {p[at]}"
        return at, format_error(path, f"event {done + at}", f"an event inside shape {sensor}", got, AGAIN)
    return at, format_error(path, f"event {done + at}", "times >= 0 in ascending order", f"{t[at]}", AGAIN)


def _packets(
    path: object, data: NDArray[np.uint8], byte: int, end: int
) -> Iterator[tuple[int, int, NDArray[np.uint8]]]:
    """Yield byte, stream and content of each complete packet of a piece of a file.

    Args:
        path: of the file.
        data: bytes of it.
        byte: place of the first of them.
        end: place after the last packet of the file.

    Raises:
        NeurosimFormatError: a packet that reaches beyond `end`.
    """
    # A packet: number of its stream (4 bytes), size of its content (4), content.
    at = 0
    while byte + at < end:
        place = f"byte {byte + at}"
        left = end - byte - at
        if left < 8:
            raise format_error(path, place, "the head of a packet", f"{left} bytes", AGAIN)
        if at + 8 > data.size:
            return
        number = _unsigned(data, at)
        size = _unsigned(data, at + 4)
        if size > left - 8:
            raise format_error(path, place, f"a packet of {size} bytes", f"{left - 8}", "it was cut short")
        if at + 8 + size > data.size:
            return
        yield byte + at, number, data[at + 8 : at + 8 + size]
        at += 8 + size


def _header(data: NDArray[np.uint8]) -> tuple[int, int, dict[int, _Stream]]:
    """Return the number of the compression, the byte after the last packet, and the streams by their numbers."""
    # Fields of the table IOHeader: compression, place of the table of packets, description in XML.
    table = _root(data, 0)
    at = _field(data, table, 0)
    compression = _unsigned(data, at) if at else 0
    at = _field(data, table, 1)
    end = _number(data, at, 8) if at else -1
    at = _field(data, table, 2)
    if at is None:
        raise _Broken("no description")
    # A string: the offset to it, then its length and its bytes.
    place = at + _unsigned(data, at)
    description = _slice(data, place + 4, _unsigned(data, place))
    return compression, end, _streams(description.tobytes())


def _streams(text: bytes) -> dict[int, _Stream]:
    """Return the streams that the description of a file names, by number."""
    # Declarations could define entities that expand to gigabytes.
    if b"<!" in text.replace(b"<!--", b""):
        raise _Broken("a description with declarations")
    try:
        root = ElementTree.fromstring(text)
        streams = {}
        for node in root.findall(".//node[@name='outInfo']/node"):
            kind = node.findtext("./attr[@key='typeIdentifier']", "")
            height = node.findtext("./node[@name='info']/attr[@key='sizeY']")
            width = node.findtext("./node[@name='info']/attr[@key='sizeX']")
            if height and width:
                shape = (2, int(height), int(width))
            else:
                shape = None
            streams[int(node.get("name", ""))] = _Stream(kind, shape)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise _Broken(f"no description ({error})") from None
    return streams


def _events(data: NDArray[np.uint8]) -> NDArray[Any]:
    """Return the events of a packet: a FlatBuffer after its size."""
    if data.size < 12 or data[8:12].tobytes() != b"EVTS":
        raise _Broken("another kind of packet")
    at = _field(data, _root(data, 4), 0)
    if at is None:
        return np.empty(0, EVENT)
    place = at + _unsigned(data, at)
    count = _unsigned(data, place)
    return _slice(data, place + 4, count * EVENT.itemsize).view(EVENT)


def _root(data: NDArray[np.uint8], at: int) -> int:
    """Return the place of the root table of the FlatBuffer at `at`."""
    return at + _unsigned(data, at)


def _field(data: NDArray[np.uint8], table: int, index: int) -> int | None:
    """Return the place of a field of a table of a FlatBuffer; None if it is absent."""
    # A table begins with the distance back to its layout: bytes of the layout (2), bytes of the table (2), then the
    # offset of each field in the table (2 each), 0 if it is absent. Later fields may be missing at the end.
    layout = table - _number(data, table, 4)
    size = _unsigned(data, layout, 2)
    if 4 + 2 * index < size:
        offset = _unsigned(data, layout + 4 + 2 * index, 2)
    else:
        offset = 0
    return table + offset if offset else None


def _slice(data: NDArray[np.uint8], at: int, size: int) -> NDArray[np.uint8]:
    if not 0 <= at <= at + size <= data.size:
        raise _Broken(f"{size} bytes beyond its end")
    return data[at : at + size]


def _unsigned(data: NDArray[np.uint8], at: int, size: int = 4) -> int:
    return int.from_bytes(_slice(data, at, size).tobytes(), "little")


def _number(data: NDArray[np.uint8], at: int, size: int) -> int:
    return int.from_bytes(_slice(data, at, size).tobytes(), "little", signed=True)


def _unpacked(path: object, data: NDArray[np.uint8], compression: int, left: int) -> NDArray[np.uint8]:
    """Return the content of a packet, of at most `left` bytes: other packets were unpacked before."""
    if compression in PLAIN:
        return data
    if compression in LZ4:
        return _unpack_lz4(data, left)
    if compression not in ZSTD:
        raise _Broken(f"compression {compression}")
    try:
        import zstandard
    except ImportError:
        raise NeurosimMissingError(f"{path}: is compressed with Zstandard; run: {install('aedat4')}") from None
    try:
        with zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(data.tobytes()) as stream:
            # One byte more than is allowed: enough to tell that there is more, without unpacking it.
            content = stream.read(min(MAX_RATIO * data.size, left) + 1)
    except zstandard.ZstdError as error:
        raise _Broken(error) from None
    if len(content) > left:
        raise _too_large(left)
    return np.frombuffer(content, np.uint8)


def _too_large(left: int) -> _Broken:
    return _Broken(f"one that unpacks to more than the {left:,} bytes that are left to this file")


def _unpack_lz4(data: NDArray[np.uint8], left: int) -> NDArray[np.uint8]:
    """Return the content of an LZ4 frame, without looking at its checksums.

    Source: github.com/lz4/lz4, the LZ4 frame format, version 1.6.
    """
    # Frame: magic (4 bytes), flags (1), size of blocks (1), size of the content (8, if bit 3 of the flags is set),
    # checksum of the head (1), blocks. Bits 6 and 7 of the flags are the version, bit 0 marks a dictionary.
    flags = _unsigned(data, 4, 1)
    sizes = _unsigned(data, 5, 1)
    block = LZ4_SIZES.get(sizes >> 4 & 7, 0)
    if _unsigned(data, 0) != LZ4_MAGIC or flags >> 6 != 1 or block == 0 or flags & 1:
        raise _Broken("another kind of LZ4 frame")
    has_size = flags >> 3 & 1
    has_checksums = flags >> 4 & 1
    at = 7 + 8 * has_size
    blocks = []
    # A block: its size (4 bytes; bit 31 set: stored, not compressed), data, checksum (4). A size of 0 ends the frame.
    while word := _unsigned(data, at):
        size = word & 0x7FFFFFFF
        blocks.append((_slice(data, at + 4, size), word >> 31))
        at += 4 + size + 4 * has_checksums
    room = sum(part.size if stored else min(block, MAX_RATIO * part.size) for part, stored in blocks)
    out = np.empty(min(room, left), np.uint8)
    done = 0
    for part, stored in blocks:
        if stored and done + part.size > out.size:
            raise _too_large(left)
        if stored:
            out[done : done + part.size] = part
            done += part.size
        else:
            done = unpack.lz4(part, out, done)
        if done < 0:
            if room > left:
                raise _too_large(left)
            raise _Broken("an LZ4 block that is not intact")
    return out[:done]
