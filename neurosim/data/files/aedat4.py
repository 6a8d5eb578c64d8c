"""AEDAT4 recordings (DV, dv-processing): the events of their packets, whose bytes are read in `aedat4_packets`."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.errors import NeurosimFormatError
from ...base.raw import format_error, max_unpacked
from ..read_report import ReadReport
from ..spikes import Spikes
from .aedat4_packets import (
    AGAIN,
    EVENT,
    BrokenPacket,
    PacketStream,
    events_of,
    packets,
    read_header,
    slice_of,
    unpacked,
    unsigned,
)
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
KINDS = {"FRME": "frames", "IMUS": "packets of inertial samples", "TRIG": "packets of triggers"}


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
        length = unsigned(head, at)
        compression, end, streams = read_header(slice_of(head, at + 4, length))
        begin = at + 4 + length
        # Without a table of packets at the end, as after a crash of the recorder, the packets fill the file.
        end = size if end < 0 else end
        if not begin <= end:
            raise BrokenPacket(f"packets up to byte {end}")
        if end > size:
            cut = format_error(path, f"byte {at}", "a header with streams", f"packets up to byte {end}", AGAIN)
            end = size
    except BrokenPacket as fault:
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
    streams: Mapping[int, PacketStream]
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
            for at, number, packet in packets(self.path, data, byte, end):
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
            content = unpacked(self.path, packet, self.compression, self.budget)
            events = events_of(content)
        except BrokenPacket as error:
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
