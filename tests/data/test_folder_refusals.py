"""Folders, settings and files that are refused by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from helpers.folders import opened, recording, save, two_classes, write_labels

from neurosim import NeurosimError
from neurosim.base import NeurosimFormatError, NeurosimInputError, NeurosimMissingError
from neurosim.data import write
from neurosim.data.folder.folder import open_folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return two_classes(tmp_path / "gestures")


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


def wrapped(root: Path) -> None:
    (root / "all").mkdir()
    for name in ("left", "right"):
        (root / name).rename(root / "all" / name)


def flat(root: Path) -> None:
    for path in (*(root / "left").iterdir(), *(root / "right").iterdir()):
        path.rename(root / f"{path.parent.name}-{path.name}")


def shd(root: Path) -> None:
    emptied(root)
    (root / "train.h5").write_bytes(b"")


def many_in_one(root: Path) -> None:
    """Leave one file with all recordings, in the layout of N-TIDIGITS."""
    emptied(root)
    with h5py.File(root / "digits.hdf5", "w") as file:
        for part in ("train", "test"):
            file[f"{part}_labels"] = np.array([b"man-bd-1", b"man-bd-2"])
            for name in ("man-bd-1", "man-bd-2"):
                file[f"{part}_addresses/{name}"] = np.array([3, 60])
                file[f"{part}_timestamps/{name}"] = np.array([0.1, 0.2])


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
        (wrapped, "gestures: has recordings of one class, all, with left, right inside it; where .*, give .*/all, or"),
        (shd, "gestures: holds files in the layout of SHD; read it as the dataset 'shd'"),
        (many_in_one, "digits.hdf5: is HDF5 of a layout that is not read, with test_addresses, .*; write its rec"),
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


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(
        NeurosimMissingError, match=r"data\.root: .*nowhere does not exist; give the folder of your rec"
    ):
        opened(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(NeurosimMissingError, match=r"file is not a folder; give"):
        opened(tmp_path / "file")
