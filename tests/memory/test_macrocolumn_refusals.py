"""Settings and items that macrocolumns refuse by name."""

from __future__ import annotations

import numpy as np
import pytest

from neurosim.base import NeurosimInputError
from neurosim.memory import SDR, Hierarchy, Level, Macrocolumn, Permanence, Selection, patches, scattered
from neurosim.memory.macrocolumn.theory import capacity, crosstalk


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inputs": 0}, "Macrocolumn.inputs: must be >= 1 (got 0)"),
        ({"modules": 0}, "Macrocolumn.modules: must be >= 1 (got 0)"),
        ({"units": -1}, "Macrocolumn.units: must be >= 1 (got -1)"),
        ({"above": -1}, "Macrocolumn.above: must be >= 0 units (got -1)"),
        ({"neighbours": -1}, "Macrocolumn.neighbours: must be >= 0 units (got -1)"),
        ({"bounds": (0, 5)}, "Macrocolumn.bounds: must be (min, max) active inputs, 1 <= min <= max"),
        ({"bounds": (6, 5)}, "Macrocolumn.bounds: must be (min, max)"),
        ({"persistence": 0}, "Macrocolumn.persistence: must be >= 1 (got 0)"),
        ({"frozen_above": 0.0}, "Macrocolumn.frozen_above: must be in 0..1, 0 excluded (got 0.0)"),
        ({"seed": -1}, "Macrocolumn.seed: must be 0 to 2^63 - 1 (got -1)"),
    ],
)
def test_bad_columns_are_refused_by_name(changes: dict, message: str) -> None:
    with pytest.raises(NeurosimInputError) as error:
        Macrocolumn(**{"inputs": 8, "modules": 2, "units": 3, **changes})
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"form": "2011"}, "Selection.form: unknown name '2011'; did you mean '2017'? choose from 2010, 2017"),
        ({"g_min": 1.0}, "Selection.g_min: must be in 0..1, 1 excluded (got 1.0)"),
        ({"gamma": -1.0}, "Selection.gamma: must be finite and >= 0 (got -1.0)"),
        ({"exponents": (1.0, 0.0, 1.0)}, "Selection.exponents: must be three powers > 0"),
        ({"hypothesis": 0.0}, "Selection.hypothesis: must be in 0..1, 0 excluded"),
        ({"max_hypotheses": 0}, "Selection.max_hypotheses: must be >= 1"),
        ({"thresholds": (0.9, 0.8, 1.0)}, "Selection.thresholds: must be three familiarities that rise"),
    ],
)
def test_bad_rules_are_refused_by_name(changes: dict, message: str) -> None:
    with pytest.raises(NeurosimInputError) as error:
        Selection(**changes)
    assert str(error.value).startswith(message)


def test_bad_items_are_refused() -> None:
    column = Macrocolumn(16, 2, 3)
    memory = column.memory()
    item = SDR(np.array([1, 2]), 16)
    answer = column.store(memory, item)
    before = memory.u.tobytes()
    with pytest.raises(NeurosimInputError, match=r"macrocolumn: needs an SDR of 16 inputs \(got 17\)"):
        column.store_many(memory, [item, SDR(np.array([1]), 17)])
    with pytest.raises(NeurosimInputError, match=r"macrocolumn: needs an SDR \(got list\); see neurosim.memory.sdr"):
        column.recall(memory, [1, 2])  # type: ignore[arg-type]
    with pytest.raises(NeurosimInputError, match=r"memory: must be of this column"):
        column.recall(Macrocolumn(17, 2, 3).memory(), item)
    with pytest.raises(NeurosimInputError, match=r"Macrocolumn.above: must be > 0 to take signals from above"):
        column.recall(memory, item, above=item)
    with pytest.raises(NeurosimInputError, match=r"complete.code: must be 2 winners"):
        column.complete(memory, np.zeros(3, int))
    with pytest.raises(NeurosimInputError, match=r"complete.code: must be winners < 3 \(got 3\)"):
        column.complete(memory, np.array([0, 3]))
    with pytest.raises(NeurosimInputError, match=r"complete.code: must be winners >= 0"):
        column.complete(memory, np.array([-1, 0]))
    with pytest.raises(NeurosimInputError, match=r"trace: must be of a column of 4 modules"):
        Macrocolumn(16, 4, 3).recall(Macrocolumn(16, 4, 3).memory(), item, answer.trace)
    assert len(column.store_many(memory, [])) == 0
    # Nothing was lost or half stored.
    assert memory.u.tobytes() == before and memory.stored == 1


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Level(np.array([[0, 0]]), 2, 2), "Level.fields: must not repeat within a field"),
        (lambda: Level(np.zeros((0, 3), int), 2, 2), "Level.fields: must be integers [columns, n]"),
        (lambda: Level(np.array([[0, 1]]), 0, 2), "Level.modules: must be >= 1 (got 0)"),
        (lambda: Hierarchy(4, ()), "Hierarchy.levels: must be at least one"),
        (lambda: Hierarchy(4, (Level(np.array([[3, 4]]), 2, 2),)), "Hierarchy.levels[0].fields: must be < 4"),
        (lambda: patches((5, 5), 6), "patches.side: must be in 1..5 by 1..5 (got 6)"),
        (lambda: scattered(5, 2, 6), "scattered.inputs: must be in 1..5 (got 6)"),
        (lambda: Permanence((5, 4)), "Permanence.lifetimes: must be two numbers of frames > 0"),
        (lambda: capacity(3, 9, 4, 1.0), "capacity.recall: must be in 0..1, ends excluded"),
        (lambda: crosstalk(9, 10, 9, 4), "active: must be in 1..9 inputs (got 10)"),
    ],
)
def test_bad_settings_are_refused_by_name(build: object, message: str) -> None:
    with pytest.raises(NeurosimInputError) as error:
        build()  # type: ignore[operator]
    assert str(error.value).startswith(message)
