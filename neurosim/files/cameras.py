"""Recordings of event cameras: Prophesee DAT, EVT2 and EVT3 (docs.prophesee.ai, file formats), and AEDAT2 (jAER).

Times are those of the clock of the camera; `Spikes.window` cuts.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import lookup, require
from ..kernels.io import decode
from ..spikes import Spikes
from .raw import event_fault, format_error, read_bytes

MICROSECOND = 1e-6
HEADER_LINES = 1000
Sensor = tuple[int, int, int]


def read_dat(path: str | os.PathLike[str], shape: Sensor | None = None) -> Spikes:
    """Return the recording of a Prophesee DAT file of contrast-detection events.

    Args:
        path: of the file.
        shape: (2, height, width); None: that of the header, or else the smallest that holds all events.

    Raises:
        NeurosimMissingError: no such file.
        NeurosimFormatError: empty, cut short, another kind of event, an event outside the sensor, or a time before
            that of the event before.
    """
    raw, header, start = _read(path, b"%")
    kind = raw[start : start + 2].tolist()
    if kind not in ([0, 8], [12, 8]):
        step = "is this a DAT file of CD events?"
        raise format_error(path, f"byte {start}", "events of type 0 or 12 and 8 bytes", kind, step)
    words = _words(path, raw, start + 2, "<u4", 2).astype(np.uint32).reshape(-1, 2)
    height, width = _number(header, "Height"), _number(header, "Width")
    place = words[:, 1]
    seen = 2, int((place >> 14 & 0x3FFF).max(initial=0)) + 1, int((place & 0x3FFF).max(initial=0)) + 1
    sensor = shape or ((2, height, width) if height and width else seen)
    return _decoded(path, start + 2, decode.dat, words, len(words), sensor)


def read_evt2(path: str | os.PathLike[str], shape: Sensor | None = None) -> Spikes:
    """Return a Prophesee EVT2 recording; `shape` None: that of the header, or else (2, 480, 640).

    Raises:
        NeurosimMissingError: no such file.
        NeurosimFormatError: as `read_dat`.
    """
    raw, header, start = _read(path, b"%")
    words = _words(path, raw, start, "<u4", 1).astype(np.uint32)
    return _decoded(path, start, decode.evt2, words, len(words), shape or _geometry(header) or (2, 480, 640))


def read_evt3(path: str | os.PathLike[str], shape: Sensor | None = None, clock: str = "running") -> Spikes:
    """Return a Prophesee EVT3 recording; `shape` None: that of the header, or else (2, 720, 1280).

    Args:
        path: of the file.
        shape: (2, height, width).
        clock: how the two parts of a time are joined, a name in `CLOCKS`. "running" adds 4,096 us whenever the lower
            part falls, as the library expelliarmus does; results are equal to its. "camera" uses both parts as
            Prophesee documents them. Measure durations with "camera": "running" counts a period twice if the upper
            part counts it too.

    Raises:
        NeurosimInputError: no such clock.
        NeurosimMissingError: no such file.
        NeurosimFormatError: as `read_dat`.
    """
    running = lookup(CLOCKS, clock, "read_evt3.clock")
    raw, header, start = _read(path, b"%")
    words = _words(path, raw, start, "<u2", 1).astype(np.uint16)
    sensor, events = shape or _geometry(header) or (2, 720, 1280), decode.evt3_count(words)
    return _decoded(path, start, decode.evt3, words, events, sensor, running)


def read_raw(path: str | os.PathLike[str], shape: Sensor | None = None) -> Spikes:
    """Return a Prophesee .raw recording, EVT2 or EVT3 by its header.

    Raises:
        NeurosimMissingError: no such file.
        NeurosimFormatError: another encoding in the header, and as `read_dat`.
    """
    _, header, _ = _read(path, b"%")
    said = re.search(r"% (?:evt |format EVT)([\d.]{1,5})", header)
    version = said[1].removesuffix(".0") if said else "nothing"
    if version not in _EVT:
        step = "convert it with Prophesee's tools, or call read_evt2 or read_evt3"
        raise format_error(path, "header", "the line '% evt 2.0' or '% evt 3.0'", version, step)
    return _EVT[version](path, shape)


class Camera(NamedTuple):
    """Layout of an AEDAT2 address: x, y (shift, mask), polarity, and whether x and y count from the far end."""

    height: int
    width: int
    x: tuple[int, int]
    y: tuple[int, int]
    p: int
    flipped: bool


CLOCKS: Mapping[str, bool] = {"running": True, "camera": False}
# Bits as in jAER and tonic.
CAMERAS: Mapping[str, Camera] = {
    "dvs128": Camera(128, 128, (8, 0x7F), (1, 0x7F), 0, False),
    "davis240": Camera(180, 240, (12, 0x3FF), (22, 0x1FF), 11, True),
    "davis346": Camera(260, 346, (12, 0x3FF), (22, 0x1FF), 11, True),
}


def read_aedat2(path: str | os.PathLike[str], camera: str = "dvs128") -> Spikes:
    """Return an AEDAT2 recording (jAER), without frames and other records of a DAVIS.

    Args:
        path: of the file.
        camera: layout of the addresses, a name in `CAMERAS`; the file does not tell.

    Raises:
        NeurosimInputError: no such camera.
        NeurosimMissingError: no such file.
        NeurosimFormatError: as `read_dat`.
    """
    layout = lookup(CAMERAS, camera, "read_aedat2.camera")
    raw, header, start = _read(path, b"#")
    if not header.startswith("#!AER-DAT2"):
        raise format_error(path, "byte 0", "'#!AER-DAT2'", f"{header[:12]!r}", "is this an AEDAT 2.0 file?")
    words = _words(path, raw, start, ">u4", 2).astype(np.int64).reshape(-1, 2)
    # Bit 31 marks records that are not events.
    record = np.flatnonzero(words[:, 0] >> 31 == 0)
    address, t = words[record].T
    x, y = (address >> shift & mask for shift, mask in (layout.x, layout.y))
    outside = (x >= layout.width) | (y >= layout.height)
    backwards = np.diff(t, prepend=0) < 0
    if np.any(outside | backwards):
        at = int(np.argmax(outside | backwards))
        fault = decode.OUTSIDE if outside[at] else decode.BACKWARDS
        raise event_fault(path, start + 8 * int(record[at]), fault, (2, layout.height, layout.width))
    if layout.flipped:
        x, y = layout.width - 1 - x, layout.height - 1 - y
    units = ((address >> layout.p & 1) * layout.height + y) * layout.width + x
    return _spikes(t * MICROSECOND, units.astype(np.int32), (2, layout.height, layout.width))


def _read(path: str | os.PathLike[str], mark: bytes) -> tuple[NDArray[np.uint8], str, int]:
    """Return the bytes of a file, the text of its first lines, which begin with `mark`, and the byte after them."""
    raw = read_bytes(path)
    if raw.size == 0:
        raise format_error(path, "byte 0", "a header", "an empty file", "fetch the recording again")
    if raw[0] != mark[0]:
        expected = f"a header of lines that begin with '{mark.decode()}'"
        raise format_error(path, "byte 0", expected, f"0x{raw[0]:02x}", _OTHER)
    start, lines = 0, 0
    # Lines of Prophesee begin with "% ": binary data that begins with % is not one of them.
    second = b" " if mark == b"%" else b""
    while raw[start : start + 2].tobytes().startswith(mark + second):
        line = raw[start : start + 4096].tobytes()
        end = line.find(b"\n")
        lines += 1
        if end < 0 or lines > HEADER_LINES:
            raise format_error(path, f"byte {start}", "the end of a line of the header", "none", _OTHER)
        start += end + 1
        if line[:end].strip() == mark + b" end":
            break
    return raw, raw[:start].tobytes().decode("latin-1"), start


def _words(path: object, raw: NDArray[np.uint8], start: int, kind: str, each: int) -> NDArray:
    """Return the binary part as words of `kind`, in groups of `each`."""
    size = np.dtype(kind).itemsize * each
    data = raw[start:]
    rest = data.size % size
    if rest:
        where = f"byte {start + data.size - rest}"
        raise format_error(path, where, f"complete words of {size} bytes", f"{rest} bytes", _AGAIN)
    return np.frombuffer(data.data, kind)


def _number(header: str, key: str) -> int | None:
    said = re.search(rf"^% {key} (\d{{1,5}})\s*$", header, re.M | re.I)
    return int(said[1]) if said else None


def _geometry(header: str) -> Sensor | None:
    said = re.search(r"^% geometry (\d{1,5})x(\d{1,5})", header, re.M)
    if said:
        return 2, int(said[2]), int(said[1])
    height, width = (re.search(rf"^% format .*\b{key}=(\d{{1,5}})", header, re.M) for key in ("height", "width"))
    return (2, int(height[1]), int(width[1])) if height and width else None


def _decoded(
    path: object, start: int, kernel: Callable, words: NDArray, max_events: int, shape: Sensor, *options: bool
) -> Spikes:
    fits = len(shape) == 3 and shape[0] == 2 and all(0 < n < 1 << 15 for n in shape) and math.prod(shape) < 1 << 31
    rule = "must be (2 polarities, height, width), with fewer than 2^31 units"
    require(fits, f"{path}: shape", rule, tuple(shape))
    times, units = np.empty(max_events, np.float64), np.empty(max_events, np.int32)
    events, fault, at = kernel(words, shape[1], shape[2], MICROSECOND, times, units, *options)
    if fault:
        raise event_fault(path, start + at * words[:1].nbytes, fault, shape)
    return _spikes(times[:events], units[:events], shape)


def _spikes(times: NDArray[np.float64], units: NDArray[np.int32], shape: Sensor) -> Spikes:
    size = shape[0] * shape[1] * shape[2]
    return Spikes.unchecked(times, units, size, float(times[-1]) if times.size else 0.0, tuple(shape))


_AGAIN = "it was cut short: fetch it again"
_OTHER = "is this a file of another format?"
_EVT: Mapping[str, Callable[..., Spikes]] = {"2": read_evt2, "3": read_evt3}
