"""Files in SHD's layout: any number of channels, the same for both files, and titles after the folder."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from helpers.command import neurosim

from neurosim.base import GuessWarning, NeurosimInputError
from neurosim.data import catalog, read
from neurosim.data.files.shd import read_shd


def write(path: Path, highest: int, n: int = 6, classes: tuple[str, ...] = ("low", "high"), unit: float = 1.0) -> None:
    """Write recordings of a second whose highest channel is `highest`; `unit` of their times is in s."""
    rng = np.random.default_rng(highest)
    times = h5py.vlen_dtype(np.float16)
    units = h5py.vlen_dtype(np.uint16)
    with h5py.File(path, "w") as root:
        events = root.create_dataset("spikes/times", (n,), times), root.create_dataset("spikes/units", (n,), units)
        for k in range(n):
            events[0][k] = np.sort(rng.uniform(0, 1 / unit, 20)).astype(np.float16)
            events[1][k] = np.append(rng.integers(0, highest, 19), highest).astype(np.uint16)
        root["labels"] = np.arange(n) % len(classes)
        root["extra/speaker"] = np.arange(n) % 3
        root.create_dataset("extra/keys", data=np.array(classes, "S8"))


@pytest.mark.parametrize(
    ("train", "test", "channels"), [(76, 70, 77), (70, 76, 77), (698, 690, 700), (699, 699, 700), (820, 700, 821)]
)
def test_both_files_have_the_channels_of_the_larger(train: int, test: int, channels: int, tmp_path: Path) -> None:
    root = tmp_path / "cochlea"
    root.mkdir()
    write(root / "train.h5", train)
    write(root / "test.h5", test)
    info = catalog.describe("shd", root)
    assert (
        info.shape == (channels,) and info.classes == ("low", "high") and info.title == "cochlea, in the layout of SHD"
    )
    assert {catalog.load("shd", split, root).shape for split in info.splits} == {(channels,)}
    given = {"channels": 900}
    assert catalog.describe("shd", root, given).shape == catalog.load("shd", "test", root, given).shape == (900,)
    train_part, test_part = catalog.hold_out("shd", "speaker", 1, root, given)
    assert train_part.shape == test_part.shape == (900,)


def test_times_in_milliseconds_are_doubted(tmp_path: Path) -> None:
    write(tmp_path / "train.h5", 700, unit=1e-3)
    with pytest.warns(GuessWarning, match="for times of this layout are seconds; if these are milliseconds"):
        read_shd(tmp_path / "train.h5")
    write(tmp_path / "train.h5", 700)
    read_shd(tmp_path / "train.h5")


def test_files_of_other_sets_have_their_own_names_classes_and_speakers(tmp_path: Path) -> None:
    """Without names the classes are not SHD's digits; speakers by name were an error."""
    for split in ("train", "valid", "test"):
        path = tmp_path / f"ssc_{split}.h5"
        write(path, 700, 50, tuple(map(str, range(25))))
        with h5py.File(path, "a") as root:
            del root["extra"]
            root["extra/speaker"] = [b"ann", b"bob"] * 25
    with pytest.warns(GuessWarning, match=r"ssc_train\.h5: /extra/speaker: speakers are no integers and were left out"):
        train = catalog.load("shd", "train", tmp_path)
    assert train.classes == catalog.describe("shd", tmp_path).classes == tuple(map(str, range(25)))
    assert len(train) == 50 and not train.groups


def test_too_few_channels_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "train.h5", 76)
    with pytest.raises(NeurosimInputError, match=r"/spikes/units event \d+: expected 0 <= channel < 50"):
        catalog.load("shd", "train", tmp_path, {"channels": 50})
    with pytest.raises(NeurosimInputError, match=r"data\.options\.channels: must be > 0"):
        catalog.load("shd", "train", tmp_path, {"channels": 0})


def test_info_is_of_the_files_in_the_folder(tmp_path: Path, elsewhere: None) -> None:
    """It printed SHD's own classes and numbers of recordings."""
    for split in ("train", "test"):
        write(tmp_path / f"{split}.h5", 76)
    text = neurosim("datasets", "info", "shd", "--root", tmp_path).stdout
    assert "classes       low, high" in text and "shape         77" in text and "8,156" not in text


def test_the_file_is_viewed_and_refused_as_one_recording(tmp_path: Path, elsewhere: None) -> None:
    write(tmp_path / "train.h5", 76)
    text = neurosim("view", tmp_path / "train.h5").stdout
    assert "low, recording 0: Sensor 700" in text and "high, recording 1: Sensor 700" in text
    with pytest.raises(
        NeurosimInputError, match=r"/spikes: expected spikes of populations, got many recordings in SHD"
    ):
        read(tmp_path / "train.h5")


def test_without_files_it_is_shd(tmp_path: Path) -> None:
    assert catalog.describe("shd", tmp_path / "SHD").shape == (700,)
    assert catalog.describe("shd", tmp_path / "SHD").title == catalog.module("shd").INFO.title


@pytest.mark.parametrize("label", [-1, 10**9, 2**62])
@pytest.mark.parametrize("keys", [True, False])
def test_labels_outside_the_classes_are_refused(tmp_path: Path, label: int, keys: bool) -> None:
    for split in ("train", "test"):
        write(tmp_path / f"{split}.h5", 76)
        with h5py.File(tmp_path / f"{split}.h5", "a") as root:
            root["labels"][2] = label
            if not keys:  # then the classes are those of the dataset
                del root["extra/keys"]
    with pytest.raises(NeurosimInputError, match=r"label.*< .*classes.*got .*\d"):
        catalog.load("shd", "train", tmp_path)
