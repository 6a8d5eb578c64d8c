"""Camera recordings in HDF5: layouts of Prophesee, DSEC and others, and the filters that they are compressed with."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from neurosim.base import NeurosimFormatError, NeurosimInputError, NeurosimMissingError
from neurosim.data import read, write
from neurosim.data.files.camera_hdf5 import open_camera_hdf5
from neurosim.engine.description.description import SpikeFile
from neurosim.kernels.io.compressed import cpu as unpack
from neurosim.kernels.io.compressed.reference import lzf_reference

N = 3000
RNG = np.random.default_rng(9)
T = np.sort(RNG.integers(0, 1_000_000, N))
X = RNG.integers(0, 640, N)
Y = RNG.integers(0, 480, N)
P = RNG.integers(0, 2, N)
X[0] = 639
Y[0] = 479
PROPHESEE = np.dtype({"names": ["x", "y", "p", "t"], "formats": ["<u2", "<u2", "<i2", "<i8"], "offsets": [0, 2, 4, 8]})


def check(path: Path, sensor: tuple[int, ...] = (2, 480, 640), **options: object) -> None:
    spikes = read(path, **options)
    assert spikes.shape == sensor and np.array_equal(np.rint(spikes.times * 1e6), T)
    assert all(np.array_equal(a, b) for a, b in zip(spikes.coordinates(), (P, Y, X), strict=True))
    assert spikes.report.format == "camera-hdf5"


def records(dtype: object = PROPHESEE) -> np.ndarray:
    events = np.zeros(N, dtype)
    for name, values in (("t", T), ("x", X), ("y", Y), ("p", P)):
        events[name] = values
    return events


def dsec(path: Path, names: str = "t x y p", place: str = "events", **storage: object) -> Path:
    with h5py.File(path, "w") as root:
        for name, values, kind in zip(names.split(), (T, X, Y, P), ("u4", "u2", "u2", "u1"), strict=True):
            root.create_dataset(f"{place}/{name}", data=values.astype(kind), **storage)
        root["ms_to_idx"] = np.arange(10, dtype="u8")
        root["t_offset"] = 49_599_300_523
    return path


@pytest.mark.parametrize("sides", [("left", "right"), ("right",)])
def test_mvsec(sides: tuple[str, ...], tmp_path: Path) -> None:
    """Rows of x, y, Unix time in s and polarity; the left camera, or the only one."""
    rows = np.stack([X, Y, T * 1e-6 + 1_506_117_937.0, 2.0 * P - 1], 1)
    with h5py.File(tmp_path / "a.hdf5", "w") as root:
        for side in sides:
            root[f"davis/{side}/events"] = rows if side == sides[0] else rows[::2]
            root[f"davis/{side}/imu"] = np.zeros((4, 6))
        root["velodyne/scans"] = np.zeros((2, 3))
    spikes = read(tmp_path / "a.hdf5", start="first")
    assert len(spikes) == N and spikes.shape == (2, 480, 640)
    assert np.array_equal(np.rint(spikes.times * 1e6), T - T[0])
    assert all(np.array_equal(a, b) for a, b in zip(spikes.coordinates(), (P, Y, X), strict=True))
    assert spikes.report.format == "camera-hdf5" and spikes.report.polarity_1 == "brighter"


def test_m3ed_and_the_sensor_in_one_attribute(tmp_path: Path) -> None:
    check(dsec(tmp_path / "a.h5", place="prophesee/left"))
    with h5py.File(dsec(tmp_path / "b.h5"), "a") as root:
        root.attrs["sensor_resolution"] = [700, 900]
    check(tmp_path / "b.h5", (2, 700, 900))


@pytest.mark.parametrize("place", ["events", "prophesee/left", "prophesee/right"])
def test_sensors_in_datasets_beside_the_events(place: str, tmp_path: Path) -> None:
    """`height` and `width` as in files of RVT, and columns before rows in the calibration of M3ED."""
    with h5py.File(dsec(tmp_path / "a.h5", place=place), "a") as root:
        root[f"{place}/height"] = np.int64(720)
        root[f"{place}/width"] = np.array([1280])
    with h5py.File(dsec(tmp_path / "b.h5", place=place), "a") as root:
        root[f"{place}/calib/resolution"] = [1280, 720]
    for name in ("a.h5", "b.h5"):
        check(tmp_path / name, (2, 720, 1280))
        check(tmp_path / name, (2, 800, 1300), shape=(2, 800, 1300))
        assert open_camera_hdf5(tmp_path / name).shape == (2, 720, 1280)


@pytest.mark.parametrize("resolution", [[0, 720], [1280, 720, 3], [1280.0, 720.0], []])
def test_calibrations_that_are_no_sensor_are_left_aside(resolution: list[float], tmp_path: Path) -> None:
    with h5py.File(dsec(tmp_path / "a.h5", place="prophesee/left"), "a") as root:
        root["prophesee/left/calib/resolution"] = resolution
    check(tmp_path / "a.h5")


def test_prophesee(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.hdf5", "w") as root:
        root.create_dataset("CD/events", data=records(), chunks=(1000,), compression="gzip")
        root["CD/indexes"] = np.zeros(3, [("id", "<u8"), ("ts", "<i8")])
        root["EXT_TRIGGER/events"] = np.zeros(2, [("p", "<i2"), ("t", "<i8"), ("id", "<i2")])
        root.attrs["geometry"] = "1280x720"
        root.attrs["format"] = "ECF"
    check(tmp_path / "a.hdf5", (2, 720, 1280))
    check(tmp_path / "a.hdf5", (2, 500, 700), shape=(2, 500, 700))


STORAGE = {
    "contiguous": {},
    "chunked": {"chunks": (700,)},
    "gzip": {"chunks": (700,), "compression": "gzip", "shuffle": True},
    "lzf": {"chunks": (700,), "compression": "lzf"},
    "lzf shuffled, with checksum": {"chunks": (700,), "compression": "lzf", "shuffle": True, "fletcher32": True},
}


@pytest.mark.parametrize("storage", STORAGE)
def test_dsec(storage: str, tmp_path: Path) -> None:
    path = dsec(tmp_path / "events.h5", **STORAGE[storage])
    check(path)
    # Times count from the zero of the file, which is 49,599 s on the clock of the recording.
    assert read(path).report.start == pytest.approx(49_599.300523)


FILTERS = {
    "blosc": ("Blosc", {}),
    "blosc zstd": ("Blosc", {"cname": "zstd"}),
    "blosc zstd, not shuffled": ("Blosc", {"cname": "zstd", "shuffle": 0}),
    "blosc zlib": ("Blosc", {"cname": "zlib", "clevel": 9}),
    "blosc lz4hc": ("Blosc", {"cname": "lz4hc"}),
    "blosc stored": ("Blosc", {"clevel": 0}),
    "blosc2": ("Blosc2", {}),
    "zstd": ("Zstd", {}),
    "lz4": ("LZ4", {}),
    "lz4 in small blocks": ("LZ4", {"nbytes": 128}),
}


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("chunk", [70, 700, 3000])
def test_filters_of_the_extra(name: str, chunk: int, tmp_path: Path) -> None:
    plugin = pytest.importorskip("hdf5plugin", reason="hdf5plugin is not installed")
    pytest.importorskip("zstandard", reason="zstandard is not installed")
    kind, options = FILTERS[name]
    check(dsec(tmp_path / "events.h5", chunks=(chunk,), **getattr(plugin, kind)(**options)))


def without_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    found = builtins.__import__

    def refuse(name: str, *rest: object, **more: object) -> object:
        if name in ("hdf5plugin", "zstandard"):
            raise ImportError(name)
        return found(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", refuse)


def with_filter(path: Path, code: int) -> Path:
    """Return a file that says its data are compressed by that filter, which need not be installed."""
    dsec(path, chunks=(700,), compression="lzf")
    data = path.read_bytes()
    # The message of the filters: number, length of the name, flags, values, name.
    old = (32000).to_bytes(2, "little") + b"\x08\x00\x01\x00\x03\x00lzf"
    assert data.count(old) == 4
    path.write_bytes(data.replace(old, code.to_bytes(2, "little") + old[2:]))
    return path


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (32026, r"/events/\w: is compressed with blosc2; run: pip install .*\[hdf5\]'"),
        (32015, r"/events/\w: is compressed with zstd; run: pip install .*\[hdf5\]'"),
        (
            0x8ECF,
            r"/events/\w: is compressed with Prophesee's ECF; install Prophesee's hdf5_ecf and set HDF5",
        ),
    ],
)
def test_filters_that_are_not_installed(
    code: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_plugin(monkeypatch)
    with pytest.raises(NeurosimMissingError, match=message) as caught:
        read(with_filter(tmp_path / "events.h5", code))
    assert str(caught.value).startswith(f"{tmp_path}")


@pytest.mark.parametrize(("place", "names"), [("events", "ts xs ys ps"), ("", "t x y p"), ("CD/events", "t x y p")])
def test_other_names(place: str, names: str, tmp_path: Path) -> None:
    check(dsec(tmp_path / "events.h5", names, place))


def test_one_table(tmp_path: Path) -> None:
    for data in (np.stack([T, X, Y, P], axis=1), np.stack([X, Y, T * 1e-6, P * 2.0 - 1], axis=1), records()):
        with h5py.File(tmp_path / "a.h5", "w") as root:
            root["events"] = data
            root.attrs["height"] = 500
            root.attrs["width"] = 700
        check(tmp_path / "a.h5", (2, 500, 700))


def test_hdf5_is_told_apart_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    write(path, read(dsec(tmp_path / "events.h5")))
    assert read(path).report is None and read(path).shape == (2, 480, 640)
    with pytest.raises(NeurosimInputError, match=r"read\.shape: must be left out: this format knows its sensor"):
        read(path, shape=(2, 480, 640))
    assert SpikeFile(path).read((2, 480, 640)).size == SpikeFile(tmp_path / "events.h5").read((2, 480, 640)).size
    with pytest.raises(NeurosimInputError, match=r"could not be read"):
        (tmp_path / "folder.h5").mkdir()
        read(tmp_path / "folder.h5")


def change(name: str, values: object) -> Callable[[h5py.File], None]:
    def apply(root: h5py.File) -> None:
        del root[name]
        if values is not None:
            root[name] = values

    return apply


@pytest.mark.parametrize(
    ("apply", "message"),
    [
        (change("events/t", None), "/events: expected datasets t, x, y and p, got p, x, y"),
        (change("events/x", X[1:]), "/events x: expected 3000 entries, as t, got 2999"),
        (change("events/t", T[::-1]), "/events t, entry 1: expected times in ascending order"),
        (change("events/p", P + 2), r"/events p, entry \d: expected polarities 0 and 1, -1 and 1"),
        (change("events/p", h5py.Empty("u1")), "/events/p: expected data, got an empty dataspace"),
        (change("events/x", h5py.SoftLink("/ms_to_idx")), "/events/x: expected data inside the file, got a SoftLink"),
        (change("t_offset", [1, 2]), r"/t_offset: expected one number, got \[2\]"),
        (change("events", np.zeros(3, [("t", "i8"), ("name", "S3")])), "/events: expected numbers, got"),
    ],
)
def test_camera_files_that_are_none(apply: Callable[[h5py.File], None], message: str, tmp_path: Path) -> None:
    path = dsec(tmp_path / "events.h5")
    with h5py.File(path, "a") as root:
        apply(root)
    with pytest.raises(NeurosimFormatError, match=message) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_damaged_lzf(tmp_path: Path) -> None:
    out = np.empty(20, np.uint8)
    for data, length in (
        (b"\x02abc\x20\x02", 6),
        (b"\x00a\xe0\x04\x00", 14),
        (b"\x02ab", -1),
        (b"\x00a\x20", -1),
        (b"\x00a\x20\x01", -1),
        (b"\xe0", -1),
        (b"\x00a\xe0\xff\x00", -1),
    ):
        assert unpack.lzf(np.frombuffer(data, np.uint8), out) == length
        if length > 0:
            assert out[:length].tobytes() == lzf_reference(data)
    assert unpack.lzf(np.frombuffer(b"\x02abc\x20\x02", np.uint8), out) == 6 and out[:6].tobytes() == b"abcabc"
