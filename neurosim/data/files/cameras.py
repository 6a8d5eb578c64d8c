"""Recordings of Prophesee's cameras: DAT, EVT2, EVT2.1 and EVT3 (docs.prophesee.ai, file formats).

Times are of the clock of the camera; `Spikes.window` cuts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.errors import NeurosimFormatError, lookup, require
from ...base.raw import event_fault, format_error
from ...kernels.io.prophesee import cpu as decode
from ...kernels.io.prophesee.reference import LATE as LATE_EVENTS
from ...kernels.io.prophesee.reference import MASK_BITS, start_state
from ...kernels.io.prophesee.reference import UNTIMED as UNTIMED_EVENTS
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
    cut_record,
    read_whole,
)

# Clocks of EVT3 by name: whether a time goes on where its lower part falls.
CLOCKS: Mapping[str, bool] = {"camera": False, "running": True}
UNTIMED = "events before the first time"
LATE = "late events put at the time of the event before"
END_OF_HEADER = {b"%": re.compile(rb"% end"), b"#": re.compile(rb"#\s*!?\s*END[ -]OF[ -](?:ASCII[ -])?HEADER.*", re.I)}
# Control characters, which no line of text holds.
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_OTHER = "is this a file of another format?"


def read_dat(path: FilePath, shape: Sensor | None = None, *, until_fault: bool = False) -> Spikes:
    """Return the recording of a Prophesee DAT file of contrast-detection events.

    Args:
        path: of the file.
        shape: (2, height, width); None: as the header says, or else the smallest that holds all events.
        until_fault: return the events before the first fault instead of raising; `Spikes.report` names the fault.

    Raises:
        NeurosimMissingError: no such file.
        NeurosimFormatError: empty, cut short, another kind of event, an event outside the sensor, or times that run
            backwards.
    """
    return read_whole(path, open_dat, until_fault, shape)


def read_evt2(path: FilePath, shape: Sensor | None = None, *, until_fault: bool = False) -> Spikes:
    """Return a Prophesee EVT2 recording; `shape` None: as the header says, or else (2, 480, 640).

    Raises:
        NeurosimMissingError: no such file.
        NeurosimFormatError: as `read_dat`.
    """
    return read_whole(path, open_evt2, until_fault, shape)


def read_evt21(path: FilePath, shape: Sensor | None = None, *, until_fault: bool = False) -> Spikes:
    """Return a Prophesee EVT2.1 recording, of either order of words; `shape` None: as `read_evt2`, or (2, 720, 1280).

    Raises:
        NeurosimMissingError: no such file.
        NeurosimFormatError: as `read_dat`.
    """
    return read_whole(path, open_evt21, until_fault, shape)


def read_evt3(
    path: FilePath, shape: Sensor | None = None, clock: str = "camera", *, until_fault: bool = False
) -> Spikes:
    """Return a Prophesee EVT3 recording; `shape` None: as the header says, or else (2, 720, 1280).

    Args:
        path: of the file.
        shape: (2, height, width).
        clock: how the two parts of a time are joined, a name in `CLOCKS`. "camera": as Prophesee documents it, the
            upper part counts periods of 4,096 us. An event that is late within its period is put at the time of the
            event before and counted in `Spikes.report`. "running" adds 4,096 us whenever the lower part falls, as
            the library expelliarmus does: it counts a period twice, and gives a recording twice its duration, where
            the upper part counts it too.
        until_fault: as for `read_dat`.

    Raises:
        NeurosimInputError: no such clock.
        NeurosimMissingError: no such file.
        NeurosimFormatError: as `read_dat`.
    """
    return read_whole(path, open_evt3, until_fault, shape, clock)


def read_raw(
    path: FilePath, shape: Sensor | None = None, clock: str | None = None, *, until_fault: bool = False
) -> Spikes:
    """Return a Prophesee .raw recording: EVT2, EVT2.1 or EVT3, by its header; `clock` is that of `read_evt3`.

    Raises:
        NeurosimInputError: a clock for a recording that is not EVT3, or no such clock.
        NeurosimMissingError: no such file.
        NeurosimFormatError: another encoding in the header, and as `read_dat`.
    """
    return read_whole(path, open_raw, until_fault, shape, clock)


@dataclass
class WordDecoder(EventDecoder):
    """A file of words of a camera of Prophesee behind its header, which is decoded in pieces, in order.

    Attributes:
        path, start, shape, report: as in `EventDecoder`.
        kernel: decoder of words, of `kernels.io.prophesee`.
        kind: type of a word.
        each: number of words of a record.
        count: number of events in words, at most.
        options: further arguments of the kernel.
        swapped: whether the halves of a word are exchanged.
        state: clock and row between two pieces.
    """

    path: FilePath
    start: int
    shape: Sensor | None
    report: ReadReport
    kernel: Callable
    kind: str
    each: int
    count: Callable[[NDArray[Any]], int]
    options: tuple[object, ...] = ()
    swapped: bool = False
    state: NDArray[np.int64] = field(default_factory=start_state)

    def __post_init__(self) -> None:
        self.record = np.dtype(self.kind).itemsize * self.each

    def find_shape(self, pieces: Iterable[FilePiece], end: int) -> Sensor:
        rows = 0
        columns = 0
        for _, data in pieces:
            places = self.words(data)[:, 1]
            rows = max(rows, int((places >> 14 & 0x3FFF).max(initial=0)))
            columns = max(columns, int((places & 0x3FFF).max(initial=0)))
        return (2, rows + 1, columns + 1)

    def words(self, data: NDArray[np.uint8]) -> NDArray[Any]:
        """Return the complete records of bytes as words, [n] or [n, each]."""
        whole = data[: data.size // self.record * self.record]
        words = np.frombuffer(whole.data, self.kind)
        words = words.astype(words.dtype.newbyteorder("="), copy=False)
        if self.swapped:
            words = words << np.uint64(32) | words >> np.uint64(32)
        return words.reshape(-1, self.each) if self.each > 1 else words

    def decode(self, data: NDArray[np.uint8], byte: int, end: int) -> DecodedPiece:
        words = self.words(data)
        room = self.count(words)
        # Masks of EVT3 are written without branches, up to a mask beyond the last event.
        times = np.empty(room + MASK_BITS, np.float64)
        units = np.empty(room + MASK_BITS, np.int32)
        shape = self.shape or (2, 0, 0)
        events, fault, at = self.kernel(words, shape[1], shape[2], MICROSECOND, times, units, self.state, *self.options)
        error = None
        rest = data.size % self.record
        if fault:
            error = event_fault(self.path, byte + at * self.record, fault, shape)
        elif rest and byte + data.size >= end:
            error = cut_record(self.path, byte + data.size, self.record, rest)
        return DecodedPiece(times[:events], units[:events], error, data.size - rest)

    def final_report(self, error: NeurosimFormatError | None) -> ReadReport:
        skipped = {UNTIMED: int(self.state[UNTIMED_EVENTS])}
        changed = {LATE: int(self.state[LATE_EVENTS])}
        return counted(self.report, self.path, error, skipped, changed)


def open_dat(path: FilePath, head: NDArray[np.uint8], shape: Sensor | None = None) -> WordDecoder:
    """Return the decoder of a DAT file, whose first bytes are `head`, with all of its header."""
    header, start = parse_header(path, head, b"%")
    kind = head[start : start + 2].tolist()
    if kind not in ([0, 8], [12, 8]):
        step = "is this a DAT file of CD events?"
        raise format_error(path, f"byte {start}", "events of type 0 or 12 and 8 bytes", kind, step)
    height = _number(header, "Height")
    width = _number(header, "Width")
    if shape is None and height and width:
        shape = (2, height, width)
    # A record is two words: microseconds; polarity from bit 28, y (14 bits) from bit 14, x (14 bits) from bit 0.
    return WordDecoder(
        path, start + 2, shape, ReadReport("dat", _start(header)), kernel=decode.dat, kind="<u4", each=2, count=len
    )


def _header_or_none(path: object, head: NDArray[np.uint8]) -> tuple[str, int]:
    """Return the header as `parse_header`; "" and 0 for words without one, whose encoding the caller knows."""
    if head.size and head[0] != ord("%"):
        return "", 0
    return parse_header(path, head, b"%")


def open_evt2(path: FilePath, head: NDArray[np.uint8], shape: Sensor | None = None) -> WordDecoder:
    """Return the decoder of an EVT2 file, as `open_dat`."""
    header, start = _header_or_none(path, head)
    sensor = shape or _geometry(header) or (2, 480, 640)
    return WordDecoder(
        path, start, sensor, ReadReport("evt2", _start(header)), kernel=decode.evt2, kind="<u4", each=1, count=len
    )


def open_evt21(path: FilePath, head: NDArray[np.uint8], shape: Sensor | None = None) -> WordDecoder:
    """Return the decoder of an EVT2.1 file, as `open_dat`."""
    header, start = _header_or_none(path, head)
    sensor = shape or _geometry(header) or (2, 720, 1280)
    # The legacy order has the two halves of a word swapped.
    swapped = re.search(r"^% (?:format .*)?endianness[= ]legacy", header, re.M) is not None
    report = ReadReport("evt21", _start(header))
    return WordDecoder(
        path,
        start,
        sensor,
        report,
        kernel=decode.evt21,
        kind="<u8",
        each=1,
        count=decode.evt21_count,
        swapped=swapped,
    )


def open_evt3(
    path: FilePath, head: NDArray[np.uint8], shape: Sensor | None = None, clock: str | None = None
) -> WordDecoder:
    """Return the decoder of an EVT3 file, as `open_dat`; `clock` None: "camera"."""
    running = lookup(CLOCKS, clock or "camera", "read_evt3.clock")
    header, start = _header_or_none(path, head)
    sensor = shape or _geometry(header) or (2, 720, 1280)
    report = ReadReport("evt3", _start(header))
    return WordDecoder(
        path,
        start,
        sensor,
        report,
        kernel=decode.evt3,
        kind="<u2",
        each=1,
        count=decode.evt3_count,
        options=(running,),
    )


def open_raw(
    path: FilePath, head: NDArray[np.uint8], shape: Sensor | None = None, clock: str | None = None
) -> WordDecoder:
    """Return the decoder of a .raw file by the encoding that its header names, as `open_dat`."""
    if head.size and head[0] != ord("%"):
        expected = "a header of lines that begin with '%'"
        step = "for words without a header give format=, one of evt2, evt21, evt3"
        raise format_error(path, "byte 0", expected, f"0x{head[0]:02x}", step)
    header, _ = parse_header(path, head, b"%")
    match = re.search(r"^% (?:evt |format EVT)([\d.]{1,5})", header, re.M)
    if match:
        version = match[1].removesuffix(".0").replace(".", "")
    else:
        version = "nothing"
    if version not in _EVT:
        step = "convert it with Prophesee's tools, or give format=, one of evt2, evt21, evt3"
        raise format_error(path, "header", "the line '% evt 2.0', '% evt 2.1' or '% evt 3.0'", version, step)
    if version == "3":
        return open_evt3(path, head, shape, clock)
    require(clock is None, f"{path}: clock", "must be left out: only EVT3 has a choice of clocks", clock)
    return _EVT[version](path, head, shape)


def format_of_header(head: bytes) -> str | None:
    """Return "prophesee" or "dat" for the first bytes of a file with a header of Prophesee; None for others."""
    if not head.startswith(b"% "):
        return None
    try:
        header, start = parse_header("", np.frombuffer(head, np.uint8), b"%")
    except NeurosimFormatError:
        return None
    if re.search(r"^% (?:evt |format EVT)", header, re.M):
        return "prophesee"
    # Type and size of events of a DAT file.
    if head[start : start + 2] in (b"\x00\x08", b"\x0c\x08"):
        return "dat"
    return None


def parse_header(path: object, raw: NDArray[np.uint8], mark: bytes) -> tuple[str, int]:
    """Return the text of the first lines, which begin with `mark`, and the byte after them."""
    if raw.size == 0:
        raise format_error(path, "byte 0", "a header", "an empty file", "fetch the recording again")
    if raw[0] != mark[0]:
        expected = f"a header of lines that begin with '{mark.decode()}'"
        raise format_error(path, "byte 0", expected, f"0x{raw[0]:02x}", _OTHER)
    start = 0
    end = END_OF_HEADER[mark]
    # Lines of Prophesee begin with "% ": binary data that begins with % is not one of them.
    second = b" " if mark == b"%" else b""
    while raw[start : start + 2].tobytes().startswith(mark + second):
        line = _line(raw, start)
        if line is None:
            # Binary data may begin with the mark: bytes that are not text are not a line.
            if start:
                break
            raise format_error(path, f"byte {start}", "the end of a line of the header", "none", _OTHER)
        start += len(line)
        if end.fullmatch(line.strip()):
            break
    return raw[:start].tobytes().decode("latin-1"), start


def _line(raw: NDArray[np.uint8], start: int) -> bytes | None:
    """Return the line of text at `start` with its end, of any length; None if there is none."""
    step = 1 << 10
    stop = start
    while stop < raw.size:
        piece = raw[stop : stop + step].tobytes()
        end = piece.find(b"\n")
        if end >= 0:
            piece = piece[: end + 1]
        if _CONTROL.search(piece):
            return None
        stop += len(piece)
        if end >= 0:
            return raw[start:stop].tobytes()
        step *= 2
    return None


def _number(header: str, key: str) -> int | None:
    match = re.search(rf"^% {key} (\d{{1,5}})\s*$", header, re.M | re.I)
    return int(match[1]) if match else None


def _start(header: str) -> float:
    """Return the clock at time 0 in seconds, by the line `% t0` of faery, in microseconds; 0 without it."""
    match = re.search(r"^% t0[ :=]+(\d{1,18})\s*$", header, re.M)
    return int(match[1]) / 1e6 if match else 0.0


def _geometry(header: str) -> Sensor | None:
    match = re.search(r"^% geometry (\d{1,5})x(\d{1,5})", header, re.M)
    if match:
        return 2, int(match[2]), int(match[1])
    height = re.search(r"^% format .*\bheight=(\d{1,5})", header, re.M)
    width = re.search(r"^% format .*\bwidth=(\d{1,5})", header, re.M)
    if height and width:
        return (2, int(height[1]), int(width[1]))
    return None


_EVT: Mapping[str, Callable[..., WordDecoder]] = {"2": open_evt2, "21": open_evt21, "3": open_evt3}
