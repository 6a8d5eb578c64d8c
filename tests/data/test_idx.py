"""IDX files and the datasets made of them: strict reading, images, recordings of the emulated camera."""

from __future__ import annotations

import gzip
import io
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from helpers.idx_files import idx_bytes
from hypothesis import given
from hypothesis import strategies as st

from neurosim import NeurosimError
from neurosim.base import NeurosimFormatError, NeurosimInputError, NeurosimMissingError
from neurosim.data import catalog
from neurosim.data.files import idx
from neurosim.data.files.idx import read_idx
from neurosim.datasets import digits, fashion, mnist
from neurosim.kernels.io.camera.reference import pan_reference

KINDS = ["u1", "i1", "i2", "i4", "f4", "f8"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(3,), (2, 5), (2, 3, 4), (0, 28, 28)])
@pytest.mark.parametrize("packed", [False, True])
def test_what_is_written_is_read(tmp_path: Path, kind: str, shape: tuple[int, ...], packed: bool) -> None:
    values = (np.random.default_rng(0).random(shape) * 100).astype(kind)
    data = idx_bytes(values)
    (tmp_path / "a").write_bytes(gzip.compress(data) if packed else data)
    read = read_idx(tmp_path / "a")
    assert read.dtype == values.dtype and read.shape == shape and np.array_equal(read, values)


def test_bytes_are_those_of_the_format() -> None:
    assert idx_bytes(np.array([[1, 258]], np.int32)).hex() == "00000c0200000001000000020000000100000102"


IMAGES = idx_bytes(np.zeros((2, 3, 3), np.uint8))


def test_a_file_that_unpacks_to_hundreds_of_times_its_size_is_refused_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idx, "MIN_BOUND", 1 << 16)
    head = bytes([0, 0, 8, 3]) + np.array([1 << 12, 32, 32], ">u4").tobytes()
    (tmp_path / "a").write_bytes(gzip.compress(head + bytes(1 << 22)))
    with pytest.raises(NeurosimFormatError, match=r"holds more than [0-9]+ bytes, too many for a set of images"):
        read_idx(tmp_path / "a")
    # A small claim is all that is unpacked.
    head = bytes([0, 0, 8, 3]) + np.array([1, 32, 32], ">u4").tobytes()
    (tmp_path / "a").write_bytes(gzip.compress(head + bytes(1 << 22)))
    tracemalloc.start()
    with pytest.raises(NeurosimFormatError, match=r"expected 1024 bytes of values \(1, 32, 32\), got more"):
        read_idx(tmp_path / "a")
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "byte 0: expected an IDX magic number 00 00 type dimensions, got nothing"),
        (b"\0\0\x08", "byte 0: expected an IDX magic number"),
        (b"\x01" + IMAGES[1:], "got 01 00 08 03"),
        (b"\0\0\x07" + IMAGES[3:], "got 00 00 07 03"),
        (b"\0\0\x08\0", "byte 0"),
        (b"\0\0\x08\x09" + bytes(40), "byte 0"),
        (IMAGES[:9], "byte 4: expected 3 sizes of 4 bytes, got 5 bytes"),
        (IMAGES[:-1], "byte 16: expected 18 bytes of values (2, 3, 3), got 17 bytes"),
        (IMAGES + b"\0", "byte 16: expected 18 bytes of values (2, 3, 3), got 19 bytes"),
        (b"\0\0\x0e\x08" + b"\xff" * 32, "bytes of values (4294967295,"),
        (gzip.compress(IMAGES, mtime=0)[:-9], "gzip: expected a complete gzip file"),
        (gzip.compress(IMAGES, mtime=0)[:12] + b"\xff" * 12, "byte 0: expected an IDX magic number"),
        (gzip.compress(IMAGES, mtime=0)[:30] + b"\xff" * 12, "gzip: expected a complete gzip file"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(NeurosimFormatError) as error:
        read_idx(tmp_path / "a")
    assert message in str(error.value) and str(tmp_path / "a") in str(error.value) and "\n" not in str(error.value)


@given(st.integers(0, len(IMAGES) - 1), st.integers(0, 255))
def test_a_changed_byte_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, at: int, value: int) -> None:
    path = tmp_path_factory.getbasetemp() / "mutated"
    path.write_bytes(IMAGES[:at] + bytes([value]) + IMAGES[at + 1 :])
    try:
        read_idx(path)
    except NeurosimError as error:
        assert "\n" not in str(error)


def test_a_bomb_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(gzip.compress(idx_bytes(np.zeros(100_000, np.uint8))))
    with pytest.raises(NeurosimFormatError, match="holds more than 5000 bytes"):
        read_idx(tmp_path / "a", max_bytes=5000)


