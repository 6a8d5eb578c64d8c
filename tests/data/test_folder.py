"""Folders of one's own recordings: classes, splits, sensors, starts, images, and folders that are none."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.idx_files import idx_bytes, write_images

from neurosim import NeurosimError, Spikes
from neurosim.base import NeurosimFormatError, NeurosimInputError, NeurosimMissingError
from neurosim.data import catalog, write
from neurosim.data.folder.folder import Folder, open_folder
from neurosim.data.folder.images import FolderImages, read_image
from neurosim.data.folder.items import find_items
from neurosim.data.folder.options import FolderOptions
from neurosim.data.saccades import ImageCamera

SHAPE = (2, 9, 12)


def recording(seed: int, shape: tuple[int, ...] = SHAPE, start: int = 0) -> Spikes:
    """Events whose last is in the far corner of the sensor."""
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(0, 50_000, 40)) + start
    size = int(np.prod(shape))
    units = rng.integers(0, size, 40)
    units[-1] = size - 1
    return Spikes(t * 1e-6, units, size, float(t[-1] * 1e-6), shape)


def save(path: Path, spikes: Spikes) -> None:
    """Write a recording in the format of the suffix; .txt without a header, as other programs do."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix in (".txt", ".npy"):
        p, y, x = spikes.coordinates()
        t = np.rint(spikes.times * 1e6).astype(np.int64)
        if path.suffix == ".txt":
            lines = (f"{a} {b} {c} {d}\n" for a, b, c, d in zip(x, y, t, p, strict=True))
            path.write_text("".join(lines))
        else:
            table = np.zeros(len(t), [("t", "i8"), ("x", "i2"), ("y", "i2"), ("p", "?")])
            table["t"] = t
            table["x"] = x
            table["y"] = y
            table["p"] = p
            np.save(path, table)
    else:
        write(path, spikes)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes, five recordings each, in three formats; text files on the clock of a camera."""
    folder = tmp_path / "gestures"
    for side, label in enumerate(("left", "right")):
        for k in range(5):
            suffix = (".csv", ".npy", ".txt")[k % 3]
            start = 700_000_000 if suffix == ".txt" else 1000
            save(folder / label / f"{k}{suffix}", recording(k + 50 * side, start=start))
    return folder


def opened(root: Path, **options: Any) -> Folder:
    return open_folder(root, options)


def test_a_folder_a_class_in_mixed_formats(root: Path) -> None:
    found = opened(root)
    assert (
        found.name == "gestures" and found.recordings.shape == SHAPE and found.recordings.classes == ("left", "right")
    )
    assert found.counts == {"train": 8, "test": 2} and found.formats == {"csv": 6, "numpy": 4}
    assert not found.doubts and set(found.remarks) == {
        "guessed in 2 files: columns are x, y, t, p",
        "guessed in 2 files: times are microseconds, for all are integers",
        "6 files without a word on polarity 1, e.g. 1.npy: read as in the others",
        "recordings start at their first event, 0.001 to 700.002 s on the clocks of 6 files",
        "the sensor is the smallest that holds all events; data.options.shape states a larger one",
    }
    # What neurosim wrote has its own time 0, files of cameras start at their first event.
    for spikes, item in zip(found.recordings, found.items, strict=True):
        k = int(item.path.stem) + 50 * (item.label == "right")
        expected = recording(k, start=1000)
        assert np.array_equal(spikes.units, expected.units)
        if item.path.suffix == ".csv":
            start = 0.0
        else:
            start = expected.times[0]
        assert np.allclose(spikes.times, expected.times - start, atol=1e-9)
    # By name first, so that classes are mixed.
    assert [item.label for item in found.items] == ["left", "right"] * 5
    # Read once, until a file changes.
    assert opened(root) is found and opened(root, seed=1) is not found
    save(root / "left" / "9.csv", recording(9))
    assert len(opened(root).items) == 11


def test_the_catalogue_knows_it(root: Path) -> None:
    info = catalog.describe("folder", root)
    assert (info.title, info.shape, info.classes, info.splits) == (
        "gestures",
        SHAPE,
        ("left", "right"),
        ("train", "test"),
    )
    train, test = (catalog.load("folder", split, root, {"test": 0.4}) for split in info.splits)
    assert len(train) == 6 and len(test) == 4 and test.labels is not None and sorted(test.labels) == [0, 0, 1, 1]
    assert catalog.verify("folder", root).recordings == {"train": 8, "test": 2}
    with pytest.raises(NeurosimInputError, match="split of gestures: unknown name 'tests'; did you mean 'test'"):
        catalog.load("folder", "tests", root)
    with pytest.raises(NeurosimMissingError, match=r"data\.root: is missing; name the folder of your recordings"):
        catalog.describe("folder")
    with pytest.raises(NeurosimInputError, match=r"data\.options: unknown key 'tik'; did you mean 'tick'"):
        catalog.load("folder", "test", root, {"tik": 1})
    with pytest.raises(NeurosimInputError, match=r"data\.options: must be left out: nmnist has none"):
        catalog.load("nmnist", "test", root, {"tick": 1})


def test_splits_depend_on_the_seed_and_the_class_alone(root: Path) -> None:
    def tested(**options: Any) -> list[str]:
        found = opened(root, **options)
        return [f"{i.label}/{i.path.stem}" for i, s in zip(found.items, found.split, strict=True) if s == "test"]

    first = tested(test=0.4)
    assert (
        len(first) == 4 and first == tested(test=0.4) and len({tuple(tested(test=0.4, seed=k)) for k in range(6)}) > 2
    )
    # Another class moves nothing.
    for k in range(3):
        save(root / "middle" / f"{k}.csv", recording(k))
    assert [name for name in tested(test=0.4) if not name.startswith("middle")] == first


def test_folders_of_splits(tmp_path: Path) -> None:
    for k, split in enumerate(("Train", "val", "testing")):
        for label in ("left", "right"):
            save(tmp_path / split / label / "0.csv", recording(k))
    found = opened(tmp_path)
    assert found.splits == ("train", "test", "validation") and found.counts == dict.fromkeys(found.splits, 2)
    assert found.recordings.classes == ("left", "right")
    assert np.array_equal(found.select("validation")[0].units, recording(1).units)
    save(tmp_path / "other" / "0.csv", recording(0))
    with pytest.raises(
        NeurosimInputError, match=r"has folders of splits \(Train\) and others \(other\); keep one kind"
    ):
        opened(tmp_path)


ROWS = [
    ("left/0.csv", "a", "1"),
    ("1.npy", "b", "1"),
    ("left/2.txt", "a", "2"),
    ("left/3.csv", "b", "2"),
    ("4.npy", "b", "3"),
]


def write_labels(root: Path, kind: str, rows: Sequence[tuple[str, ...]], columns: tuple[str, ...]) -> None:
    if kind == "labels.csv":
        text = "".join(",".join(row) + "\n" for row in [columns, *rows])
    else:
        text = "".join(
            "[[recording]]\n" + "".join(f'{k} = "{v}"\n' for k, v in zip(columns, row, strict=True)) for row in rows
        )
    (root / kind).write_text(text)


@pytest.mark.parametrize("kind", ["labels.csv", "labels.toml", "dataset.toml"])
def test_a_file_of_labels(kind: str, root: Path) -> None:
    (root / "right").rename(root.parent / "right")  # or short names are not unique
    write_labels(root, kind, ROWS, ("file", "label", "speaker"))
    found = opened(root, by="speaker", test=0.3)
    assert found.recordings.classes == ("a", "b") and found.groups == {"speaker": ("1", "2", "3")}
    assert found.recordings.groups["speaker"].tolist() == [1, 1, 2, 2, 3]
    train, test = (set(found.select(split).groups["speaker"].tolist()) for split in ("train", "test"))
    assert train and test and train | test == {1, 2, 3} and not train & test
    train_of_others, of_two = catalog.hold_out("folder", "speaker", 2, root, {"by": "speaker"})
    assert of_two.groups["speaker"].tolist() == [2, 2] and 2 not in train_of_others.groups["speaker"]
    # Splits that the file names.
    given = [(*row[:2], "test" if k % 2 else "training") for k, row in enumerate(ROWS)]
    write_labels(root, kind, given, ("file", "label", "split"))
    assert opened(root).split == ("train", "test", "train", "test", "train")
    with pytest.raises(NeurosimInputError, match=r"data\.options\.by: must be left out, as .*gestures says its splits"):
        opened(root, by="speaker")


def test_settings_in_the_folder(root: Path) -> None:
    (root / "dataset.toml").write_text('test = 0.4\nshape = [2, 20, 20]\ncolumns = "xytp"\n[images]\nside = 9\n')
    found = opened(root, seed=3, images={"camera": {"noise_rate": 0.0}})
    assert not any("sensor" in line for line in found.remarks)
    assert found.recordings.shape == (2, 20, 20) and found.counts["test"] == 4 and found.options.columns == "xytp"
    assert found.options.images.side == 9 and found.options.images.camera.noise_rate == 0 and found.options.seed == 3
    assert opened(root, shape=[2, 30, 30]).recordings.shape == (2, 30, 30)
    (root / "dataset.toml").write_text("tests = 0.4\n")
    with pytest.raises(NeurosimInputError, match=r"dataset\.toml: unknown key 'tests'; did you mean 'test'"):
        opened(root)


@pytest.mark.parametrize(("start", "first"), [("file", 700.0), ("first", 0.0), (699.5, 0.5), (None, 0.0)])
def test_the_start_of_recordings(start: Any, first: float, root: Path) -> None:
    found = opened(root, **({} if start is None else {"start": start}))
    text = [s for s, item in zip(found.recordings, found.items, strict=True) if item.path.suffix == ".txt"]
    assert all(abs(spikes.times[0] - first) < 0.05 for spikes in text)


def test_small_sensors_go_into_the_one_that_files_say(root: Path) -> None:
    # The sensor of this file is larger than its events show.
    save(root / "left" / "big.csv", Spikes([0.01], [0], 2 * 20 * 30, 0.02, (2, 20, 30)))
    found = opened(root)
    assert found.recordings.shape == (2, 20, 30)
    p, y, x = found.recordings[0].coordinates()
    expected = recording(0, start=1000).coordinates()
    assert all(np.array_equal(a, b) for a, b in zip((p, y, x), expected, strict=True))


def test_sensors_that_do_not_fit_are_named(root: Path) -> None:
    save(root / "left" / "big.csv", Spikes([0.01], [0], 2 * 20 * 30, 0.02, (2, 20, 30)))
    save(root / "right" / "huge.csv", Spikes([0.01], [0], 2 * 40 * 30, 0.02, (2, 40, 30)))
    with pytest.raises(
        NeurosimInputError, match=r"big\.csv: has a sensor 2 x 20 x 30, and right/huge\.csv one 2 x 40 x 30; give"
    ):
        opened(root)
    (root / "right" / "huge.csv").unlink()
    save(root / "right" / "ear.csv", Spikes([0.01], [0], 7, 0.02))
    with pytest.raises(
        NeurosimInputError, match=r"has a sensor .*, and right/ear\.csv one 7; give data\.options\.shape"
    ):
        opened(root)


def test_channels(tmp_path: Path) -> None:
    for k in range(8):
        save(tmp_path / "ear" / "ab"[k % 2] / f"{k}.csv", recording(k, (77,)))
    found = opened(tmp_path / "ear")
    assert found.recordings.shape == (77,) and found.counts == {"train": 6, "test": 2}


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


def test_links_to_files_that_are_not_there_are_said(tmp_path: Path) -> None:
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        (tmp_path / label / "lost.csv").symlink_to(tmp_path / "nowhere.csv")
    with pytest.raises(NeurosimMissingError, match=r"holds 2 links to files that are not there, e\.g\. lost\.csv"):
        find_items(tmp_path, FolderOptions())
    for label in ("a", "b"):
        (tmp_path / label / "0.csv").write_text("t,x,y,p\n1,0,0,1\n")
    listing = find_items(tmp_path, FolderOptions())
    assert [item.path.name for item in listing.items] == ["0.csv", "0.csv"]
    assert "left out: 2 links to files that are not there, e.g. lost.csv" in listing.remarks


def test_a_picture_of_one_grey_gives_no_events() -> None:
    camera = ImageCamera(side=8, saccade=0.05)
    quiet = ImageCamera(side=8, saccade=0.05, camera=type(camera.camera)(noise_rate=0.0))
    assert len(quiet.record(np.full((31, 57), 90, np.uint8), 0)) == 0
    assert len(camera.record(np.full((31, 57), 90, np.uint8), 0)) > 0


def test_a_recording_in_two_classes_is_named_once(root: Path) -> None:
    # In another format, and in its own class: the first is named, the second is no fault.
    save(root / "right" / "again.npy", recording(0, start=1000))
    save(root / "left" / "copy.npy", recording(1, start=1000))
    words = "left/0.csv and right/again.npy have the same events in two classes; remove the one of the wrong class"
    assert [line for line in opened(root).remarks if "same events" in line] == [words]
    save(root / "right" / "more.npy", recording(1, start=1000))
    (line,) = (line for line in opened(root).remarks if "same events" in line)
    assert "in two classes (and 1 other recordings do); remove" in line


def test_doubts_and_remarks(root: Path) -> None:
    (root / "empty").mkdir()
    (root / "left" / "notes.md").write_text("...")
    (root / "left" / ".hidden.csv").write_text("...")
    save(root / "0.csv", recording(0))
    save(root / "rare" / "only.csv", Spikes([], [], 216, 0.0, SHAPE))
    save(root / "right" / "long.csv", Spikes([9.0], [0], 216, 9.0, SHAPE))
    found = opened(root)
    assert found.remarks[:3] == (
        "left out: 1 file beside the folders of classes, e.g. 0.csv",
        "left out: 1 file of unknown formats, e.g. notes.md",
        "folders without recordings are no classes: empty",
    )
    assert found.doubts == (
        "no events in 1 recording, e.g. only.csv",
        "the split test has no recordings of rare",
        "long.csv lasts 9.000 s, ten times the median of 0.049 s",
    )


@pytest.mark.parametrize(
    ("unit", "text", "doubted"), [(1e3, "{:.3f}", True), (1e3, "{:.0f}", True), (1.0, "{:.6f}", False)]
)
def test_a_guessed_unit_that_makes_a_camera_too_slow_or_too_short_is_doubted(
    tmp_path: Path, unit: float, text: str, doubted: bool
) -> None:
    """Times in ms are taken for s where they have fractions, and for us where they have none."""
    rng = np.random.default_rng(0)
    for k in range(4):
        lines = ["t,x,y,p", *(f"{text.format(t * unit)},{x},{y},1" for t, x, y in _moves(rng))]
        path = tmp_path / "ab"[k % 2] / f"{k}.csv"
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(lines) + "\n")
    found = [line for line in opened(tmp_path).doubts if "unit of time" in line]
    assert len(found) == doubted and all("data.options.tick, such as 1e-3" in line for line in found)
    assert not [line for line in opened(tmp_path, tick=1 / unit).doubts if "unit of time" in line]


def test_a_unit_of_arrays_that_makes_a_camera_too_short_is_doubted(tmp_path: Path) -> None:
    """Integers of arrays are taken for us; so are seconds since 1970 that became float32, all of them one number."""
    rng = np.random.default_rng(0)
    times: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "ms": lambda t: np.rint(t * 1e3).astype(np.int64),
        "epoch": lambda t: (1.7e9 + t).astype(np.float32),
        "us": lambda t: np.rint(t * 1e6).astype(np.int64),
    }
    for name, of in times.items():
        for k in range(4):
            t, x, y = np.array(list(_moves(rng))).T
            path = tmp_path / name / "ab"[k % 2] / f"{k}.npz"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez(path, t=of(t), x=x.astype(np.int16), y=y.astype(np.int16), p=np.ones(len(t), bool))
        found = [line for line in opened(tmp_path / name).doubts if "unit of time" in line]
        assert len(found) == (name != "us")
        assert not [line for line in opened(tmp_path / name, tick=1e-3).doubts if "unit of time" in line]


@pytest.mark.parametrize(("unit", "doubted"), [(1e3, True), (1.0, False), (1e-3, True)])
def test_a_unit_of_channels_that_makes_them_too_slow_or_too_short_is_doubted(
    tmp_path: Path, unit: float, doubted: bool
) -> None:
    """Milliseconds with fractions are taken for seconds."""
    rng = np.random.default_rng(0)
    for k in range(4):
        path = tmp_path / "ab"[k % 2] / f"{k}.npz"
        path.parent.mkdir(exist_ok=True)
        np.savez(path, times=np.sort(rng.uniform(0.0, unit, 400)), units=rng.integers(0, 40, 400))
    found = [line for line in opened(tmp_path).doubts if "spikes/s a channel" in line]
    assert len(found) == doubted
    assert not [line for line in opened(tmp_path, tick=1 / unit).doubts if "spikes/s a channel" in line]


def _moves(rng: np.random.Generator) -> Iterable[tuple[float, int, int]]:
    """Yield times within .4 s and places of 400 events of a camera of 30 x 20 pixels."""
    times = np.sort(rng.uniform(0.0, 0.4, 400))
    yield from zip(times, rng.integers(0, 30, 400), rng.integers(0, 20, 400), strict=True)


@pytest.mark.parametrize(("train", "test"), [("train", "test"), ("TrainSet", "test_data"), ("training set", "val")])
def test_folders_of_splits_may_lie_outside_or_inside_those_of_classes(tmp_path: Path, train: str, test: str) -> None:
    """A draw from all recordings would test on those that are to be learned, and take the splits for classes."""
    for number, (split, turn) in enumerate([(train, "left"), (train, "right"), (test, "left"), (test, "right")]):
        save(tmp_path / "outside" / split / turn / f"{number}.csv", recording(number))
        save(tmp_path / "inside" / turn / split / f"{number}.csv", recording(number))
    other = "validation" if test == "val" else "test"
    for place in ("outside", "inside"):
        folder = opened(tmp_path / place)
        assert [(item.label, split) for item, split in zip(folder.items, folder.split, strict=True)] == [
            ("left", "train"),
            ("right", "train"),
            ("left", other),
            ("right", other),
        ]
        assert not [line for line in folder.remarks if "classes are the outer" in line]
    save(tmp_path / "inside" / "left" / "9.csv", recording(9))
    with pytest.raises(
        NeurosimInputError, match=r"in folders of splits \(left/.*\) and others \(left/9.csv\); keep one"
    ):
        opened(tmp_path / "inside")


@pytest.mark.parametrize(
    ("train", "test"),
    [("n-cars_train", "n-cars_test"), ("ibmGestureTrain", "ibmGestureTest"), ("train2017", "val2017")],
)
def test_folders_of_splits_may_have_further_words(tmp_path: Path, train: str, test: str) -> None:
    """They were taken for the classes."""
    for split in (train, test):
        for turn in ("left", "right"):
            save(tmp_path / split / turn / "0.csv", recording(len(split + turn)))
    folder = opened(tmp_path)
    assert folder.recordings.classes == ("left", "right") and folder.counts["train"] == 2


def test_folders_of_persons_may_hold_classes_as_files(tmp_path: Path) -> None:
    for number, name in enumerate(["user01_led", "user02_led", "user03_led"]):
        for label in range(2):
            save(tmp_path / name / f"{label}.npy", recording(2 * number + label))
    (line,) = (line for line in opened(tmp_path).remarks if "classes are the outer folders" in line)
    assert "(user01_led, user02_led, user03_led), and each has inside it 0, 1; where those" in line


def test_a_recording_in_another_unit_of_time_than_most_is_doubted(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for k in range(6):
        unit = 1e3 if k == 5 else 1e6
        lines = ["t,x,y,p", *(f"{t * unit:.0f},{x},{y},1" for t, x, y in _moves(rng))]
        path = tmp_path / "ab"[k % 2] / f"{k}.csv"
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(lines) + "\n")
    assert [line for line in opened(tmp_path).doubts if "5.csv lasts 0.000" in line and "less than a hundredth" in line]


@pytest.mark.parametrize("columns", [("filename", "class"), ("Path", "label"), ("file", "category")])
def test_columns_of_labels_may_have_usual_names(root: Path, columns: tuple[str, str]) -> None:
    rows = [("left/0.csv", "a"), ("left/1.npy", "b"), ("left/3.csv", "b")]
    write_labels(root, "labels.csv", rows, columns)
    found = opened(root)
    assert sorted((item.path.name, item.label) for item in found.items) == [
        ("0.csv", "a"),
        ("1.npy", "b"),
        ("3.csv", "b"),
    ]
    # Other programs part them by semicolons, and lists of ids lack the suffix.
    lines = [";".join(columns), *(f"{Path(file).with_suffix('')}; {label}" for file, label in rows)]
    (root / "labels.csv").write_text("\n".join(lines))
    assert opened(root).items == found.items
    # Beside the required name another one is a group.
    write_labels(root, "labels.csv", [(*row, "x") for row in rows], ("file", "label", "class"))
    assert set(opened(root).groups) == {"class"}


def test_sessions_outside_classes_are_named(tmp_path: Path) -> None:
    for number, (session, turn) in enumerate([("one", "left"), ("one", "right"), ("two", "left"), ("two", "right")]):
        save(tmp_path / session / turn / f"{number}.csv", recording(number))
    assert opened(tmp_path).remarks[0] == (
        "classes are the outer folders (one, two), and each has inside it left, right; where those are the "
        "classes, make them folders outside, or name the class of each file in labels.csv"
    )
    save(tmp_path / "two" / "still" / "4.csv", recording(4))
    assert not any("outer folders" in remark for remark in opened(tmp_path).remarks)
    for number, (person, turn) in enumerate([("ann", "left"), ("ann", "right"), ("bob", "left"), ("bob", "right")]):
        save(tmp_path / "people" / person / f"{turn}.csv", recording(number))
        save(tmp_path / "numbered" / person / f"{turn[0]}0.csv", recording(number))
        save(tmp_path / "deeper" / person / "session_1" / turn / "0.csv", recording(number))
    assert "(ann, bob), and each has inside it left, right; where" in opened(tmp_path / "people").remarks[0]
    assert "(ann, bob), and each has inside it left, right, session_1; wh" in opened(tmp_path / "deeper").remarks[0]
    assert not any("outer folders" in remark for remark in opened(tmp_path / "numbered").remarks)


def test_names_hold_no_control_characters(root: Path) -> None:
    save(root / "\x1b[31mred" / "a\x1b.csv", recording(0))
    (root / "left" / "b\x07.md").write_text("")
    found = opened(root)
    assert found.recordings.classes == ("?[31mred", "left", "right") and "e.g. b?.md" in found.remarks[0]
    write_labels(
        root, "labels.csv", [("left/0.csv", "a\x1b"), ("left/1.npy", "b"), ("left/3.csv", "b")], ("file", "label")
    )
    assert opened(root).recordings.classes == ("a?", "b")


def emptied(root: Path) -> None:
    for path in root.rglob("*.*"):
        path.unlink()


def one_each(root: Path) -> None:
    for path in sorted(root.rglob("*.*")):
        if path.stem != "0":
            path.unlink()


def one_class(root: Path) -> None:
    for path in (root / "right").iterdir():
        path.unlink()


def flat(root: Path) -> None:
    for path in (*(root / "left").iterdir(), *(root / "right").iterdir()):
        path.rename(root / f"{path.parent.name}-{path.name}")


def shd(root: Path) -> None:
    emptied(root)
    (root / "train.h5").write_bytes(b"")


Change = Callable[[Path], object]


def content(name: str, data: bytes) -> Change:
    return lambda root: (root / name).write_bytes(data)


def labels(*rows: str) -> Change:
    return content("labels.csv", "\n".join(rows).encode())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (emptied, "gestures: holds no recordings in folders; make a folder for each class, or labels.csv with the col"),
        (flat, "gestures: holds 10 recordings and does not say their classes; make a folder for each class"),
        (one_each, "gestures: must have two recordings of a class to train and to test on; add recordings"),
        (one_class, "gestures: has recordings of one class, left; add recordings of another"),
        (shd, "gestures: holds files in the layout of SHD; read it as the dataset 'shd'"),
        (content("left/0.csv", b""), "left/0.csv: byte 0: expected a header, got an empty file"),
        (content("left/a.png", b"png"), "left/a.png: cannot be read as a picture .*; save it again"),
        (labels("file,label", "9.csv,a"), "labels.csv: names 9.csv, not in"),
        (labels("file,label", "0.csv,a"), "0.csv: is left/0.csv and right/0.csv; give the path from"),
        (labels("file,label", "left/0.csv,a", "./left/0.csv,b"), "left/0.csv: is named twice; keep one of its lines"),
        (labels("file,label", "left/0.csv"), "recording 1: expected file and label, got no label; add it"),
        (labels("file,kind", "left/0.csv,a"), "line 1: expected the columns file and label, got file, kind; add lab"),
        (labels("file,label"), "names no recordings"),
        (labels("file,label,split", f"left/0.csv,{'9' * 5000},train", "left/1.npy,b,train"), "holds nothing|two rec"),
        (labels("file,label,split", "left/0.csv,a,train", "left/1.npy,b,"), "1.npy: give all recordings a split"),
        (labels("file,label,split", "left/0.csv,a,test", "left/1.npy,b,test"), "no recordings of the split train; got"),
        (content("labels.toml", b"[[recording]]\nfile = true\nlabel = 1\n"), "file: must be a string or a number"),
        (content("labels.toml", b"recording = 3\n"), r"labels.toml: expected entries \[\[recording\]\]"),
        (content("labels.csv", b"\xff\xfe\x00"), "labels.csv: is not CSV"),
    ],
)
def test_folders_that_are_none(change: Change, message: str, root: Path) -> None:
    change(root)
    with pytest.raises(NeurosimError, match=message) as caught:
        opened(root)
    assert isinstance(caught.value, NeurosimInputError) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"test": 1.0}, r"data\.options\.test: must be > 0 and < 1"),
        ({"start": "begin"}, r'data\.options\.start: must be "first", "file" or seconds \(got begin\)'),
        ({"labels": "who.csv"}, r"data\.options\.labels: .*who\.csv is not there"),
        ({"by": "speaker"}, r"data\.options\.by: unknown name 'speaker'"),
        ({"shape": [2, 3, 3]}, r"left/0\.csv|left/1\.npy: entry|line"),
        ({"images": {"side": 0}}, r"images\.side: must be 1 to 512 pixels"),
        ({"format": "nmnst"}, "unknown name 'nmnst'; did you mean 'nmnist'"),
    ],
)
def test_settings_that_break_a_rule(options: dict[str, Any], message: str, root: Path) -> None:
    with pytest.raises(NeurosimInputError, match=message):
        open_folder(root, options)


def test_bad_files_are_named_together_and_can_be_left_out(root: Path) -> None:
    write(root / "left/c.aedat4", recording(7))
    (root / "left/a.raw").write_bytes(b"% evt 3.0\nabc")
    (root / "right/b.csv").write_bytes(b"")
    bad = "left/a.raw: byte 12: .*; 2 files are bad: left/a.raw, right/b.csv; --skip-bad, or data.options.skip_bad"
    with pytest.raises(NeurosimFormatError, match=bad):
        opened(root)
    folder = opened(root, skip_bad=True)
    assert len(folder.recordings) == len(folder.items) == len(folder.split) == 11
    left_out = next(line for line in folder.remarks if line.startswith("left out: 2 bad files: left/a.raw (byte 12:"))
    assert "right/b.csv (byte 0: expected a header, got an empty file" in left_out
    for path in (*root.glob("left/*"), *root.glob("right/*")):
        path.write_bytes(b"% evt 3.0\nabc")
    with pytest.raises(NeurosimFormatError, match="none of 13 files can be read; the first: "):
        opened(root, skip_bad=True)


def test_names_select_a_group(root: Path) -> None:
    paths = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.*"))
    rows = [f"{path},{path.split('/')[0]},{('f1', 'm2')[k % 2]}" for k, path in enumerate(paths)]
    (root / "labels.csv").write_text("\n".join(["file,label,speaker", *rows]))
    info = catalog.describe("folder", root)
    assert info.group_names == {"speaker": ("f1", "m2")}
    train, test = catalog.hold_out("folder", "speaker", "m2", root)
    assert set(train.groups["speaker"]) == {0} and set(test.groups["speaker"]) == {1} and len(test) == 5
    with pytest.raises(NeurosimInputError, match=r"data\.held_out_speaker: unknown name 'm1'; .*choose from f1, m2"):
        catalog.hold_out("folder", "speaker", "m1", root)
    with pytest.raises(NeurosimInputError, match=r"key: must be a number: shd has no names of speakers \(got f1\)"):
        catalog.group_number(catalog.module("shd").INFO, "speaker", "f1", "key")
    assert catalog.group_number(catalog.module("shd").INFO, "speaker", "3", "key") == 3


def test_filters_are_options_of_a_folder(root: Path) -> None:
    folder = opened(root, crop=[0, 0, 12, 8], downsample=4)
    assert folder.recordings.shape == (2, 2, 3)
    assert any(line.startswith("left out: ") and "events outside the crop" in line for line in folder.remarks)


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


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(
        NeurosimMissingError, match=r"data\.root: .*nowhere does not exist; give the folder of your rec"
    ):
        opened(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(NeurosimMissingError, match=r"file is not a folder; give"):
        opened(tmp_path / "file")


def test_idx_without_labels(tmp_path: Path) -> None:
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx_bytes(np.zeros((2, 3, 3), np.uint8)))
    with pytest.raises(NeurosimMissingError, match="its labels are not beside it; add train-labels-idx1-ubyte"):
        opened(tmp_path)
    for name in ("train", "t10k"):
        write_images(tmp_path, name, np.zeros((2, 3, 3), np.uint8), np.arange(4) % 2)
    with pytest.raises(NeurosimInputError, match=r"images: must be as many as labels; there is none 2 \(got 2\)"):
        opened(tmp_path)
