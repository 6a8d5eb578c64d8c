"""The contract of a connection pattern."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import require


@dataclass(frozen=True, eq=False)
class Side:
    """What a pattern may know of a population: how its units unfold, and where they are.

    Attributes:
        shape: units along each dimension.
        positions: [size, dimensions] float64; None means the units' own grid coordinates.
    """

    shape: tuple[int, ...]
    positions: NDArray | None = None

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def coordinates(self) -> NDArray[np.float64]:
        """[size, dimensions] positions, of which the grid is the default."""
        if self.positions is not None:
            return np.ascontiguousarray(self.positions, np.float64)
        return np.stack(np.unravel_index(np.arange(self.size), self.shape), axis=1).astype(np.float64)


@dataclass(frozen=True, eq=False)
class Rows:
    """The synapses of a range of sources, as a compressed sparse matrix.

    Attributes:
        offsets: [sources + 1] int64; synapses `offsets[i]:offsets[i + 1]` leave the i-th source of the range.
        targets: [n] int32, ascending within a row. A target may repeat.
        order: [n] int64, where the pattern lists its synapses itself: the place of each synapse in that list, which
            is the order of weights and delays given as arrays. None: they are in the order of the rows.
        weights: [n] float64 factors of the weight, for patterns that have their own. None: 1.
    """

    offsets: NDArray[np.int64]
    targets: NDArray[np.int32]
    order: NDArray[np.int64] | None = None
    weights: NDArray[np.float64] | None = None


@dataclass(frozen=True, eq=False)
class Maker:
    """Makes the rows of any range of sources, for several threads at a time.

    Attributes:
        rows: takes `first` and `last`; the same synapses however the range is cut.
        before: [sources + 1] int64, synapses of the sources before each; None where only making them tells.
    """

    rows: Callable[[int, int], Rows]
    before: NDArray[np.int64] | None


class Pattern(ABC):
    """Which units of the source reach which units of the target: a final frozen dataclass."""

    @abstractmethod
    def maker(self, source: Side, target: Side, same: bool, key: int) -> Maker:
        """What makes the synapses; work that all ranges share is done here.

        Args:
            same: source and target are one population, so that synapse i -> i joins a unit to itself.
            key: names the stream of random numbers.
        """

    def rows(self, source: Side, target: Side, same: bool, key: int, first: int, last: int) -> Rows:
        """The rows of sources `first` to `last - 1`; for many ranges, keep the maker."""
        return self.maker(source, target, same, key).rows(first, last)

    @abstractmethod
    def expected(self, source: Side, target: Side) -> float:
        """How many synapses to expect, to judge the memory before allocating it."""

    def check(self, source: Side, target: Side, same: bool) -> None:  # noqa: B027 - most patterns fit any two sides
        """Raise `NeurosimInputError` where the pattern cannot join these two."""


def check_probability(thing: str, value: float) -> None:
    """Raise unless `value` is a probability."""
    require(bool(np.isfinite(value)) and 0 <= value <= 1, thing, "must be between 0 and 1", value)


def check_count(thing: str, value: int) -> None:
    """Raise unless `value` is a whole number, at least 0."""
    require(isinstance(value, (int, np.integer)) and not isinstance(value, bool), thing, "must be whole", value)
    require(value >= 0, thing, "must be >= 0", value)