def write(folder: Path, train: int = 5, test: int = 3, packed: bool = True) -> np.ndarray:
    folder.mkdir(exist_ok=True)
    chance = np.random.default_rng(1)
    pixels = chance.integers(0, 256, (train + test, 28, 28), np.uint8)
    pixels[:, :6] = pixels[:, -6:] = pixels[..., :6] = pixels[..., -6:] = 0
    labels = np.arange(train + test).astype(np.uint8) % 10
    for split, part in (("train", slice(0, train)), ("test", slice(train, None))):
        for name, values in zip(mnist.FILES[split], (pixels[part], labels[part]), strict=True):
            data = idx_bytes(values)
            path = folder / (f"{name}.gz" if packed else name)
            path.write_bytes(gzip.compress(data) if packed else data)
    return pixels


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("module", [mnist, fashion])
def test_images_and_labels(tmp_path: Path, module: object, packed: bool) -> None:
    pixels = write(tmp_path, packed=packed)
    shown = module.images("test", tmp_path)  # type: ignore[attr-defined]
    assert len(shown) == 3 and np.array_equal(shown.pixels, pixels[5:]) and shown.labels.tolist() == [5, 6, 7]


def test_recordings_of_the_camera(tmp_path: Path) -> None:
    pixels = write(tmp_path)
    recorded = catalog.load("mnist", "train", tmp_path)
    assert recorded.shape == (2, 34, 34) and len(recorded) == 5
    assert recorded.labels is not None and recorded.labels.tolist() == [0, 1, 2, 3, 4]
    # Each by itself, whatever is recorded beside it.
    one = mnist.record(pixels[2:3], first=2)[0]
    assert recorded[2].digest() == one.digest() and len(one) > 1000
    other = catalog.load("fashion", "test", tmp_path)
    assert len(other) == 3 and other.classes[0] == "T-shirt"


def test_the_image_moves_over_the_film() -> None:
    image = np.zeros((28, 28), np.uint8)
    image[10, 12] = 255
    recipe = mnist.Recipe()
    film = mnist.film(image, recipe)
    x, y = digits.way(recipe)
    places = [np.unravel_index(frame.argmin(), frame.shape) for frame in film]
    offsets = np.array(places) - np.column_stack([y, x])
    # The darkest pixel follows the way to within the half pixel that sampling leaves.
    assert np.ptp(offsets, axis=0).max() <= 1.0
    scene = mnist._scene(image, recipe.contrast)
    again = np.empty((1, 34, 34))
    pan_reference(scene, np.array([14.0]), np.array([14.0]), 2, again)
    assert np.allclose(film[0], again[0])


def test_verify_counts_and_names_what_is_wrong(tmp_path: Path) -> None:
    write(tmp_path)
    found = mnist.verify(tmp_path)
    assert found.recordings == {"train": 5, "test": 3} and found.files == 4 and not found.problems
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    (problem,) = mnist.verify(tmp_path).problems
    assert "neither t10k-labels-idx1-ubyte nor t10k-labels-idx1-ubyte.gz is here; put train-images" in problem


def test_swapped_or_unequal_files_are_refused(tmp_path: Path) -> None:
    write(tmp_path, packed=False)
    a, b = (tmp_path / name for name in mnist.FILES["train"])
    one = a.read_bytes()
    two = b.read_bytes()
    b.write_bytes(one)
    with pytest.raises(NeurosimFormatError, match="is it the file of images"):
        mnist.images("train", tmp_path)
    a.write_bytes(two)
    with pytest.raises(NeurosimFormatError, match="is it the file of labels"):
        mnist.images("train", tmp_path)
    a.write_bytes(one)
    b.write_bytes(idx_bytes(np.arange(4, dtype=np.uint8)))
    with pytest.raises(NeurosimFormatError, match="byte 4: expected 5 labels"):
        mnist.images("train", tmp_path)
    b.write_bytes(idx_bytes(np.array([1, 2, 10, 3, 4], np.uint8)))
    with pytest.raises(NeurosimFormatError, match="byte 10: expected a label below 10, got 10"):
        mnist.images("train", tmp_path)
    with pytest.raises(NeurosimInputError, match="split of mnist: unknown name 'trian'; did you mean 'train'"):
        mnist.images("trian", tmp_path)
    with pytest.raises(NeurosimMissingError, match="neither"):
        fashion.images("train", tmp_path / "none")


def test_fetch_leaves_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path)
    assert [path.name for path in mnist.fetch(tmp_path)] == [f"{s.holds}.gz" for s in mnist.INFO.sources]
    (tmp_path / f"{mnist.FILES['test'][1]}.gz").unlink()
    data = io.BytesIO()
    with gzip.GzipFile(fileobj=data, mode="wb") as packed:
        packed.write(idx_bytes(np.zeros(3, np.uint8)))

    def fetch_file(source: object, folder: Path, *_: object, quiet: bool) -> Path:
        (folder / "a.gz").write_bytes(data.getvalue())
        return folder / "a.gz"

    monkeypatch.setattr("neurosim.data.download.fetch_file", fetch_file)
    mnist.fetch(tmp_path)
    assert read_idx(tmp_path / mnist.FILES["test"][1]).tolist() == [0, 0, 0]


@pytest.mark.data
@pytest.mark.parametrize(("module", "mean"), [(mnist, 33.3), (fashion, 72.9)])
def test_the_real_images(data_root: Path, module: object, mean: float) -> None:
    shown = module.images("train", data_root / module.INFO.folder)  # type: ignore[attr-defined]
    assert shown.pixels.shape == (60_000, 28, 28) and shown.pixels.mean() == pytest.approx(mean, abs=0.05)
    assert np.bincount(shown.labels, minlength=10).min() > 5400
