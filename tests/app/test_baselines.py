"""Simple classifiers beside a run's accuracy, and intervals beside every accuracy."""

from __future__ import annotations

from inspect import unwrap

import numpy as np
import pytest
from helpers.bars import bars
from helpers.beside import CalledHere

from neurosim import Recordings, Spikes
from neurosim.app.runs import baselines, classifiers
from neurosim.app.runs.frame.facts import Fact, Overview, accuracy
from neurosim.app.runs.frame.facts import baselines as baseline_facts
from neurosim.app.runs.frame.kind import RunResult
from neurosim.app.runs.score import Score, wilson


def test_features_are_roots_of_counts_in_windows() -> None:
    recordings = bars(3)
    found = classifiers.features(recordings)
    assert found.shape == (12, 3 * 128) and found.dtype == np.float32
    for k, spikes in enumerate(recordings):
        window = np.minimum(spikes.times / spikes.duration * 3, 2).astype(int)
        counts = np.zeros((3, 128))
        np.add.at(counts, (window, spikes.units), 1)
        np.testing.assert_allclose(found[k], np.sqrt(counts).ravel(), rtol=1e-6)


def test_neighbours_of_a_large_sensor_are_summed(monkeypatch: pytest.MonkeyPatch) -> None:
    recordings = bars(2)
    whole = classifiers.features(recordings) ** 2
    monkeypatch.setattr(classifiers, "MAX_UNITS", 40)
    found = classifiers.features(recordings) ** 2
    assert found.shape == (8, 3 * 2 * 4 * 4)
    pooled = whole.reshape(8, 3, 2, 4, 2, 4, 2).sum(axis=(4, 6)).reshape(8, -1)
    np.testing.assert_allclose(found, pooled, rtol=1e-5, atol=1e-5)
    line = Recordings.collect([Spikes(np.array([0.0]), np.array([90]), 100, 0.1)] * 2, [0, 1], ("a", "b"))
    assert classifiers.features(line).shape == (2, 3 * 34)


def test_patches_are_cut_from_all_windows_and_planes_of_a_place() -> None:
    recordings = bars(2)
    grid = classifiers.features(recordings).reshape(8, 6, 8, 8)
    found = classifiers._patches(classifiers.features(recordings), recordings.shape)
    assert found.shape == (8, 4, 6 * 25)
    for k, (y, x) in enumerate(((0, 0), (0, 2), (2, 0), (2, 2))):
        assert np.array_equal(found[:, k], grid[:, :, y : y + 5, x : x + 5].reshape(8, -1))
    line = Recordings.collect([Spikes(np.array([0.0]), np.array([3]), 4, 0.1)] * 2, [0, 1], ("a", "b"))
    assert classifiers._patches(classifiers.features(line), line.shape).shape == (2, 1, 3 * 4)


def test_naive_bayes_votes_by_the_words_of_each_place() -> None:
    # Two words. Place 0 says the class; place 1 is the same word for both.
    train = np.array([[[0.0], [1.0]], [[0.0], [1.0]], [[1.0], [1.0]], [[1.0], [1.0]]], np.float32)
    test = np.array([[[0.1], [0.9]], [[0.9], [0.9]]], np.float32)
    assert classifiers._naive_bayes(train, np.array([3, 3, 5, 5]), test).tolist() == [3, 5]


def test_they_tell_bars_apart_and_give_the_same_again() -> None:
    train = bars(20)
    test = bars(8, 700)
    # Not the answers that the fixture of this folder remembers.
    measure = unwrap(baselines.measure_baselines)
    found = measure(train, test)
    assert tuple(found) == classifiers.NAMES
    assert all(0.7 < value <= 1 for value in found.values())
    assert measure(train, test) == found
    words = " ".join(fact.text for fact in baseline_facts(found))
    assert "logistic regression" in words and "RBF SVM" in words and not baseline_facts({})


def test_accuracies_say_their_number_and_interval() -> None:
    low, high = wilson(92, 100)
    score = Score(accuracy=0.92, confidence_interval=(low, high), chance=0.1, uniform_chance=0.1)
    assert shown(accuracy(score, 100)) == "Accuracy  92.0 % (of 100; 95 % between 85.0 % and 95.9 %; chance 10.0 %)"
    assert shown(accuracy(Score(), None)) == "Accuracy  - (not recorded)"


def shown(fact: Fact) -> str:
    """Return the row of a fact on a terminal."""
    return Overview(title="a run", lead=[], facts=[fact]).text(RunResult()).splitlines()[1].strip()


def test_another_process_gives_the_same_accuracies(monkeypatch: pytest.MonkeyPatch) -> None:
    called = CalledHere()
    monkeypatch.setattr(baselines, "called_beside", called)
    monkeypatch.setattr(baselines, "MIN_BESIDE", 2)
    train, test = bars(4), bars(2)
    expected = unwrap(baselines.measure_baselines)(train, test)
    with baselines.baselines_beside(train, test, free_core=True) as answers:
        assert answers() == expected
    assert called.calls == 1
    with baselines.baselines_beside(train, test, free_core=False) as answers:
        assert answers().keys() == expected.keys()
    monkeypatch.setattr(baselines, "MAX_BESIDE", 3)
    with baselines.baselines_beside(train, test, free_core=True):
        assert called.calls == 1
