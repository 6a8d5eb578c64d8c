"""Recordings that are streams of bytes: AEDAT 3.1 (cAER, DVS Gesture as published) and Event Stream (.es)."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ...base.errors import NeurosimFormatError, require
from ...base.raw import event_fault, format_error, read_bytes
from ...kernels.io import faults
from ...kernels.io.streams import cpu as streams
from ..read_report import ReadReport
from ..spikes import Spikes
from .aedat import CAMERAS, read_aedat2
from .aedat4 import read_aedat4
from .cameras import MICROSECOND, Sensor, add_counts, build_spikes, check_sensor, fault_text, read_header

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
_AGAIN = "it was cut short: fetch it again, or read what lies before with until_fault"
_FAULTS: Mapping[int, tuple[str, str, str]] = {
    faults.CUT: ("a complete record", "the end of the file inside it", _AGAIN),
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
    raw = read_bytes(path)
    head = raw[:HEADER].tobytes()
    if not head.startswith(SIGNATURE):
        got = f"{head[:12]!r}" if head else "an empty file"
        raise format_error(path, "byte 0", "'Event Stream'", got, "is this an Event Stream file?")
    if len(head) < HEADER:
        raise format_error(path, f"byte {len(head)}", f"a header of {HEADER} bytes", "the end", _AGAIN)
    if head[12] != 2:
        raise format_error(path, "byte 12", "version 2", f"version {head[12]}.{head[13]}", "convert the file")
    kind = head[15]
    if kind not in (streams.DVS, streams.ATIS):
        names = {0: "generic events", 3: "display events", 4: "colour events"}
        got = names.get(kind, f"kind {kind}")
        raise format_error(path, "byte 15", "DVS or ATIS events (1 or 2)", got, "its records are not events of pixels")
    shape = (2, int.from_bytes(head[18:20], "little"), int.from_bytes(head[16:18], "little"))
    tally = np.zeros(1, np.int64)
    report = ReadReport("event-stream", row_0="bottom")
    spikes = _decode(path, streams.event_stream, (raw, HEADER, kind), shape, report, until_fault, tally)
    return add_counts(spikes, {"measurements of exposure": tally[0]})


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
    raw, header, start = read_header(path, b"#")
    if not re.match(r"#!AER-DAT3\.1\s", header):
        raise format_error(path, "byte 0", "'#!AER-DAT3.1'", f"{header[:12]!r}", "is this an AEDAT 3.1 file?")
    form = re.search(r"^#\s*Format:\s*(\S+)", header, re.M)
    if form and form[1].upper() != "RAW":
        raise format_error(
            path, "header", "the line '#Format: RAW'", form[1][:40], "write it again without compression"
        )
    sensor = shape or _sensor(header)
    tally = np.zeros(len(_AEDAT31), np.int64)
    extent = np.zeros(2, np.int64)
    if sensor is None:
        # Without room for events the kernel only counts, and notes the highest y and x.
        times = np.empty(0)
        units = np.empty(0, np.int32)
        result = streams.aedat31(raw, start, 0, 0, MICROSECOND, times, units, tally, extent)
        _check_result(path, result, (2, 0, 0), until_fault)
        sensor = (2, int(extent[0]) + 1, int(extent[1]) + 1)
    spikes = _decode(path, streams.aedat31, (raw, start), sensor, ReadReport("aedat31"), until_fault, tally, extent)
    return add_counts(spikes, dict(zip(_AEDAT31, tally.tolist(), strict=True)))


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
    version = read_bytes(path)[9:12].tobytes()
    if version in (b"3.1", b"4.0"):
        rule = f"must be left out: AEDAT {version.decode()} has one layout"
        require(camera is None, f"{path}: camera", rule, camera)
    if version == b"3.1":
        return read_aedat31(path, shape, until_fault=until_fault)
    if version == b"4.0":
        spikes = read_aedat4(path, until_fault=until_fault)
    else:
        spikes = read_aedat2(path, camera, until_fault=until_fault)
    fits = shape is None or math.prod(shape) == spikes.size
    require(fits, f"{path}: shape", f"must be {spikes.shape}, as its camera has", shape)
    return spikes


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


def _decode(
    path: object,
    kernel: Callable,
    data: tuple[object, ...],
    shape: Sensor,
    report: ReadReport,
    until_fault: bool,
    *tallies: NDArray[np.int64],
) -> Spikes:
    """Return the events of a stream, which `kernel` counts and then decodes."""
    check_sensor(path, shape)
    room = 0
    error = None
    # Once to count and, if there are events, once to decode.
    for _ in range(2):
        times = np.empty(room, np.float64)
        units = np.empty(room, np.int32)
        result = kernel(*data, shape[1], shape[2], MICROSECOND, times, units, *tallies)
        room, error = _check_result(path, result, shape, until_fault)
        if room == 0:
            break
    return build_spikes(times[:room], units[:room], shape, replace(report, fault=fault_text(path, error)))


def _check_result(
    path: object, result: tuple[int, int, int], shape: Sensor, until_fault: bool
) -> tuple[int, NeurosimFormatError | None]:
    """Return the number of events in the result of a kernel, and the error where it stopped at a fault.

    Raises:
        NeurosimFormatError: it stopped at a fault, and not `until_fault`.
    """
    events, fault, at = result
    if not fault:
        return events, None
    if fault in _FAULTS:
        error = format_error(path, f"byte {at}", *_FAULTS[fault])
    else:
        error = event_fault(path, at, fault, shape)
    if not until_fault:
        raise error
    return events, error
