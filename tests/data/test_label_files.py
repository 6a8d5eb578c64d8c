"""Files of labels that are called as splits, train.csv and test.csv, beside recordings or folders of them."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from neurosim import NeurosimError
from neurosim.data.folder.items import Listing, find_items
from neurosim.data.folder.options import of_folder


def listed(root: Path) -> Listing:
    return find_items(root, of_folder(root, {}))


def splits(root: Path) -> Counter[tuple[str, str | None]]:
    """The number of recordings by their folder and their split."""
    return Counter((item.path.parent.name, item.split) for item in listed(root).items)


@pytest.fixture(params=[".png", ".npz", ".csv"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Recordings 0 to 5 in train/ and 0 to 3 in test/, and train.csv; what is in them is not read here."""
    for split, count in (("train", 6), ("test", 4)):
        (tmp_path / split).mkdir()
        for k in range(count):
            (tmp_path / split / f"{k}{request.param}").write_text("")
    write(tmp_path / "train.csv", "id,label", 6)
    return tmp_path


def write(path: Path, columns: str, count: int) -> None:
    """Write a table whose rows are of the classes a and b in turn, or of no class."""
    classes = [",ab"[1 + k % 2] if "," in columns else "" for k in range(count)]
    path.write_text("\n".join([columns, *(f"{k},{label}".rstrip(",") for k, label in enumerate(classes))]) + "\n")


@pytest.mark.parametrize("names", [("train.csv", "test.csv"), ("train_labels.csv", "test_labels.csv")])
def test_each_table_names_the_recordings_of_its_split(root: Path, names: tuple[str, str]) -> None:
    (root / "train.csv").rename(root / names[0])
    write(root / names[1], "filename,class", 4)
    # 0 to 3 are in both folders: each table means those of its own.
    assert splits(root) == {("train", "train"): 6, ("test", "test"): 4}
    assert not listed(root).remarks
    assert {item.label for item in listed(root).items} == {"a", "b"}


def test_recordings_without_classes_are_left_out_and_named(root: Path) -> None:
    write(root / "test.csv", "id", 4)
    assert splits(root) == {("train", None): 6}
    first, second = listed(root).remarks
    assert first == (
        "test.csv has no column label: the recordings that it names are left out, and the test recordings are drawn "
        "from train.csv"
    )
    assert second.startswith("left out: 4 files that train.csv does not name, e.g. 0.")


def test_recordings_beside_their_tables(tmp_path: Path) -> None:
    for k in range(6):
        (tmp_path / f"{k}.npz").write_text("")
    write(tmp_path / "train.csv", "file,label", 4)
    (tmp_path / "test.csv").write_text("file,label\n4,a\n5,b\n")
    assert Counter(item.split for item in listed(tmp_path).items) == {"train": 4, "test": 2}


def test_other_names_of_columns_are_refused_with_the_next_step(root: Path) -> None:
    write(root / "train.csv", "id_code,diagnosis", 6)
    message = "train.csv has the columns id_code, diagnosis: call those of the files and the classes file and label"
    with pytest.raises(NeurosimError, match=re.escape(message)):
        listed(root)


def test_a_recording_may_be_called_train(tmp_path: Path) -> None:
    for label in "ab":
        (tmp_path / label).mkdir()
        (tmp_path / label / "0.csv").write_text("t,x,y,p\n1,2,3,1\n")
    (tmp_path / "train.csv").write_text("t,x,y,p\n1,2,3,1\n")
    assert splits(tmp_path) == {("a", None): 1, ("b", None): 1}
    for label in "ab":
        (tmp_path / label / "0.csv").unlink()
    with pytest.raises(NeurosimError, match="holds 1 recording and does not say their classes"):
        listed(tmp_path)
