"""Streams without boundaries between tasks, and the learners that need none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers.samples import sampled

from neurosim.app.runs.continual.config import configure
from neurosim.base import NeurosimInputError
from neurosim.learning import Items, Learner, Stream, Task
from neurosim.learning.continual.evaluation import evaluate
from neurosim.learning.continual.learners import LEARNERS, kind
from neurosim.learning.continual.streams import Permuted, Split

pytest.importorskip("torch")
FREE: dict[str, dict[str, Any]] = {
    "nearest_mean": {},
    "slda": {},
    "random_features": {"features": 50},
    "random_filters": {"filters": 5, "side": 3, "pool": 2},
    "patches": {"filters": 20, "side": 3, "pool": 2},
    "plain": {"hidden": (40,), "steps": 4, "batch": 10, "learning_rate": 5e-3},
    "derpp": {"hidden": (40,), "steps": 4, "batch": 10, "learning_rate": 5e-3, "memory": 60},
    "macrocolumn": {"columns": 24, "field": 24, "units": 64},
    "liquid": {"neurons": 60, "windows": 2},
}
EXACT = ("plain", "derpp", "macrocolumn")  # the others add sums over items in another order
FIRST = 60  # items that set gains and scales of a liquid


@pytest.fixture(scope="module")
def stream() -> Stream:
    return Split(boundaries=False, blur=0.2, train_limit=80, validation_limit=40, test_limit=60).build(3)


def made(name: str, stream: Stream) -> Learner:
    owner = kind(name)
    learner: Learner = owner(stream.problem, owner.SETTINGS(**FREE[name]))
    return learner


def pieces(stream: Stream, *cuts: int) -> list[Task]:
    """Return the sequence of a stream cut before these items."""
    every = [task.train for task in stream]
    x = np.concatenate([items.x for items in every])
    y = np.concatenate([items.y for items in every])
    found = []
    edges = (0, *cuts, len(y))
    for index in range(len(edges) - 1):
        part = slice(edges[index], edges[index + 1])
        items = Items(x[part], y[part])
        found.append(Task(f"piece {index}", index, tuple(np.unique(items.y).tolist()), items, items, items))
    return found


def learned(learner: Learner, tasks: list[Task]) -> Learner:
    for task in tasks:
        learner.begin(task)
        learner.learn(task)
    return learner


@pytest.mark.parametrize("name", sampled(FREE, [name for name in FREE if name != "liquid"]))
def test_it_does_not_matter_where_the_sequence_is_cut(name: str, stream: Stream) -> None:
    one = learned(made(name, stream), pieces(stream, FIRST)).state()
    many = learned(made(name, stream), pieces(stream, FIRST, 160, 300)).state()
    assert one.keys() == many.keys()
    for key in one.keys() - {"learned"}:
        if name not in EXACT:
            same = np.allclose(one[key], many[key], 1e-5)  # features are float32
        else:
            same = np.array_equal(one[key], many[key])
        assert same, key


@pytest.mark.parametrize("name", FREE)
def test_a_saved_one_goes_on_within_the_sequence(name: str, stream: Stream) -> None:
    first, *others = pieces(stream, FIRST, 160)
    learner = learned(made(name, stream), [first])
    other = made(name, stream)
    other.restore({key: array.copy() for key, array in learner.state().items()}, [first])
    learned(learner, others), learned(other, others)
    assert all(np.array_equal(array, other.state()[key]) for key, array in learner.state().items())


def test_which_learners_need_no_boundaries(stream: Stream) -> None:
    assert {name for name, entry in LEARNERS.items() if entry.task_free} == set(FREE)
    assert all(entry.task_free == kind(name).TASK_FREE for name, entry in LEARNERS.items())
    owner = kind("ewc")
    with pytest.raises(NeurosimInputError, match=r"Ewc: the boundaries of the problem: must be given, .*TASK_FREE"):
        owner(stream.problem, owner.SETTINGS())


def test_learners_are_refused_by_name() -> None:
    words = r"stream.boundaries: must be true for .* ewc, hlop; nearest_mean, .*, plain, derpp, .* need no boundaries"
    with pytest.raises(NeurosimInputError, match=words):
        configure(None, ["stream.boundaries=false"], only=("derpp", "ewc", "hlop"))
    config = configure(None, ["stream.boundaries=false", "common.epochs=7"], only=("plain", "derpp"))
    assert [row.settings["epochs"] for row in config.rows] == [1, 1], "each item comes once"
    with pytest.raises(NeurosimInputError, match=r"stream.boundaries: must be true in the scenario 'task'"):
        Split(boundaries=False, scenario="task")


def test_a_sequence_has_the_items_of_its_tasks(stream: Stream) -> None:
    told = Split(blur=0.2, train_limit=80, validation_limit=40, test_limit=60).build(3)
    assert not stream.problem.boundaries and stream.problem.allowed(None, 1).all()
    for task, other in zip(stream, told, strict=True):
        assert not np.array_equal(task.train.x, other.train.x), "in another order"
        assert sorted(map(bytes, task.train.x)) == sorted(map(bytes, other.train.x))
        assert np.array_equal(task.test.x, other.test.x)


OUTLAST = ("derpp", "macrocolumn", "liquid")


@pytest.mark.parametrize("name", sampled(OUTLAST, ["macrocolumn"]))
def test_what_is_stored_or_kept_apart_outlasts_a_blurred_sequence(name: str) -> None:
    stream = Split(boundaries=False, blur=0.2, train_limit=200, test_limit=60).build(3)
    plain, other = (evaluate(stream, made(each, stream)).values[-1].mean() for each in ("plain", name))
    assert plain + 0.2 < other


def test_a_unit_and_a_class_are_dated_by_items() -> None:
    stream = Permuted(boundaries=False, tasks=2, train_limit=50, test_limit=10).build(0)
    learner: Any = learned(made("macrocolumn", stream), list(stream))
    labels = np.concatenate([task.train.y for task in stream])
    assert learner.taught.tolist() == [int(np.flatnonzero(labels == c)[-1]) for c in range(10)]
    won = learner.counts.sum(axis=-1) > 0
    assert (learner.born[won] < len(labels)).all() and (learner.born[~won] == np.iinfo(np.int32).max).all()
    # The first item found every unit new.
    assert (learner.born == 0).sum() == learner.columns * learner.settings.modules
