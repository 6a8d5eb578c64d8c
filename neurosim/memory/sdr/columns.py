"""A bank of SDRs stored by bit: the cost of overlaps grows with the active bits of the query, not with all bits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...base.errors import require
from .code import SDR


@dataclass(frozen=True, eq=False)
class Columns:
    """The SDRs of a bank, one column for each bit.

    `overlaps` reads only the columns of the active bits of the query: with 40 of 2048 bits active, a fiftieth of a bank
    by rows. Building one takes seconds for a million SDRs; to add SDRs, keep the bank by rows.

    Attributes:
        bits: [size, ceil(count / 64)] uint64; SDR i is bit `i % 64` of word `i // 64` of each column.
        count: number of SDRs.

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
        """Return the columns of a bank [M, words] of packed SDRs of `size` bits; see `bank`."""
        from ...kernels.memory.columns.reference import transpose

        good = bank.ndim == 2 and len(bank) > 0 and bank.shape[1] == -(-size // 64)
        require(good, "Columns.of", f"needs a bank [M, {-(-size // 64)}] with at least one SDR", bank.shape)
        return cls(transpose(bank, size), len(bank))

    @property
    def size(self) -> int:
        """Number of bits of each SDR."""
        return len(self.bits)

    def overlaps(self, sdr: SDR, threads: int = 1) -> NDArray[np.int32]:
        """Return [count] overlaps of `sdr` with each SDR, equal to `overlaps` with the bank by rows.

        Raises:
            NeurosimInputError: an SDR of another size.
        """
        from ...kernels.memory.columns.launch import overlap_columns

        require(sdr.size == self.size, "Columns.overlaps", f"needs an SDR of {self.size} bits", sdr.size)
        return np.asarray(overlap_columns(sdr.indices, self.bits, self.count, threads))
