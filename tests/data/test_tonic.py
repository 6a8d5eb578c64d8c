"""tonic's datasets and transforms with ours, and ours with tonic's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from neurosim import Recordings, Spikes
from neurosim.base import NeurosimInputError
from neurosim.base.distribution import install
from neurosim.data import read_nmnist, to_frames
from neurosim.data import tonic as ours
from neurosim.data.files.nmnist import read_nmnist_many
from neurosim.data.files.shd import read_shd

tonic = pytest.importorskip("tonic", reason="tonic is not installed: pip install neurosim-spiking[tonic]")


@pytest.fixture
def camera() -> Recordings:
    rng = np.random.default_rng(3)
    spikes = [
        Spikes(np.sort(rng.integers(0, 300_000, n)) * 1e-6, rng.integers(0, 2 * 6 * 8, n), 96, 0.3, (2, 6, 8))
        for n in (200, 1, 350)
    ]
    return Recordings.collect(spikes, [2, 0, 1], ("a", "b", "c"))


def test_events_go_to_tonic_and_back_unchanged(camera: Recordings) -> None:
    for spikes in camera:
        events = ours.to_events(spikes)
        back = ours.from_events(events, (8, 6, 2), spikes.duration)
        assert back.digest() == spikes.digest() and back.shape == spikes.shape and back.duration == spikes.duration


def test_a_line_of_channels_goes_to_tonic_and_back() -> None:
    spikes = Spikes([0.0, 0.5, 0.5], [699, 3, 0], 700, 1.0)
    events = ours.to_events(spikes)
    assert events.dtype.names == ("t", "x", "p") and events["p"].tolist() == [1, 1, 1]
    assert ours.from_events(events, (700, 1, 1), 1.0).digest() == spikes.digest()


def test_microseconds_survive_binary_seconds() -> None:
    ticks = np.arange(0, 10_000_000, 997)
    events = ours.to_events(Spikes(ticks * 1e-6, np.zeros(len(ticks), int), 1, 10.0))
    assert np.array_equal(events["t"], ticks)


def test_ours_is_a_dataset_of_tonics_kind(camera: Recordings, tmp_path: Path) -> None:
    frames = tonic.transforms.ToFrame((8, 6, 2), n_time_bins=5)
    data = ours.TonicDataset(camera, transform=frames, target_transform=lambda label: label + 10)
    assert len(data) == 3 and data.sensor_size == (8, 6, 2) and data.classes == ["a", "b", "c"]
    for i, spikes in enumerate(camera):
        made, label = data[i]
        assert label == [12, 10, 11][i]
        assert np.array_equal(made, to_frames(spikes, bins=5))
    cached = tonic.DiskCachedDataset(data, cache_path=str(tmp_path))
    assert np.array_equal(cached[0][0], data[0][0]) and np.array_equal(cached[0][0], data[0][0])
    assert [label for _, label in data] == [12, 10, 11]


def test_slices_of_ours_by_tonic(camera: Recordings, tmp_path: Path) -> None:
    slicer = tonic.slicers.SliceByEventCount(50)
    sliced = tonic.SlicedDataset(ours.TonicDataset(camera), slicer=slicer, metadata_path=str(tmp_path))
    assert len(sliced) == 200 // 50 + 1 + 350 // 50
    assert np.array_equal(sliced[1][0]["t"], ours.to_events(camera[0])["t"][50:100])


def test_a_dataset_of_tonics_kind_is_ours(camera: Recordings) -> None:
    back = ours.from_dataset(ours.TonicDataset(camera))
    assert back.labels is not None and back.labels.tolist() == [2, 0, 1] and back.classes == ("a", "b", "c")
    # The duration is not part of a tonic recording.
    assert [s.digest() for s in back] == [s.digest() for s in camera]
    assert len(ours.from_dataset(ours.TonicDataset(camera), limit=2)) == 2


def test_transforms_of_tonics_on_ours(camera: Recordings) -> None:
    spikes = camera[0]
    flipped = ours.apply(tonic.transforms.RandomFlipUD((8, 6, 2), p=1.0), spikes)
    p, y, x = spikes.coordinates()
    assert isinstance(flipped, Spikes) and flipped.duration == spikes.duration
    for got, want in zip(flipped.coordinates(), (p, 5 - y, x), strict=True):
        assert np.array_equal(got, want)
    cropped = ours.apply(tonic.transforms.CenterCrop((8, 6, 2), (4, 4)), spikes, shape=(2, 4, 4))
    assert cropped.shape == (2, 4, 4) and 0 < len(cropped) < len(spikes)
    later = ours.apply(tonic.transforms.TimeSkew(coefficient=2.0), spikes)
    assert later.duration == later.times[-1] > spikes.duration
    assert ours.apply(tonic.transforms.ToFrame((8, 6, 2), n_time_bins=3), spikes).shape == (3, 2, 6, 8)
    with pytest.raises(NeurosimInputError, match=r"events\['x'\]: must be an integer and 0 <= x < 4"):
        ours.apply(lambda events: events, spikes, shape=(2, 6, 4))


def test_frames_are_no_events(camera: Recordings) -> None:
    data = ours.TonicDataset(camera, transform=tonic.transforms.ToFrame((8, 6, 2), n_time_bins=5))
    with pytest.raises(NeurosimInputError, match="from_events: needs a structured array with fields t, x and p"):
        ours.from_dataset(data)
    with pytest.raises(NeurosimInputError, match="names no sensor size"):
        ours.from_dataset([(np.zeros(0, ours.CAMERA), 1)])


def test_unknown_dataset_gets_a_hint(tmp_path: Path) -> None:
    with pytest.raises(NeurosimInputError, match="did you mean 'NMNIST'"):
        ours.load("NMIST", tmp_path)


def test_absent_tonic_says_what_to_install() -> None:
    code = """
