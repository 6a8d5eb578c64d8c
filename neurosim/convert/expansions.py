"""How a count becomes spikes: planes of {-1, 0, 1}, a place value for each, and an exact escape for what is larger.

A layer's counts s go out as T planes p_t with place values w_t, s = sum_t w_t p_t. T is fixed: one outlier does not set
the cost for all. A count beyond the reach of T planes is left out of them and sent beside, as (index, count).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from ..errors import NeurosimInputError, require

USUAL = 15  # counts up to here go without an escape, unless planes are given
Counts = NDArray[np.integer[Any]]


@dataclass(frozen=True, eq=False)
class Planes:
    """Counts as spikes.

    Attributes:
        spikes: [T, *shape] int8 in {-1, 0, 1}.
        places: [T] int64, what a spike of each plane is worth.
        escaped: [n] int64 ascending, flat indices of counts out of reach of the planes.
        values: [n] int64, those counts.
    """

    spikes: NDArray[np.int8]
    places: NDArray[np.int64]
    escaped: NDArray[np.int64]
    values: NDArray[np.int64]


class Expansion(ABC):
    """A way to write counts in spikes. `planes` is T everywhere, >= 1."""

    signed: bool = True

    @abstractmethod
    def places(self, planes: int) -> NDArray[np.int64]:
        """[T] what a spike of each plane is worth, the first plane first."""

    @abstractmethod
    def reach(self, planes: int) -> tuple[int, int]:
        """The least and the largest count that T planes write."""

    @abstractmethod
    def needed(self, counts: Counts) -> int:
        """The least T that reaches every count: what a code without an escape would have to use."""

    @abstractmethod
    def write(self, counts: NDArray[np.int64], planes: int) -> NDArray[np.int8]:
        """[T, *shape] the planes of counts within reach."""

    @abstractmethod
    def spikes(self, counts: Counts, planes: int) -> NDArray[np.int64]:
        """[*shape] spikes of each count; one that escapes is charged as in the planes it would need."""


def expand(expansion: Expansion, counts: Counts, planes: int) -> Planes:
    """Counts as T planes and escapes; `collapse` gives them back exactly.

    Args:
        counts: [*shape] integers.

    Raises:
        NeurosimInputError: no planes, or a negative count where the expansion has no sign.
    """
    whole = _checked(expansion, counts, planes)
    low, high = expansion.reach(planes)
    outside = (whole < low) | (whole > high)
    escaped = np.flatnonzero(outside)
    spikes = expansion.write(np.where(outside, 0, whole), planes)
    return Planes(spikes, expansion.places(planes), escaped, whole.ravel()[escaped])


def collapse(planes: Planes) -> NDArray[np.int64]:
    """[*shape] the counts that were expanded."""
    counts = np.tensordot(planes.places, planes.spikes.astype(np.int64), axes=1)
    counts.ravel()[planes.escaped] = planes.values
    return counts


def count_spikes(expansion: Expansion, counts: Counts, planes: int) -> NDArray[np.int64]:
    """[*shape] spikes that each count is sent as.

    Raises:
        NeurosimInputError: as `expand`.
    """
    return expansion.spikes(_checked(expansion, counts, planes), planes)


def usual_planes(expansion: Expansion) -> int:
    """T that reaches counts of +-15: in bitwise four planes, as many as nearly all counts of a language model need."""
    return expansion.needed(np.arange(-USUAL if expansion.signed else 0, USUAL + 1))


def _checked(expansion: Expansion, counts: Counts, planes: int) -> NDArray[np.int64]:
    whole = np.asarray(counts)
    require(whole.dtype.kind in "iu", "expand.counts", "must be integers", whole.dtype)
    require(planes >= 1, "expand.planes", "must be >= 1", planes)
    if not expansion.signed and whole.size and whole.min() < 0:
        raise NeurosimInputError(
            f"expand.counts: must be >= 0 for unary_binary, which has no sign (got {whole.min()}); use unary_ternary"
        )
    return whole.astype(np.int64)


class _Unary(Expansion):
    """A spike a step for as many steps as the count says."""

    def places(self, planes: int) -> NDArray[np.int64]:
        return np.ones(planes, np.int64)

    def needed(self, counts: Counts) -> int:
        return max(1, int(np.abs(counts).max(initial=0)))

    def write(self, counts: NDArray[np.int64], planes: int) -> NDArray[np.int8]:
        steps = np.arange(planes).reshape(-1, *[1] * counts.ndim)
        return np.where(steps < np.abs(counts), np.sign(counts), 0).astype(np.int8)

    def spikes(self, counts: Counts, planes: int) -> NDArray[np.int64]:
        return np.abs(counts).astype(np.int64)


@final
class UnaryBinary(_Unary):
    """Spikes in {0, 1}: the plain rate code, for counts that are not negative. T = max s without an escape."""

    signed = False

    def reach(self, planes: int) -> tuple[int, int]:
        return 0, planes


@final
class UnaryTernary(_Unary):
    """Spikes in {-1, 0, 1}. T = max |s| without an escape."""

    def reach(self, planes: int) -> tuple[int, int]:
        return -planes, planes


@final
class Bitwise(Expansion):
    """The binary digits of |s|, the most significant first, each spike with the sign of s.

    T = ceil(log2(max |s| + 1)) without an escape.
    """

    def places(self, planes: int) -> NDArray[np.int64]:
        return 2 ** np.arange(planes - 1, -1, -1, dtype=np.int64)

    def reach(self, planes: int) -> tuple[int, int]:
        return 1 - 2**planes, 2**planes - 1

    def needed(self, counts: Counts) -> int:
        return max(1, int(np.abs(counts).max(initial=0)).bit_length())

    def write(self, counts: NDArray[np.int64], planes: int) -> NDArray[np.int8]:
        return (np.sign(counts) * _digits(np.abs(counts), planes)).astype(np.int8)

    def spikes(self, counts: Counts, planes: int) -> NDArray[np.int64]:
        return ones(np.abs(counts).astype(np.int64))


@final
class Canonical(Expansion):
    """The digits -1, 0, 1 of s of which no two neighbours are nonzero: the fewest spikes that powers of two allow.

    Each digit has its own sign: 7 = 8 - 1 is two spikes, not three (non-adjacent form, Reitwiesner 1960). With 3 n and
    n side by side, its digits are +1 where 3 n alone has a bit and -1 where n alone has, one place further down.
    """

    def places(self, planes: int) -> NDArray[np.int64]:
        return 2 ** np.arange(planes - 1, -1, -1, dtype=np.int64)

    def reach(self, planes: int) -> tuple[int, int]:
        most = 2 ** (planes + 1) // 3
        return -most, most

    def needed(self, counts: Counts) -> int:
        return max(1, (3 * int(np.abs(counts).max(initial=0))).bit_length() - 1)

    def write(self, counts: NDArray[np.int64], planes: int) -> NDArray[np.int8]:
        size = np.abs(counts)
        up, down = (3 * size & ~size) >> 1, (size & ~(3 * size)) >> 1
        return (np.sign(counts) * (_digits(up, planes) - _digits(down, planes))).astype(np.int8)

    def spikes(self, counts: Counts, planes: int) -> NDArray[np.int64]:
        size = np.abs(counts).astype(np.int64)
        return ones(size ^ (3 * size))


@final
class TwosComplement(Expansion):
    """The digits of s in T planes of {0, 1}, the first of which is worth -2^(T-1). T is one more than bitwise needs.

    A small negative count is nearly all ones: cheap hardware, many spikes.
    """

    def places(self, planes: int) -> NDArray[np.int64]:
        places = 2 ** np.arange(planes - 1, -1, -1, dtype=np.int64)
        places[0] = -places[0]
        return places

    def reach(self, planes: int) -> tuple[int, int]:
        return -(2 ** (planes - 1)), 2 ** (planes - 1) - 1

    def needed(self, counts: Counts) -> int:
        whole = np.asarray(counts, np.int64)
        return int(np.where(whole < 0, -whole - 1, whole).max(initial=0)).bit_length() + 1

    def write(self, counts: NDArray[np.int64], planes: int) -> NDArray[np.int8]:
        return _digits(counts & (2**planes - 1), planes).astype(np.int8)

    def spikes(self, counts: Counts, planes: int) -> NDArray[np.int64]:
        whole = np.asarray(counts, np.int64)
        bits = np.where(whole < 0, -whole - 1, whole)
        # As many digits as T, or as an escaped count needs: -s has width - ones(s - 1) ones. frexp: the bit length.
        width = np.maximum(planes, np.frexp(bits.astype(np.float64))[1] + 1)
        return np.where(whole < 0, width - ones(bits), ones(bits))


def ones(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """[*shape] binary ones of counts >= 0."""
    return _digits(counts, max(1, int(counts.max(initial=0)).bit_length())).sum(axis=0)


def _digits(counts: NDArray[np.int64], planes: int) -> NDArray[np.int64]:
    """[T, *shape] binary digits, the most significant first."""
    shifts = np.arange(planes - 1, -1, -1).reshape(-1, *[1] * counts.ndim)
    return (counts >> shifts) & 1


EXPANSIONS: Mapping[str, Expansion] = {
    "unary_binary": UnaryBinary(),
    "unary_ternary": UnaryTernary(),
    "bitwise": Bitwise(),
    "canonical": Canonical(),
    "twos_complement": TwosComplement(),
}
