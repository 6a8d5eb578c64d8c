"""States that are no longer finite: one pass over all neurons, made between two calls of the run loop."""

from __future__ import annotations

import numpy as np

from ...tools.compiled import compiled
from ...tools.pointers import vector
from .columns import KIND, NEURONS, SIZE, STATE, STATES


def all_finite_reference(values):
    """Specify `all_finite`."""
    return bool(np.isfinite(values).all())


@compiled
def all_finite(values):
    """Return whether there is no NaN and no infinity among reals."""
    failed = 0
    for i in range(values.size):
        # A NaN and an infinity less themselves are NaN, which is not 0.
        failed += values[i] - values[i] != 0
    return failed == 0


@compiled
def first_not_finite(units, real):
    """Return the first population of neurons with a state that is not finite, -1 for none.

    Args:
        units: the table of populations of the run loop.
        real: any number of the type of the states.
    """
    for p in range(units.shape[0]):
        if units[p, KIND] == NEURONS and not all_finite(
            vector(units[p, STATE], units[p, STATES] * units[p, SIZE], real)
        ):
            return p
    return -1
