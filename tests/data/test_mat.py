"""Tables of events in MATLAB files of versions 5 and 7.3."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io

from neurosim.base import NeurosimFormatError, raw
from neurosim.data import read

N = 150
RNG = np.random.default_rng(10)
T = np.sort(RNG.integers(0, 1_000_000, N))
X = RNG.integers(0, 60, N)
Y = RNG.integers(0, 50, N)
P = RNG.integers(0, 2, N)
X[0] = 60
Y[0] = 50
X[1] = 0
Y[1] = 0


def check(path: Path, **options: object) -> None:
    spikes = read(path, **options)
    assert spikes.shape == (2, 51, 61) and np.array_equal(np.rint(spikes.times * 1e6), T)
    assert all(np.array_equal(a, b) for a, b in zip(spikes.coordinates(), (P, Y, X), strict=True))
    assert spikes.report.format == "matlab"


def save_73(path: Path, variables: dict[str, object], **storage: object) -> None:
    """Write HDF5 after 512 bytes of text, each array with its dimensions turned, as MATLAB does."""

    def fill(group: h5py.Group, values: dict[str, object]) -> None:
        for name, value in values.items():
            if isinstance(value, dict):
                fill(group.create_group(name), value)
            else:
                array = np.atleast_2d(np.asarray(value, float)).T
                group.create_dataset(name, data=array, chunks=array.shape if storage else None, **storage)

    with h5py.File(path, "w", userblock_size=512) as root:
        fill(root, variables)
        root["#refs#/a"] = np.zeros((2, 4))
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Mon Jan 01 00:00:00 2024 HDF5 schema 1.00 .")


def test_spike_trains_of_st_mnist(tmp_path: Path) -> None:
    trains = np.zeros((101, 5))
    trains[-1] = [0.1, 0.2, 0.3, 0.4, 0.5]
    # (taxel, sample): two events at .2 s, in the order of taxels.
    for taxel, sample, sign in ((37, 1, 1), (4, 1, -1), (99, 4, 1)):
        trains[taxel, sample] = sign
    scipy.io.savemat(tmp_path / "a.mat", {"spiketrain": trains})
    spikes = read(tmp_path / "a.mat")
    assert spikes.shape == (2, 10, 10) and spikes.times.tolist() == [0.2, 0.2, 0.5]
    assert [axis.tolist() for axis in spikes.coordinates()] == [[0, 1, 1], [0, 3, 9], [4, 7, 9]]


SAVERS = {
    "5": scipy.io.savemat,
    "5 compressed": lambda path, variables: scipy.io.savemat(path, variables, do_compression=True),
    "7.3": save_73,
    "7.3 compressed": lambda path, variables: save_73(path, variables, compression="gzip"),
}
TABLES = {
    "variables": {"t": T, "x": X, "y": Y, "p": P},
    "structure": {"td": {"x": X[:, None], "y": Y[:, None], "p": P[:, None], "ts": T[:, None]}, "note": np.arange(3)},
    "doubles": {"events": {"x": X * 1.0, "y": Y * 1.0, "pol": P * 2.0 - 1, "t": T * 1e-6}},
    "aedat": {"aedat": {"data": {"polarity": {"x": X, "y": Y, "timeStamp": T, "polarity": P}, "imu6": {"a": T}}}},
    "from one": {"TD": {"x": X + 1, "y": Y + 1, "p": P + 1, "ts": T}},
    "matrix": {"events": np.stack([T, X, Y, P], axis=1), "gain": np.eye(3)},
}


@pytest.mark.parametrize("saver", SAVERS)
@pytest.mark.parametrize("table", TABLES)
def test_mat(saver: str, table: str, tmp_path: Path) -> None:
    SAVERS[saver](tmp_path / "a.mat", TABLES[table])
    check(tmp_path / "a.mat")


def test_order_of_a_matrix(tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / "a.mat", {"events": np.stack([T, Y, X, P], axis=1)})
    check(tmp_path / "a.mat", columns="tyxp")


def element(kind: int, data: bytes) -> bytes:
    return struct.pack("<II", kind, len(data)) + data.ljust(-(-len(data) // 8) * 8, b"\0")


def test_mat_by_hand(tmp_path: Path) -> None:
    # Version 5: 128 bytes of head, then matrices of flags, dimensions, name and values.
    head = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H", 0x0100) + b"IM"
    data = b""
    for name, values in (("t", [5, 7]), ("x", [1, 0]), ("y", [0, 2]), ("p", [1, 0])):
        flags = element(6, struct.pack("<II", 6, 0))
        shape = element(5, struct.pack("<ii", 1, 2))
        data += element(14, flags + shape + element(1, name.encode()) + element(9, struct.pack("<2d", *values)))
    (tmp_path / "a.mat").write_bytes(head + data)
    spikes = read(tmp_path / "a.mat")
    assert np.rint(spikes.times * 1e6).tolist() == [5, 7] and spikes.shape == (2, 3, 2)
    assert [c.tolist() for c in spikes.coordinates()] == [[1, 0], [0, 2], [1, 0]]


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"a": T, "b": X}, "variables: expected one structure or matrix of events, got the variables; is this a tab"),
        ({"a": {"t": T, "x": X}, "b": {"t": T, "x": X}}, "expected one structure or matrix of events, got a, b"),
        ({"a": {"t": T[::-1], "x": X}}, "a t, entry 1: expected times in ascending order"),
        ({"a": {"t": T, "x": X[1:], "y": Y}}, "a x: expected 150 entries, as t, got 149"),
    ],
)
@pytest.mark.parametrize("saver", ["5", "7.3"])
def test_mat_files_without_events(saver: str, variables: dict[str, object], message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    SAVERS[saver](path, variables)
    with pytest.raises(NeurosimFormatError, match=message) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "byte 0: expected 'MATLAB 5.0 MAT-file', got an empty file; save it as version 7 or 7.3"),
        (b"text", "byte 0: expected 'MATLAB 5.0 MAT-file', got b'text'"),
        (b"MATLAB 5.0 MAT-file", "variables: expected an intact MATLAB file"),
    ],
)
def test_files_that_are_no_mat(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    path.write_bytes(content)
    with pytest.raises(NeurosimFormatError, match=message):
        read(path)


def compressed(values: int, stated: int | None = None) -> bytes:
    """Return a compressed variable of zeros, which states another size if asked to."""
    flags = element(6, struct.pack("<II", 6, 0))
    shape = element(5, struct.pack("<ii", 1, values))
    matrix = element(14, flags + shape + element(1, b"t") + element(9, bytes(8 * values)))
    head = matrix[:4] + struct.pack("<I", len(matrix) - 8 if stated is None else stated)
    packed = zlib.compress(head + matrix[8:])
    return struct.pack("<II", 15, len(packed)) + packed


def test_a_variable_that_unpacks_to_hundreds_of_times_the_file_is_refused_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raw, "MIN_UNPACKED", 1 << 16)
    head = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H", 0x0100) + b"IM"
    path = tmp_path / "a.mat"
    small = compressed(4000)
    for content, message in (
        (
            compressed(1_000_000),
            r"got a compressed variable of 8,\d+,\d+ bytes, and the file may unpack to [\d,]+",
        ),
        (compressed(1_000_000, 100), "that does not hold the 100 bytes that it states"),
        (compressed(10, 1000), "that does not hold the 1,000 bytes that it states"),
        # Each is small, and all together are not.
        (small * 60, r"got a compressed variable of 32,\d+ bytes, and the file may unpack to \d+,\d+ more"),
    ):
        path.write_bytes(head + content)
        tracemalloc.start()
        with pytest.raises(NeurosimFormatError, match=message):
            read(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 21
        tracemalloc.stop()


def test_datasets_that_unpack_to_hundreds_of_times_the_file_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raw, "MIN_UNPACKED", 1 << 16)
    # The bound of one dataset would let each pass.
    zeros = {name: np.zeros(400_000) for name in "txyp"}
    save_73(tmp_path / "a.mat", zeros | {"noise": RNG.random(3000)}, compression="gzip")
    with pytest.raises(NeurosimFormatError, match=r"/[txy]: expected datasets of at most \d+ bytes, as the file could"):
        read(tmp_path / "a.mat")
