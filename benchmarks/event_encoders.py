"""Encoders of events in the formats of cameras and other programs, made from the formats' definitions alone."""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import scipy.io
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from neurosim import Spikes

Column = NDArray[np.int64]
CLOCK = 913_700_000  # us that a camera's clock has been running
US = 1e-6


@dataclass(frozen=True)
class Events:
    """Events in the order of their times: t [n] us, polarity, row and column."""

    t: Column
    p: Column
    y: Column
    x: Column

    @classmethod
    def of(cls, spikes: Spikes) -> Events:
        """Return the events of a recording of a camera."""
        p, y, x = (axis.astype(np.int64) for axis in spikes.coordinates())
        return cls(np.rint(spikes.times / US).astype(np.int64), p, y, x)

    def table(self) -> NDArray[np.int64]:
        """Return [n, 4] t from the first event on, p, y, x, those of one microsecond in the order of places."""
        rows = np.stack([self.t - self.t.min(), self.p, self.y, self.x], axis=1)
        return rows[np.lexsort(rows.T[::-1])]


def words(*columns: Column, kind: str) -> bytes:
    """Return integers of a type, those of one event side by side."""
    return np.stack(columns, axis=1).astype(kind).tobytes()


def nmnist(e: Events) -> bytes:
    stamp = e.p << 23 | e.t
    return words(e.x, e.y, stamp >> 16, stamp >> 8 & 255, stamp & 255, kind="u1")


def text(e: Events) -> bytes:
    rows = zip(e.x, e.y, 2 * e.p - 1, e.t + CLOCK, strict=True)
    return "".join(f"{x},{y},{p},{t}\n" for x, y, p, t in rows).encode()


def dat(e: Events) -> bytes:
    return b"% Version 2\n% Height 34\n% Width 34\n\x0c\x08" + words(
        e.t + CLOCK, e.p << 28 | e.y << 14 | e.x, kind="<u4"
    )


def evt2(e: Events) -> bytes:
    t = e.t + CLOCK
    pairs = words(8 << 28 | t >> 6, e.p << 28 | (t & 63) << 22 | e.x << 11 | e.y, kind="<u4")
    return b"% evt 2.0\n% format EVT2;height=34;width=34\n% end\n" + pairs


