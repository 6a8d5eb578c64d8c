"""Patterns between parts of populations, as NEST's slices of nodes and PyNN's views."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

from ...base.errors import NeurosimInputError, require
from .base import Maker, Pattern, Rows, Side
from .convolution import Convolution

Part: TypeAlias = "NDArray[Any] | str | slice | range | None"


@final
@dataclass(frozen=True, eq=False)
class BetweenParts(Pattern):
    """A pattern between a part of the source and a part of the target.

    The pattern sees two populations of the parts' sizes, whose units have the positions of theirs. Parts of one
    population must be equal, or have no unit in common, where a pattern leaves out connections of a unit to itself.

    Attributes:
        pattern: any but a `Convolution`, which needs whole grids.
        sources, targets: the units of each part, ascending: [n] integers, a `slice` or `range`, or text in the form
            of a slice, such as "0:800"; None: all units.

    Raises:
        NeurosimInputError: naming what breaks its rule.
    """

    pattern: Pattern
    sources: Part = None
    targets: Part = None

    def __post_init__(self) -> None:
        valid = isinstance(self.pattern, Pattern) and not isinstance(self.pattern, Convolution)
        require(valid, "BetweenParts.pattern", "must be a connection pattern other than Convolution", self.pattern)
        for name in ("sources", "targets"):
            object.__setattr__(self, name, _checked(getattr(self, name), f"BetweenParts.{name}"))

    @property
    def allow_self_connections(self) -> bool:
        """Return whether the pattern connects a unit with itself."""
        return bool(getattr(self.pattern, "allow_self_connections", True))

    def check(self, source: Side, target: Side, same: bool) -> None:
        sources = _units(self.sources, source.size, "BetweenParts.sources")
        targets = _units(self.targets, target.size, "BetweenParts.targets")
        if same and not self.allow_self_connections:
            apart = not np.intersect1d(sources, targets, assume_unique=True).size
            rule = "must have the same units as sources, or none of them, where self connections are left out"
            require(apart or np.array_equal(sources, targets), "BetweenParts.targets", rule, "some of them")
        self.pattern.check(_side(source, sources), _side(target, targets), _are_same(same, sources, targets))

    def maker(self, source: Side, target: Side, same: bool, key: int, onto: tuple[int, int] | None = None) -> Maker:
        sources = _units(self.sources, source.size, "BetweenParts.sources")
        targets = _units(self.targets, target.size, "BetweenParts.targets")
        within = None
        if onto is not None:
            # A process has the targets low..high of the population: positions in the part.
            low, high = np.searchsorted(targets, onto)
            within = (int(low), int(high))
        sides = _side(source, sources), _side(target, targets)
        inner = self.pattern.maker(*sides, _are_same(same, sources, targets), key, within)
        # The first of the part's sources that is not before a source of the population.
        place = np.searchsorted(sources, np.arange(source.size + 1))
        numbers = targets.astype(np.int32)

        def rows(first: int, last: int) -> Rows:
            begin = place[first]
            end = place[last]
            # No source of the part lies in this range.
            if begin == end:
                return Rows(np.zeros(last - first + 1, np.int64), np.empty(0, np.int32))
            made = inner.rows(int(begin), int(end))
            before = None
            if made.before is not None:
                # By source of the population; sources outside the part have no synapses before them.
                before = np.zeros(last - first, np.int64)
                before[sources[begin:end] - first] = made.before
            # A source outside the part begins and ends where the next one of the part begins: an empty row.
            offsets = made.offsets[place[first : last + 1] - begin]
            return Rows(
                offsets=offsets, targets=numbers[made.targets], order=made.order, weights=made.weights, before=before
            )

        first_synapse = inner.first_synapse
        if first_synapse is not None:
            first_synapse = first_synapse[place]
        return Maker(rows, first_synapse)

    def expected(self, source: Side, target: Side) -> float:
        sources = _units(self.sources, source.size, "BetweenParts.sources")
        targets = _units(self.targets, target.size, "BetweenParts.targets")
        return self.pattern.expected(_side(source, sources), _side(target, targets))


def _checked(part: Part, name: str) -> NDArray[Any] | str | None:
    """Return a part as [n] integers, as text, or None.

    Raises:
        NeurosimInputError: it is none of these, or its units do not ascend.
    """
    if isinstance(part, slice):
        limits = ("" if limit is None else str(limit) for limit in (part.start, part.stop, part.step))
        part = ":".join(limits)
    if part is None:
        return None
    if isinstance(part, str):
        _slice(part, name)
        return part
    units = np.asarray(part)
    if units.ndim != 1 or (units.dtype.kind not in "iu" and units.size):
        raise NeurosimInputError(f"{name}: must be a vector of integers, a slice, or text such as '0:800' (got {part})")
    units = units.astype(np.int64)
    require(units.min(initial=0) >= 0, name, "must be >= 0", units.min(initial=0))
    require(bool(np.all(np.diff(units) > 0)), name, "must ascend, with each unit once", units)
    return units


def _slice(text: str, name: str) -> slice:
    """Return the slice that a text such as "0:800" or "::2" says.

    Raises:
        NeurosimInputError: it says none, or units do not ascend.
    """
    words = text.split(":")
    try:
        limits = [int(word) if word.strip() else None for word in words]
    except ValueError:
        limits = []
    require(2 <= len(limits) <= 3, name, "must be a slice such as '0:800' or '::2'", text)
    part = slice(*limits)
    require(part.step is None or part.step > 0, name, "must have a step > 0", text)
    return part


def _units(part: Part, size: int, name: str) -> NDArray[np.int64]:
    """Return the units of a part of a population.

    Raises:
        NeurosimInputError: it has units beyond the population, or none.
    """
    if isinstance(part, np.ndarray):
        last = int(part.max(initial=0))
        require(part.size == 0 or last < size, name, f"must be < the population's size {size}", last)
        units = part
    else:
        units = np.arange(size)
        if isinstance(part, str):
            units = units[_slice(part, name)]
    require(units.size > 0 or size == 0, name, f"must have a unit of the {size} there are", part)
    return units


def _side(whole: Side, units: NDArray[np.int64]) -> Side:
    """Return what a pattern sees of a part."""
    if len(units) == whole.size:
        return whole
    return Side((len(units),), whole.coordinates()[units])


def _are_same(same: bool, sources: NDArray[np.int64], targets: NDArray[np.int64]) -> bool:
    """Return whether two parts are the same units of one population."""
    return same and np.array_equal(sources, targets)
