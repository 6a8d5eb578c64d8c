"""Vectors to SDRs whose overlap grows with similarity, and where unlike vectors hardly overlap."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..errors import check
from .code import SDR, draws
from .encoders import Encoder


@dataclass(frozen=True, eq=False)
class ExpansionEncoder(Encoder):
    """A vector as `active` of `size` bits: each bit sums `fan` inputs drawn for it, and the largest sums are on.

    The fly's code for odours (Dasgupta, Stevens & Navlakha 2017, Science 358:793), on vectors less their mean over
    what is known. Without that, bits of busy inputs are on for everything: on handwritten digits two SDRs then share
    a third of their bits instead of a twentieth.

    Attributes:
        mean: [inputs] float32, taken from every vector.
        size, active, fan, seed: bits, those that are on, inputs of a bit, and what they are drawn by.
    """

    mean: NDArray
    size: int
    active: int
    fan: int = 16
    seed: int = 0

    def __post_init__(self) -> None:
        mean = np.asarray(self.mean, np.float32)
        check(mean.ndim == 1 and mean.size > 0, "ExpansionEncoder.mean", "must be [inputs]", mean.shape)
        check(0 < self.active < self.size, "ExpansionEncoder.active", f"must be in 1..{self.size - 1}", self.active)
        check(self.fan >= 1, "ExpansionEncoder.fan", "must be >= 1 inputs", self.fan)
        object.__setattr__(self, "mean", mean)

    @classmethod
    def fitted(cls, vectors: NDArray, size: int, active: int, fan: int = 16, seed: int = 0) -> ExpansionEncoder:
        """With the mean of `vectors` [n, inputs]."""
        check(vectors.ndim == 2 and len(vectors) > 0, "ExpansionEncoder.fitted", "needs [n, inputs]", vectors.shape)
        return cls(np.asarray(np.mean(vectors, axis=0, dtype=np.float64)), size, active, fan, seed)

    def encode(self, value: object) -> SDR:
        """The SDR of a vector [inputs].

        Raises:
            NeurosimInputError: another size, or numbers that are not finite.
        """
        vector = np.asarray(value, np.float32)
        check(vector.ndim == 1, "ExpansionEncoder.encode", f"needs [{self.mean.size}]", vector.shape)
        return SDR(self.bits(vector[None])[0], self.size)

    def bits(self, vectors: NDArray, threads: int = 1) -> NDArray[np.int32]:
        """[n, active] active bits of vectors [n, inputs], ascending; the same on any number of threads."""
        from ..kernels.expand import expand

        x = np.asarray(vectors, np.float32)
        fits = x.ndim == 2 and x.shape[1] == self.mean.size
        check(fits, "ExpansionEncoder.bits", f"needs [n, {self.mean.size}]", x.shape)
        check(bool(np.isfinite(x).all()), "ExpansionEncoder.bits", "needs finite numbers", "another")
        return np.asarray(expand(x - self.mean, self._table, self.active, threads))

    @cached_property
    def _table(self) -> NDArray[np.int32]:
        """[size, fan] the inputs of each bit."""
        return draws(self.seed, 0).integers(self.mean.size, size=(self.size, self.fan), dtype=np.int32)
