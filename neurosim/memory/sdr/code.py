"""SDRs: a few active bits out of many, and operations on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.errors import require


@dataclass(frozen=True, eq=False)
class SDR:
    """`w` active bits out of `size`. It may be copied and pickled.

    Attributes:
        indices: [w] int32, the active bits, ascending and without repeats.
        size: bits in all.

    Raises:
        NeurosimInputError: on construction, naming the attribute and its rule.
    """

    indices: NDArray[Any]
    size: int

    def __post_init__(self) -> None:
        require(int(self.size) > 0, "SDR.size", "must be > 0 bits", self.size)
        object.__setattr__(self, "indices", sorted_bits(self.indices, self.size, "SDR.indices"))
        object.__setattr__(self, "size", int(self.size))

    @classmethod
    def unchecked(cls, indices: NDArray[np.int32], size: int) -> SDR:
        """Return an SDR of ascending distinct indices [n] below `size`, without checks and conversions."""
        # Past `__post_init__`, which sorts and checks: a memory in a network makes one in every window.
        sdr = object.__new__(cls)
        sdr.__dict__.update(indices=indices, size=size)
        return sdr

    @classmethod
    def from_dense(cls, dense: object) -> SDR:
        """Return the SDR of a [size] array: every nonzero entry is an active bit."""
        bits = np.asarray(dense)
        require(bits.ndim == 1, "SDR.from_dense", "needs an array [size]", bits.shape)
        return cls(np.flatnonzero(bits), bits.size)

    @classmethod
    def random(cls, size: int, active: int, seed: int, index: int = 0) -> SDR:
        """Draw `active` of `size` bits, all choices equally likely, by the key (seed, index) alone."""
        require(0 <= active <= size, "SDR.random", f"needs 0 <= active <= {size}", active)
        # Unshuffled: the bits are sorted anyway.
        return cls(generator(seed, index).choice(size, active, replace=False, shuffle=False), size)

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
        """Return [size] booleans."""
        bits = np.zeros(self.size, bool)
        bits[self.indices] = True
        return bits

    def packed(self) -> NDArray[np.uint64]:
        """Return [ceil(size / 64)] uint64; bit j is bit `j % 64` of word `j // 64`."""
        from ...kernels.memory.packed.reference import pack

        return pack(self.dense())

    def overlap(self, other: SDR) -> int:
        """Return the number of bits active in both."""
        self._same(other)
        return len(np.intersect1d(self.indices, other.indices, assume_unique=True))

    def union(self, *others: SDR) -> SDR:
        """Return the bits active in any."""
        for other in others:
            self._same(other)
        return SDR(np.unique(np.concatenate([s.indices for s in (self, *others)])), self.size)

    def intersection(self, *others: SDR) -> SDR:
        """Return the bits active in all."""
        common = self.indices
        for other in others:
            self._same(other)
            common = np.intersect1d(common, other.indices, assume_unique=True)
        return SDR(common, self.size)

    def concatenate(self, *others: SDR) -> SDR:
        """Join SDRs end to end: sizes add, and the bits of each are shifted by the sizes before it."""
        sdrs = (self, *others)
        # One start for each SDR, and the total size at the end.
        starts = np.cumsum([0, *(sdr.size for sdr in sdrs)])
        shifted = [sdr.indices + start for sdr, start in zip(sdrs, starts, strict=False)]
        return SDR(np.concatenate(shifted), int(starts[-1]))

    def noise(self, fraction: float, seed: int, index: int = 0) -> SDR:
        """Move `fraction` of the active bits (rounded) to inactive bits; the sparsity does not change.

        Raises:
            NeurosimInputError: a fraction outside 0..1, or more bits to move than there are inactive ones.
        """
        require(0 <= fraction <= 1, "SDR.noise", "needs a fraction in 0..1", fraction)
        moved = round(fraction * len(self))
        # A bit moves only to a place that is off, so no bit is lost to a collision.
        free = np.setdiff1d(np.arange(self.size), self.indices, assume_unique=True)
        require(moved <= free.size, "SDR.noise", f"needs {moved} inactive bits to move to", free.size)
        draws = generator(seed, index)
        staying = draws.choice(self.indices, len(self) - moved, replace=False)
        return SDR(np.concatenate([staying, draws.choice(free, moved, replace=False)]), self.size)

    def subsample(self, active: int, seed: int, index: int = 0) -> SDR:
        """Draw `active` of the active bits.

        Raises:
            NeurosimInputError: more bits than are active.
        """
        require(0 <= active <= len(self), "SDR.subsample", f"needs 0 <= active <= {len(self)}", active)
        return SDR(generator(seed, index).choice(self.indices, active, replace=False), self.size)

    def kill(self, fraction: float, seed: int, index: int = 0) -> SDR:
        """Turn off the bits of `fraction` of all units (rounded), drawn by the seed alone.

        Raises:
            NeurosimInputError: a fraction outside 0..1.
        """
        require(0 <= fraction <= 1, "SDR.kill", "needs a fraction in 0..1", fraction)
        dead = generator(seed, index).choice(self.size, round(fraction * self.size), replace=False)
        return SDR(np.setdiff1d(self.indices, dead, assume_unique=True), self.size)

    def _same(self, other: SDR) -> None:
        require(other.size == self.size, "SDR", f"must have the same size {self.size}", other.size)


def sorted_bits(indices: object, size: int, name: str) -> NDArray[np.int32]:
    """Return indices of active bits in ascending order.

    Raises:
        NeurosimInputError: not a list of integers, an index out of range or repeated; the text begins with `name`.
    """
    unsorted = np.asarray(indices)
    require(unsorted.ndim == 1, name, "must be one list of bits", unsorted.shape)
    good = unsorted.size == 0 or unsorted.dtype.kind in "iu"
    require(good, name, "must be integers; see SDR.from_dense", unsorted.dtype)
    bits = np.sort(unsorted)
    if bits.size:
        require(bits[0] >= 0, name, "must be >= 0", bits[0])
        require(bits[-1] < size, name, f"must be < size {size}", bits[-1])
        # Equal bits are neighbours once sorted.
        repeated = bits[1:][bits[1:] == bits[:-1]]
        require(repeated.size == 0, name, "must not repeat a bit", repeated[:1].tolist())
    return bits.astype(np.int32)


def bank(sdrs: Sequence[SDR]) -> NDArray[np.uint64]:
    """Pack SDRs of one size into a bank [M, words], for `overlaps`.

    Raises:
        NeurosimInputError: no SDR, or SDRs of different sizes.
    """
    from ...kernels.memory.packed.reference import pack

    require(len(sdrs) > 0, "bank", "needs at least one SDR", 0)
    for sdr in sdrs:
        sdrs[0]._same(sdr)
    dense = np.zeros((len(sdrs), sdrs[0].size), bool)
    for row, sdr in zip(dense, sdrs, strict=True):
        row[sdr.indices] = True
    return pack(dense)


def overlaps(sdr: SDR, packed: NDArray[np.uint64], threads: int = 1) -> NDArray[np.int32]:
    """Return [M] overlaps of `sdr` with each row of a bank [M, words]; one thread reaches the speed of memory.

    Raises:
        NeurosimInputError: the bank holds SDRs of another size.
    """
    from ...kernels.memory.packed.launch import overlap

    query = sdr.packed()
    fits = packed.ndim == 2 and packed.shape[1] == query.size
    require(fits, "overlaps", f"needs a bank [M, {query.size}]", packed.shape)
    return overlap(query, packed, threads)


def generator(seed: int, index: int) -> np.random.Generator:
    """Return the generator of the key (seed, index); its draws do not depend on earlier draws."""
    require(seed >= 0 and index >= 0, "seed, index", "must be >= 0", (seed, index))
    return np.random.Generator(np.random.Philox(key=[seed, index]))
