"""Connection patterns, named as PyNN's connectors.

`allow_self_connections` matters where source and target are one population: False leaves out i -> i.
`with_replacement` allows several synapses between the same two units.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

from ...base.errors import NeurosimInputError, require
from ...base.rules import Positive, check_rules
from .base import Maker, Pattern, Rows, Side, check_count, check_probability
from .makers import choosing_maker, distinct_maker, grown_rows, maker_of, offsets_of

Onto: TypeAlias = "tuple[int, int] | None"


@final
@dataclass(frozen=True)
class AllToAll(Pattern):
    """Every source to every target."""

    allow_self_connections: bool = True

    def maker(self, source: Side, target: Side, same: bool, key: int, onto: Onto = None) -> Maker:
        skip = same and not self.allow_self_connections
        low, high = onto or (0, target.size)

        def rows(first: int, last: int) -> Rows:
            sources = np.arange(first, last)
            n = high - low
            targets = np.tile(np.arange(low, high, dtype=np.int32), len(sources))
            if skip:
                targets = targets[targets != np.repeat(sources, n)]
            # One target fewer where the source itself is among them.
            degrees = n - (skip & (low <= sources) & (sources < high))
            return Rows(offsets_of(degrees), targets, before=low - (skip & (sources < low)))

        return Maker(rows, _even(source.size, target.size - skip))

    def expected(self, source: Side, target: Side) -> float:
        return float(source.size) * target.size


@final
@dataclass(frozen=True)
class OneToOne(Pattern):
    """Source i to target i."""

    def check(self, source: Side, target: Side, same: bool) -> None:
        require(source.size == target.size, "OneToOne", f"needs as many targets as sources {source.size}", target.size)

    def maker(self, source: Side, target: Side, same: bool, key: int, onto: Onto = None) -> Maker:
        low, high = onto or (0, target.size)

        def rows(first: int, last: int) -> Rows:
            # Sources outside the part of the targets have empty rows.
            targets = np.arange(max(first, low), min(last, high), dtype=np.int32)
            return Rows(np.clip(np.arange(first, last + 1) - max(first, low), 0, len(targets)), targets)

        return Maker(rows, _even(source.size, 1))

    def expected(self, source: Side, target: Side) -> float:
        return float(source.size)


@final
@dataclass(frozen=True)
class FixedProbability(Pattern):
    """Every pair with probability `p_connect`, independently."""

    p_connect: float
    allow_self_connections: bool = True

    def __post_init__(self) -> None:
        check_probability("FixedProbability.p_connect", self.p_connect)

    def maker(self, source: Side, target: Side, same: bool, key: int, onto: Onto = None) -> Maker:
        from ...kernels.engine.connect.pairs.cpu import bernoulli_rows
        from ...kernels.engine.connect.views import RowRange

        if self.p_connect == 0:
            return Maker(lambda first, last: Rows(_even(last - first, 0), np.empty(0, np.int32)), _even(source.size, 0))
        if self.p_connect == 1:
            return AllToAll(self.allow_self_connections).maker(source, target, same, key, onto)
        skip = same and not self.allow_self_connections
        p = self.p_connect
        low, high = onto or (0, target.size)

        def rows(first: int, last: int) -> Rows:
            def fill(offsets: NDArray[Any], out: NDArray[Any]) -> int:
                return bernoulli_rows(np.uint64(key), RowRange(first, last, low, high), p, skip, offsets, out)

            return grown_rows((last - first) * (high - low) * p, last - first, fill)

        return Maker(rows, None)

    def expected(self, source: Side, target: Side) -> float:
        return self.p_connect * source.size * target.size


@dataclass(frozen=True)
class _FixedNumber(Pattern):
    """Every unit of one side is connected with `n` units of the other."""

    n: int
    with_replacement: bool = False
    allow_self_connections: bool = True

    def __post_init__(self) -> None:
        check_count(f"{type(self).__name__}.n", self.n)

    def _check_enough(self, size: int, same: bool, side: str) -> None:
        eligible = size - (same and not self.allow_self_connections)
        # With replacement one unit is enough.
        needed = min(self.n, 1) if self.with_replacement else self.n
        require(needed <= eligible, f"{type(self).__name__}.n", f"must be <= the {eligible} {side} there are", self.n)


@final
@dataclass(frozen=True)
class FixedNumberPre(_FixedNumber):
    """Every target receives from `n` sources: fixed in-degree."""

    def check(self, source: Side, target: Side, same: bool) -> None:
        self._check_enough(source.size, same, "sources")

    def maker(self, source: Side, target: Side, same: bool, key: int, onto: Onto = None) -> Maker:
        from ...kernels.engine.connect.fixed.cpu import fixed_columns, transpose

        skip = same and not self.allow_self_connections
        low, high = onto or (0, target.size)
        # Drawn by target, so that each process draws its own targets alone; then turned into rows of sources.
        columns = np.empty((high - low, self.n), np.int32)
        fixed_columns(np.uint64(key), source.size, low, high, self.n, self.with_replacement, skip, columns)
        offsets = np.empty(source.size + 1, np.int64)
        targets = np.empty(columns.size, np.int32)
        transpose(columns, low, offsets, targets)
        return maker_of(Rows(offsets, targets), offsets if onto is None else None)

    def expected(self, source: Side, target: Side) -> float:
        return float(self.n) * target.size


@final
@dataclass(frozen=True)
class FixedNumberPost(_FixedNumber):
    """Every source reaches `n` targets: fixed out-degree."""

    def check(self, source: Side, target: Side, same: bool) -> None:
        self._check_enough(target.size, same, "targets")

    def maker(self, source: Side, target: Side, same: bool, key: int, onto: Onto = None) -> Maker:
        skip = same and not self.allow_self_connections
        return choosing_maker(key, _even(source.size, self.n), target.size, self.with_replacement, skip, onto)

    def expected(self, source: Side, target: Side) -> float:
        return float(self.n) * source.size


@final
@dataclass(frozen=True)
class FixedTotalNumber(Pattern):
    """`n` synapses in total, each between a source and a target drawn at random."""

    n: int
    with_replacement: bool = True
    allow_self_connections: bool = True

    def __post_init__(self) -> None:
        check_count("FixedTotalNumber.n", self.n)

    def check(self, source: Side, target: Side, same: bool) -> None:
        if self.allow_self_connections or not same:
            loops = 0
        else:
            loops = source.size
        pairs = source.size * target.size - loops
        if self.with_replacement:
            require(pairs > 0 or self.n == 0, "FixedTotalNumber.n", "must be 0, for there is no pair to join", self.n)
        else:
            require(self.n <= pairs, "FixedTotalNumber.n", f"must be <= the {pairs} pairs there are", self.n)

    def maker(self, source: Side, target: Side, same: bool, key: int, onto: Onto = None) -> Maker:
        from ...kernels.engine.connect.fixed.cpu import histogram

        skip = same and not self.allow_self_connections
        if not self.with_replacement:
            return distinct_maker(key, self.n, sources=source.size, targets=target.size, skip=skip, onto=onto)
        degrees = np.empty(source.size, np.int64)
        histogram(np.uint64(key), self.n, source.size, degrees)
        # Another key for the targets: sources were drawn from the first one.
        return choosing_maker(
            key ^ _OTHER, offsets_of(degrees), targets=target.size, with_replacement=True, skip=skip, onto=onto
        )

    def expected(self, source: Side, target: Side) -> float:
        return float(self.n)


@final
@dataclass(frozen=True)
class DistanceDependentProbability(Pattern):
    """Probability `p_max * exp(-(d / length)^exponent)`, d the distance between the positions of the two units.

    An exponent of 2 is the rule of Maass, Natschlaeger & Markram 2002 with lambda = length; 1 is exponential.
    Positions are the populations' own, by default their grid coordinates; `length` is in the same unit.
    """

    p_max: float
    length: Positive
    exponent: Positive = 2.0
    allow_self_connections: bool = True

    def __post_init__(self) -> None:
        check_probability("DistanceDependentProbability.p_max", self.p_max)
        check_rules(self)

    def check(self, source: Side, target: Side, same: bool) -> None:
        a = source.coordinates().shape[1]
        b = target.coordinates().shape[1]
        require(a == b, "DistanceDependentProbability", f"needs positions of {a} dimensions on both sides", b)

    def maker(self, source: Side, target: Side, same: bool, key: int, onto: Onto = None) -> Maker:
        from ...kernels.engine.connect.pairs.cpu import distance_rows
        from ...kernels.engine.connect.views import DistanceRule, RowRange

        skip = same and not self.allow_self_connections
        a = source.coordinates()
        b = target.coordinates()
        low, high = onto or (0, target.size)
        rule = DistanceRule(self.p_max, self.length, self.exponent)

        def rows(first: int, last: int) -> Rows:
            def fill(offsets: NDArray[Any], out: NDArray[Any]) -> int:
                return distance_rows(np.uint64(key), RowRange(first, last, low, high), a, b, rule, skip, offsets, out)

            # How many there are depends on the positions: room for 16 a source, and more as it is needed.
            return grown_rows(16.0 * (last - first), last - first, fill)

        return Maker(rows, None)

    def expected(self, source: Side, target: Side) -> float:
        return self.p_max * source.size * target.size


@final
@dataclass(frozen=True, eq=False)
class FromList(Pattern):
    """Synapse k connects source `pre[k]` with target `post[k]`; arrays of weights and delays are in this order.

    Attributes:
        pre, post: [n] integers.

    Raises:
        NeurosimInputError: on construction, naming the attribute and its rule.
    """

    pre: NDArray[Any]
    post: NDArray[Any]

    def __post_init__(self) -> None:
        for name in ("pre", "post"):
            array = np.asarray(getattr(self, name))
            if array.ndim != 1 or (array.dtype.kind not in "iu" and array.size):
                raise NeurosimInputError(f"FromList.{name}: must be a vector of integers (got {array.dtype})")
            # Numbers of 2^63 and more become negative.
            numbers = array.astype(np.int64)
            object.__setattr__(self, name, numbers)
            require(numbers.min(initial=0) >= 0, f"FromList.{name}", "must be >= 0", numbers.min(initial=0))
        same = self.pre.size == self.post.size
        require(same, "FromList.post", f"must be as long as pre {len(self.pre)}", self.post.size)

    def check(self, source: Side, target: Side, same: bool) -> None:
        for name, array, size in (("pre", self.pre, source.size), ("post", self.post, target.size)):
            last = int(array.max(initial=0))
            require(array.size == 0 or last < size, f"FromList.{name}", f"must be < the population's size {size}", last)

    def maker(self, source: Side, target: Side, same: bool, key: int, onto: Onto = None) -> Maker:
        from ...kernels.engine.connect.listed.cpu import is_sorted, sort_listed

        degrees = np.bincount(self.pre, minlength=source.size)
        first_synapse = offsets_of(degrees)
        # By source, then target; weights and delays are in the order of the list, in which `order` has their places.
        order = np.empty(self.pre.size, np.int64)
        if is_sorted(self.pre, self.post):
            order[:] = np.arange(self.pre.size)
        else:
            sort_listed(self.pre, self.post, source.size, target.size, order)
        targets = self.post[order].astype(np.int32)
        before = np.zeros(source.size, np.int64)
        if onto is None:
            return maker_of(Rows(first_synapse, targets, order, before=before), first_synapse)
        low, high = onto
        inside = (targets >= low) & (targets < high)
        degrees = np.bincount(self.pre[order[inside]], minlength=source.size)
        before = np.bincount(self.pre[self.post < low], minlength=source.size)
        rows = Rows(offsets_of(degrees), targets[inside], order[inside], before=before)
        return maker_of(rows, first_synapse)

    def expected(self, source: Side, target: Side) -> float:
        return float(self.pre.size)


# Distinguishes a second key from the first one; 2^64 / golden ratio, as in SplitMix64.
_OTHER = 0x9E3779B97F4A7C15


def _even(sources: int, degree: int) -> NDArray[np.int64]:
    return np.arange(sources + 1, dtype=np.int64) * degree
