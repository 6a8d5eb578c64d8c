"""Columns of the single-trial learner that each see a square of a picture."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

from neurosim.base import NeurosimInputError
from neurosim.learning import Stream
from neurosim.learning.continual.evaluation import evaluate
from neurosim.learning.continual.learners import kind
from neurosim.learning.continual.streams import Split


@functools.cache
def stream() -> Stream:
    return Split(train_limit=150, test_limit=60).build(1)


def made(**settings: Any) -> Any:
    owner = kind("macrocolumn")
    return owner(stream().problem, owner.SETTINGS(**{"units": 64, **settings}))


def test_a_column_sees_a_square_at_every_level_on_and_off() -> None:
    learner = made(shape=(8, 8), side=3, stride=2, levels=(50, 150))
    fields = learner.hierarchy.levels[0].fields
    assert learner.columns == len(fields) == 16 and fields.shape[1] == 2 * 2 * 9
    for column in fields:
        drive, unit = np.divmod(np.sort(column), 64)
        assert np.bincount(drive).tolist() == [9] * 4, "two levels, on and off"
        rows, places = np.divmod(unit.reshape(4, 9), 8)
        assert (unit.reshape(4, 9) == unit[:9]).all()
        assert np.ptp(rows) == np.ptp(places) == 2
    # The last square of each row ends at the edge: all units are seen.
    assert np.unique(fields).size == 4 * 64


def test_neighbours_tell_more_than_units_drawn_from_all() -> None:
    """Check the number of columns and the number of inputs of each."""
    square = made(shape=(8, 8), side=3, stride=1, levels=(64, 128))
    drawn = made(columns=square.columns, field=18, levels=(64, 128))
    found, other = (evaluate(stream(), learner).values[-1].mean() for learner in (square, drawn))
    assert found > other and found > 0.85, (found, other)


@pytest.mark.parametrize("shape", [(8,), (8, 9), (4, 4)])
def test_a_shape_that_is_not_the_items_is_refused(shape: tuple[int, ...]) -> None:
    words = r"MacrocolumnSettings.shape: must be \(\.\.\., height, width\) that unfolds to the 64 units of an item"
    with pytest.raises(NeurosimInputError, match=words):
        made(shape=shape)
    with pytest.raises(NeurosimInputError, match=r"patches.side: must be in 1..8 by 1..8 \(got 9\)"):
        made(shape=(8, 8), side=9)


def test_the_only_class_of_a_task_is_told_from_earlier_ones() -> None:
    """Check answers right after each task of one class, whose new units won for no other class."""
    tasks = Split(each=1, train_limit=80, test_limit=30).build(0)
    owner = kind("macrocolumn")
    learner = owner(tasks.problem, owner.SETTINGS(columns=48, units=256))
    values = evaluate(tasks, learner).values
    after = [values[task + 1, task] for task in range(10)]
    assert np.mean(after) > 0.75, after
