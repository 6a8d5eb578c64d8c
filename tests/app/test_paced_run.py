"""Runs whose test recordings are slower than those learned or have hot pixels: run as those learned, and said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.command import neurosim, result_of

from neurosim import Spikes
from neurosim.data import write
from neurosim.data.files.sonata import read_sonata

SHAPE = (2, 16, 16)
WORDS = ("--set", "liquid.neurons=60", "--set", "baselines.cnn=false", "--set", "data.options.shape=[2,16,16]")


def save(path: Path, spikes: Spikes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, spikes)


@pytest.mark.slow
def test_slower_test_recordings_have_the_answers_of_the_usual_pace(tmp_path: Path, elsewhere: None) -> None:
    rng = np.random.default_rng(0)
    for label in range(2):
        for k in range(8):
            # One class in the upper half of the sensor, the other in the lower, all of 0.1 s.
            times = np.sort(rng.uniform(0, 0.1, 200)).round(4)
            times[-1] = 0.1
            units = rng.integers(0, 128, 200) + 128 * label + 256 * rng.integers(0, 2, 200)
            if k < 5:
                save(tmp_path / "own" / "train" / f"c{label}" / f"{k}.npy", Spikes(times, units, 512, 0.1, SHAPE))
                continue
            for name, factor in (("own", 1), ("slow", 4)):
                spikes = Spikes(times * factor, units, 512, 0.1 * factor, SHAPE)
                save(tmp_path / name / "test" / f"c{label}" / f"{k}.npy", spikes)
            # A pixel in the half of the other class fires all the time.
            pixel = np.full(90, 128 * (1 - label))
            events = np.concatenate([times, np.linspace(times[0], 0.1, 90).round(4)])
            hot_spikes = Spikes.sort(events, np.concatenate([units, pixel]), 512, 0.1, SHAPE)
            save(tmp_path / "hot" / "test" / f"c{label}" / f"{k}.npy", hot_spikes)
    slow = tmp_path / "slow"
    for name in ("slow", "hot"):
        (tmp_path / name / "train").symlink_to(tmp_path / "own" / "train")
    usual = result_of("simulate", tmp_path / "own", *WORDS, "--threads", "1", "--out", "usual")
    paced = result_of("simulate", slow, *WORDS, "--threads", "1", "--out", "paced")
    assert (usual["paced"], paced["paced"]) == (0, 6)
    assert usual["accuracy"] == paced["accuracy"] == 1
    assert (usual["copies"], usual["hot_events"], paced["hot_events"]) == (10, 0, 0)
    shown = neurosim("runs", "show", "usual").stdout
    assert "readout trained on 10, and 10 moved copies of them" in shown
    hot = result_of("simulate", tmp_path / "hot", *WORDS, "--threads", "1")
    assert hot["hot_events"] == 540 and hot["spike_digest"] == usual["spike_digest"]
    assert "6 of them slower or faster than those learned" in neurosim("runs", "show", "paced").stdout
    # What the page draws fits together: input and spikes are of the run.
    assert read_sonata(Path("paced/spikes.h5"), "input_0").duration == pytest.approx(0.1, rel=0.01)
    as_they_are = result_of("simulate", slow, *WORDS, "--set", "liquid.own_pace=false", "--threads", "1")
    assert as_they_are["paced"] == 0 and as_they_are["spike_digest"] != usual["spike_digest"]
