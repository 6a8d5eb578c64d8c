"""Recordings of Prophesee's cameras: DAT, EVT2, EVT2.1 and EVT3 (docs.prophesee.ai, file formats).

Times are of the clock of the camera; `Spikes.window` cuts.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ...base.errors import lookup, require
from ...base.raw import event_fault, format_error, read_bytes
from ...kernels.io.prophesee import cpu as decode
from ..read_report import ReadReport
from ..spikes import Spikes

MICROSECOND = 1e-6
Sensor = tuple[int, int, int]
# Clocks of EVT3 by name: whether a time goes on where its lower part falls.
CLOCKS: Mapping[str, bool] = {"camera": False, "running": True}
UNTIMED = "events before the first time"
LATE = "late events put at the time of the event before"
END_OF_HEADER = {b"%": re.compile(rb"% end"), b"#": re.compile(rb"#\s*!?\s*END[ -]OF[ -](?:ASCII[ -])?HEADER.*", re.I)}
# Control characters, which no line of text holds.
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_AGAIN = "it was cut short: fetch it again"
_OTHER = "is this a file of another format?"


def read_dat(path: str | os.PathLike[str], shape: Sensor | None = None) -> Spikes:
    """Return the recording of a Prophesee DAT file of contrast-detection events.

    Args:
        path: of the file.
        shape: (2, height, width); None: as the header says, or else the smallest that holds all events.

    Raises:
        NeurosimMissingError: no such file.
        NeurosimFormatError: empty, cut short, another kind of event, an event outside the sensor, or times that run
            backwards.
    """
    raw, header, start = read_header(path, b"%")
    kind = raw[start : start + 2].tolist()
    if kind not in ([0, 8], [12, 8]):
        step = "is this a DAT file of CD events?"
        raise format_error(path, f"byte {start}", "events of type 0 or 12 and 8 bytes", kind, step)
    # A record is two words: microseconds; polarity from bit 28, y (14 bits) from bit 14, x (14 bits) from bit 0.
    words = words_of(path, raw, start + 2, "<u4", 2).astype(np.uint32).reshape(-1, 2)
    height = _number(header, "Height")
    width = _number(header, "Width")
    if not (height and width):
        places = words[:, 1]
        height = int((places >> 14 & 0x3FFF).max(initial=0)) + 1
        width = int((places & 0x3FFF).max(initial=0)) + 1
    sensor = shape or (2, height, width)
    report = ReadReport("dat", _start(header))
    return decode_words(path, start + 2, decode.dat, words, len(words), sensor, report)


def read_evt2(path: str | os.PathLike[str], shape: Sensor | None = None) -> Spikes:
    """Return a Prophesee EVT2 recording; `shape` None: as the header says, or else (2, 480, 640).

    Raises:
        NeurosimMissingError: no such file.
        NeurosimFormatError: as `read_dat`.
    """
    raw, header, start = read_header(path, b"%")
    words = words_of(path, raw, start, "<u4", 1).astype(np.uint32)
    sensor = shape or _geometry(header) or (2, 480, 640)
    tally = np.zeros(1, np.int64)
    spikes = decode_words(
        path, start, decode.evt2, words, len(words), sensor, ReadReport("evt2", _start(header)), tally
    )
    return add_counts(spikes, {UNTIMED: tally[0]})


def read_evt21(path: str | os.PathLike[str], shape: Sensor | None = None) -> Spikes:
    """Return a Prophesee EVT2.1 recording, of either order of words; `shape` None: as `read_evt2`, or (2, 720, 1280).

    Raises:
        NeurosimMissingError: no such file.
        NeurosimFormatError: as `read_dat`.
    """
    raw, header, start = read_header(path, b"%")
    words = words_of(path, raw, start, "<u8", 1).astype(np.uint64)
    if re.search(r"^% (?:format .*)?endianness[= ]legacy", header, re.M):
        # The legacy order has the two halves of a word swapped.
        words = words << np.uint64(32) | words >> np.uint64(32)
    sensor = shape or _geometry(header) or (2, 720, 1280)
    tally = np.zeros(1, np.int64)
    events = decode.evt21_count(words)
    spikes = decode_words(path, start, decode.evt21, words, events, sensor, ReadReport("evt21", _start(header)), tally)
    return add_counts(spikes, {UNTIMED: tally[0]})


def read_evt3(path: str | os.PathLike[str], shape: Sensor | None = None, clock: str = "camera") -> Spikes:
    """Return a Prophesee EVT3 recording; `shape` None: as the header says, or else (2, 720, 1280).

    Args:
        path: of the file.
        shape: (2, height, width).
        clock: how the two parts of a time are joined, a name in `CLOCKS`. "camera": as Prophesee documents it, the
            upper part counts periods of 4,096 us. An event that is late within its period is put at the time of the
            event before and counted in `Spikes.report`. "running" adds 4,096 us whenever the lower part falls, as
            the library expelliarmus does: it counts a period twice, and gives a recording twice its duration, where
            the upper part counts it too.

    Raises:
        NeurosimInputError: no such clock.
        NeurosimMissingError: no such file.
        NeurosimFormatError: as `read_dat`.
    """
    running = lookup(CLOCKS, clock, "read_evt3.clock")
    raw, header, start = read_header(path, b"%")
    words = words_of(path, raw, start, "<u2", 1).astype(np.uint16)
    sensor = shape or _geometry(header) or (2, 720, 1280)
    events = decode.evt3_count(words)
    tally = np.zeros(2, np.int64)
    spikes = decode_words(
        path, start, decode.evt3, words, events, sensor, ReadReport("evt3", _start(header)), tally, running
    )
    return add_counts(spikes, {UNTIMED: tally[0]}, {LATE: tally[1]})


def read_raw(path: str | os.PathLike[str], shape: Sensor | None = None, clock: str | None = None) -> Spikes:
    """Return a Prophesee .raw recording: EVT2, EVT2.1 or EVT3, by its header; `clock` as in `read_evt3`.

    Raises:
        NeurosimInputError: a clock for a recording that is not EVT3, or no such clock.
        NeurosimMissingError: no such file.
        NeurosimFormatError: another encoding in the header, and as `read_dat`.
    """
    _, header, _ = read_header(path, b"%")
    match = re.search(r"^% (?:evt |format EVT)([\d.]{1,5})", header, re.M)
    if match:
        version = match[1].removesuffix(".0").replace(".", "")
    else:
        version = "nothing"
    if version not in _EVT:
        step = "convert it with Prophesee's tools, or call read_evt2, read_evt21 or read_evt3"
        raise format_error(path, "header", "the line '% evt 2.0', '% evt 2.1' or '% evt 3.0'", version, step)
    if clock is None:
        return _EVT[version](path, shape)
    require(version == "3", f"{path}: clock", "must be left out: only EVT3 has a choice of clocks", clock)
    return read_evt3(path, shape, clock)


def read_header(path: str | os.PathLike[str], mark: bytes) -> tuple[NDArray[np.uint8], str, int]:
    """Return the bytes of a file, the text of its first lines, which begin with `mark`, and the byte after them."""
    raw = read_bytes(path)
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
    return raw, raw[:start].tobytes().decode("latin-1"), start


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


def words_of(path: object, raw: NDArray[np.uint8], start: int, kind: str, each: int) -> NDArray:
    """Return the binary part as words of `kind`, in groups of `each`."""
    size = np.dtype(kind).itemsize * each
    data = raw[start:]
    rest = data.size % size
    if rest:
        where = f"byte {start + data.size - rest}"
        raise format_error(path, where, f"complete words of {size} bytes", f"{rest} bytes", _AGAIN)
    return np.frombuffer(data.data, kind)


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


def check_sensor(path: object, shape: tuple[int, ...]) -> None:
    """Raise `NeurosimInputError` unless `shape` is the shape of a sensor."""
    has_polarities = len(shape) == 3 and shape[0] == 2
    fits = has_polarities and all(0 < n < 1 << 15 for n in shape) and math.prod(shape) < 1 << 31
    rule = "must be (2 polarities, height, width), with fewer than 2^31 units"
    require(fits, f"{path}: shape", rule, tuple(shape))


def decode_words(
    path: object,
    start: int,
    kernel: Callable,
    words: NDArray,
    max_events: int,
    shape: Sensor,
    report: ReadReport,
    *options: object,
) -> Spikes:
    """Return the events that `kernel` decodes from `words`, which begin at byte `start` of the file."""
    check_sensor(path, shape)
    times = np.empty(max_events, np.float64)
    units = np.empty(max_events, np.int32)
    events, fault, at = kernel(words, shape[1], shape[2], MICROSECOND, times, units, *options)
    if fault:
        raise event_fault(path, start + at * words[:1].nbytes, fault, shape)
    return build_spikes(times[:events], units[:events], shape, report)


def build_spikes(times: NDArray[np.float64], units: NDArray[np.int32], shape: Sensor, report: ReadReport) -> Spikes:
    """Return checked events as spikes that end with the last one."""
    size = shape[0] * shape[1] * shape[2]
    return Spikes.unchecked(times, units, size, float(times[-1]) if times.size else 0.0, tuple(shape), report)


def add_counts(spikes: Spikes, skipped: Mapping[str, int], changed: Mapping[str, int] | None = None) -> Spikes:
    """Return spikes with these counts in their report, without those that are 0."""
    counts = {name: int(count) for name, count in skipped.items() if count}
    changes = {name: int(count) for name, count in (changed or {}).items() if count}
    report = replace(spikes.report or ReadReport(""), skipped=counts, changed=changes)
    return Spikes.unchecked(spikes.times, spikes.units, spikes.size, spikes.duration, spikes.shape, report)


_EVT: Mapping[str, Callable[..., Spikes]] = {"2": read_evt2, "21": read_evt21, "3": read_evt3}
