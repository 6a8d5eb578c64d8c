"""Learners whose neurons are populations of the engine, against the same learners by their libraries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from neurosim.continual.learners import kind
from neurosim.continual.streams import Split, Stream


@pytest.fixture(scope="module", params=["digits", "digits-events"])
def stream(request: pytest.FixtureRequest) -> Stream:
    """Images, and recordings of three steps."""
    return Split(source=request.param, windows=3, train_limit=40, validation_limit=10, test_limit=30).build(1)


def both(name: str, stream: Stream, tasks: int, **settings: Any) -> tuple[Any, Any]:
    """A learner by its library and in the engine, after some tasks."""
    owner = kind(name)
    found = [owner(stream.problem, owner.SETTINGS(**settings, engine=engine)) for engine in (False, True)]
    for learner in found:
        for task in list(stream)[:tasks]:
            learner.begin(task)
            learner.learn(task)
    return found[0], found[1]


def test_columns_are_the_same_bit_for_bit(stream: Stream) -> None:
    library, engine = both("macrocolumn", stream, 2, columns=6, field=12, units=16)
    arrays, others = library.state(), engine.state()
    assert arrays.keys() == others.keys() and all(np.array_equal(arrays[n], others[n]) for n in arrays)
    x = stream[0].test.x
    assert np.array_equal(library.scores(x, None), engine.scores(x, None))
    assert library.updates == engine.updates and library.memory_bytes() == engine.memory_bytes()
    (level, votes), (columns, same) = library.work(x), engine.work(x)
    assert votes == same
    # The engine counts spikes of the source, the library those that reach each column.
    for name in ("synaptic_operations", "dense_operations", "output_events", "weights", "nonzero_weights", "steps"):
        assert getattr(columns, name) == getattr(level, name), name
    assert columns.input_events == len(x) * x.shape[1] * 3 * x.shape[2]
