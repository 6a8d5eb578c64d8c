"""What the memories share: patterns and cues checked, the end of a recall, the warning of an overfull memory."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import CapacityWarning, require

Array = NDArray


def warn_full(what: str, stored: str, capacity: str, expected: str) -> None:
    """Say that `what` holds more than its capacity, and what recall to expect."""
    # The caller's caller: the line that stored too much.
    warnings.warn(f"{what}: {stored} are more than {capacity}; {expected}", CapacityWarning, stacklevel=4)


@dataclass(frozen=True, eq=False)
class Recall:
    """The end of a recall: `state` [N], `sweeps` done, and `operations`, couplings added up on the way."""

    state: Array
    sweeps: int
    operations: int

    def overlap(self, patterns: object) -> Array:
        """[K] overlaps (1/N) xi . s with patterns [K, N]."""
        xi = np.atleast_2d(np.asarray(patterns, np.float64))
        require(
            xi.ndim == 2 and xi.shape[1] == self.state.size,
            "Recall.overlap",
            f"needs patterns [K, {self.state.size}]",
            xi.shape,
        )
        return xi @ self.state / xi.shape[1]


def patterns_of(patterns: object, allowed: tuple[int, ...]) -> Array:
    """Patterns [K, N] as float64, whose entries must be among `allowed`."""
    xi = np.asarray(patterns, np.float64)
    require(xi.ndim == 2 and xi.size > 0, "patterns", "must be an array [K, N]", xi.shape)
    _only(xi, allowed, "patterns")
    return xi


def cue_of(cue: object, units: int) -> Array:
    """A cue [units] of -1 and 1 as a new float64 array."""
    state = np.array(cue, np.float64)
    require(state.shape == (units,), "recall.cue", f"must be an array [{units}]", state.shape)
    _only(state, (-1, 1), "recall.cue")
    return state


def _only(values: Array, allowed: tuple[int, ...], what: str) -> None:
    good = np.isin(values, allowed)
    require(bool(good.all()), what, f"must hold only {', '.join(map(str, allowed[:-1]))} and {allowed[-1]}",
          values.flat[np.argmin(good)])  # fmt: skip


def tail(z: float) -> float:
    """Chance that a standard normal variable exceeds z."""
    return 0.5 * math.erfc(z / math.sqrt(2))


def odd_factorial(n: int) -> int:
    """n (n-2) (n-4) ... 1."""
    return math.prod(range(n, 0, -2))
