"""Writers of recordings in the formats of cameras: DAT, EVT2, AEDAT4, and tables of NumPy.

Times are rounded to microseconds. These formats do not hold a duration: a recording that is read back ends with its
last event.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
from numpy.typing import NDArray

from ...base.atomic import write_bytes
from ...base.errors import NeurosimInputError, require
from ..spikes import Spikes
from .aedat4 import SIGNATURE
from .aedat4_packets import EVENT

MICROSECOND = 1e-6
TIME_HIGH = 8 << 28  # kind of an EVT2 word with the upper bits of the time
EVENTS_IN_PACKET = 4096


def write_dat(path: str | os.PathLike[str], spikes: Spikes) -> None:
    """Write a Prophesee DAT file of contrast-detection events.

    Raises:
        NeurosimInputError: a sensor that is no camera or has more than 2^14 columns or rows, or more than 71 minutes.
        NeurosimWriteError: as `replacing`.
    """
    p, y, x, t = _events(spikes, "DAT", 1 << 14, 1 << 32)
    height, width = spikes.shape[1:]
    head = f"% Data file containing CD events.\n% Version 2\n% Height {height}\n% Width {width}\n".encode()
    # A record is two little-endian words of 32 bits: microseconds; polarity from bit 28, y from bit 14, x from bit 0.
    words = np.stack([t, p << 28 | y << 14 | x], axis=1).astype("<u4")
    write_bytes(path, head + bytes((12, 8)) + words.tobytes())


def write_evt2(path: str | os.PathLike[str], spikes: Spikes) -> None:
    """Write a Prophesee EVT2 recording (.raw).

    Raises:
        NeurosimInputError: a sensor that is no camera or has more than 2^11 columns or rows, or more than 4.7 hours.
        NeurosimWriteError: as `replacing`.
    """
    p, y, x, t = _events(spikes, "EVT2", 1 << 11, 1 << 34)
    height, width = spikes.shape[1:]
    head = f"% evt 2.0\n% format EVT2;height={height};width={width}\n% geometry {width}x{height}\n% end\n".encode()
    # An event has the 6 lower bits of its time. A word with the upper bits goes before each event where they changed.
    high = t >> 6
    begins = np.diff(high, prepend=-1) != 0
    words = np.empty(len(t) + int(begins.sum()), np.int64)
    places = np.arange(len(t)) + np.cumsum(begins)
    # Polarity from bit 28 (the kind of the word), time from bit 22, x from bit 11, y from bit 0.
    words[places] = p << 28 | (t & 63) << 22 | x << 11 | y
    words[places[begins] - 1] = TIME_HIGH | high[begins]
    write_bytes(path, head + words.astype("<u4").tobytes())


def write_aedat4(path: str | os.PathLike[str], spikes: Spikes) -> None:
    """Write an uncompressed AEDAT4 file with one stream of events; Unix time begins at `Spikes.report.start`.

    Raises:
        NeurosimInputError: a sensor that is no camera or has more than 2^15 columns or rows.
        NeurosimWriteError: as `replacing`.
    """
    p, y, x, t = _events(spikes, "AEDAT4", 1 << 15, 1 << 62)
    if spikes.report is not None:
        start = round(spikes.report.start / MICROSECOND)
    else:
        start = 0
    events = np.zeros(len(t), EVENT)
    events["t"] = t + start
    events["x"] = x
    events["y"] = y
    events["p"] = p
    text = _description(*spikes.shape[1:]).encode()
    tail = struct.pack("<I", len(text)) + text + b"\0"
    # No compression, and no table of packets: readers then go from packet to packet.
    head = _flatbuffer(b"IOHE", [struct.pack("<i", 0), struct.pack("<q", -1), bytes(4)], tail)
    parts = [SIGNATURE, struct.pack("<I", len(head)), head]
    for first in range(0, len(events), EVENTS_IN_PACKET):
        part = events[first : first + EVENTS_IN_PACKET]
        packet = _flatbuffer(b"EVTS", [bytes(4)], struct.pack("<I", len(part)) + part.tobytes())
        # Head of a packet: number of the stream, bytes that follow; the FlatBuffer goes after its own size.
        parts += [struct.pack("<III", 0, 4 + len(packet), len(packet)), packet]
    write_bytes(path, b"".join(parts))


def write_npy(path: str | os.PathLike[str], spikes: Spikes) -> None:
    """Write a NumPy file: .npz with arrays t (microseconds), x, y, p, height and width; .npy with the events alone.

    A population of units without rows has t and x.

    Raises:
        NeurosimInputError: a sensor that is neither a camera nor a row of units.
        NeurosimWriteError: as `replacing`.
    """
    t = np.rint(spikes.times / MICROSECOND).astype(np.int64)
    if len(spikes.shape) == 1:
        columns: Mapping[str, Any] = {"t": t, "x": spikes.units}
    else:
        p, y, x, t = _events(spikes, "NumPy", 1 << 15, 1 << 62)
        columns = {"t": t, "x": x.astype(np.uint16), "y": y.astype(np.uint16), "p": p.astype(np.uint8)}
    packed = io.BytesIO()
    if os.fspath(path).endswith(".npz"):
        sides: dict[str, Any] = dict(zip(("height", "width"), map(np.int64, spikes.shape[1:]), strict=False))
        np.savez_compressed(packed, **sides, **columns)
    else:
        table = np.empty(len(t), [(name, column.dtype) for name, column in columns.items()])
        for name, column in columns.items():
            table[name] = column
        np.save(packed, table, allow_pickle=False)
    write_bytes(path, packed.getvalue())


def _events(spikes: Spikes, name: str, sides: int, ticks: int) -> tuple[NDArray[np.int64], ...]:
    """Return polarity, y, x and microseconds of the events; raise for what the format cannot hold."""
    shape = spikes.shape
    fits = len(shape) == 3 and shape[0] == 2 and max(shape[1:]) <= sides
    require(fits, "shape", f"must be (2 polarities, height, width <= {sides}) in {name}", shape)
    t = np.rint(spikes.times / MICROSECOND).astype(np.int64)
    if len(t) and t[-1] >= ticks:
        raise NeurosimInputError(
            f"times: {name} holds less than {ticks * MICROSECOND:.0f} s (got {spikes.times[-1]:.0f})"
        )
    p, y, x = (axis.astype(np.int64) for axis in spikes.coordinates())
    return p, y, x, t


def _description(height: int, width: int) -> str:
    """Return the XML of the one stream of an AEDAT4 file."""

    def attribute(key: str, kind: str, value: object) -> str:
        return f"<attr key={quoteattr(key)} type={quoteattr(kind)}>{value}</attr>"

    info = attribute("sizeX", "int", width) + attribute("sizeY", "int", height)
    info += attribute("source", "string", "neurosim")
    stream = attribute("compression", "string", "NONE") + attribute("originalModuleName", "string", "neurosim")
    stream += attribute("originalOutputName", "string", "events") + attribute("typeIdentifier", "string", "EVTS")
    path = "/mainloop/Recorder/outInfo/"
    return (
        f'<dv version="2.0"><node name="outInfo" path="{path}"><node name="0" path="{path}0/">{stream}'
        f'<node name="info" path="{path}0/info/">{info}</node></node></node></dv>'
    )


def _flatbuffer(kind: bytes, fields: Sequence[bytes], tail: bytes) -> bytes:
    """Return a FlatBuffer of one table, whose last field is the offset to `tail`, a string or a vector.

    Its layout: offset of the table, kind, the table's own layout, the table, and `tail`, whose entries begin at a
    multiple of 8 bytes.
    """
    # Offsets of the fields in the table, each a multiple of its size; the first 4 bytes point back to the layout.
    offsets = []
    end = 4
    for part in fields:
        end = -(-end // len(part)) * len(part)
        offsets.append(end)
        end += len(part)
    # Bytes of the layout, bytes of the table, offsets. It lies at byte 8, the table at the next multiple of 8.
    layout = struct.pack(f"<{2 + len(fields)}H", 4 + 2 * len(fields), end, *offsets)
    start = -(-(8 + len(layout)) // 8) * 8
    table = bytearray(end)
    struct.pack_into("<i", table, 0, start - 8)
    for offset, part in zip(offsets, fields, strict=True):
        table[offset : offset + len(part)] = part
    # The tail begins with a count of 4 bytes; the entries after it are aligned.
    place = -(-(start + end + 4) // 8) * 8 - 4
    struct.pack_into("<I", table, offsets[-1], place - start - offsets[-1])
    head = (struct.pack("<I", start) + kind + layout).ljust(start, b"\0")
    return head + bytes(table).ljust(place - start, b"\0") + tail
