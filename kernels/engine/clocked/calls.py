"""Parts of the run loop that it calls by address."""

from __future__ import annotations

import numpy as np
from numba import from_dtype, types

from ...tools.pointers import address_of
from .views import PLACES, STEPPING, TASK


def address_of_part(function: object, real: object) -> int:
    """Return the address of a part of a step, compiled for weights of a dtype.

    Its arguments are the task, `STEPPING`, real weights, of which it knows the dtype alone unless it says more, and
    `PLACES`.
    """
    weights = types.Array(from_dtype(np.dtype(real)), 1, "C")
    task, stepping, places = (types.Array(from_dtype(record), 1, "C") for record in (TASK, STEPPING, PLACES))
    return address_of(function, task, stepping, weights, places)


def address_of_advance(function: object, real: object) -> int:
    """Return the address of what advances a population by a step, compiled for weights of a dtype.

    Its arguments are the population's row of the table, `STEPPING`, the weights of inputs, and `PLACES`.
    """
    unit = types.Array(types.int64, 1, "C")
    weights = types.Array(from_dtype(np.dtype(real)), 1, "C")
    stepping, places = (types.Array(from_dtype(record), 1, "C") for record in (STEPPING, PLACES))
    return address_of(function, unit, stepping, weights, places)
