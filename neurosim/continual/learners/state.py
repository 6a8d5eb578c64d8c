"""States of learners: whether arrays are of the learner that is to take them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import NeurosimInputError, require
from ..learner import Arrays
from ..tasks import Problem

PROBLEM = "problem"


def about(problem: Problem) -> dict[str, NDArray[Any]]:
    """What a learner's wiring is drawn by, for states whose arrays have the same shapes in other problems."""
    facts = (problem.steps, problem.units, problem.classes, problem.tasks, problem.seed)
    return {PROBLEM: np.array(facts, np.int64)}


def check_arrays(name: str, found: Arrays, wanted: Mapping[str, Any]) -> None:
    """Whether arrays are those of a learner.

    Args:
        wanted: arrays or tensors of the same shapes by name.

    Raises:
        NeurosimInputError: one is lacking, left over, or of another shape.
    """
    lacking, extra = sorted(set(wanted) - set(found)), sorted(set(found) - set(wanted))
    if lacking or extra:
        raise NeurosimInputError(
            f"{name}: must be given the state of another {name} (lacking {lacking}, left over {extra})"
        )
    for key, array in wanted.items():
        good = tuple(found[key].shape) == tuple(array.shape)
        require(good, f"{name}: {key}", f"must be {list(array.shape)}, as this learner has it", list(found[key].shape))
    if PROBLEM in wanted:
        facts, got = np.asarray(wanted[PROBLEM]).tolist(), np.asarray(found[PROBLEM]).tolist()
        require(facts == got, f"{name}: {PROBLEM}", f"must be steps, units, classes, tasks and seed {facts}", got)
