"""The contract of a connection pattern."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.errors import is_integer, is_number, require
from ...base.shown import Shown


@dataclass(frozen=True, eq=False)
class Side:
    """The part of a population that a pattern sees: shape and positions.

    Attributes:
        shape: units along each dimension.
        positions: [size, dimensions] float64; None means the units' own grid coordinates.
    """

    shape: tuple[int, ...]
    positions: NDArray[Any] | None = None

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def coordinates(self) -> NDArray[np.float64]:
        """Return [size, dimensions] positions; the default is the grid."""
        if self.positions is not None:
            return np.ascontiguousarray(self.positions, np.float64)
        return np.stack(np.unravel_index(np.arange(self.size), self.shape), axis=1).astype(np.float64)


@dataclass(frozen=True, eq=False)
class Rows:
    """The synapses of a range of sources, as a compressed sparse matrix.

    Attributes:
        offsets: [sources + 1] int64; synapses `offsets[i]:offsets[i + 1]` leave the i-th source of the range.
        targets: [n] int32, ascending within a row. A target may repeat.
        order: [n] int64, for patterns that list their synapses: the place of each synapse in that list. Arrays of
            weights and delays are in the order of the list. None: they are in the order of the rows.
        weights: [n] float64 factors of the weight, for patterns that have their own. None: 1.
        before: [sources] int64, where the rows are of a part of the targets: the number of synapses of each source onto
            the targets before the part, by which those of the part are numbered among all. None: 0, or not known.
    """

    offsets: NDArray[np.int64]
    targets: NDArray[np.int32]
    order: NDArray[np.int64] | None = None
    weights: NDArray[np.float64] | None = None
    before: NDArray[np.int64] | None = None


@dataclass(frozen=True, eq=False)
class Maker:
    """Builder of the rows of any range of sources; several threads may use it at a time.

    Attributes:
        rows: called as rows(first, last); the synapses do not depend on how ranges are cut.
        first_synapse: [sources + 1] int64, number of the first synapse of each source onto any target, and the number
            of all synapses: drawn weights and delays are keyed by it. None where it is known only once all rows are
            made; they are then made once, counted, and cached.
    """

    rows: Callable[[int, int], Rows]
    first_synapse: NDArray[np.int64] | None


class Pattern(Shown, ABC):
    """Connections from the units of a source to the units of a target: a final frozen dataclass.

    It may be pickled."""

    @abstractmethod
    def maker(self, source: Side, target: Side, same: bool, key: int, onto: tuple[int, int] | None = None) -> Maker:
        """Return the maker of the synapses; work that all ranges share is done here.

        Args:
            same: source and target are one population, so that synapse i -> i connects a unit with itself.
            key: of the random numbers.
            onto: the first target whose synapses are made, and the one after the last, of one process. None:
                all. The synapses of a target are the same in any part.
        """

    def rows(self, source: Side, target: Side, same: bool, key: int, first: int, last: int) -> Rows:
        """Return the rows of sources `first` to `last - 1`; for many ranges, keep the maker."""
        return self.maker(source, target, same, key).rows(first, last)

    @abstractmethod
    def expected(self, source: Side, target: Side) -> float:
        """Return the expected number of synapses, to estimate the memory before allocating it."""

    def check(self, source: Side, target: Side, same: bool) -> None:
        """Raise `NeurosimInputError` where the pattern cannot connect these two."""


def check_probability(name: str, value: float) -> None:
    """Raise unless `value` is a probability."""
    require(is_number(value) and 0 <= value <= 1, name, "must be between 0 and 1", value)


def check_count(name: str, value: int) -> None:
    """Raise unless `value` is an integer of at least 0."""
    require(is_integer(value), name, "must be an integer", value)
    require(value >= 0, name, "must be >= 0", value)
