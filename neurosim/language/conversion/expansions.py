"""Expansions of counts into spikes: planes of {-1, 0, 1} with place values, and an exact escape for larger counts.

The counts s of a layer are sent as T planes p_t with place values w_t, s = sum_t w_t p_t. T is fixed, so that one
outlier does not set the cost of all. Counts beyond the reach of T planes are sent as (index, count) instead.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from ...base.errors import NeurosimInputError, require

USUAL_COUNT = 15  # counts up to here go without an escape, where a coding names no planes
Counts = NDArray[np.integer[Any]]


@dataclass(frozen=True, eq=False)
class ExpandedCounts:
    """Counts as spikes of any expansion (`kernels` packs counts in bitwise expansions as `Planes`).

    Attributes:
        spikes: [T, *shape] int8 in {-1, 0, 1}.
        places: [T] int64, place value of each plane.
        escaped: [n] int64 ascending, flat indices of counts out of reach of the planes.
        values: [n] int64, those counts.
    """

    spikes: NDArray[np.int8]
    places: NDArray[np.int64]
    escaped: NDArray[np.int64]
    values: NDArray[np.int64]


class Expansion(ABC):
    """A way to write counts in spikes. `planes` is T, >= 1, in all methods."""

    signed: bool = True

    @abstractmethod
    def places(self, planes: int) -> NDArray[np.int64]:
        """Return [T] place values, of the first plane first."""

    @abstractmethod
    def reach(self, planes: int) -> tuple[int, int]:
        """Return the smallest and the largest count that T planes write."""

    @abstractmethod
    def needed(self, counts: Counts) -> int:
        """Return the smallest T that reaches every count, as needed without an escape."""

    @abstractmethod
    def write(self, counts: NDArray[np.int64], planes: int) -> NDArray[np.int8]:
        """Return [T, *shape] the planes of counts within reach."""

    @abstractmethod
    def spikes(self, counts: Counts, planes: int) -> NDArray[np.int64]:
        """Return [*shape] spikes of each count; one that escapes counts as in the planes that it would need."""


def expand(expansion: Expansion, counts: Counts, planes: int) -> ExpandedCounts:
    """Write counts as T planes and escapes; `collapse` restores them exactly.

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
    return ExpandedCounts(spikes, expansion.places(planes), escaped, whole.ravel()[escaped])


def collapse(planes: ExpandedCounts) -> NDArray[np.int64]:
    """Return the counts [*shape] before `expand`."""
    counts = np.tensordot(planes.places, planes.spikes.astype(np.int64), axes=1)
    counts.ravel()[planes.escaped] = planes.values
    return counts


def count_spikes(expansion: Expansion, counts: Counts, planes: int) -> NDArray[np.int64]:
    """Return [*shape] number of spikes of each count.

    Raises:
        NeurosimInputError: as `expand`.
    """
    return expansion.spikes(_checked(expansion, counts, planes), planes)


def usual_planes(expansion: Expansion) -> int:
    """Return T that reaches +-15: four planes in bitwise, enough for nearly all counts of a language model."""
    return expansion.needed(np.arange(-USUAL_COUNT if expansion.signed else 0, USUAL_COUNT + 1))


def _checked(expansion: Expansion, counts: Counts, planes: int) -> NDArray[np.int64]:
    """Return counts as int64, after a check of their type, sign and planes."""
    whole = np.asarray(counts)
    require(whole.dtype.kind in "iu", "expand.counts", "must be integers", whole.dtype)
    require(planes >= 1, "expand.planes", "must be >= 1", planes)
    if not expansion.signed and whole.size and whole.min() < 0:
        raise NeurosimInputError(
            f"expand.counts: must be >= 0 for unary_binary, which has no sign (got {whole.min()}); use unary_ternary"
        )
    return whole.astype(np.int64)


class UnaryTernary(Expansion):
    """One spike in each of |s| steps, in {-1, 0, 1}. T = max |s| without an escape."""

    def places(self, planes: int) -> NDArray[np.int64]:
        return np.ones(planes, np.int64)

    def reach(self, planes: int) -> tuple[int, int]:
        return -planes, planes

    def needed(self, counts: Counts) -> int:
        return max(1, int(np.abs(counts).max(initial=0)))

    def write(self, counts: NDArray[np.int64], planes: int) -> NDArray[np.int8]:
        steps = np.arange(planes).reshape(-1, *[1] * counts.ndim)
        return np.where(steps < np.abs(counts), np.sign(counts), 0).astype(np.int8)

    def spikes(self, counts: Counts, planes: int) -> NDArray[np.int64]:
        return np.abs(counts).astype(np.int64)


@final
class UnaryBinary(UnaryTernary):
    """One spike in each of s steps, in {0, 1}: the plain rate code, for counts >= 0."""

    signed = False

    def reach(self, planes: int) -> tuple[int, int]:
        return 0, planes


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
class Canonical(Bitwise):
    """Digits -1, 0, 1 of s without two nonzero neighbours: the fewest spikes that powers of two allow.

    Each digit has its own sign: 7 = 8 - 1 is two spikes, not three (non-adjacent form, Reitwiesner 1960). With 3 n and
    n side by side, its digits are +1 where 3 n alone has a bit and -1 where n alone has, one place further down.
    """

    def reach(self, planes: int) -> tuple[int, int]:
        largest = 2 ** (planes + 1) // 3
        return -largest, largest

    def needed(self, counts: Counts) -> int:
        return max(1, (3 * int(np.abs(counts).max(initial=0))).bit_length() - 1)

    def write(self, counts: NDArray[np.int64], planes: int) -> NDArray[np.int8]:
        size = np.abs(counts)
        # n = (3 n - n) / 2: bits that 3 n has alone count +1, bits that n has alone count -1.
        up = (3 * size & ~size) >> 1
        down = (size & ~(3 * size)) >> 1
        return (np.sign(counts) * (_digits(up, planes) - _digits(down, planes))).astype(np.int8)

    def spikes(self, counts: Counts, planes: int) -> NDArray[np.int64]:
        size = np.abs(counts).astype(np.int64)
        # Nonzero digits are the bits in which n and 3 n differ.
        return ones(size ^ (3 * size))


@final
class TwosComplement(Bitwise):
    """Digits of s in T planes of {0, 1}; the first has place value -2^(T-1). T is one more than bitwise needs.

    A small negative count is nearly all ones: cheap hardware, many spikes.
    """

    def places(self, planes: int) -> NDArray[np.int64]:
        places = super().places(planes)
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
    """Return [*shape] binary ones of counts >= 0."""
    return _digits(counts, max(1, int(counts.max(initial=0)).bit_length())).sum(axis=0)


def _digits(counts: NDArray[np.int64], planes: int) -> NDArray[np.int64]:
    """Return [T, *shape] binary digits, the most significant first."""
    shifts = np.arange(planes - 1, -1, -1).reshape(-1, *[1] * counts.ndim)
    return (counts >> shifts) & 1


EXPANSIONS: Mapping[str, Expansion] = {
    "unary_binary": UnaryBinary(),
    "unary_ternary": UnaryTernary(),
    "bitwise": Bitwise(),
    "canonical": Canonical(),
    "twos_complement": TwosComplement(),
}
