"""Folders of images: read as viewers show them, through the emulated camera, inverted and centred by a guess."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.folders import opened, two_classes
from helpers.idx_files import idx_bytes, write_images

from neurosim.base import NeurosimFormatError, NeurosimInputError, NeurosimMissingError
from neurosim.data.folder.folder import open_folder
from neurosim.data.folder.images import FolderImages, read_image
from neurosim.data.saccades import ImageCamera


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return two_classes(tmp_path / "gestures")


def pictures(folder: Path) -> np.ndarray:
    image = pytest.importorskip("PIL.Image")
    pixels = np.zeros((6, 20, 30), np.uint8)
    for k in range(6):
        pixels[k, 5 : 8 + 5 * (k % 2), 4:20] = 200
        (folder / "ab"[k % 2]).mkdir(parents=True, exist_ok=True)
        image.fromarray(pixels[k]).save(folder / "ab"[k % 2] / f"{k}.png")
    return pixels


def test_images_through_the_emulated_camera(tmp_path: Path) -> None:
    pixels = pictures(tmp_path / "png")
    options: Mapping[str, Any] = {
        "images": {"side": 10, "saccade": 0.05, "camera": {"noise_rate": 0.0}, "invert": False, "centre": False}
    }
    found = open_folder(tmp_path / "png", options)
    assert found.formats == {"images": 6} and found.recordings.shape == (2, 16, 16)
    assert np.allclose(found.recordings.durations, 0.15) and (np.diff(found.recordings.offsets) > 50).all()
    camera = found.options.images
    expected = camera.record(pixels[0], 0)
    assert expected.digest() == found.recordings[0].digest()
    # The picture lies in the middle of the sensor: its two rows of edges give the events.
    rows = found.recordings[0].coordinates()[1]
    assert 4 < rows.mean() < 9
    # As IDX, packed, with splits by name.
    idx = tmp_path / "idx"
    idx.mkdir()
    for split, part in (("train", slice(0, 4)), ("t10k", slice(4, 6))):
        write_images(idx, split, pixels[part], np.arange(6)[part] % 2)
    path = idx / "train-images-idx3-ubyte"
    path.with_suffix(".gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    packed = open_folder(idx, options)
    assert packed.counts == {"train": 4, "test": 2} and packed.recordings.classes == ("0", "1")
    assert {spikes.digest() for spikes in packed.select("train")} & {spikes.digest() for spikes in found.recordings}


def test_pictures_are_read_as_viewers_show_them(tmp_path: Path) -> None:
    Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    grey = np.random.default_rng(1).integers(0, 256, (7, 9), dtype=np.uint8)
    grey[0, 0] = 255
    white = np.full((7, 9), 255, np.uint8)
    plain = Image.fromarray(grey)
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned by 90 degrees, clockwise
    entry = {"turned.png": {"exif": turned}, "hole.png": {"transparency": 255}}
    pictures = {
        "plain.png": plain,
        "palette.png": plain.convert("P"),
        "opaque.png": plain.convert("RGBA"),
        "words.png": Image.fromarray(grey.astype(np.uint16) * 257),
        "words.tif": Image.fromarray(grey.astype(np.uint16) * 257),
        "black on nothing.png": Image.merge("LA", [Image.fromarray(0 * grey), Image.fromarray(255 - grey)]),
        "white on nothing.png": Image.merge("LA", [Image.fromarray(white), plain]),
        "turned.png": Image.fromarray(np.rot90(grey)),
        "hole.png": plain,
    }
    for name, picture in pictures.items():
        picture.save(tmp_path / name, **entry.get(name, {}))
        assert np.array_equal(read_image(tmp_path / name, None), grey), name
    (tmp_path / "twelve.tif").write_bytes(_tiff_of_12_bits(grey.astype(np.int64) * 4095 // 255))
    assert np.array_equal(read_image(tmp_path / "twelve.tif", None), grey)
    Image.fromarray(grey.astype(np.float32)).save(tmp_path / "floats.tif")
    with pytest.raises(
        NeurosimFormatError, match=r"floats.tif: .*pixels are of 32 bits, and which is white is not kno"
    ):
        read_image(tmp_path / "floats.tif", None)
    for name in ("moving.gif", "pages.tif"):
        plain.save(tmp_path / name, save_all=True, append_images=[Image.fromarray(255 - grey)])
        with pytest.raises(NeurosimFormatError, match=f"{name}: .*it holds 2 pictures, an animation or pages"):
            read_image(tmp_path / name, None)


def _tiff_of_12_bits(pixels: np.ndarray) -> bytes:
    """A TIFF in one strip whose pixels have 12 bits, packed; rows begin at a byte."""
    height, width = pixels.shape
    bits = ((pixels[:, :, None] >> np.arange(11, -1, -1)) & 1).reshape(height, -1).astype(np.uint8)
    rows = np.packbits(bits, axis=1).tobytes()
    tags = {256: width, 257: height, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: len(rows)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return struct.pack("<2sHI", b"II", 42, 8 + len(rows)) + rows + struct.pack("<H", len(tags)) + entries + b"\0" * 4


def test_images_that_are_nearly_black_are_doubted() -> None:
    """12 bits that are stored in 16 fill a sixteenth of the grey levels."""
    grey = np.random.default_rng(1).integers(0, 4096, (7, 9)) >> 8
    assert "no grey level above 15 of 255" in FolderImages().decided([grey.astype(np.uint8)])[1][-1]
    assert not FolderImages().decided([grey.astype(np.uint8) * 3])[1]


def test_a_picture_of_one_grey_gives_no_events() -> None:
    camera = ImageCamera(side=8, saccade=0.05)
    quiet = ImageCamera(side=8, saccade=0.05, camera=type(camera.camera)(noise_rate=0.0))
    assert len(quiet.record(np.full((31, 57), 90, np.uint8), 0)) == 0
    assert len(camera.record(np.full((31, 57), 90, np.uint8), 0)) > 0


def glyph(place: tuple[int, int], *, bright: bool) -> np.ndarray:
    """A cross of nine pixels, the upper left corner of its box at `place`."""
    image = np.zeros((40, 40), np.uint8)
    image[place[0] + 4, place[1] : place[1] + 9] = 255
    image[place[0] : place[0] + 9, place[1] + 4] = 255
    return 255 - image if bright else image


@pytest.mark.parametrize("bright", [False, True])
@pytest.mark.parametrize("off", [False, True])
def test_images_are_inverted_and_centred_by_a_guess_that_is_said(bright: bool, off: bool, tmp_path: Path) -> None:
    places = [(2, 3), (28, 4), (1, 29), (30, 30)] if off else [(15, 15), (16, 16), (15, 16), (16, 15)]
    images = np.stack([glyph(place, bright=bright) for place in places])
    for split in ("train", "t10k"):
        write_images(tmp_path, split, images, np.arange(4) % 2)
    folder = opened(tmp_path)
    assert any("images were inverted, for their background is bright" in line for line in folder.remarks) == bright
    assert any("images were centred, for objects lie off the middle" in line for line in folder.remarks) == off
    pictures, _ = FolderImages().decided(images)
    want = glyph((15, 15) if off else places[0], bright=False)
    assert np.array_equal(pictures.prepare(images[0]), want)
    # Options win over guesses.
    plain = opened(tmp_path, images={"invert": False, "centre": False})
    assert not any("guessed: images" in line for line in plain.remarks)
    same = plain.recordings.digest() == folder.recordings.digest()
    assert same == (not bright and not off)
    cut = FolderImages(crop=True, invert=bright).prepare(images[2])
    assert cut.shape == (9, 9) and cut[4].min() == 255 and cut[0, 0] == 0


def test_images_without_an_object_or_an_even_border_stay_as_they_are() -> None:
    photographs = np.random.default_rng(3).integers(0, 256, (9, 20, 30)).astype(np.uint8)
    pictures, remarks = FolderImages().decided(photographs)
    assert remarks == () and np.array_equal(pictures.prepare(photographs[0]), photographs[0])
    blank = np.zeros((8, 8), np.uint8)
    assert np.array_equal(FolderImages(centre=True, crop=True).prepare(blank), blank)


def test_idx_without_labels(tmp_path: Path) -> None:
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx_bytes(np.zeros((2, 3, 3), np.uint8)))
    with pytest.raises(NeurosimMissingError, match="its labels are not beside it; add train-labels-idx1-ubyte"):
        opened(tmp_path)
    for name in ("train", "t10k"):
        write_images(tmp_path, name, np.zeros((2, 3, 3), np.uint8), np.arange(4) % 2)
    with pytest.raises(NeurosimInputError, match=r"images: must be as many as labels; there is none 2 \(got 2\)"):
        opened(tmp_path)
