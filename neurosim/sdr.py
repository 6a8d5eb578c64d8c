"""Sparse distributed representations (SDRs), encoders into them, and their exact probabilities.

Source of the probabilities: Ahmad & Hawkins 2015 (arXiv 1503.07469) and 2016 (arXiv 1601.00720).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .errors import NeurosimInputError, check
from .spikes import Spikes


@dataclass(frozen=True, eq=False)
class SDR:
    """`w` active bits out of `size`.

    Attributes:
        indices: [w] int32, the active bits, ascending and without repeats.
        size: bits in all.

    Raises:
        NeurosimInputError: on construction, naming the attribute and its rule.
    """

    indices: NDArray
    size: int

    def __post_init__(self) -> None:
        given = np.asarray(self.indices)
        check(int(self.size) > 0, "SDR.size", "must be > 0 bits", self.size)
        check(given.ndim == 1, "SDR.indices", "must be one list of bits", given.shape)
        check(
            given.size == 0 or given.dtype.kind in "iu",
            "SDR.indices",
            "must be integers; see SDR.from_dense",
            given.dtype,
        )
        bits = np.sort(given).astype(np.int64)
        if bits.size:
            check(bits[0] >= 0, "SDR.indices", "must be >= 0", bits[0])
            check(bits[-1] < self.size, "SDR.indices", f"must be < size {self.size}", bits[-1])
            repeated = bits[1:][bits[1:] == bits[:-1]]
            check(repeated.size == 0, "SDR.indices", "must not repeat a bit", repeated[:1].tolist())
        object.__setattr__(self, "indices", bits.astype(np.int32))
        object.__setattr__(self, "size", int(self.size))

    @classmethod
    def from_dense(cls, dense: object) -> SDR:
        """From a [size] array: every nonzero entry is an active bit."""
        bits = np.asarray(dense)
        check(bits.ndim == 1, "SDR.from_dense", "needs an array [size]", bits.shape)
        return cls(np.flatnonzero(bits), bits.size)

    @classmethod
    def random(cls, size: int, active: int, seed: int, index: int = 0) -> SDR:
        """`active` of `size` bits, all choices equally likely; keyed by (seed, index), so draws need no order."""
        check(0 <= active <= size, "SDR.random", f"needs 0 <= active <= {size}", active)
        return cls(_draws(seed, index).choice(size, active, replace=False, shuffle=False), size)

    def __len__(self) -> int:
        return len(self.indices)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SDR) and self.size == other.size and np.array_equal(self.indices, other.indices)

    def __hash__(self) -> int:
        return hash((self.size, self.indices.tobytes()))

    def __repr__(self) -> str:
        return f"SDR({len(self)} of {self.size} bits)"

    @property
    def sparsity(self) -> float:
        """Fraction of bits that are active."""
        return len(self) / self.size

    def dense(self) -> NDArray[np.bool_]:
        """[size] booleans."""
        bits = np.zeros(self.size, bool)
        bits[self.indices] = True
        return bits

    def packed(self) -> NDArray[np.uint64]:
        """[ceil(size / 64)] uint64; bit j is bit `j % 64` of word `j // 64`."""
        from .kernels.overlap import pack

        return pack(self.dense())

    def overlap(self, other: SDR) -> int:
        """Bits active in both."""
        self._same(other)
        return len(np.intersect1d(self.indices, other.indices, assume_unique=True))

    def union(self, *others: SDR) -> SDR:
        """Bits active in any."""
        for other in others:
            self._same(other)
        return SDR(np.unique(np.concatenate([s.indices for s in (self, *others)])), self.size)

    def intersection(self, *others: SDR) -> SDR:
        """Bits active in all."""
        common = self.indices
        for other in others:
            self._same(other)
            common = np.intersect1d(common, other.indices, assume_unique=True)
        return SDR(common, self.size)

    def concatenate(self, *others: SDR) -> SDR:
        """One after the other: sizes add, and the bits of each are shifted by the sizes before it."""
        each = (self, *others)
        starts = np.cumsum([0, *(s.size for s in each)])
        return SDR(np.concatenate([s.indices + start for s, start in zip(each, starts, strict=False)]), int(starts[-1]))

    def noise(self, fraction: float, seed: int, index: int = 0) -> SDR:
        """Move `fraction` of the active bits (rounded) to bits that were inactive; the sparsity stays."""
        moved = self._part(fraction, "SDR.noise")
        free = np.setdiff1d(np.arange(self.size), self.indices, assume_unique=True)
        check(moved <= free.size, "SDR.noise", f"needs as many inactive bits as it moves, {moved}", free.size)
        draws = _draws(seed, index)
        kept = draws.choice(self.indices, len(self) - moved, replace=False)
        return SDR(np.concatenate([kept, draws.choice(free, moved, replace=False)]), self.size)

    def subsample(self, active: int, seed: int, index: int = 0) -> SDR:
        """Only `active` of the active bits, drawn."""
        check(0 <= active <= len(self), "SDR.subsample", f"needs 0 <= active <= {len(self)}", active)
        return SDR(_draws(seed, index).choice(self.indices, active, replace=False), self.size)

    def kill(self, fraction: float, seed: int, index: int = 0) -> SDR:
        """As if `fraction` of all units (rounded) were dead: their bits are off. The same seed kills the same units."""
        check(0 <= fraction <= 1, "SDR.kill", "needs a fraction in 0..1", fraction)
        dead = _draws(seed, index).choice(self.size, round(fraction * self.size), replace=False)
        return SDR(np.setdiff1d(self.indices, dead, assume_unique=True), self.size)

    def _part(self, fraction: float, what: str) -> int:
        check(0 <= fraction <= 1, what, "needs a fraction in 0..1", fraction)
        return round(fraction * len(self))

    def _same(self, other: SDR) -> None:
        check(other.size == self.size, "SDR", f"must have the same size {self.size}", other.size)


def bank(sdrs: Sequence[SDR]) -> NDArray[np.uint64]:
    """[M, words] packed SDRs of one size, for `overlaps`."""
    from .kernels.overlap import pack

    check(len(sdrs) > 0, "bank", "needs at least one SDR", 0)
    for sdr in sdrs:
        sdrs[0]._same(sdr)
    dense = np.zeros((len(sdrs), sdrs[0].size), bool)
    for row, sdr in zip(dense, sdrs, strict=True):
        row[sdr.indices] = True
    return pack(dense)


def overlaps(sdr: SDR, packed: NDArray[np.uint64], threads: int = 1) -> NDArray[np.int32]:
    """[M] overlap of `sdr` with each row of a bank [M, words]; at memory speed from one thread on.

    Raises:
        NeurosimInputError: the bank holds SDRs of another size.
    """
    from .kernels.overlap import overlap

    query = sdr.packed()
    check(
        packed.ndim == 2 and packed.shape[1] == query.size, "overlaps", f"needs a bank [M, {query.size}]", packed.shape
    )
    return overlap(query, packed, threads)


def _draws(seed: int, index: int) -> np.random.Generator:
    check(seed >= 0 and index >= 0, "seed, index", "must be >= 0", (seed, index))
    return np.random.Generator(np.random.Philox(key=[seed, index]))


# --- Encoders -------------------------------------------------------------------------------------------------


class Encoder(ABC):
    """Turns values into SDRs of `size` bits so that similar values overlap."""

    size: int

    @abstractmethod
    def encode(self, value: object) -> SDR:
        """The SDR of `value`; NeurosimInputError where the value is outside what the encoder covers."""


@dataclass(frozen=True)
class ScalarEncoder(Encoder):
    """A number in `minimum..maximum` as `active` neighbouring bits; overlap falls linearly with distance.

    `periodic` joins the ends, as hours of a day.
    """

    minimum: float
    maximum: float
    size: int
    active: int
    periodic: bool = False

    def __post_init__(self) -> None:
        check(self.minimum < self.maximum, "ScalarEncoder.maximum", f"must be > minimum {self.minimum}", self.maximum)
        check(0 < self.active < self.size, "ScalarEncoder.active", f"must be in 1..{self.size - 1}", self.active)

    def encode(self, value: object) -> SDR:
        x = _number(value, "ScalarEncoder.encode")
        check(
            self.minimum <= x <= self.maximum, "ScalarEncoder.encode", f"must be in {self.minimum}..{self.maximum}", x
        )
        places = self.size if self.periodic else self.size - self.active
        start = round((x - self.minimum) / (self.maximum - self.minimum) * places)
        return SDR((start + np.arange(self.active)) % self.size, self.size)


@dataclass(frozen=True)
class CategoryEncoder(Encoder):
    """Each category its own `active` bits: no two overlap."""

    categories: tuple[Hashable, ...]
    active: int

    def __post_init__(self) -> None:
        check(
            len(set(self.categories)) == len(self.categories) > 0,
            "CategoryEncoder.categories",
            "must be distinct, at least one",
            self.categories,
        )
        check(self.active > 0, "CategoryEncoder.active", "must be > 0 bits", self.active)

    @property
    def size(self) -> int:  # type: ignore[override]
        return len(self.categories) * self.active

    def encode(self, value: object) -> SDR:
        check(value in self.categories, "CategoryEncoder.encode", f"must be one of {self.categories}", value)
        start = self.categories.index(value) * self.active
        return SDR(np.arange(start, start + self.active), self.size)


@dataclass(frozen=True)
class RandomDistributedScalarEncoder(Encoder):
    """Any number, without bounds: values `resolution` apart share all but one bit, distant ones only chance.

    Bucket b is the set of keys b .. b + active - 1. Key j lies in bit group `j mod active`, at a place drawn for j.
    Consecutive keys visit every group once, so each SDR has exactly `active` bits: hashing the keys onto all bits,
    as is usual, loses some to collisions.
    """

    resolution: float
    size: int
    active: int
    seed: int = 0

    def __post_init__(self) -> None:
        check(self.resolution > 0, "RandomDistributedScalarEncoder.resolution", "must be > 0", self.resolution)
        check(
            0 < self.active <= self.size,
            "RandomDistributedScalarEncoder.active",
            f"must be in 1..{self.size}",
            self.active,
        )

    def encode(self, value: object) -> SDR:
        x = _number(value, "RandomDistributedScalarEncoder.encode")
        keys = round(x / self.resolution) + np.arange(self.active, dtype=np.int64)
        width = self.size // self.active
        places = np.array([_draws(self.seed, int(key) % 2**63).integers(width) for key in keys])
        return SDR(keys % self.active * width + places, self.size)


@dataclass(frozen=True)
class EventWindowEncoder(Encoder):
    """A time window of a recording: the units that spiked, at most the `active` busiest of them.

    Ties go to the lower unit. `active` None keeps every unit that spiked.
    """

    size: int
    active: int | None = None

    def __post_init__(self) -> None:
        check(self.size > 0, "EventWindowEncoder.size", "must be > 0 units", self.size)
        check(
            self.active is None or self.active > 0, "EventWindowEncoder.active", "must be > 0 bits or None", self.active
        )

    def encode(self, value: object) -> SDR:
        if not isinstance(value, Spikes):
            raise NeurosimInputError(
                f"EventWindowEncoder.encode: needs Spikes (got {type(value).__name__}); see Spikes.window"
            )
        check(value.size == self.size, "EventWindowEncoder.encode", f"needs Spikes of {self.size} units", value.size)
        counts = value.counts()
        busiest = np.argsort(-counts, kind="stable")[: self.active]
        return SDR(busiest[counts[busiest] > 0], self.size)


def _number(value: object, what: str) -> float:
    good = isinstance(value, (int, float, np.number)) and math.isfinite(value)
    check(good, what, "needs a finite number", value)
    return float(value)  # type: ignore[arg-type]


# --- Probabilities --------------------------------------------------------------------------------------------


def overlap_set_size(size: int, active_x: int, active: int, overlap: int) -> int:
    """How many SDRs with `active` bits share exactly `overlap` bits with one of `active_x` bits (exact integer).

    C(w_x, b) C(n - w_x, w - b), eq. 3 of Ahmad & Hawkins 2015.
    """
    check(
        0 <= active_x <= size and 0 <= active <= size,
        "overlap_set_size",
        f"needs active bits in 0..{size}",
        (active_x, active),
    )
    if not 0 <= overlap <= min(active_x, active):
        return 0
    return math.comb(active_x, overlap) * math.comb(size - active_x, active - overlap)


def false_positive(size: int, active: float, synapses: int, threshold: int) -> float:
    """Chance that a segment answers a random pattern.

    The segment has `synapses` of `size` cells; `active` random cells fire; it answers at `threshold` matches:
    sum over b >= theta of C(s, b) C(n - s, a - b) / C(n, a). `active` may be fractional (an expected count, as in
    a union); binomials of fractions are those of the gamma function. Relative error below 1e-9 down to 1e-300.
    """
    check(0 <= active <= size, "false_positive.active", f"must be in 0..{size} cells", active)
    check(0 < synapses <= size, "false_positive.synapses", f"must be in 1..{size}", synapses)
    check(threshold >= 0, "false_positive.threshold", "must be >= 0", threshold)
    return _tail(size, active, synapses, threshold)


def false_negative(active: int, synapses: int, threshold: int, lost: int) -> float:
    """Chance that a segment misses its own pattern when `lost` of the pattern's `active` cells stay silent.

    sum over b > s - theta of C(s, b) C(a - s, v - b) / C(a, v).
    """
    check(0 < synapses <= active, "false_negative.synapses", f"must be in 1..{active}", synapses)
    check(0 <= lost <= active, "false_negative.lost", f"must be in 0..{active} cells", lost)
    check(0 < threshold <= synapses, "false_negative.threshold", f"must be in 1..{synapses}", threshold)
    return _tail(active, lost, synapses, synapses - threshold + 1)


def any_false_positive(probability: float, patterns: int) -> float:
    """Chance that at least one of `patterns` independent segments answers: 1 - (1 - p)^M, exact for tiny p."""
    check(0 <= probability <= 1, "any_false_positive.probability", "must be in 0..1", probability)
    return -math.expm1(patterns * math.log1p(-probability)) if probability < 1 else 1.0


def union_density(size: int, active: int, patterns: int) -> float:
    """Expected fraction of bits on in a union of `patterns` random SDRs: 1 - (1 - w/n)^M."""
    check(0 <= active <= size, "union_density.active", f"must be in 0..{size}", active)
    return any_false_positive(active / size, patterns)


def union_false_match(size: int, active: int, patterns: int) -> float:
    """Chance that every bit of a random SDR is on in the union of `patterns` others: density^w."""
    return union_density(size, active, patterns) ** active


def union_false_positive(size: int, active: int, synapses: int, threshold: int, patterns: int) -> float:
    """`false_positive` of a segment that looks at a union: the active cells are n times the union's density."""
    return false_positive(size, size * union_density(size, active, patterns), synapses, threshold)


