"""Recordings larger than memory: their windows are the recording, and a network plays them as it plays the whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.command import result_of

from neurosim import Spikes
from neurosim.app.runs.frame.folder import open_run
from neurosim.data import read_sonata, write
from neurosim.data.files import pieces
from neurosim.data.files.formats import ReadOptions
from neurosim.data.files.large import GRID, LargeRecording
from neurosim.data.files.pieces import is_large

SHAPE = (2, 40, 50)
NETWORK = """
[simulation]
seed = 3

[[population]]
name = "camera"
shape = [2, 20, 25]
model = "SpikeSource"
spikes = {{ file = "{file}", downsample = 2 }}

[[population]]
name = "cells"
shape = 60
model = "LIF"

[[projection]]
source = "camera"
target = "cells"
pattern = {{ name = "FixedProbability", p_connect = 0.2 }}
weight = 0.4
delay = {{ distribution = "Uniform", low = 1e-3, high = 8e-3 }}
"""


def recording(events: int = 4000) -> Spikes:
    rng = np.random.default_rng(1)
    times = np.sort(rng.integers(5_000, 900_000, events)) * 1e-6
    # Nothing for a while, and several events at the border of a window.
    times[times > 0.5] += 0.25
    times[100:104] = times[100]
    return Spikes(times, rng.integers(0, 4000, events), 4000, 1.2, SHAPE)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(pieces, "PIECE", 4096)
    monkeypatch.setattr(pieces, "LARGE", 1000)
    write(tmp_path / "a.raw", recording())
    return tmp_path / "a.raw"


@pytest.mark.parametrize("start", [None, "first", "file", 0.1, 0.6])
def test_windows_are_the_recording(start: float | str | None, path: Path) -> None:
    options = ReadOptions(shape=SHAPE, downsample=2)
    whole = options.read(path).starting(start)
    source = LargeRecording(path, options).starting(start)
    assert (len(source), source.shape, source.size) == (len(whole), whole.shape, whole.size)
    assert source.duration == pytest.approx(whole.duration, abs=1e-12)
    assert source.first == pytest.approx(float(whole.times[0]), abs=1e-12)
    assert source.report.start == whole.report.start  # type: ignore[union-attr]
    for _ in range(2):
        windows = list(source)
        assert len(windows) > 3
        begins = np.cumsum([0.0, *(w.duration for w in windows)])
        assert (begins * GRID == np.round(begins * GRID)).all()
        for w in windows:
            Spikes(w.times, w.units, w.size, w.duration, w.shape)
        times = np.concatenate([w.times + begin for w, begin in zip(windows, begins[:-1], strict=True)])
        assert np.allclose(times, whole.times, rtol=0, atol=1e-12)
        assert np.array_equal(np.concatenate([w.units for w in windows]), whole.units)
    assert source.starting(0) is source


def test_a_file_without_events(tmp_path: Path) -> None:
    (tmp_path / "a.raw").write_bytes(b"% evt 2.0\n% geometry 50x40\n% end\n")
    source = LargeRecording(tmp_path / "a.raw", ReadOptions())
    assert len(source) == 0 and list(source) == [] and source.first is None and source.starting().duration == 0


def test_which_files_are_large(path: Path) -> None:
    assert is_large(path, ReadOptions())
    write(path.with_suffix(".csv"), recording())
    assert is_large(path.with_suffix(".csv"), ReadOptions()) and not is_large(path.parent / "b.raw", ReadOptions())
    # Spikes of SONATA need not be in the order of time.
    write(path.with_suffix(".h5"), recording())
    assert not is_large(path.with_suffix(".h5"), ReadOptions())


def test_a_network_plays_a_large_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = path.with_suffix(".toml")
    config.write_text(NETWORK.format(file="a.raw"))
    streamed = result_of("simulate", "--config", config, "--out", path.parent / "large", "--threads", "1")
    monkeypatch.setattr(pieces, "LARGE", 1 << 30)
    whole = result_of("simulate", "--config", config, "--out", path.parent / "whole", "--threads", "1")
    cells = [next(p for p in run["populations"] if p["name"] == "cells") for run in (streamed, whole)]
    assert cells[0]["digest"] == cells[1]["digest"] and cells[0]["spikes"] > 100
    assert streamed["simulated_seconds"] == pytest.approx(whole["simulated_seconds"])
    assert streamed["measures"] == whole["measures"]
    facts = open_run(path.parent / "large").manifest.data
    assert facts is not None and set(facts["camera"]) == {"file_digest", "events"}  # type: ignore[arg-type]
    assert facts["camera"]["events"] == 4000  # type: ignore[index]
    # The input is in the folder of the small recording alone.
    assert read_sonata(path.parent / "large" / "spikes.h5", "cells").digest() == cells[0]["digest"]
    page = (path.parent / "large" / "report.html").read_text()
    assert "are read from" in page and "as they are played" in page
