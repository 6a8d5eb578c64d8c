"""Kinds of recurrences, resets and surrogates of `reference`, without torch: processes that compile need none."""

from __future__ import annotations

from typing import NamedTuple

LIF, CURRENT, ADAPTIVE, INTEGRATOR = range(4)
# Rows of state and of constants, by kind.
STATES = (1, 2, 2, 1)
CONSTANTS = (2, 4, 5, 1)
SUBTRACT, ZERO, LATE = range(3)
FAST_SIGMOID, ARCTAN, TRIANGLE, SIGMOID = range(4)
# Compiled forms store the state every so many steps for the way back.
STRIDE = 32


class Recurrence(NamedTuple):
    """A recurrence, and the surrogate h(x) of its threshold at x = u - theta, see `reference.derivative`."""

    kind: int = LIF
    reset: int = SUBTRACT
    attached: bool = False
    surrogate: int = ARCTAN
    slope: float = 2.0
    scale: float = 1.0