def _tail(size: int, active: float, synapses: int, threshold: int) -> float:
    """Upper tail of the hypergeometric law, each term a ratio of falling factorials.

    C(n-s, a-b) / C(n, a) = a^(b) (n-a)^(s-b) / n^(s), where x^(k) is the falling factorial: this needs no gamma
    function, and so no difference of large logarithms.
    """
    top = min(synapses, math.floor(active))
    if threshold > top:
        return 0.0
    hits = np.arange(max(threshold, 0), top + 1)
    firing, silent = _log_falling(active, synapses), _log_falling(size - active, synapses)
    logs = _log_choose(synapses)[hits] + firing[hits] + silent[synapses - hits] - _log_falling(size, synapses)[synapses]
    return min(1.0, math.fsum(np.exp(logs)))


def _log_falling(x: float, count: int) -> NDArray[np.float64]:
    """[count + 1] log of x (x-1) ... (x-k+1) for k = 0..count; -inf once a factor is not positive."""
    factors = np.maximum(x - np.arange(count), 0.0)
    with np.errstate(divide="ignore"):
        return np.concatenate([[0.0], np.cumsum(np.log(factors))])


def _log_choose(n: int) -> NDArray[np.float64]:
    """[n + 1] log of C(n, k), from exact integers."""
    return np.array([math.log(math.comb(n, k)) for k in range(n + 1)])
