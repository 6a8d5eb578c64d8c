"""Pieces of one recording in a folder, by the names of their files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from neurosim import Spikes
from neurosim.data import catalog, write
from neurosim.data.folder.folder import open_folder
from neurosim.data.folder.items import Item
from neurosim.data.folder.takes import RECORDING, doubt_of, with_recordings


def items(*names: str) -> list[Item]:
    return [Item(Path(name), name.split("/")[0]) for name in names]


def groups(*names: str) -> list[str | None]:
    return [item.groups.get(RECORDING) for item in with_recordings(items(*names))]


def test_names_that_differ_in_a_last_number_are_pieces_of_one_recording() -> None:
    names = ("cup/s1_01.raw", "cup/s1_02.raw", "cup/s2_01.raw", "cup/s2_02.raw")
    more = ("pen/a-part1.raw", "pen/a-part2.raw", "pen/b-part1.raw", "pen/b-part2.raw")
    assert groups(*names, *more) == ["cup/s1"] * 2 + ["cup/s2"] * 2 + ["pen/a"] * 2 + ["pen/b"] * 2


@pytest.mark.parametrize(
    "names",
    [
        ("a/0001.raw", "a/0002.raw", "b/0001.raw", "b/0002.raw"),  # numbers alone
        ("a/x_1.raw", "a/x_2.raw", "b/y_1.raw", "b/y_2.raw"),  # one recording of each class
        ("a/one.raw", "a/two.raw", "b/one.raw", "b/two.raw"),  # no numbers
        ("a/u1_1.raw", "a/u2_1.raw", "b/u1_1.raw", "b/u2_1.raw"),  # one piece of each
    ],
)
def test_other_names_say_nothing(names: tuple[str, ...]) -> None:
    assert groups(*names) == [None] * len(names)


def test_groups_of_a_file_of_labels_are_left_as_they_are() -> None:
    own = [Item(Path("a/s1_1.raw"), "a", None, {"speaker": "3"})]
    assert with_recordings(own) == tuple(own)


def test_pieces_in_two_splits_are_doubted_and_kept_together_by_an_option(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for label in ("cup", "pen"):
        for session in range(3):
            for k in range(4):
                times = np.sort(rng.uniform(0, 0.1, 20))
                spikes = Spikes(times, rng.integers(0, 128, 20), 128, 0.1, (2, 8, 8))
                write(tmp_path / label / f"s{session}_{k}.csv", spikes)
    folder = open_folder(tmp_path, {"shape": [2, 8, 8]})
    assert folder.groups[RECORDING] == ("cup/s0", "cup/s1", "cup/s2", "pen/s0", "pen/s1", "pen/s2")
    doubt = next(line for line in folder.doubts if line.startswith("by their names"))
    assert "24 files are pieces of 6 recordings" in doubt and 'data.options.by = "recording"' in doubt
    together = open_folder(tmp_path, {"shape": [2, 8, 8], "by": RECORDING})
    assert not any("by their names" in line for line in together.doubts)
    assert doubt_of(together.items, together.split) == ""
    # One of the three recordings of each class is tested, whatever the seed.
    for seed in range(4):
        drawn = open_folder(tmp_path, {"shape": [2, 8, 8], "by": RECORDING, "seed": seed})
        tested = [item.label for item, split in zip(drawn.items, drawn.split, strict=True) if split == "test"]
        assert sorted(tested) == ["cup"] * 4 + ["pen"] * 4
    assert catalog.describe("folder", tmp_path, {"shape": [2, 8, 8]}).groups == (RECORDING,)


def test_named_splits_that_share_a_recording_are_doubted_without_an_option() -> None:
    named = [
        Item(Path(f"{split}/a/s{k}_{n}.raw"), "a", split, {RECORDING: f"a/s{k}"})
        for split, k, n in (("train", 1, 1), ("train", 1, 2), ("test", 1, 3), ("test", 2, 1))
    ]
    words = doubt_of(named, [str(item.split) for item in named])
    assert "pieces of 1, e.g. a/s1, lie in two splits" in words and "known in part" in words
