"""One small file of every format, its reader, and broken forms of it."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io

from neurosim import Recordings, Spikes
from neurosim.base.json_toml import read_json, read_toml
from neurosim.data import extract, read_csv, read_nmnist, read_sonata
from neurosim.data.files.aedat import read_aedat2
from neurosim.data.files.aedat4 import read_aedat4
from neurosim.data.files.camera_hdf5 import read_camera_hdf5
from neurosim.data.files.cameras import read_dat, read_evt2, read_evt3, read_evt21, read_raw
from neurosim.data.files.mat import read_mat
from neurosim.data.files.nmnist import encode_nmnist, read_nmnist_many
from neurosim.data.files.numpy_files import read_npy
from neurosim.data.files.shd import read_shd
from neurosim.data.files.streams import read_aedat31, read_event_stream

from . import aedat4


def recording(n: int = 60, shape: tuple[int, ...] = (2, 34, 34)) -> Spikes:
    rng = np.random.default_rng(n)
    size = int(np.prod(shape))
    return Spikes.sort(rng.integers(0, 300_000, n) * 1e-6, rng.integers(0, size, n), size, shape=shape)


def nmnist() -> bytes:
    # Past 2^23 us, so that there are markers to break.
    spikes = recording()
    return encode_nmnist(Spikes(spikes.times * 40, spikes.units, spikes.size, 20.0, spikes.shape))


def csv() -> bytes:
    spikes = recording(25)
    p, y, x = spikes.coordinates()
    rows = zip(spikes.times.tolist(), x.tolist(), y.tolist(), p.tolist(), strict=True)
    head = "# neurosim spikes; shape 2 34 34; duration 0.5\nt,x,y,p\n"
    return (head + "".join(f"{t!r},{x},{y},{p}\n" for t, x, y, p in rows)).encode()


def dat() -> bytes:
    rng = np.random.default_rng(1)
    words = np.stack(
        [np.sort(rng.integers(0, 1 << 20, 40)), rng.integers(0, 2, 40) << 28 | rng.integers(0, 100, 40)], 1
    )
    return b"% Version 2\n% Height 100\n% Width 120\n\x0c\x08" + words.astype("<u4").tobytes()


def evt2() -> bytes:
    words = [8 << 28 | 7] + [k % 2 << 28 | k << 22 | k << 11 | k for k in range(40)] + [8 << 28 | 8]
    return b"% evt 2.0\n% geometry 640x480\n% end\n" + np.array(words, "<u4").tobytes()


def evt21() -> bytes:
    words = [8 << 60 | 7 << 32] + [k % 2 << 60 | k << 54 | 32 * k << 43 | k << 32 | 3 << k % 30 for k in range(20)]
    return b"% evt 2.1\n% format EVT21;height=480;width=640\n% end\n" + np.array(words, "<u8").tobytes()


def evt3() -> bytes:
    state = [0x0011, 0x3010, 0x4FFF, 0x50FF, 0x2801, 0x6020, 0x0012, 0x2003, 0xA000, 0xE000, 0x7000]
    words = [word for k in range(6) for word in (0x8000 + k, 0x6010, *state)]
    return b"% evt 3.0\n% format EVT3;height=720;width=1280\n" + np.array(words, "<u2").tobytes()


def aedat2() -> bytes:
    rng = np.random.default_rng(2)
    words = np.stack([rng.integers(0, 1 << 15, 40), np.sort(rng.integers(0, 1 << 20, 40))], axis=1)
    return b"#!AER-DAT2.0\r\n# comment\r\n" + words.astype(">u4").tobytes()


def davis() -> bytes:
    rng = np.random.default_rng(2)
    address = rng.integers(0, 240, 40) << 12 | rng.integers(0, 180, 40) << 22 | rng.integers(0, 4, 40) << 10
    words = np.stack([address | rng.integers(0, 2, 40) << 31, np.sort(rng.integers(0, 1 << 20, 40))], axis=1)
    return b"#!AER-DAT2.0\r\n# AEChip: eu.seebetter.ini.chips.davis.DAVIS240C\r\n" + words.astype(">u4").tobytes()


def aedat31() -> bytes:
    rng = np.random.default_rng(4)
    data = b"#!AER-DAT3.1\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n"
    for k in range(4):
        place = rng.integers(0, 128, 10) << 17 | rng.integers(0, 128, 10) << 2 | rng.integers(0, 4, 10)
        events = np.stack([place, np.sort(rng.integers(k << 10, k + 1 << 10, 10))], 1)
        data += np.array([1 | 1 << 16, 8, 4, 0, 10, 10, 10], "<u4").tobytes() + events.astype("<u4").tobytes()
    return data


def dv(*compression: object) -> bytes:
    return aedat4.recording(aedat4.in_packets(aedat4.made(150)), *compression)


def atis() -> bytes:
    events = [bytes([k % 50 << 2 | k & 3, 3 * k, 1, k, 0]) + b"\xff" * (k % 3) for k in range(40)]
    return b"Event Stream\x02\x00\x00\x02\x90\x01\xf0\x00" + b"".join(events)


def npy() -> bytes:
    spikes = recording()
    data = io.BytesIO()
    p, y, x = spikes.coordinates()
    events = np.zeros(len(spikes), [("t", "<i8"), ("x", "<u2"), ("y", "<u2"), ("p", "?")])
    events["t"] = spikes.times * 1e6
    events["x"] = x
    events["y"] = y
    events["p"] = p
    np.save(data, events)
    return data.getvalue()


def npz() -> bytes:
    rng = np.random.default_rng(5)
    data = io.BytesIO()
    columns = {"x": rng.integers(0, 99, 50), "y": rng.integers(0, 99, 50), "p": rng.integers(0, 2, 50) * 2.0 - 1}
    np.savez_compressed(data, t=np.sort(rng.random(50)), height=100, width=100, **columns)
    return data.getvalue()


def hdf5(fill: Callable[[h5py.File], None]) -> bytes:
    data = io.BytesIO()
    with h5py.File(data, "w") as root:
        fill(root)
    return data.getvalue()


def shd(**storage: object) -> bytes:
    def fill(root: h5py.File) -> None:
        rng = np.random.default_rng(3)
        for name, kind in (("times", np.float16), ("units", np.uint16)):
            node = root.create_dataset(f"spikes/{name}", (4,), h5py.vlen_dtype(kind), **storage)
            for i, n in enumerate((5, 9, 0, 7)):
                node[i] = np.sort(rng.random(n) * (1 if kind == np.float16 else 700)).astype(kind)
        root["labels"] = np.arange(4, dtype=np.uint16)
        root["extra/speaker"] = np.arange(4, dtype=np.uint16)
        root["extra/keys"] = ["zero", "one", "two", "three"]

    return hdf5(fill)


def camera(**storage: object) -> bytes:
    def fill(root: h5py.File) -> None:
        rng = np.random.default_rng(6)
        for name, top in (("x", 40), ("y", 30), ("p", 2), ("t", 9000)):
            values = rng.integers(0, top, 100)
            root.create_dataset(f"events/{name}", data=np.sort(values) if name == "t" else values, **storage)
        root["t_offset"] = 7
        root.attrs["geometry"] = np.bytes_("40x30")

    return hdf5(fill)


def filtered(name: str, **options: object) -> bytes:
    plugin = pytest.importorskip("hdf5plugin", reason="hdf5plugin is not installed")
    pytest.importorskip("zstandard", reason="zstandard is not installed")
    return camera(chunks=(30,), **getattr(plugin, name)(**options))


def prophesee() -> bytes:
    def fill(root: h5py.File) -> None:
        events = np.zeros(100, [("x", "<u2"), ("y", "<u2"), ("p", "<i2"), ("t", "<i8")])
        events["t"] = np.arange(100)
        root.create_dataset("CD/events", data=events, chunks=(30,), compression="lzf", shuffle=True)

    return hdf5(fill)


def mat(**options: object) -> bytes:
    rng = np.random.default_rng(7)
    data = io.BytesIO()
    columns = {"x": rng.integers(1, 99, 50), "y": rng.integers(1, 99, 50), "p": rng.integers(1, 3, 50)}
    scipy.io.savemat(data, {"TD": {**columns, "ts": np.sort(rng.integers(0, 9999, 50)) * 1.0}}, **options)
    return data.getvalue()


def mat73() -> bytes:
    data = io.BytesIO()
    with h5py.File(data, "w", userblock_size=512) as root:
        for k, name in enumerate(("x", "y", "p", "ts")):
            root[f"TD/{name}"] = np.sort(np.random.default_rng(k).integers(0, (90, 90, 2, 999)[k], (1, 50))) * 1.0
    return b"MATLAB 7.3 MAT-file".ljust(512) + data.getvalue()[512:]


def sonata() -> bytes:
    def fill(root: h5py.File) -> None:
        for name in "ab":
            group = root.create_group(f"spikes/{name}")
            group.attrs["sorting"] = "by_time"
            group.attrs["shape"] = [2, 5]
            if name == "a":
                options = {"chunks": (20,), "compression": "gzip"}
            else:
                options = {}
            node = group.create_dataset("timestamps", data=np.arange(50) * 1e-3, **options)
            node.attrs["units"] = "seconds"
            group.create_dataset("node_ids", data=np.arange(50) % 10, dtype="u8", **options)

    return hdf5(fill)


def zipped() -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("Train/1/a.bin", "Train/2/b.bin", "c.txt"):
            archive.writestr(name, nmnist())
    return data.getvalue()


def tarred() -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        for name in ("Train/1/a.bin", "Train/2/b.bin", "c.txt"):
            info = tarfile.TarInfo(name)
            info.size = len(nmnist())
            archive.addfile(info, io.BytesIO(nmnist()))
    return data.getvalue()


def unpack(path: Path) -> None:
    target = path.parent / "out"
    for written in extract(path, target):
        # Nothing outside, whatever the names became.
        assert written.resolve().is_relative_to(target.resolve()) and written.is_file()


READERS: dict[str, tuple[Callable[[], bytes], Callable[[Path], object]]] = {
    "nmnist": (nmnist, read_nmnist),
    "nmnist many": (nmnist, lambda path: read_nmnist_many([path, path])),
    "csv": (csv, read_csv),
    "csv of others": (lambda: csv().partition(b"\n")[2], read_csv),
    "csv without names": (lambda: b"34 34\n" + csv().split(b"\n", 2)[2].replace(b",", b" "), read_csv),
    "dat": (dat, read_dat),
    "evt2": (evt2, read_evt2),
    "evt21": (evt21, read_evt21),
    "evt3": (evt3, read_evt3),
    "evt3 running": (evt3, lambda path: read_evt3(path, clock="running")),
    "raw": (evt3, read_raw),
    "aedat2": (aedat2, read_aedat2),
    "aedat2 davis": (davis, read_aedat2),
    "aedat31": (aedat31, read_aedat31),
    "aedat4": (dv, read_aedat4),
    "aedat4 lz4": (lambda: dv(1, aedat4.lz4_frame), read_aedat4),
    "event stream": (atis, read_event_stream),
    "npy": (npy, read_npy),
    "npz": (npz, read_npy),
    "shd": (shd, read_shd),
    "shd chunked": (lambda: shd(chunks=(2,), compression="gzip", shuffle=True), read_shd),
    "camera hdf5": (camera, read_camera_hdf5),
    "camera hdf5 lzf": (lambda: camera(chunks=(30,), compression="lzf"), read_camera_hdf5),
    "camera hdf5 blosc": (lambda: filtered("Blosc"), read_camera_hdf5),
    "camera hdf5 blosc zstd": (lambda: filtered("Blosc", cname="zstd"), read_camera_hdf5),
    "camera hdf5 lz4": (lambda: filtered("LZ4"), read_camera_hdf5),
    "camera hdf5 zstd": (lambda: filtered("Zstd"), read_camera_hdf5),
    "prophesee hdf5": (prophesee, read_camera_hdf5),
    "mat": (mat, read_mat),
    "mat compressed": (lambda: mat(do_compression=True), read_mat),
    "mat 7.3": (mat73, read_mat),
    "sonata": (sonata, lambda path: read_sonata(path, "a")),
    "sonata plain": (sonata, lambda path: read_sonata(path, "b")),
    "json": (lambda: b'{"a": [1, 2.5, "x"], "b": {"c": null}}', read_json),
    "toml": (lambda: b'[liquid]\nneurons = 1000\nname = "a"\nrates = [1.5, 2e3]\n', read_toml),
    "zip": (zipped, unpack),
    "tar": (tarred, unpack),
}
NUMBERS = [0, 1, 8, 96, 255, 1 << 15, 1 << 31, (1 << 32) - 1, 1 << 40, 1 << 63, (1 << 64) - 1]


def mutate(sound: bytes, rng: np.random.Generator) -> bytes:
    """One broken form of a file: bytes flipped, set, moved, cut off, added, or none of its own at all."""
    kind = rng.random()
    if kind < 0.05:
        return rng.bytes(int(rng.integers(0, 2 * len(sound))))
    data = bytearray(sound)
    for _ in range(int(rng.choice([1, 1, 2, 4, 16, 64]))):
        # Half of them near the start, where headers are.
        at = int(rng.integers(len(data) if rng.random() < 0.5 else min(len(data), 600)))
        how = rng.random()
        if how < 0.35:
            data[at] = int(rng.integers(256))
        elif how < 0.6:
            data[at] ^= 1 << int(rng.integers(8))
        elif how < 0.8:
            data[at : at + 8] = NUMBERS[int(rng.integers(len(NUMBERS)))].to_bytes(8, "little")
        else:
            start = int(rng.integers(len(data)))
            length = int(rng.integers(1, 64))
            data[at : at + length] = data[start : start + length]
    if kind < 0.15:
        del data[int(rng.integers(len(data))) :]
    elif kind < 0.25:
        data += rng.bytes(int(rng.integers(1, 300)))
    return bytes(data)


def examine(result: object) -> None:
    """Check that what a reader returns keeps the container's own rules."""
    recordings: Iterable[Spikes] = ()
    if isinstance(result, Spikes):
        recordings = (result,)
    elif isinstance(result, Recordings):
        recordings = result
    for spikes in recordings:
        Spikes(spikes.times, spikes.units, spikes.size, spikes.duration, spikes.shape)
