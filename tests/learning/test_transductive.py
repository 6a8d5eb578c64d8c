"""Readouts standardised by group, against a plain reference, and what they refuse."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from neurosim import Recordings, Spikes
from neurosim.base import NeurosimInputError
from neurosim.learning import Readout, TrainedReadout
from neurosim.learning.liquid.readout import FLOOR

READOUT = Readout(windows=3, timing="time", transductive="speaker")


def voices(count: int, seed: int, rates: tuple[float, ...]) -> Recordings:
    """Two classes that differ in which half of the neurons is an eighth more active; speakers differ by far more."""
    made = []
    draws = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    speakers = np.arange(count) // 2 % len(rates)
    for label, speaker in zip(labels, speakers, strict=True):
        own = np.random.default_rng(1000 + speaker).permutation(20) / 10 + 0.2
        expected = 60 * rates[speaker] * own * np.where(np.arange(20) // 10 == label, 1.12, 1.0)
        units = np.repeat(np.arange(20), draws.poisson(expected))
        made.append(Spikes.sort(draws.random(len(units)) * 0.3, units, 20, 0.3))
    return replace(Recordings.collect(made, labels, ("a", "b")), groups={"speaker": speakers})


def test_vectors_are_standardised_by_group() -> None:
    heard = voices(24, 0, (1.0, 3.0))
    z = READOUT.vectors(heard)
    found = READOUT.standardised(heard)
    for speaker in (0, 1):
        rows = heard.groups["speaker"] == speaker
        spread = z[rows].std(axis=0, dtype=np.float64)
        expected = (z[rows] - z[rows].mean(axis=0)) / (spread + FLOOR * spread.mean())
        np.testing.assert_allclose(found[rows], expected, atol=1e-4)


def test_a_stranger_who_is_louder_is_understood_and_a_saved_one_says_the_same(tmp_path: Path) -> None:
    train = voices(80, 1, (0.8, 1.0, 1.2, 0.9))
    stranger = voices(40, 2, (4.0,))
    hits = {}
    for name, readout in (("alone", replace(READOUT, transductive="")), ("group", READOUT)):
        trained = readout.fit(train, train.labels)
        hits[name] = float(np.mean(trained.predict(stranger) == stranger.labels))
    assert hits["group"] > hits["alone"] + 0.05 and hits["group"] > 0.9, hits
    trained.save(tmp_path / "readout.safetensors")
    again = TrainedReadout.load(tmp_path / "readout.safetensors")
    assert again.readout == READOUT and np.array_equal(again.scores(stranger), trained.scores(stranger))
    # Work is of the features as they are: a silent one costs nothing.
    assert trained.work(stranger)[0].input_events == np.count_nonzero(READOUT.vectors(stranger))


def test_a_group_of_one_recording_says_nothing_and_is_no_error() -> None:
    train = voices(20, 1, (1.0, 2.0))
    trained = READOUT.fit(train, train.labels)
    one = voices(1, 3, (1.0,))
    np.testing.assert_allclose(trained.scores(one)[0], trained.bias)


def test_recordings_without_the_group_are_refused() -> None:
    heard = replace(voices(8, 0, (1.0,)), groups={"take": np.arange(8)})
    with pytest.raises(NeurosimInputError, match=r"Readout.transductive: must be a group .*\(they name take\)"):
        READOUT.fit(heard, heard.labels)
