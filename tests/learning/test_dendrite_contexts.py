"""Contexts of active dendrites that are drawn, and items compared with the means of classes: plain references."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from neurosim.base import NeurosimInputError
from neurosim.learning import Stream
from neurosim.learning.continual.learners import kind
from neurosim.learning.continual.streams import Rotated

torch = pytest.importorskip("torch")
DRAWN = {"context": "drawn", "prototypes": "class", "context_density": 0.1}


@pytest.fixture(scope="module")
def stream() -> Stream:
    return Rotated(angles=(0.0, 36.0), train_limit=200, validation_limit=10, test_limit=60).build(1)


def learned(stream: Stream, tasks: int = 2, **settings: Any) -> Any:
    owner = kind("dendrites")
    learner = owner(stream.problem, owner.SETTINGS(units=64, density=0.2, epochs=3, learning_rate=5e-3, **settings))
    for task in list(stream)[:tasks]:
        learner.begin(task)
        learner.learn(task)
    return learner


def test_a_drawn_code_is_on_or_off_and_another_for_each_task(stream: Stream) -> None:
    learner = learned(stream, **DRAWN)
    mean, spread = learner.level
    codes = learner.contexts * spread + mean
    np.testing.assert_allclose(codes, codes.round(), atol=1e-5)
    assert 0 < codes.sum() < codes.size / 2 and not np.array_equal(codes[0], codes[1])
    assert np.array_equal(learner.contexts, learned(stream, context="drawn").contexts), "keyed by seed and task"


@pytest.mark.parametrize("engine", [False, True])
def test_an_item_alone_is_answered_under_the_task_of_the_nearest_class(engine: bool, stream: Stream) -> None:
    learner = learned(stream, engine=engine, **DRAWN)
    x = np.concatenate([task.test.x for task in stream])
    inputs = learner._inputs(x).numpy()
    nearest = np.zeros(len(x), int)
    best = np.full(len(x), np.inf)
    for index, task in enumerate(stream):
        trained = learner._inputs(task.train.x).numpy()
        for c in range(10):
            distance = np.square(inputs - trained[task.train.y == c].mean(axis=0)).sum(axis=1)
            nearest = np.where(distance < best, index, nearest)
            best = np.minimum(best, distance)
    under = np.stack([learner.scores(x, task) for task in (0, 1)])[nearest, np.arange(len(x))]
    np.testing.assert_allclose(learner.scores(x, None), under, atol=1e-4)


def test_scores_are_those_of_the_network_as_it_is_after_each_task(stream: Stream) -> None:
    learner = learned(stream, 0)
    x = stream[1].test.x
    learner.scores(x, None)
    for task in stream:
        learner.begin(task)
        learner.scores(x, None)
        learner.learn(task)
        for t in range(task.index + 1):
            with torch.no_grad():
                expected = learner.net(learner._inputs(x), torch.from_numpy(learner.contexts[t]))
            np.testing.assert_allclose(learner.scores(x, t), expected, atol=1e-5)
    again = learned(stream, 0)
    again.scores(x, None)
    again.restore(learner.state(), [])
    assert np.array_equal(again.scores(x, 1), learner.scores(x, 1))


def test_a_saved_one_goes_on_and_others_states_are_refused(stream: Stream) -> None:
    first = learned(stream, 1, **DRAWN)
    second = learned(stream, 0, **DRAWN)
    second.restore(first.state(), [])
    for learner in (first, second):
        learner.begin(stream[1])
        learner.learn(stream[1])
    assert all(np.array_equal(array, second.state()[name]) for name, array in first.state().items())
    assert first.memory_bytes()["contexts"] == 4 * (2 * 64 + 2 * 10 * 64 + 2)
    with pytest.raises(NeurosimInputError, match="dendrites"):
        learned(stream, 0).restore(first.state(), [])


def test_the_choice_counts_a_distance_to_every_class(stream: Stream) -> None:
    learner = learned(stream, **DRAWN)
    x = stream[0].test.x
    choice = learner.work(x)[0]
    assert choice.name == "contexts" and choice.outputs == 20 and choice.output_events == len(x)


@pytest.mark.parametrize("setting", ["context", "prototypes"])
def test_unknown_names_are_refused(setting: str) -> None:
    with pytest.raises(NeurosimInputError, match=f"DendriteSettings.{setting}: unknown name 'codes'"):
        kind("dendrites").SETTINGS(**{setting: "codes"})
