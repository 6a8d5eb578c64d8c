"""Second readouts of a group, against readouts trained without each recording in turn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from neurosim import Recordings, Spikes
from neurosim.base import NeurosimInputError
from neurosim.learning import Readout, TrainedReadout
from neurosim.learning.liquid import self_training
from neurosim.learning.liquid.self_training import EVEN, PENALTY, TEMPERATURE, self_trained

READOUT = Readout(windows=1, timing="duration", transductive="speaker", self_trained=True)


def test_each_recording_is_scored_by_the_readout_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    draws = np.random.default_rng(0)
    z = draws.normal(size=(12, 7)).astype(np.float32)
    scores = draws.normal(size=(12, 3))
    likely = np.exp(scores / (TEMPERATURE * scores.std(axis=1).mean()))
    goal = 2 * likely / likely.sum(axis=1, keepdims=True) - 1
    penalty = PENALTY * float((z**2).sum()) / 12
    second = np.empty((12, 3))
    for k in range(12):
        some = np.arange(12) != k
        x = z[some].astype(np.float64)
        second[k] = z[k] @ np.linalg.solve(x.T @ x + penalty * np.eye(7), x.T @ goal[some])
    weight = np.sqrt(12 / (3 * EVEN))
    ratio = scores.std(axis=1).mean() / second.std(axis=1).mean()
    expected = (scores + weight * ratio * second) / (1 + weight)
    monkeypatch.setattr(self_training, "ROUNDS", 1)
    np.testing.assert_allclose(self_trained(scores, z), expected, atol=1e-5)


def test_one_recording_or_recordings_without_spikes_keep_their_scores() -> None:
    scores = np.array([[0.2, 0.1], [0.0, 0.3]])
    assert np.array_equal(self_trained(scores[:1], np.ones((1, 4), np.float32)), scores[:1])
    assert np.array_equal(self_trained(scores, np.zeros((2, 4), np.float32)), scores)


def voices(count: int, seed: int, tilt: float) -> Recordings:
    """Three classes, each with its own third of 30 neurons more active; a speaker's `tilt` turns them to the next."""
    made = []
    draws = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    third = np.arange(30) // 10
    for label in labels:
        more = (1 - tilt) * (third == label) + tilt * (third == (label + 1) % 3) * (np.arange(30) % 2)
        units = np.repeat(np.arange(30), draws.poisson(9 * (1 + 0.9 * more)))
        made.append(Spikes.sort(draws.random(len(units)) * 0.3, units, 30, 0.3))
    return replace(Recordings.collect(made, labels, ("a", "b", "c")), groups={"speaker": np.full(count, seed)})


@pytest.mark.parametrize("kind", ["ridge", "ann"])
def test_a_stranger_is_understood_better_and_a_saved_readout_says_the_same(kind: str, tmp_path: Path) -> None:
    train = voices(90, 0, 0.0)
    stranger = voices(240, 1, 0.5)
    readout = replace(READOUT, kind=kind, hidden=16)
    trained = readout.fit(train, train.labels)
    plain = replace(trained, readout=replace(readout, self_trained=False))
    hits = [float(np.mean(each.predict(stranger) == stranger.labels)) for each in (plain, trained)]
    assert hits[1] > hits[0] + 0.03, hits
    trained.save(tmp_path / "readout.safetensors")
    again = TrainedReadout.load(tmp_path / "readout.safetensors")
    assert again.readout == readout and np.array_equal(again.scores(stranger), trained.scores(stranger))
    # The second readout goes into the weights of a linear one; behind a hidden layer it is a layer of its own.
    layers = trained.work(stranger)
    if kind == "ridge":
        names = ["readout"]
    else:
        names = ["hidden", "readout", "second readout"]
    assert [layer.name for layer in layers] == names
    if kind == "ann":
        assert layers[2].synaptic_operations == 3 * np.count_nonzero(readout.vectors(stranger))


def test_a_second_readout_needs_groups() -> None:
    with pytest.raises(NeurosimInputError, match=r"Readout.self_trained: needs groups; name one as transductive"):
        Readout(self_trained=True)
