"""AEDAT2 recordings of iniVation's cameras, as jAER and cAER write them."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...base.errors import NeurosimFormatError, lookup
from ...base.raw import event_fault, format_error
from ...kernels.io.faults import BACKWARDS, OUTSIDE
from ..read_report import ReadReport
from ..spikes import Spikes
from .cameras import parse_header
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
    return Camera(
        height=height,
        width=width,
        x=(12, 0x3FF),
        y=(22, 0x1FF),
        p=11,
        flipped=flipped,
        kinds=_DAVIS_KINDS,
        decoder="tonic",
        row_0="top",
    )


def _dvs128(flipped: tuple[bool, bool, bool], decoder: str, row_0: str) -> Camera:
    # Polarity 0 is a rise of light (jAER, DVS128.Extractor).
    return Camera(
        height=128,
        width=128,
        x=(1, 0x7F),
        y=(8, 0x7F),
        p=0,
        flipped=flipped,
        kinds=_DVS128_KINDS,
        decoder=decoder,
        row_0=row_0,
    )


# tonic takes x for y, and the bit of polarity as it is.
_DVS128_TONIC = Camera(
    height=128,
    width=128,
    x=(8, 0x7F),
    y=(1, 0x7F),
    p=0,
    flipped=(False, False, False),
    kinds=_DVS128_KINDS,
    decoder="tonic",
    row_0="top",
    darker=True,
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
    return read_whole(path, open_aedat2, until_fault, camera)


def open_aedat2(path: FilePath, head: NDArray[np.uint8], camera: str | None = None) -> Aedat2Decoder:
    """Return the decoder of an AEDAT2 file, whose first bytes are `head`, with all of its header."""
    header, start = parse_header(path, head, b"#")
    if not header.startswith("#!AER-DAT2"):
        raise format_error(path, "byte 0", "'#!AER-DAT2'", f"{header[:12]!r}", "is this an AEDAT 2.0 file?")
    camera = camera or _chip(path, header)
    name = camera or "dvs128"
    layout = lookup(CAMERAS, name, "read_aedat2.camera")
    description = f"camera {name}: pixels and polarity as in {layout.decoder}"
    polarity_1 = "darker" if layout.darker else "brighter"
    report = ReadReport("aedat2", layout=description, row_0=layout.row_0, polarity_1=polarity_1)
    return Aedat2Decoder(path, start, report, layout, named=camera is not None)


@dataclass
class Aedat2Decoder(EventDecoder):
    """A file of addresses and times, decoded in pieces.

    Attributes:
        path, start, report: as in `EventDecoder`.
        layout: of an address.
        named: whether the header, or the user, names the camera.
        skipped: numbers of records that are no events, by kind.
        counter: latest value of the camera's counter of microseconds.
        loops: us, of the counter starting again.
        latest: time of the latest event, us.
    """

    path: FilePath
    start: int
    report: ReadReport
    layout: Camera
    named: bool
    skipped: Counter[str] = field(default_factory=Counter)
    counter: int = 0
    loops: int = 0
    latest: int = 0

    def __post_init__(self) -> None:
        self.record = RECORD
        self.shape = (2, self.layout.height, self.layout.width)

    def find_shape(self, pieces: Iterable[FilePiece], end: int) -> Sensor:
        raise NotImplementedError("a camera of AEDAT 2.0 has one sensor")

    def decode(self, data: NDArray[np.uint8], byte: int, end: int) -> DecodedPiece:
        layout = self.layout
        # A record is two big-endian 32-bit words: address, time in microseconds.
        rest = data.size % RECORD
        used = data.size - rest
        words = np.frombuffer(data[:used].data, ">u4").astype(np.int64).reshape(-1, 2)
        error = None
        if rest and byte + data.size >= end:
            error = cut_record(self.path, byte + data.size, RECORD, rest)
        if not self.named:
            self._check_addresses(words[:, 0], byte)
        record, skipped = _events(words[:, 0], layout)
        address, counter = words[record].T
        # The counter has 32 bits: a fall by half of its range is a new start.
        falls = np.diff(counter, prepend=self.counter) < -(1 << 31)
        t = counter + self.loops + (np.cumsum(falls) << 32)
        shift_x, mask_x = layout.x
        shift_y, mask_y = layout.y
        x = address >> shift_x & mask_x
        y = address >> shift_y & mask_y
        p = address >> layout.p & 1
        outside = (x >= layout.width) | (y >= layout.height)
        faults = outside | (np.diff(t, prepend=self.latest) < 0)
        at = len(t)
        if np.any(faults):
            at = int(np.argmax(faults))
            fault = OUTSIDE if outside[at] else BACKWARDS
            error = event_fault(self.path, byte + RECORD * int(record[at]), fault, (2, layout.height, layout.width))
            _, skipped = _events(words[: record[at], 0], layout)
        self.skipped.update(skipped)
        if at:
            self.counter = int(counter[at - 1])
            self.latest = int(t[at - 1])
            self.loops = self.latest - self.counter
        flip_x, flip_y, flip_p = layout.flipped
        if flip_x:
            x = layout.width - 1 - x
        if flip_y:
            y = layout.height - 1 - y
        if flip_p:
            p = 1 - p
        units = ((p * layout.height + y) * layout.width + x)[:at]
        return DecodedPiece(t[:at] * MICROSECOND, units.astype(np.int32), error, used)

    def final_report(self, error: NeurosimFormatError | None) -> ReadReport:
        return counted(self.report, self.path, error, self.skipped)

    def _check_addresses(self, addresses: NDArray[np.int64], byte: int) -> None:
        """Raise NeurosimFormatError for addresses that a DVS128 does not have, where no header names a camera."""
        too_large = addresses >> 16 != 0
        if not too_large.any():
            return
        at = int(np.argmax(too_large))
        expected = "an address of a DVS128, below 2^16, for the header names no chip"
        step = f"give camera= one of {', '.join(sorted(CAMERAS))}"
        raise format_error(self.path, f"byte {byte + RECORD * at}", expected, hex(addresses[at]), step)


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
