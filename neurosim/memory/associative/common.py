"""Functions of all associative memories: checks of patterns and cues, the result of a recall, the warning when full."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.errors import CapacityWarning, require

Array = NDArray[Any]


def warn_full(name: str, stored: str, capacity: str, expected: str) -> None:
    """Warn that a memory holds more than its capacity, with the expected recall."""
    # Level 4 is the user's call of the method that stores.
    warnings.warn(f"{name}: {stored} are more than {capacity}; {expected}", CapacityWarning, stacklevel=4)


@dataclass(frozen=True, eq=False)
class Recall:
    """Result of a recall.

    Attributes:
        state: [N] at the end; at a temperature above 0 its mean over the second half of the sweeps.
        sweeps: number of sweeps.
        operations: number of couplings added.
    """

    state: Array
    sweeps: int
    operations: int

    def overlap(self, patterns: object) -> Array:
        """Return [K] overlaps (1/N) xi . s with patterns [K, N]."""
        xi = np.atleast_2d(np.asarray(patterns, np.float64))
        fits = xi.ndim == 2 and xi.shape[1] == self.state.size
        require(fits, "Recall.overlap", f"needs patterns [K, {self.state.size}]", xi.shape)
        return xi @ self.state / xi.shape[1]


@dataclass(frozen=True, eq=False)
class Recalls:
    """Results of the recalls of several cues.

    Attributes:
        states: [n, N] at the end, or their means, as in `Recall`.
        sweeps: [n] number of sweeps of each.
        operations: [n] number of couplings added for each.
    """

    states: Array
    sweeps: Array
    operations: Array

    def overlap(self, patterns: object) -> Array:
        """Return [n, K] overlaps (1/N) s . xi with patterns [K, N]."""
        xi = np.atleast_2d(np.asarray(patterns, np.float64))
        units = self.states.shape[1]
        require(xi.ndim == 2 and xi.shape[1] == units, "Recalls.overlap", f"needs patterns [K, {units}]", xi.shape)
        return np.asarray(self.states @ xi.T / units)

    def one(self) -> Recall:
        """Return the first recall."""
        return Recall(self.states[0], int(self.sweeps[0]), int(self.operations[0]))


def check_matrix(name: str, value: object, axes: str, maker: str) -> None:
    """Raise unless a value is an array of two axes and not empty; `maker` makes one from what users have."""
    good = isinstance(value, np.ndarray) and value.ndim == 2 and value.size > 0
    rule = f"must be an array {axes}; {maker} makes it from patterns"
    got = value.shape if isinstance(value, np.ndarray) else value
    require(good, name, rule, got)


def check_patterns(patterns: object, allowed: tuple[int, ...]) -> Array:
    """Return patterns [K, N] as float64; raise for entries outside `allowed`."""
    xi = np.asarray(patterns, np.float64)
    require(xi.ndim == 2 and xi.size > 0, "patterns", "must be an array [K, N]", xi.shape)
    _check_entries(xi, allowed, "patterns")
    return xi


def check_cue(cue: object, units: int) -> Array:
    """Return a cue [units] of -1 and 1 as a new float64 array."""
    state = np.array(cue, np.float64)
    require(state.shape == (units,), "recall.cue", f"must be an array [{units}]", state.shape)
    _check_entries(state, (-1, 1), "recall.cue")
    return state


def check_cues(cues: object, units: int) -> Array:
    """Return cues [n, units] of -1 and 1, at least one, as a new float64 array; one cue [units] becomes [1, units]."""
    states = np.atleast_2d(np.array(cues, np.float64))
    fits = states.ndim == 2 and len(states) > 0 and states.shape[1] == units
    require(fits, "recall.cues", f"must be an array [n, {units}] with n >= 1", states.shape)
    _check_entries(states, (-1, 1), "recall.cues")
    return states


def _check_entries(values: Array, allowed: tuple[int, ...], name: str) -> None:
    good = np.isin(values, allowed)
    rule = f"must hold only {', '.join(map(str, allowed[:-1]))} and {allowed[-1]}"
    require(bool(good.all()), name, rule, values.flat[np.argmin(good)])


def tail(z: float) -> float:
    """Return the chance that a standard normal variable exceeds z."""
    return 0.5 * math.erfc(z / math.sqrt(2))


def odd_factorial(n: int) -> int:
    """Return n (n-2) (n-4) ... 1."""
    return math.prod(range(n, 0, -2))
