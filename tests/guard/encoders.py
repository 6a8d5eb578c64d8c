"""Recordings written byte by byte as cameras and programs write them: only struct, numpy, h5py and scipy."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io
from helpers.aedat4 import flatbuffer
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Events:
    """Events of a camera: microseconds, polarity (1 = ON), row and column; row 0 is where the format has it."""

    t: Ints
    p: Ints
    y: Ints
    x: Ints
    height: int
    width: int


@dataclass(frozen=True)
class Table:
    """How a table of events says times and polarities.

    Attributes:
        unit: s, of its times.
        low, high: numbers of OFF and ON.
        first: number of the first row and column.
    """

    unit: float = 1e-6
    low: int = 0
    high: int = 1
    first: int = 0

    def columns(self, e: Events) -> dict[str, NDArray[Any]]:
        t: NDArray[Any] = e.t
        if self.unit == 1e-9:
            t = e.t * 1000
        elif self.unit != 1e-6:
            t = e.t * 1e-6 / self.unit
        p = np.where(e.p == 1, self.high, self.low)
        return {"t": t, "x": e.x + self.first, "y": e.y + self.first, "p": p}


def runs(e: Events, longest: int) -> list[tuple[int, int, int, int, int]]:
    """Return (t, p, y, first x, mask) of events that share all but the column, within `longest` columns."""
    found: list[tuple[int, int, int, int, int]] = []
    for t, p, y, x in zip(e.t.tolist(), e.p.tolist(), e.y.tolist(), e.x.tolist(), strict=True):
        if found:
            *same, first, mask = found[-1]
            further = x - first
            if same == [t, p, y] and 0 < further < longest and mask >> further == 0:
                found[-1] = (t, p, y, first, mask | 1 << further)
                continue
        found.append((t, p, y, x, 1))
    return found


# Cameras


def nmnist(e: Events) -> bytes:
    data = bytearray()
    clock = 0
    for t, p, y, x in zip(e.t.tolist(), e.p.tolist(), e.y.tolist(), e.x.tolist(), strict=True):
        while t - clock >= 1 << 23:
            data += bytes([0, 240, 0, 0, 0])
            clock += 1 << 13
        data += bytes([x, y]) + (p << 23 | t - clock).to_bytes(3, "big")
    return bytes(data)


def dat(e: Events) -> bytes:
    head = f"% Version 2\n% Height {e.height}\n% Width {e.width}\n".encode() + b"\x0c\x08"
    return head + np.stack([e.t, e.p << 28 | e.y << 14 | e.x], axis=1).astype("<u4").tobytes()


def evt2(e: Events) -> bytes:
    words = []
    upper = -1
    for t, p, y, x in zip(e.t.tolist(), e.p.tolist(), e.y.tolist(), e.x.tolist(), strict=True):
        if t >> 6 != upper:
            upper = t >> 6
            words.append(8 << 28 | upper & 0xFFFFFFF)
        words.append(p << 28 | (t & 63) << 22 | x << 11 | y)
    return f"% evt 2.0\n% geometry {e.width}x{e.height}\n% end\n".encode() + np.array(words, "<u4").tobytes()


def evt21(e: Events, order: str = "little") -> bytes:
    words = []
    upper = -1
    for t, p, y, first, mask in runs(e, 32):
        if t >> 6 != upper:
            upper = t >> 6
            words.append(8 << 60 | (upper & 0xFFFFFFF) << 32)
        words.append(p << 60 | (t & 63) << 54 | first << 43 | y << 32 | mask)
    raw = np.array(words, np.uint64)
    if order == "legacy":
        raw = raw << np.uint64(32) | raw >> np.uint64(32)
    shape = f"height={e.height};width={e.width}"
    head = f"% evt 2.1\n% format EVT21;endianness={order};{shape}\n% end\n".encode()
    return head + raw.astype("<u8").tobytes()


def evt3(e: Events) -> bytes:
    words = []
    upper = -1
    lower = -1
    for t, p, y, first, mask in runs(e, 12):
        if t >> 12 != upper:
            upper = t >> 12
            lower = -1
            words.append(8 << 12 | upper & 0xFFF)
        if t & 0xFFF != lower:
            lower = t & 0xFFF
            words.append(6 << 12 | lower)
        words.append(y)
        if mask == 1:
            words.append(2 << 12 | p << 11 | first)
        elif mask < 1 << 8:
            words += [3 << 12 | p << 11 | first, 5 << 12 | mask]
        else:
            words += [3 << 12 | p << 11 | first, 4 << 12 | mask]
    return f"% evt 3.0\n% geometry {e.width}x{e.height}\n% end\n".encode() + np.array(words, "<u2").tobytes()


def _aedat2(chip: str, address: Ints, t: Ints) -> bytes:
    head = f"#!AER-DAT2.0\r\n# AEChip: {chip}\r\n# <preference/>\r\n#End Of ASCII Header\r\n".encode()
    return head + np.stack([address, t & 0xFFFFFFFF], axis=1).astype(">u4").tobytes()


def dvs128_jaer(e: Events) -> bytes:
    return _aedat2("ch.unizh.ini.jaer.chip.retina.DVS128", e.y << 8 | (127 - e.x) << 1 | 1 - e.p, e.t)


def dvs128_libcaer(e: Events) -> bytes:
    return _aedat2("DVS128", (127 - e.y) << 8 | (127 - e.x) << 1 | 1 - e.p, e.t)


def dvs128_tonic(e: Events) -> bytes:
    return _aedat2("DVS128", e.x << 8 | e.y << 1 | e.p, e.t)


DAVIS = {
    (128, 128): "Davis128",
    (192, 208): "Davis208PixelParade",
    (180, 240): "eu.seebetter.ini.chips.davis.DAVIS240C",
    (260, 346): "eu.seebetter.ini.chips.davis.Davis346B",
    (480, 640): "Davis640",
}


def davis(e: Events) -> bytes:
    address = (e.height - 1 - e.y) << 22 | (e.width - 1 - e.x) << 12 | e.p << 11
    return _aedat2(DAVIS[e.height, e.width], address, e.t)


def aedat31(e: Events) -> bytes:
    data = b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: Another\r\n#!END-HEADER\r\n"
    overflow = e.t >> 31
    for number in np.unique(overflow).tolist():
        mine = overflow == number
        words = np.stack([e.x << 17 | e.y << 2 | e.p << 1 | 1, e.t & 0x7FFFFFFF], axis=1)[mine].astype("<u4")
        data += struct.pack("<hhiiiiii", 1, 1, 8, 4, number, len(words), len(words), len(words)) + words.tobytes()
    return data


UNIX = 1_600_000_000_000_000


def aedat4(e: Events) -> bytes:
    """Return a file of one stream of events without compression; its clock shows microseconds of Unix time."""
    sides = f'<attr key="sizeX" type="int">{e.width}</attr><attr key="sizeY" type="int">{e.height}</attr>'
    kind = '<attr key="compression" type="string">NONE</attr><attr key="typeIdentifier" type="string">EVTS</attr>'
    stream = f'<node name="0" path="/a/0/">{kind}<node name="info" path="/a/0/info/">{sides}</node></node>'
    text = f'<dv version="2.0"><node name="outInfo" path="/a/">{stream}</node></dv>'.encode()
    fields = [struct.pack("<i", 0), struct.pack("<q", -1), bytes(4)]
    head = flatbuffer(b"IOHE", fields, struct.pack("<I", len(text)) + text + b"\0")
    data = b"#!AER-DAT4.0\r\n" + struct.pack("<I", len(head)) + head
    for first in range(0, len(e.t), 50):
        rows = [
            struct.pack("<qhhB3x", UNIX + t, x, y, p)
            for t, x, y, p in zip(*(v[first : first + 50].tolist() for v in (e.t, e.x, e.y, e.p)), strict=True)
        ]
        packet = flatbuffer(b"EVTS", [bytes(4)], struct.pack("<I", len(rows)) + b"".join(rows))
        data += struct.pack("<III", 0, 4 + len(packet), len(packet)) + packet
    return data


def event_stream(e: Events, kind: int) -> bytes:
    step, rest = (127, 1) if kind == 1 else (63, 2)
    data = bytearray()
    last = 0
    for t, p, y, x in zip(e.t.tolist(), e.p.tolist(), e.y.tolist(), e.x.tolist(), strict=True):
        jumps, short = divmod(t - last, step)
        whole, left = divmod(jumps, (1 << rest) - 1)
        data += bytes([step << rest | (1 << rest) - 1]) * whole
        data += bytes([step << rest | left]) if left else b""
        data += bytes([short << rest | (p if kind == 1 else p << 1)]) + struct.pack("<HH", x, y)
        last = t
    return b"Event Stream\x02\x00\x00" + bytes([kind]) + struct.pack("<HH", e.width, e.height) + bytes(data)


# Tables

UNITS = {1e-6: "us", 1.0: "s", 1e-3: "ms", 1e-9: "ns"}


def own_csv(path: Path, e: Events, table: Table) -> None:
    rows = [
        f"{t / 1e6:.6f},{x},{y},{p}\n"
        for t, x, y, p in zip(e.t.tolist(), e.x.tolist(), e.y.tolist(), e.p.tolist(), strict=True)
    ]
    head = f"# neurosim spikes; t in seconds; shape 2 {e.height} {e.width}; duration {e.t[-1] / 1e6:.6f}\nt,x,y,p\n"
    path.write_text(head + "".join(rows))


def _text(table: Table, e: Events, order: str, between: str) -> str:
    columns = table.columns(e)
    shown = {
        name: [f"{v:.9f}" if array.dtype.kind == "f" else str(v) for v in array] for name, array in columns.items()
    }
    return "".join(between.join(row) + "\n" for row in zip(*(shown[name] for name in order), strict=True))


def named_csv(path: Path, e: Events, table: Table) -> None:
    path.write_text(f"x;y;polarity;time [{UNITS[table.unit]}]\n" + _text(table, e, "xypt", ";"))


def unnamed_text(path: Path, e: Events, table: Table) -> None:
    path.write_text("# by another program\n" + _text(table, e, "txyp", " "))


def fields(path: Path, e: Events, table: Table) -> None:
    columns = table.columns(e)
    rows = np.zeros(len(e.t), [("x", "<u2"), ("y", "<u2"), ("timestamp", columns["t"].dtype), ("polarity", "<i2")])
    for name, key in (("x", "x"), ("y", "y"), ("timestamp", "t"), ("polarity", "p")):
        rows[name] = columns[key]
    np.save(path, rows)


def matrix(path: Path, e: Events, table: Table) -> None:
    columns = table.columns(e)
    np.save(path, np.stack([columns[name] for name in "xytp"], axis=1))


def archive(path: Path, e: Events, table: Table) -> None:
    np.savez(path, **table.columns(e), height=e.height, width=e.width)


def prophesee_hdf5(path: Path, e: Events, table: Table) -> None:
    columns = table.columns(e)
    rows = np.zeros(len(e.t), [("x", "<u2"), ("y", "<u2"), ("p", "<i2"), ("t", columns["t"].dtype)])
    for name, column in columns.items():
        rows[name] = column
    with h5py.File(path, "w") as root:
        root.create_dataset("CD/events", data=rows, chunks=True, compression="gzip")
        root.attrs["geometry"] = f"{e.width}x{e.height}"


def dsec_hdf5(path: Path, e: Events, table: Table) -> None:
    """Write arrays whose times count from an offset, which is the second before the first event."""
    offset = max(int(e.t[0]) - 1_000_000, 0)
    columns = table.columns(Events(e.t - offset, e.p, e.y, e.x, e.height, e.width))
    with h5py.File(path, "w") as root:
        for name, column in columns.items():
            root.create_dataset(f"events/{name}", data=column)
        root["t_offset"] = offset


def matlab(path: Path, e: Events, table: Table) -> None:
    columns = {name: column.astype(np.float64) for name, column in table.columns(e).items()}
    scipy.io.savemat(path, {"TD": {"ts": columns.pop("t"), **columns}})


def sonata(path: Path, e: Events, table: Table) -> None:
    names = {1.0: "seconds", 1e-3: "milliseconds"}
    units = (e.p * e.height + e.y) * e.width + e.x
    with h5py.File(path, "w") as root:
        root["spikes/camera/node_ids"] = units
        root["spikes/camera/timestamps"] = table.columns(e)["t"]
        root["spikes/camera/timestamps"].attrs["units"] = names[table.unit]
        root["spikes/camera"].attrs["size"] = 2 * e.height * e.width


Write = Callable[[Path, Events, Table], object]


def _bytes(encode: Callable[[Events], bytes]) -> Write:
    return lambda path, e, table: path.write_bytes(encode(e))


ENCODERS: Mapping[str, tuple[str, Write]] = {
    "N-MNIST": (".bin", _bytes(nmnist)),
    "DAT": (".dat", _bytes(dat)),
    "EVT2": (".raw", _bytes(evt2)),
    "EVT2.1": (".raw", _bytes(evt21)),
    "EVT2.1, legacy": (".raw", _bytes(lambda e: evt21(e, "legacy"))),
    "EVT3": (".raw", _bytes(evt3)),
    "AEDAT2, DVS128 of jAER": (".aedat", _bytes(dvs128_jaer)),
    "AEDAT2, DVS128 of libcaer": (".aedat", _bytes(dvs128_libcaer)),
    "AEDAT2, DVS128 of tonic": (".aedat", _bytes(dvs128_tonic)),
    "AEDAT2, DAVIS": (".aedat", _bytes(davis)),
    "AEDAT 3.1": (".aedat", _bytes(aedat31)),
    "AEDAT4": (".aedat4", _bytes(aedat4)),
    "Event Stream, DVS": (".es", _bytes(lambda e: event_stream(e, 1))),
    "Event Stream, ATIS": (".es", _bytes(lambda e: event_stream(e, 2))),
    "own CSV": (".csv", own_csv),
    "CSV with names": (".csv", named_csv),
    "text without names": (".txt", unnamed_text),
    "NumPy fields": (".npy", fields),
    "NumPy matrix": (".npy", matrix),
    "NumPy archive": (".npz", archive),
    "HDF5 of Prophesee": (".hdf5", prophesee_hdf5),
    "HDF5 of DSEC": (".h5", dsec_hdf5),
    "MATLAB": (".mat", matlab),
    "SONATA": (".h5", sonata),
}
