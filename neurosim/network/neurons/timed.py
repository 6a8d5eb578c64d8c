"""Values that change at equal intervals of time, for equations."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from ...base.errors import is_number, require

# The values become part of the compiled step.
MAX_VALUES = 1_000_000


@final
@dataclass(frozen=True, eq=False)
class TimedArray:
    """Values at equal intervals from 0 s on: `name(t)` of [entries], `name(t, i)` of [entries, units].

    Before the first entry it has the first value, after the last one the last. Within a step of the clock it keeps the
    value at the start of the step.

    Attributes:
        values: numbers.
        interval: s from one entry to the next.

    Source: Brian2's TimedArray.
    """

    values: NDArray[np.float64]
    interval: float

    def __init__(self, values: ArrayLike, interval: float) -> None:
        array: NDArray[np.float64] = np.array(values, np.float64)
        fits = array.ndim in (1, 2) and 0 < array.size <= MAX_VALUES
        require(fits, "TimedArray.values", f"must be [entries] or [entries, units], at most {MAX_VALUES}", array.shape)
        require(bool(np.isfinite(array).all()), "TimedArray.values", "must be finite", "NaN or infinity")
        positive = is_number(interval) and math.isfinite(interval) and interval > 0
        require(positive, "TimedArray.interval", "must be > 0 s", interval)
        array.flags.writeable = False
        object.__setattr__(self, "values", array)
        object.__setattr__(self, "interval", float(interval))


def steps_per_second(dt: float) -> float:
    """Return 1 / dt; an integer where it is one but for rounding.

    A step divided by it is the number nearest to its time, as a literal is, so that `t > 20*ms` is false at 20 ms in
    float32, too.
    """
    return steps_of_entry(1.0, dt)


def steps_of_entry(interval: float, dt: float) -> float:
    """Return the number of steps of `dt` in an interval; an integer where it is one but for rounding."""
    steps = interval / dt
    if abs(steps - round(steps)) < 1e-6 * steps:
        return float(round(steps))
    return steps


@njit(inline="always")
def entry_at(place, steps, entries):
    """Return the entry at a place that is counted in steps; a thousandth of a step is taken for rounding."""
    entry = int(np.floor((place + 1e-3) / steps))
    return min(max(entry, 0), entries - 1)
