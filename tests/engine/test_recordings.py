"""Recordings that a network in TOML plays: where their time 0 is, how tables are read, and that it reads back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurosim import NeurosimError, Spikes
from neurosim.data import write
from neurosim.engine import Description
from neurosim.engine.description.dump import description_tree
from neurosim.engine.description.parse import parse_description


def network(folder: Path, *spikes: Any) -> Description:
    """A network of spike sources of 4 x 4 pixels that play these."""
    entries = [
        {"name": f"s{k}", "model": "SpikeSource", "shape": [2, 4, 4], "spikes": each} for k, each in enumerate(spikes)
    ]
    return parse_description({"population": entries}, folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two recordings on the clock of a camera, and one of neurosim."""
    for name, t in (("left", [913_700_000, 913_796_000]), ("right", [913_700_500, 913_700_600])):
        events = np.array([(time, 1, 2, 1) for time in t], [("t", "i8"), ("x", "i2"), ("y", "i2"), ("p", "i1")])
        np.save(tmp_path / f"{name}.npy", events)
    write(tmp_path / "own.csv", Spikes([0.5], [3], 32, 1.0, (2, 4, 4)))
    return tmp_path


def test_recordings_of_cameras_start_together_at_the_first_event(folder: Path) -> None:
    found = network(folder, "left.npy", {"file": "right.npy"}, "own.csv").recordings()
    assert np.allclose(found["s0"].times, [0, 0.096]) and found["s0"].duration == pytest.approx(0.096)
    assert np.allclose(found["s1"].times, [500e-6, 600e-6])
    # Its own time 0 means something.
    assert found["s2"].times.tolist() == [0.5] and found["s2"].duration == 1.0
    report = found["s0"].report
    assert report is not None and report.remarks() == ("time 0 is 913.700000 s of the file's clock",)


@pytest.mark.parametrize(
    ("start", "times"), [("first", [0, 1e-4]), ("file", [913.7005, 913.7006]), (913, [0.7005, 0.7006])]
)
def test_the_start_is_chosen(start: Any, times: list[float], folder: Path) -> None:
    net = network(folder, "left.npy", {"file": "right.npy", "start": start})
    found = net.recordings()
    assert np.allclose(found["s1"].times, times, atol=1e-9) and np.allclose(found["s0"].times, [0, 0.096])
    # Written and read again, it is the same.
    again = parse_description(description_tree(net, {}, "arrays"), folder).recordings()
    assert [again[name].digest() for name in found] == [spikes.digest() for spikes in found.values()]


def test_a_start_after_events_leaves_them_out(folder: Path) -> None:
    found = network(folder, {"file": "own.csv", "start": 0.75}).recordings()["s0"]
    assert len(found) == 0 and found.duration == 0.25


def test_tables_are_read_as_the_network_says(folder: Path) -> None:
    (folder / "a.txt").write_text("1 2 1 10\n1 2 0 20\n")
    found = network(folder, {"file": "a.txt", "columns": "xypt", "tick": 1e-3, "start": "file"}).recordings()["s0"]
    assert np.allclose(found.times, [0.01, 0.02]) and found.units.tolist() == [25, 9]


@pytest.mark.parametrize(
    ("spikes", "message"),
    [
        ({"file": "left.npy", "start": "now"}, r'spikes\.start: must be "first", "file" or seconds \(got now\)'),
        ({"file": "left.npy", "start": True}, "start: must be a number or a string"),
        ({"file": "left.npy", "tick": "us"}, "tick: must be a number"),
    ],
)
def test_wrong_settings_are_named(spikes: dict[str, object], message: str, folder: Path) -> None:
    with pytest.raises(NeurosimError, match=message):
        network(folder, spikes)