import sys
sys.modules["tonic"] = None
from neurosim.base.errors import NeurosimMissingError
from neurosim.data import tonic
try:
    tonic.load("SHD", ".")
except NeurosimMissingError as error:
    print(error)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert install("tonic") in run.stdout


@pytest.mark.data
def test_every_nmnist_recording_decodes_as_tonics(data_root: Path) -> None:
    paths = sorted((data_root / "NMNIST").glob("*/*/*.bin"))
    assert len(paths) == 900
    many = read_nmnist_many(paths)
    for i, path in enumerate(paths):
        theirs = tonic.io.read_mnist_file(str(path), dtype=tonic.datasets.NMNIST.dtype)
        spikes = read_nmnist(path)
        assert np.array_equal(ours.to_events(spikes), theirs)
        assert np.array_equal(spikes.times, theirs["t"] * 1e-6)
        assert many[i].digest() == spikes.digest()


@pytest.mark.data
def test_large_sensor_decodes_as_tonics(data_root: Path) -> None:
    for path in sorted((data_root / "dvs_gesture").glob("*.bin")):
        theirs = tonic.io.read_mnist_file(str(path), dtype=tonic.datasets.NMNIST.dtype)
        assert np.array_equal(ours.to_events(read_nmnist(path, (2, 128, 128))), theirs)


@pytest.mark.data
def test_tonics_nmnist_is_ours(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # tonic wants all 10,000 files and their archive; the folder holds fewer.
    monkeypatch.setattr(tonic.datasets.NMNIST, "_check_exists", lambda self: True)
    theirs = tonic.datasets.NMNIST(save_to=str(data_root), train=False)
    back = ours.load("NMNIST", data_root, {"train": False})
    mine = read_nmnist_many(theirs.data, labels=theirs.targets)
    assert len(back) == 100
    assert back.digest() == mine.digest() and np.array_equal(back.labels, mine.labels)


@pytest.mark.data
def test_tonics_shd_is_ours(data_root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "SHD"
    folder.mkdir()
    os.symlink(data_root / "FSDD-SHD" / "test.h5", folder / "shd_test.h5")
    # tonic looks for the archive it unpacked.
    (folder / "shd_test.h5.zip").touch()
    back = ours.load("SHD", tmp_path, {"train": False}, limit=40)
    mine = read_shd(data_root / "FSDD-SHD" / "test.h5").select(range(40))
    assert back.classes == mine.classes and np.array_equal(back.labels, mine.labels)
    for theirs, one in zip(back, mine, strict=True):
        # tonic cuts half-precision seconds to microseconds.
        assert np.array_equal(theirs.units, one.units)
        assert np.all((one.times - theirs.times >= 0) & (one.times - theirs.times < 1e-6))
