"""Doubts that a folder of recordings tells: units of time, copies, links."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import h5py
import numpy as np
import pytest
from helpers.folders import SHAPE, opened, recording, save, two_classes

from neurosim import Spikes
from neurosim.base import NeurosimMissingError
from neurosim.data.folder.items import find_items
from neurosim.data.folder.options import FolderOptions


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return two_classes(tmp_path / "gestures")


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


def test_a_folder_of_annotations_is_no_class(root: Path) -> None:
    """Boxes of the pictures of a set lie beside its classes, as in N-Caltech101."""
    for name in ("Annotations", "gestures_annotations"):
        save(root / name / "left" / "0.csv", recording(9))
    found = opened(root)
    assert found.recordings.classes == ("left", "right")
    expected = "left out: folders of annotations, which are no classes: Annotations, gestures_annotations"
    assert expected in found.remarks


def test_runs_that_commands_wrote_into_a_folder_are_no_recordings(root: Path) -> None:
    """Runs lie below runs/ by default, and beside the classes or in them by --out."""
    before = opened(root)
    runs = [root / "runs" / "20261201-first", root / "second", root / "left" / "third"]
    for run in runs:
        save(run / "spikes.npy", recording(9))
        (run / "manifest.json").write_text("{}")
        (run / "config.toml").write_text("")
    after = opened(root)
    assert after.items == before.items and after.remarks == before.remarks
    # A folder that holds recordings beside runs is a class.
    save(root / "runs" / "0.csv", recording(8))
    assert opened(root).recordings.classes == ("left", "right", "runs")


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


@pytest.mark.parametrize("suffix", ["npz", "h5"])
def test_a_unit_of_arrays_that_makes_a_camera_too_short_is_doubted(suffix: str, tmp_path: Path) -> None:
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
            path = tmp_path / name / "ab"[k % 2] / f"{k}.{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            columns = {"t": of(t), "x": x.astype(np.int16), "y": y.astype(np.int16), "p": np.ones(len(t), bool)}
            if suffix == "npz":
                np.savez(path, **columns)
            else:
                with h5py.File(path, "w") as root:
                    root.create_group("events").update(columns)
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


def test_a_recording_in_another_unit_of_time_than_most_is_doubted(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for k in range(6):
        unit = 1e3 if k == 5 else 1e6
        lines = ["t,x,y,p", *(f"{t * unit:.0f},{x},{y},1" for t, x, y in _moves(rng))]
        path = tmp_path / "ab"[k % 2] / f"{k}.csv"
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(lines) + "\n")
    assert [line for line in opened(tmp_path).doubts if "5.csv lasts 0.000" in line and "less than a hundredth" in line]
