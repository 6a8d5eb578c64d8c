"""`neurosim view`: recordings of files and runs, played on a page and as a GIF."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from helpers.browser import Browser
from helpers.command import neurosim, refused

from neurosim import Spikes
from neurosim.app.report.film import Film
from neurosim.app.report.played import Played
from neurosim.base import NeurosimInputError
from neurosim.base.json_toml import read_json
from neurosim.data import write

SHAPE = (2, 20, 30)


def recording(shape: tuple[int, ...] = SHAPE, duration: float = 0.6) -> Spikes:
    """A row of ON events that moves down, and one of OFF events behind it."""
    t = np.arange(600) * (duration / 600)
    size = int(np.prod(shape))
    width = shape[-1]
    if len(shape) == 3:
        row = np.arange(600) * shape[-2] // 600
    else:
        row = np.zeros(600, np.int64)
    units = ((np.arange(600) % 2) * (size // 2) + row * width + np.arange(600) % width) % size
    return Spikes(t, units, size, duration, shape)


def film(spikes: Spikes) -> Film:
    return Played("a", spikes).film()


def test_a_film_shows_events_where_and_when_they_are() -> None:
    spikes = recording()
    played = film(spikes)
    assert played.frames.shape == (60, 20, 30, 4) and played.seconds == 3.0
    for k, frame in enumerate(played.frames):
        rows = np.flatnonzero(frame[..., 3].any(axis=1))
        # Ten events a frame; of 600 s/1000, rounding may put one into the next frame.
        assert set(rows.tolist()) <= {(k - 1) // 3, k // 3}
    # Opaque is the busiest pixel of the whole film, orange where events are ON.
    assert played.frames[..., 3].max() == 255 and film(recording(duration=9.0)).seconds == 9.0
    large = film(Spikes([0.1], [2 * 480 * 640 - 1], 2 * 480 * 640, 0.2, (2, 480, 640)))
    assert large.frames.shape == (60, 120, 160, 4) and np.argwhere(large.frames[..., 3]).tolist() == [[30, 119, 159]]
    with pytest.raises(NeurosimInputError, match=r"film: needs a camera's recording of some duration \(got 0.0 s\)"):
        film(Spikes([0.0], [0], 600, 0.0, (20, 30)))


@pytest.fixture
def path(elsewhere: None) -> Path:
    """A recording of a camera whose clock shows 700 s."""
    spikes = recording()
    p, y, x = spikes.coordinates()
    t = np.rint(spikes.times * 1e6).astype(np.int64) + 700_000_000
    Path("bars.txt").write_text("".join(f"{a} {b} {c} {d}\n" for a, b, c, d in zip(t, x, y, p, strict=True)))
    return Path("bars.txt")


def test_a_file_is_played(path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    run = neurosim("view", path, "--gif", "bars.gif", "--json")
    found = json.loads(run.stdout)
    assert found["page"] == "view-bars.html" and found["recordings"][0]["Events"] == "600"
    assert "time 0 is 700.000000 s of the file's clock" in found["recordings"][0]["remarks"]
    text = Path("view-bars.html").read_text()
    assert text.count('class="film"') == 1 and "60 frames of 9.98" in text and "5.0 times slower" in text
    assert "columns are t, x, y, p" in text and "script" not in re.sub(r"default-src[^>]*", "", text)
    with image.open("bars.gif") as gif:
        assert gif.n_frames == 60 and gif.size == (300, 200) and gif.info["duration"] == 50
        gif.seek(30)
        dark = np.asarray(gif.convert("L")) < 250
        assert set(np.flatnonzero(dark.any(axis=1)) // 10) <= {9, 10, 11}
    neurosim("view", path, "--start", "file", "--shape", "2,40,40", "--out", "pages")
    assert "2 x 40 x 40" in Path("pages/view-bars.html").read_text()
    assert neurosim("view", path, "--out", "pages/mine.html", "--quiet").stdout.endswith("pages/mine.html\n")
    assert Path("pages/mine.html").is_file()


def test_channels_are_shown_over_time(elsewhere: None) -> None:
    write("ear.csv", recording((70,)))
    text = neurosim("view", "ear.csv").stdout
    assert "Sensor 70, Duration 600" in text and 'class="film"' not in Path("view-ear.html").read_text()
    assert "--gif: needs the recording of a camera" in refused("view", "ear.csv", "--gif", "a.gif")


def test_a_run_shows_its_recordings(path: Path) -> None:
    network = (
        '[simulation]\nclock = 1e-3\n[[population]]\nname = "eye"\nmodel = "SpikeSource"\nshape = [2, 20, 30]\n'
        'spikes = "bars.txt"\n[[population]]\nname = "cells"\nmodel = "LIF"\nshape = 10\ntau_mem = 0.01\n'
        '[[projection]]\nsource = "eye"\ntarget = "cells"\nweight = 0.3\n'
        'pattern = { name = "FixedProbability", p_connect = 0.1 }\n'
    )
    Path("net.toml").write_text(network)
    run = neurosim("simulate", "--config", "net.toml", "--out", "run", "--threads", "1")
    # Not 700 s of silence and then the recording.
    assert "time 0 is 700.000000 s of the file's clock" in run.stderr
    assert read_json("run/metrics.json")["simulated_seconds"] < 0.7
    report = Path("run/report.html").read_text()
    assert report.count('class="film"') == 1 and 'id="recordings"' in report
    assert "eye: Sensor 2 x 20 x 30" in neurosim("view", "run").stdout
    assert Path("view-net.html").read_text().count('class="film"') == 1
    assert refused("view", "run", "--tick", "1") == (
        "neurosim: view: needs a file for these options; a run has its own (got tick)"
    )


@pytest.mark.slow
@pytest.mark.browser
def test_the_page_is_whole_at_any_width(path: Path, chromium: str) -> None:
    neurosim("view", path)
    with Browser(chromium) as browser:
        for width in (1200, 420):
            for dark in (False, True):
                visit = browser.open(Path("view-bars.html"), width=width, dark=dark)
                assert not visit.missing and not visit.requests and not visit.console
                assert visit.charts >= 1 and not visit.overflow


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere.raw"], "nowhere.raw: no such file"),
        (["."], ".: is a folder without a run; give a file, or a run folder"),
        (["bars.txt", "--start", "now"], "--start: must be first, file or seconds (got now)"),
        (["bars.txt", "--shape", "big"], "--shape: must read P,Y,X, e.g. 2,34,34 (got big)"),
        (
            ["bars.txt", "--clock", "running"],
            "read.clock: must be left out: this format has no such choice (got running)",
        ),
        (["bars.txt", "--seed", "1"], "--seed: this command has no use for it; leave it out"),
    ],
)
def test_bad_usage_is_one_line(words: list[str], message: str, path: Path) -> None:
    assert message in refused("view", *words)
