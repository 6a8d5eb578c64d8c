"""AEDAT2 recordings of iniVation's cameras, as jAER and cAER write them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...base.errors import lookup
from ...base.raw import event_fault, format_error
from ...kernels.io.faults import BACKWARDS, OUTSIDE
from ..read_report import ReadReport
from ..spikes import Spikes
from .cameras import MICROSECOND, add_counts, build_spikes, fault_text, read_header, words_of


class Camera(NamedTuple):
    """Layout of an AEDAT2 address, and a program that reads it in this way.

    Attributes:
        height, width: of the sensor.
        x, y: place of the bits in the address, (shift, mask).
        p: place of the bit of polarity.
        flipped: whether x, y and polarity count from the far end.
        kinds: records that are not events, by the bits (mask, value) that mark them; the first that fits.
        decoder: name of the program.
        row_0: where its pictures have row 0, "top" or "bottom".
        darker: whether polarity 1 is a fall of light, as this program has it.
    """

    height: int
    width: int
    x: tuple[int, int]
    y: tuple[int, int]
    p: int
    flipped: tuple[bool, bool, bool]
    kinds: tuple[tuple[str, int, int], ...]
    decoder: str
    row_0: str
    darker: bool = False


# Bytes of a record.
RECORD = 8
_EXTERNAL = "external events"
_DVS128_KINDS = ((_EXTERNAL, 1 << 31, 1 << 31), (_EXTERNAL, 1 << 15, 1 << 15))
# Bit 31 marks a record of a DAVIS that is not an event; bits 10 and 11 then tell an inertial sample from a frame's.
_DAVIS_KINDS = (
    ("inertial samples", 1 << 31 | 3 << 10, 1 << 31 | 3 << 10),
    ("samples of frames", 1 << 31, 1 << 31),
    (_EXTERNAL, 1 << 10, 1 << 10),
)


def _davis(height: int, width: int) -> Camera:
    # jAER has y as in the address, row 0 at the bottom; tonic turns the rows.
    flipped = (True, True, False)
    return Camera(height, width, (12, 0x3FF), (22, 0x1FF), 11, flipped, _DAVIS_KINDS, "tonic", "top")


def _dvs128(flipped: tuple[bool, bool, bool], decoder: str, row_0: str) -> Camera:
    # Polarity 0 is a rise of light (jAER, DVS128.Extractor).
    return Camera(128, 128, (1, 0x7F), (8, 0x7F), 0, flipped, _DVS128_KINDS, decoder, row_0)


# tonic takes x for y, and the bit of polarity as it is.
_DVS128_TONIC = Camera(
    128, 128, (8, 0x7F), (1, 0x7F), 0, (False, False, False), _DVS128_KINDS, "tonic", "top", darker=True
)
CAMERAS: Mapping[str, Camera] = {
    "dvs128": _dvs128((True, False, True), "jAER", "bottom"),
    "dvs128-libcaer": _dvs128((True, True, True), "libcaer", "top"),
    "dvs128-tonic": _DVS128_TONIC,
    "davis128": _davis(128, 128),
    "davis208": _davis(192, 208),
    "davis240": _davis(180, 240),
    "davis346": _davis(260, 346),
    "davis640": _davis(480, 640),
}
# Former names of chips, as jAER writes them.
_CHIPS = {"tmpdiff128": "dvs128", "sbret10": "davis240", "sbret20": "davis240", "sbret21": "davis240"}


def read_aedat2(path: str | os.PathLike[str], camera: str | None = None, *, until_fault: bool = False) -> Spikes:
    """Return the events of an AEDAT2 recording; samples of frames, inertial samples and external events are counted.

    Times are read from the camera's 32-bit counter of microseconds; where it starts again, they go on. A DVS128 is read
    as jAER, the viewer of the camera, reads it: x = 127 - (address >> 1 & 127), y = address >> 8 & 127, polarity
    1 - (address & 1). Row 0 of its pictures is at the bottom; `Spikes.upright` turns the rows.

    Args:
        path: of the file.
        camera: layout of the addresses, a name in `CAMERAS`; None: by the chip that the header names, a DVS128 if it
            names none.
        until_fault: return the events before the first fault instead of raising; `Spikes.report` names the fault.

    Raises:
        NeurosimInputError: no such camera.
        NeurosimMissingError: no such file.
        NeurosimFormatError: as `read_dat`; a header that names another chip; without a name, addresses that a DVS128
            does not have.
    """
    raw, header, start = read_header(path, b"#")
    if not header.startswith("#!AER-DAT2"):
        raise format_error(path, "byte 0", "'#!AER-DAT2'", f"{header[:12]!r}", "is this an AEDAT 2.0 file?")
    camera = camera or _chip(path, header)
    name = camera or "dvs128"
    layout = lookup(CAMERAS, name, "read_aedat2.camera")
    # A record is two big-endian 32-bit words: address, time in microseconds.
    error = None
    rest = (raw.size - start) % RECORD
    if rest and until_fault:
        where = f"byte {raw.size - rest}"
        error = format_error(path, where, f"complete words of {RECORD} bytes", f"{rest} bytes", "it was cut short")
        raw = raw[: raw.size - rest]
    words = words_of(path, raw, start, ">u4", 2).astype(np.int64).reshape(-1, 2)
    too_large = words[:, 0] >> 16 != 0
    if camera is None and too_large.any():
        at = int(np.argmax(too_large))
        expected = "an address of a DVS128, below 2^16, for the header names no chip"
        got = hex(words[at, 0])
        step = f"give camera= one of {', '.join(sorted(CAMERAS))}"
        raise format_error(path, f"byte {start + RECORD * at}", expected, got, step)
    record, skipped = _events(words[:, 0], layout)
    address, t = words[record].T
    # The counter has 32 bits: a fall by half of its range is a new start.
    t = t + (np.cumsum(np.diff(t, prepend=0) < -(1 << 31)) << 32)
    x, y = (address >> shift & mask for shift, mask in (layout.x, layout.y))
    outside = (x >= layout.width) | (y >= layout.height)
    backwards = np.diff(t, prepend=0) < 0
    shape = (2, layout.height, layout.width)
    if np.any(outside | backwards):
        at = int(np.argmax(outside | backwards))
        fault = OUTSIDE if outside[at] else BACKWARDS
        error = event_fault(path, start + RECORD * int(record[at]), fault, shape)
        if not until_fault:
            raise error
        x = x[:at]
        y = y[:at]
        t = t[:at]
        address = address[:at]
    p = address >> layout.p & 1
    x, y, p = (
        size - 1 - v if flip else v
        for v, size, flip in zip((x, y, p), (layout.width, layout.height, 2), layout.flipped, strict=True)
    )
    units = (p * layout.height + y) * layout.width + x
    description = f"camera {name}: pixels and polarity as in {layout.decoder}"
    polarity_1 = "darker" if layout.darker else "brighter"
    report = ReadReport(
        "aedat2", layout=description, row_0=layout.row_0, polarity_1=polarity_1, fault=fault_text(path, error)
    )
    return add_counts(build_spikes(t * MICROSECOND, units.astype(np.int32), shape, report), skipped)


def _events(address: NDArray[np.int64], layout: Camera) -> tuple[NDArray[np.int64], dict[str, int]]:
    """Return the indices of the records that are events, and the numbers of the others by kind."""
    rest = np.ones(len(address), bool)
    skipped = dict.fromkeys((name for name, *_ in layout.kinds), 0)
    for name, mask, value in layout.kinds:
        matches = rest & (address & mask == value)
        skipped[name] += int(matches.sum())
        rest &= ~matches
    return np.flatnonzero(rest), skipped


def _chip(path: object, header: str) -> str | None:
    """Return the camera whose chip the header names; None if it names none."""
    line = re.search(r"^#\s*AEChip:\s*(\S[^\r\n]*)", header, re.M)
    if line is None:
        return None
    # A Java class, e.g. eu.seebetter.ini.chips.davis.Davis346B, or a plain name, e.g. DAVIS240C.
    chip = line[1].strip().rpartition(".")[2].lower()
    name = next((camera for former, camera in _CHIPS.items() if chip.startswith(former)), None)
    name = name or next((camera for camera in CAMERAS if chip.startswith(camera)), None)
    if name is None:
        step = f"give camera= one of {', '.join(sorted(CAMERAS))} if it has the same addresses"
        raise format_error(path, "header", "a DVS128 or DAVIS after '# AEChip:'", f"{line[1].strip()[:60]!r}", step)
    return name
