"""A bank of SDRs stored by bits: overlaps cost as much as the query has active bits, not as many as there are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import require
from .code import SDR


@dataclass(frozen=True, eq=False)
class Columns:
    """The SDRs of a bank, one column for each bit.

    `overlaps` reads only the columns of the bits that are on in the query: of 2048 bits with 40 on, a fiftieth of what
    the same bank by rows needs. Made once, in some seconds for a million SDRs; to add to a bank keep it by rows.

    Attributes:
        bits: [size, ceil(count / 64)] uint64; SDR i is bit `i % 64` of word `i // 64` of each column.
        count: SDRs in it.

    Raises:
        NeurosimInputError: bits of another shape.
    """

    bits: NDArray[np.uint64]
    count: int

    def __post_init__(self) -> None:
        good = self.bits.ndim == 2 and self.bits.shape[1] == -(-self.count // 64)
        require(good, "Columns.bits", f"must be [size, {-(-self.count // 64)}]", self.bits.shape)
        require(self.bits.dtype == np.uint64, "Columns.bits", "must be uint64", self.bits.dtype)

    @classmethod
    def of(cls, bank: NDArray[np.uint64], size: int) -> Columns:
        """From a bank [M, words] of packed SDRs of `size` bits; see `bank`."""
        from ..kernels.memory.columns import transpose

        good = bank.ndim == 2 and len(bank) > 0 and bank.shape[1] == -(-size // 64)
        require(good, "Columns.of", f"needs a bank [M, {-(-size // 64)}] with at least one SDR", bank.shape)
        return cls(transpose(bank, size), len(bank))

    @property
    def size(self) -> int:
        """Bits of each SDR."""
        return len(self.bits)

    def overlaps(self, sdr: SDR, threads: int = 1) -> NDArray[np.int32]:
        """[count] overlap of `sdr` with each; the same as `overlaps` with the bank by rows.

        Raises:
            NeurosimInputError: an SDR of another size.
        """
        from ..kernels.memory.columns import overlap_columns

        require(sdr.size == self.size, "Columns.overlaps", f"needs an SDR of {self.size} bits", sdr.size)
        return np.asarray(overlap_columns(sdr.indices, self.bits, self.count, threads))
