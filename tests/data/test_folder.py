"""Folders of one's own recordings: classes, splits, labels, settings, sensors and starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.folders import SHAPE, opened, recording, save, two_classes, write_labels

from neurosim import Spikes
from neurosim.base import NeurosimInputError, NeurosimMissingError
from neurosim.data import catalog


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return two_classes(tmp_path / "gestures")


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
