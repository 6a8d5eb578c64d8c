"""Checks of the state of a learner before it is restored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....base.errors import NeurosimInputError, require
from ....data.files.state import check_finite
from ..learner import Arrays
from ..tasks import Problem

PROBLEM = "problem"


def about(problem: Problem) -> dict[str, NDArray[Any]]:
    """Return the facts on which random wiring depends: arrays of other problems may have the same shapes."""
    facts = (problem.steps, problem.units, problem.classes, problem.tasks, problem.seed)
    return {PROBLEM: np.array(facts, np.int64)}


def check_names(name: str, arrays: Arrays, names: Iterable[str]) -> None:
    """Raise `NeurosimInputError` if an array of a learner's state is missing or left over."""
    missing = sorted(set(names) - set(arrays))
    extra = sorted(set(arrays) - set(names))
    if missing or extra:
        raise NeurosimInputError(
            f"{name}: must be given the state of another {name} (missing {missing}, left over {extra})"
        )


def check_arrays(name: str, arrays: Arrays, expected: Mapping[str, Any]) -> None:
    """Check that arrays are the state of a learner.

    Args:
        arrays: the arrays to check.
        expected: arrays or tensors of the same shapes by name.

    Raises:
        NeurosimInputError: an array is missing, left over, of another shape or type, or not finite.
    """
    check_names(name, arrays, expected)
    for key, array in expected.items():
        kind = str(array.dtype).removeprefix("torch.")
        require(arrays[key].dtype.name == kind, f"{name}: {key}", f"must be {kind}", arrays[key].dtype.name)
        good = tuple(arrays[key].shape) == tuple(array.shape)
        require(good, f"{name}: {key}", f"must be {list(array.shape)}, as this learner has it", list(arrays[key].shape))
    check_finite({f"{name}: {key}": array for key, array in arrays.items()})
    if PROBLEM in expected:
        facts = np.asarray(expected[PROBLEM]).tolist()
        got = np.asarray(arrays[PROBLEM]).tolist()
        require(facts == got, f"{name}: {PROBLEM}", f"must be steps, units, classes, tasks and seed {facts}", got)
