"""SHD-layout and SONATA files: as others write them, and as nobody should."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from neurosim import Spikes
from neurosim.base import NeurosimFormatError, NeurosimInputError
from neurosim.data import read_sonata, write_sonata
from neurosim.data.files import formats
from neurosim.data.files.shd import read_shd
from neurosim.kernels.io.hdf5_heaps import cpu as heaps
from neurosim.kernels.io.hdf5_heaps.reference import gather_reference, walk_reference

LENGTHS = (5, 9, 0, 7, 1)


def rows(seed: int = 0) -> tuple[list[np.ndarray], list[np.ndarray]]:
    rng = np.random.default_rng(seed)
    times = [np.sort(rng.random(n)).astype(np.float16) for n in LENGTHS]
    return times, [rng.integers(0, 700, n).astype(np.uint16) for n in LENGTHS]


def shd_file(path: Path, order: str = "<", libver: str = "earliest", **storage: object) -> Path:
    times, units = rows()
    with h5py.File(path, "w", libver=libver) as root:
        for name, values, kind in (("times", times, "f2"), ("units", units, "u2")):
            node = root.create_dataset(f"spikes/{name}", (len(LENGTHS),), h5py.vlen_dtype(order + kind), **storage)
            for i, row in enumerate(values):
                node[i] = row
        root["labels"] = np.array([1, 0, 1, 0, 2], order + "u2")
        root["extra/speaker"] = np.arange(5, dtype=order + "u2")
        root["extra/keys"] = np.array([b"zero", b"one", b"two"])
    return path


STORAGE = {
    "contiguous": {},
    "chunked": {"chunks": (2,)},
    "as PyTables": {"chunks": (2,), "maxshape": (None,), "compression": "gzip", "shuffle": True},
    "big-endian": {"order": ">"},
    "newest layout": {"libver": "latest"},
    "newest chunked": {"libver": "latest", "chunks": (2,), "maxshape": (None,), "compression": "gzip"},
}


@pytest.mark.parametrize("storage", STORAGE)
def test_shd_of_every_storage(storage: str, tmp_path: Path) -> None:
    recordings = read_shd(shd_file(tmp_path / "a.h5", **STORAGE[storage]))
    times, units = rows()
    assert recordings.ticks.dtype == np.float16 and recordings.units.dtype == np.uint16
    assert np.array_equal(recordings.ticks, np.concatenate(times))
    assert np.array_equal(recordings.units, np.concatenate(units))
    assert recordings.labels.tolist() == [1, 0, 1, 0, 2] and recordings.classes == ("zero", "one", "two")
    assert recordings.groups["speaker"].tolist() == [0, 1, 2, 3, 4] and recordings.shape == (700,)
    for spikes, row in zip(recordings, times, strict=True):
        assert np.array_equal(spikes.times, row.astype(float))
        assert spikes.duration == (float(row[-1]) if len(row) else 0.0)


def test_shd_of_more_channels_and_less_facts(tmp_path: Path) -> None:
    path = shd_file(tmp_path / "a.h5")
    with h5py.File(path, "r+") as root:
        del root["extra"]
        root["spikes/units"][4] = np.array([1000], np.uint16)
    recordings = read_shd(path)
    assert recordings.size == 1001 and recordings.classes == () and recordings.groups == {}
    assert read_shd(path, channels=2000).size == 2000
    with pytest.raises(NeurosimFormatError, match=r"/spikes/units event 21: expected 0 <= channel < 700, got 1000"):
        read_shd(path, channels=700)
    with pytest.raises(NeurosimInputError, match=r"read_shd.channels: must be > 0 \(got 0\)"):
        read_shd(path, channels=0)


def test_class_names_of_varying_length(tmp_path: Path) -> None:
    path = shd_file(tmp_path / "a.h5")
    with h5py.File(path, "r+") as root:
        del root["extra/keys"]
        root["extra/keys"] = ["null", "eins", "zwölf"]
    assert read_shd(path).classes == ("null", "eins", "zwölf")


def external_link(root: h5py.File, folder: Path) -> None:
    shd_file(folder / "other.h5")
    del root["labels"]
    root["labels"] = h5py.ExternalLink("other.h5", "labels")


def soft_circle(root: h5py.File, folder: Path) -> None:
    del root["spikes"]
    root["spikes"] = h5py.SoftLink("/again")
    root["again"] = h5py.SoftLink("/spikes")


def external_storage(root: h5py.File, folder: Path) -> None:
    (folder / "secret").write_bytes(bytes(10))
    del root["labels"]
    root.create_dataset("labels", (5,), "u2", external=[(str(folder / "secret"), 0, 10)])


def virtual(root: h5py.File, folder: Path) -> None:
    del root["labels"]
    layout = h5py.VirtualLayout((5,), "u2")
    layout[:] = h5py.VirtualSource(str(folder / "other.h5"), "labels", (5,))
    root.create_virtual_dataset("labels", layout)


def replaced(name: str, *args: object, **options: object):
    def change(root: h5py.File, folder: Path) -> None:
        del root[name]
        root.create_dataset(name, *args, **options)

    return change


def row(name: str, index: int, values: list):
    def change(root: h5py.File, folder: Path) -> None:
        root[name][index] = np.array(values, root[name][0].dtype)

    return change


def without(name: str):
    def change(root: h5py.File, folder: Path) -> None:
        del root[name]

    return change


VLEN = h5py.vlen_dtype(np.dtype("f2"))
BAD = {
    "external link": (external_link, "/labels: expected data inside the file, got a ExternalLink; copy the data into"),
    "soft links in a circle": (soft_circle, "/spikes/times: expected data inside the file, got a SoftLink"),
    "external storage": (external_storage, "/labels: expected data inside the file, got external storage"),
    "virtual dataset": (virtual, "/labels: expected data inside the file, got external storage"),
    "no times": (
        without("spikes/times"),
        "/spikes/times: expected a dataset or group, got nothing of that name, and at the top extra, labels, spikes",
    ),
    "no labels": (without("labels"), "/labels: expected a dataset or group, got nothing of that name"),
    "a group": (lambda root, _: root.__delitem__("labels") or root.create_group("labels"), "expected a dataset, got a"),
    "labels of text": (replaced("labels", data=np.full(5, b"a")), r"/labels: expected integers, got \|S1"),
    "labels of floats": (replaced("labels", data=np.zeros(5)), "/labels: expected integers, got float64"),
    "labels of pairs": (
        replaced("labels", data=np.zeros((5, 2), int)),
        r"/labels: .* a list of 5 entries, got \(5, 2\)",
    ),
    "too few labels": (replaced("labels", data=np.zeros(4, int)), r"/labels: expected a list of 5 entries, got \(4,\)"),
    "labels past the classes": (replaced("labels", data=[0, 0, 0, 0, 9]), "/labels: expected 0 <= label < 3 classes"),
    "absurd labels": (
        replaced("labels", (1 << 60,), "u1", chunks=(1 << 20,)),
        r"/labels: expected a list of 5 entries",
    ),
    "absurd times": (
        replaced("spikes/times", (1 << 50,), VLEN, chunks=(1 << 10,)),
        "/spikes/times: expected at most [0-9]+ bytes, as the file could hold, got 18014398509481984 bytes",
    ),
    "an absurd chunk": (
        replaced("spikes/times", (5,), VLEN, chunks=(1 << 24,), maxshape=(None,)),
        "/spikes/times: expected at most [0-9]+ bytes, as the file could hold",
    ),
    "times of text": (
        replaced("spikes/times", (5,), h5py.string_dtype()),
        "/spikes/times: expected rows of real numbers",
    ),
    "times of one length": (
        replaced("spikes/times", data=np.zeros(5, "f2")),
        "expected rows of real numbers of variable",
    ),
    "times of integers": (
        replaced("spikes/times", (5,), h5py.vlen_dtype(np.dtype("i4"))),
        "expected rows of real numbers",
    ),
    "rows that differ": (row("spikes/units", 0, [1, 2]), "/spikes/units: expected as many units as times in every"),
    "times backwards": (row("spikes/times", 3, [0.5, 0.25] * 3 + [1]), "event 15: expected times >= 0 s in asc"),
    "times below 0": (row("spikes/times", 4, [-1]), "a first event: expected times >= 0 s in ascending order"),
    "times that are none": (row("spikes/times", 4, [np.nan]), "expected times >= 0 s in ascending order"),
    "chunks missing": (replaced("spikes/times", (5,), VLEN, chunks=(2,)), "/spikes/times: expected 3 chunks, got 0"),
    "an unknown filter": (
        replaced("labels", data=np.zeros(5, "u2"), chunks=(5,), scaleoffset=0),
        "/labels: expected deflate, lzf, blosc, lz4, zstd or nothing, got b'scaleoffset'; repack it with h5repack",
    ),
}


@pytest.mark.parametrize("fault", BAD)
def test_shd_files_that_are_none(fault: str, tmp_path: Path) -> None:
    change, message = BAD[fault]
    path = shd_file(tmp_path / "a.h5")
    with h5py.File(path, "r+") as root:
        change(root, tmp_path)
    with pytest.raises(NeurosimFormatError, match=message) as caught:
        read_shd(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "byte 0: expected the signature of an HDF5 file, got an empty file"),
        (b"no HDF5 file", "byte 0: expected the signature of an HDF5 file, got b'no HDF5 '"),
        (b"\x89HDF\r\n\x1a\n", "structure: expected an intact HDF5 file"),
        (b"\x89HDF\r\n\x1a\n" + bytes(500), "expected"),
    ],
)
def test_files_that_are_no_hdf5(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    path.write_bytes(content)
    for read in (read_shd, read_sonata):
        with pytest.raises(NeurosimFormatError, match=message):
            read(path)


def test_rows_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    """A bomb: 4,000 rows that all point at one heap object of 100,000 numbers."""
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as root:
        for name, kind in (("times", "f2"), ("units", "u2")):
            node = root.create_dataset(f"spikes/{name}", (4000,), h5py.vlen_dtype(np.dtype(kind)))
            node[0] = np.zeros(100_000, kind)
            at = node.id.get_offset()
            root.flush()
            raw = np.fromfile(path, np.uint8)
            root.attrs[name] = at
        root["labels"] = np.zeros(4000, int)
        places = [int(root.attrs[name]) for name in ("times", "units")]
    raw = bytearray(path.read_bytes())
    for at in places:
        raw[at : at + 16 * 4000] = raw[at : at + 16] * 4000
    path.write_bytes(raw)
    with pytest.raises(NeurosimFormatError, match=r"/spikes/times: expected rows of at most [0-9]+ bytes, as the file"):
        read_shd(path)


def test_a_compressed_bomb_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as root:
        for name, kind in (("timestamps", "f8"), ("node_ids", "u8")):
            # 80 MB of zeros in 80 kB.
            root.create_dataset(f"spikes/a/{name}", data=np.zeros(10_000_000, kind), compression="gzip")
    with pytest.raises(NeurosimFormatError, match=r"/spikes/a/timestamps: expected at most [0-9]+ bytes, as the file"):
        read_sonata(path)


@pytest.mark.parametrize("size", [0, 1 << 63, (1 << 64) - 1, 8])
def test_heaps_that_hang_the_library_are_refused(size: int, tmp_path: Path) -> None:
    path = shd_file(tmp_path / "a.h5")
    raw = bytearray(path.read_bytes())
    at = raw.index(b"GCOL\x01\0\0\0")
    # The size of the second object: the library reads on from there, and never ends for some.
    first = int.from_bytes(raw[at + 24 : at + 32], "little")
    second = at + 16 + 16 + -(-first // 8) * 8
    raw[second + 8 : second + 16] = size.to_bytes(8, "little")
    path.write_bytes(raw)
    with pytest.raises(NeurosimFormatError, match="expected"):
        read_shd(path)


def test_heap_kernels_are_their_references(tmp_path: Path) -> None:
    raw = np.fromfile(shd_file(tmp_path / "a.h5"), np.uint8)
    start = raw.tobytes().index(b"GCOL\x01\0\0\0")
    want = walk_reference(raw, start)
    assert len(want) >= 8
    found = np.empty((4, len(want)), np.int64)
    assert heaps.walk(raw, np.array([start]), *found) == (len(want), -1)
    assert not found[0].any() and [tuple(o) for o in found[1:].T.tolist()] == want
    assert heaps.walk(raw, np.array([start, start + 16]), *found)[1] == start + 16
    position = found[2]
    size = found[3]
    out = np.empty(size.sum(), np.uint8)
    heaps.gather(raw, position, size, out)
    assert np.array_equal(out, gather_reference(raw, position, size))


# SONATA


def test_sonata_is_sonata(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    a = Spikes([0.1, 0.2, 0.2], [0, 5, 3], 12, 1.5, (3, 4))
    write_sonata(path, {"a": a, "b": Spikes([], [], 4, 0.5)})
    with h5py.File(path) as root:
        assert root.attrs["magic"] == 0x0A7A and root.attrs["version"].tolist() == [0, 1]
        group = root["spikes/a"]
        assert group["timestamps"].dtype == "<f8" and group["node_ids"].dtype == "<u8"
        assert group.attrs["sorting"] == b"by_time" and group["timestamps"].attrs["units"] == b"seconds"
        assert group["timestamps"][:].tolist() == a.times.tolist() and group["node_ids"][:].tolist() == [0, 5, 3]
    back = read_sonata(path, "a")
    assert back.digest() == a.digest() and (back.size, back.shape, back.duration) == (12, (3, 4), 1.5)
    assert len(read_sonata(path, "b")) == 0 and read_sonata(path, "b").duration == 0.5


def test_sonata_of_others(tmp_path: Path) -> None:
    """As other programs write it: milliseconds, unsorted, compressed, text of variable length, no size."""
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as root:
        group = root.create_group("spikes/cortex")
        group.attrs["sorting"] = "none"
        options = {"chunks": (2,), "maxshape": (None,), "compression": "gzip", "shuffle": True, "fletcher32": True}
        group.create_dataset("timestamps", data=[30.0, 10.0, 20.0], **options).attrs["units"] = "milliseconds"
        group.create_dataset("node_ids", data=np.array([4, 0, 2], "u8"), **options)
        group.create_dataset("gids", data=np.zeros(3))
    spikes = formats.read(path)
    assert spikes.times == pytest.approx([0.01, 0.02, 0.03]) and spikes.units.tolist() == [0, 2, 4]
    assert spikes.size == 5 and spikes.duration == spikes.times[-1]
    with h5py.File(path, "r+") as root:
        del root["spikes/cortex/timestamps"].attrs["units"]
    assert formats.read(path).times == pytest.approx([0.01, 0.02, 0.03])


def test_populations_are_chosen(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    one = Spikes([], [], 1, 0)
    write_sonata(path, {"input": one, "liquid": one})
    with pytest.raises(NeurosimInputError, match=r"a.h5: population: must be chosen from input, liquid \(got None\)"):
        read_sonata(path)
    with pytest.raises(NeurosimInputError, match="population: unknown name 'liqid'; did you mean 'liquid'"):
        read_sonata(path, "liqid")
    for name in ("", "a/b", "."):
        with pytest.raises(NeurosimInputError, match="write_sonata: needs names without '/'"):
            write_sonata(path, {name: one})
    with pytest.raises(NeurosimInputError, match="write_sonata: needs at least one population"):
        write_sonata(path, {})


def node(name: str, values: object):
    def change(group: h5py.Group) -> None:
        del group[name]
        group[name] = values

    return change


def attribute(name: str, value: object):
    return lambda group: group.attrs.__setitem__(name, value)


def row_of_text(group: h5py.Group) -> None:
    """What damage makes of text of variable length, and the HDF5 library 2.0.0 crashes on."""
    value = np.empty((), object)
    value[()] = np.frombuffer(b"s", np.uint8)
    group["timestamps"].attrs.create("units", value, dtype=h5py.vlen_dtype(np.dtype("u1")))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (node("node_ids", [0, 1]), r"/spikes/a/node_ids: expected a list of 3 entries, got \(2,\)"),
        (node("node_ids", [0, 1, -1]), "/spikes/a/node_ids: expected 0 <= node < 2.31, got -1 to 1"),
        (node("node_ids", np.array([0, 1, 1 << 40])), "/spikes/a/node_ids: expected 0 <= node < 2.31"),
        (node("node_ids", [0.0, 1.0, 2.0]), "/spikes/a/node_ids: expected integers, got float64"),
        (node("timestamps", [1, 2, 3]), "/spikes/a/timestamps: expected floating-point numbers, got int64"),
        (node("timestamps", [0.1, np.nan, 0.2]), "/spikes/a: expected spikes that fit together"),
        (node("timestamps", [-0.1, 0.1, 0.2]), "/spikes/a: expected spikes that fit together"),
        (
            attribute("size", 5),
            r"/spikes/a: expected spikes that fit together, got Spikes.shape: must have the product 5",
        ),
        (attribute("size", b"many"), "/spikes/a: expected spikes that fit together"),
        (attribute("shape", [2, 2]), "expected spikes that fit together, got Spikes.shape: must have the product 7"),
        (attribute("duration", 0.05), "expected spikes that fit together, got Spikes.duration: must reach the last"),
        (attribute("duration", np.nan), "expected spikes that fit together"),
        (
            attribute("shape", np.zeros(1000, int)),
            "/spikes/a attribute 'shape': expected numbers or text of at most 4 KiB",
        ),
        (row_of_text, "/spikes/a/timestamps attribute 'units': expected numbers or text of at most 4 KiB"),
        (lambda g: g["timestamps"].attrs.__setitem__("units", "hours"), "attribute 'units': expected one of seconds"),
    ],
)
def test_sonata_files_that_are_none(change, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    write_sonata(path, {"a": Spikes([0.0, 0.1, 0.2], [0, 1, 6], 7, 0.3)})
    with h5py.File(path, "r+") as root:
        change(root["spikes/a"])
    with pytest.raises(NeurosimFormatError, match=message) as caught:
        read_sonata(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


@pytest.mark.data
@pytest.mark.parametrize(("split", "recordings"), [("train", 2700), ("test", 300)])
def test_real_file_is_what_h5py_reads(split: str, recordings: int, data_root: Path) -> None:
    path = data_root / "FSDD-SHD" / f"{split}.h5"
    ours = read_shd(path)
    with h5py.File(path) as root:
        assert np.array_equal(ours.ticks, np.concatenate(list(root["spikes/times"][:])))
        assert np.array_equal(ours.units, np.concatenate(list(root["spikes/units"][:])))
        assert np.array_equal(ours.labels, root["labels"][:])
        assert np.array_equal(ours.groups["speaker"], root["extra/speaker"][:])
    assert len(ours) == recordings and len(ours.classes) == 10 and ours.size == 700