def evt21(e: Events) -> bytes:
    t = e.t + CLOCK
    code = []
    for k in range(len(t)):
        time = int(t[k])
        x = int(e.x[k])
        code += [8 << 60 | time >> 6 << 32]
        code += [int(e.p[k]) << 60 | (time & 63) << 54 | x // 32 * 32 << 43 | int(e.y[k]) << 32 | 1 << x % 32]
    return b"% evt 2.1\n% format EVT21;height=34;width=34\n% end\n" + np.array(code, "<u8").tobytes()


def evt3(e: Events) -> bytes:
    code = []
    high = -1
    low = -1
    for t, p, y, x in zip(e.t + CLOCK, e.p, e.y, e.x, strict=True):
        if t >> 12 != high:
            high = t >> 12
            low = -1
            code.append(0x8000 | high & 0xFFF)
        if t & 0xFFF != low:
            low = t & 0xFFF
            code.append(0x6000 | low)
        code += [y, 0x2000 | p << 11 | x]
    return b"% evt 3.0\n% format EVT3;height=34;width=34\n% end\n" + np.array(code, "<u2").tobytes()


def aedat2_dvs128(e: Events) -> bytes:
    # jAER counts columns of a DVS128 from the right, and polarity 0 is a rise of light.
    address = e.y << 8 | (127 - e.x) << 1 | 1 - e.p
    return b"#!AER-DAT2.0\r\n# This is a raw AE data file\r\n" + words(address, e.t + CLOCK, kind=">u4")


def aedat2_davis(e: Events) -> bytes:
    head = b"#!AER-DAT2.0\r\n# AEChip: eu.seebetter.ini.chips.davis.DAVIS240C\r\n" + b"# setting\r\n" * 2100
    # jAER counts columns of a DAVIS from the right and rows from the foot.
    return head + words((239 - e.x) << 12 | (179 - e.y) << 22 | e.p << 11, e.t + CLOCK, kind=">u4")


def aedat31(e: Events) -> bytes:
    head = b"#!AER-DAT3.1\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n"
    count = len(e.t)
    packet = struct.pack("<hhiiiiii", 1, 1, 8, 4, 0, count, count, count)
    return head + packet + words(e.x << 17 | e.y << 2 | e.p << 1 | 1, e.t + CLOCK, kind="<u4")


def aedat4(e: Events) -> bytes:
    from helpers.aedat4 import in_packets, recording

    return recording(in_packets(list(zip(*(c.tolist() for c in (e.t, e.p, e.y, e.x)), strict=True))))


def event_stream(e: Events) -> bytes:
    data = bytearray()
    last = 0
    for t, p, y, x in zip(e.t, e.p, e.y, e.x, strict=True):
        jumps, short = divmod(int(t) - last, 127)
        last = int(t)
        data += b"\xff" * jumps + bytes([short << 1 | int(p)]) + struct.pack("<HH", x, y)
    return b"Event Stream\x02\x00\x00\x01" + struct.pack("<HH", 34, 34) + bytes(data)


def structured(e: Events) -> NDArray[np.void]:
    table = np.zeros(len(e.t), [("x", "<u2"), ("y", "<u2"), ("p", "<i2"), ("t", "<i8")])
    for name in ("x", "y", "p"):
        table[name] = getattr(e, name)
    table["t"] = e.t + CLOCK
    return table


def write_shd(path: Path, e: Events) -> None:
    with h5py.File(path, "w") as root:
        for name, kind, values in (("times", "f2", e.t * US), ("units", "u2", (e.p * 34 + e.y) * 34 + e.x)):
            node = root.create_dataset(f"spikes/{name}", (1,), h5py.vlen_dtype(np.dtype(kind)))
            node[0] = values.astype(kind)
        root["labels"] = np.zeros(1, np.uint16)
        root["extra/speaker"] = np.zeros(1, np.uint16)
        root["extra/keys"] = ["zero"]


def write_prophesee(path: Path, e: Events) -> None:
    with h5py.File(path, "w") as root:
        root.create_dataset("CD/events", data=structured(e), chunks=True, compression="lzf", shuffle=True)
        root.attrs["geometry"] = "34x34"


def write_dsec(path: Path, e: Events) -> None:
    with h5py.File(path, "w") as root:
        for name in "txyp":
            root.create_dataset(f"events/{name}", data=getattr(e, name).astype("u4"), compression="gzip")
        root["t_offset"] = CLOCK


def write_matlab(path: Path, e: Events) -> None:
    """Write as MATLAB programs do: counted from 1, in doubles."""
    columns = {"x": e.x + 1.0, "y": e.y + 1.0, "p": e.p + 1.0, "ts": e.t + 1.0 * CLOCK}
    scipy.io.savemat(path, {"TD": columns})


def lines(
    order: str,
    separator: str,
    names: str = "",
    *,
    on: tuple[int, int] = (0, 1),
    first: int = 0,
    unit: float = 1.0,
) -> Callable[[Events], bytes]:
    """Return an encoder of text.

    Args:
        order: of the columns.
        separator: between them.
        names: lines before the first event.
        on: values of polarity 0 and 1.
        first: number of the first row and column.
        unit: of the times, us.
    """

    def encode(e: Events) -> bytes:
        t = e.t + CLOCK if unit == 1 else ((e.t + CLOCK) * unit).round(9)
        columns = {"t": t, "x": e.x + first, "y": e.y + first, "p": np.where(e.p == 1, on[1], on[0])}
        table = zip(*(columns[key].tolist() for key in order), strict=True)
        return (names + "".join(separator.join(map(repr, row)) + "\n" for row in table)).encode()

    return encode


def matrix(e: Events, order: str = "txyp") -> NDArray[np.int64]:
    """Return [n, 4] columns in an order."""
    columns = {"t": e.t + CLOCK, "x": e.x, "y": e.y, "p": e.p}
    return np.stack([columns[key] for key in order], axis=1)


def dat_without_size(e: Events) -> bytes:
    return dat(e).replace(b"% Height 34\n% Width 34\n", b"")


def evt3_vectors(e: Events) -> bytes:
    """Write events of one time, row and polarity that lie within 12 columns as one vector, as the sensors do."""
    code = []
    keys = list(zip((e.t + CLOCK).tolist(), e.p.tolist(), e.y.tolist(), e.x.tolist(), strict=True))
    high = -1
    while keys:
        t, p, y, x = keys[0]
        same = sorted(key[3] for key in keys if key[:3] == (t, p, y) and 0 <= key[3] - x < 12)
        keys = [key for key in keys if key[:3] != (t, p, y) or not 0 <= key[3] - x < 12]
        if t >> 12 != high:
            high = t >> 12
            code.append(0x8000 | high & 0xFFF)
        mask = sum(1 << place - x for place in same)
        code += [0x6000 | t & 0xFFF, y, 0x3000 | p << 11 | x, 0x4000 | mask]
    return b"% evt 3.0\n% format EVT3;height=34;width=34\n% end\n" + np.array(code, "<u2").tobytes()


def write_table(path: Path, e: Events) -> None:
    with h5py.File(path, "w") as root:
        root.create_dataset("events", data=matrix(e), compression="gzip", shuffle=True)


def write_mat73(path: Path, e: Events) -> None:
    """Write as MATLAB 7.3 does: HDF5 behind 512 bytes, columns first."""
    with h5py.File(path, "w", userblock_size=512) as root:
        for name in "txyp":
            root.create_dataset(f"TD/{name}", data=getattr(e, name)[None].astype("f8") + (CLOCK if name == "t" else 0))
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")


def bag(package: str, kind: str) -> Callable[[Path, Events], object]:
    """Return a writer of a bag of ROS 1 or 2 with arrays of events, by rosbags."""

    def write(path: Path, e: Events) -> Path:
        from helpers.bags import write_arrays

        table = np.stack([(e.t + CLOCK) * 1000, e.x, e.y, e.p], axis=1)
        return write_arrays(path.with_suffix(""), package, kind, table, shape=(34, 34))

    return write


def packets(encoding: str) -> Callable[[Path, Events], object]:
    """Return a writer of a bag of ROS 2 with packets of events."""

    def write(path: Path, e: Events) -> Path:
        from helpers.bags import write_packets

        if encoding == "mono":
            data = words(e.t * 1000, e.p << 31 | e.y << 16 | e.x, kind="<u4")
        else:
            # Without the header of a file.
            data = evt3(e).split(b"% end\n")[1]
        return write_packets(path.with_suffix(""), ".db3", encoding, [(CLOCK * 1000, data)], shape=(34, 34))

    return write


def written(encode: Callable[[Events], bytes]) -> Callable[[Path, Events], object]:
    return lambda path, e: path.write_bytes(encode(e))


# Each row of the table: the files of a format, by name.
FORMATS: Mapping[str, Mapping[str, Callable[[Path, Events], object]]] = {
    "N-MNIST .bin": {"a.bin": written(nmnist)},
    "SHD HDF5": {"shd.h5": write_shd},
    "CSV of another program": {"a.csv": written(text)},
    "DAT": {"a.dat": written(dat)},
    "EVT2": {"2.raw": written(evt2)},
    "EVT2.1": {"21.raw": written(evt21)},
    "EVT3": {"3.raw": written(evt3)},
    "AEDAT2 of a DVS128": {"dvs.aedat": written(aedat2_dvs128)},
    "AEDAT2 of a DAVIS": {"davis.aedat": written(aedat2_davis)},
    "AEDAT 3.1": {"31.aedat": written(aedat31)},
    "AEDAT4": {"a.aedat4": written(aedat4)},
    "Event Stream .es": {"a.es": written(event_stream)},
    ".npy, .npz": {
        "a.npy": lambda path, e: np.save(path, structured(e)),
        "a.npz": lambda path, e: np.savez(path, t=e.t + CLOCK, x=e.x, y=e.y, p=e.p, height=34, width=34),
    },
    "camera HDF5 (Prophesee, DSEC)": {"prophesee.hdf5": write_prophesee, "dsec.h5": write_dsec},
    "MATLAB .mat": {"a.mat": write_matlab},
    "ATIS .bs2": {"a.bs2": written(nmnist)},
    "DAT without a size": {"b.dat": written(dat_without_size)},
    "DAT, another suffix": {"a.td": written(dat)},
    "EVT2, another suffix": {"a.bin2": written(evt2)},
    "EVT3, another suffix": {"a.events": written(evt3)},
    "EVT3 with vectors": {"v.raw": written(evt3_vectors)},
    "AEDAT2, another suffix": {"a.aer": written(aedat2_dvs128)},
    "AEDAT4, another suffix": {"a.dv": written(aedat4)},
    "text x y t p, spaces": {"a.txt": written(lines("xytp", " "))},
    "text x y p t, tabs": {"b.txt": written(lines("xypt", "\t"))},
    "text t x y p, semicolons": {"c.txt": written(lines("txyp", ";"))},
    "text in seconds": {"d.txt": written(lines("txyp", " ", unit=1e-6))},
    "text, width and height first": {"e.txt": written(lines("txyp", " ", "34 34\n", unit=1e-6))},
    "text with a comment of its sensor": {"f.txt": written(lines("txyp", " ", "# resolution 34 34\n"))},
    "text, names in a comment": {"g.txt": written(lines("txyp", ",", "# t,x,y,p\n"))},
    "CSV with names": {"b.csv": written(lines("txyp", ",", "timestamp,x,y,polarity\n"))},
    "CSV with a unit": {"c.csv": written(lines("xypt", ",", "x,y,p,t_us\n"))},
    "CSV in milliseconds": {"d.csv": written(lines("txyp", ",", "time [ms],x,y,p\n", unit=1e-3))},
    "CSV in nanoseconds": {"e.csv": written(lines("txyp", ",", "t_ns,x,y,p\n", unit=1000))},
    "CSV, polarity -1 and 1": {"f.csv": written(lines("txyp", ",", "t,x,y,p\n", on=(-1, 1)))},
    "CSV counted from 1": {"g.csv": written(lines("txyp", ",", "t,x,y,p\n", on=(1, 2), first=1))},
    "CSV with a byte-order mark": {"h.csv": written(lambda e: b"\xef\xbb\xbf" + lines("txyp", ",", "t,x,y,p\n")(e))},
    "CSV, lines ended as by Windows": {
        "i.csv": written(lambda e: lines("txyp", ",", "t,x,y,p\n")(e).replace(b"\n", b"\r\n"))
    },
    ".npy, four columns": {"b.npy": lambda path, e: np.save(path, matrix(e))},
    ".npy, columns first": {"c.npy": lambda path, e: np.save(path, np.asfortranarray(matrix(e, "xytp")))},
    ".npy, four rows": {"d.npy": lambda path, e: np.save(path, matrix(e, "xypt").T.copy())},
    ".npy in seconds": {"e.npy": lambda path, e: np.save(path, matrix(e) * [US, 1, 1, 1])},
    ".npz, compressed": {"b.npz": lambda path, e: np.savez_compressed(path, events=structured(e))},
    "HDF5, a table": {"table.h5": write_table},
    "MATLAB 7.3": {"73.mat": write_mat73},
    "ROS 1, dvs_msgs": {"ros1.bag": bag("dvs_msgs", ".bag")},
    "ROS 1, prophesee_event_msgs": {"ros1p.bag": bag("prophesee_event_msgs", ".bag")},
    "ROS 2, .db3": {"ros2.db3": bag("dvs_msgs", ".db3")},
    "ROS 2, .mcap": {"ros2m.mcap": bag("dvs_msgs", ".mcap")},
    "ROS 2, packets mono": {"mono.db3": packets("mono")},
    "ROS 2, packets EVT3": {"evt3.db3": packets("evt3")},
}
