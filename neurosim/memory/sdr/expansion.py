"""Encoder of vectors: the overlap of SDRs grows with similarity, and dissimilar vectors hardly overlap."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.errors import require
from .code import SDR, generator
from .encoders import Encoder

CHUNK = 256  # vectors processed at once while fitting: bounds the memory


@dataclass(frozen=True, eq=False)
class ExpansionEncoder(Encoder):
    """A vector as `active` of `size` bits: each bit sums `fan` inputs drawn for it, and the largest sums are on.

    The fly's code for odours (Dasgupta, Stevens & Navlakha 2017, Science 358:793). The mean of the training vectors is
    subtracted from each vector, and each sum is divided by its standard deviation over them. Without the first, bits of
    busy inputs are on for everything: two SDRs of handwritten digits then share a third of their bits, not a twentieth.
    Without the second, some bits are on ten times as often as others, and a memory fills there first.

    Attributes:
        mean: [inputs] float32, subtracted from every vector.
        size, active, fan: number of bits, of active bits, and of inputs of a bit.
        seed: key of the draw of inputs.
        scale: [size] float32, factors of the sums; None for 1.

    Raises:
        NeurosimInputError: on construction, naming the attribute and its rule.
    """

    mean: NDArray[Any]
    size: int
    active: int
    fan: int = 16
    seed: int = 0
    scale: NDArray[Any] | None = None

    def __post_init__(self) -> None:
        mean = np.asarray(self.mean, np.float32)
        require(mean.ndim == 1 and mean.size > 0, "ExpansionEncoder.mean", "must be [inputs]", mean.shape)
        require(0 < self.active < self.size, "ExpansionEncoder.active", f"must be in 1..{self.size - 1}", self.active)
        require(self.fan >= 1, "ExpansionEncoder.fan", "must be >= 1 inputs", self.fan)
        if self.scale is None:
            scale = np.ones(self.size, np.float32)
        else:
            scale = np.asarray(self.scale, np.float32)
        require(scale.shape == (self.size,), "ExpansionEncoder.scale", f"must be [{self.size}]", scale.shape)
        for name, numbers in (("mean", mean), ("scale", scale)):
            require(bool(np.isfinite(numbers).all()), f"ExpansionEncoder.{name}", "must be finite", "NaN or infinity")
        object.__setattr__(self, "mean", mean)
        object.__setattr__(self, "scale", scale)

    @classmethod
    def fitted(cls, vectors: NDArray[Any], size: int, active: int, fan: int = 16, seed: int = 0) -> ExpansionEncoder:
        """Return an encoder with mean and scale of `vectors` [n, inputs]."""
        from ...kernels.memory.expansion.reference import sums

        require(vectors.ndim == 2 and len(vectors) > 0, "ExpansionEncoder.fitted", "needs [n, inputs]", vectors.shape)
        mean = np.asarray(np.mean(vectors, axis=0, dtype=np.float64))
        plain = cls(mean=mean, size=size, active=active, fan=fan, seed=seed)
        squares = np.zeros(size)
        for first in range(0, len(vectors), CHUNK):
            part = np.asarray(vectors[first : first + CHUNK], np.float32) - plain.mean
            # The sums have mean 0, as the vectors do, so their mean square is their variance.
            squares += np.square(sums(part, plain._table), dtype=np.float64).sum(axis=0)
        spread = np.sqrt(squares / len(vectors))
        # A bit whose inputs never change has no spread: its factor is 0 and it stays off.
        return replace(plain, scale=np.divide(1.0, spread, out=np.zeros(size), where=spread > 0))

    def encode(self, value: object) -> SDR:
        """Return the SDR of a vector [inputs].

        Raises:
            NeurosimInputError: another size, or numbers that are not finite.
        """
        vector = np.asarray(value, np.float32)
        require(vector.ndim == 1, "ExpansionEncoder.encode", f"needs [{self.mean.size}]", vector.shape)
        return SDR(self.bits(vector[None])[0], self.size)

    def bits(self, vectors: NDArray[Any], threads: int = 1) -> NDArray[np.int32]:
        """Return [n, active] active bits of vectors [n, inputs], ascending; equal for any number of threads.

        Raises:
            NeurosimInputError: another number of inputs, or numbers that are not finite or too large for float32.
        """
        from ...kernels.memory.expansion.launch import expand

        x = np.asarray(vectors, np.float32)
        fits = x.ndim == 2 and x.shape[1] == self.mean.size
        require(fits, "ExpansionEncoder.bits", f"needs [n, {self.mean.size}]", x.shape)
        require(bool(np.isfinite(x).all()), "ExpansionEncoder.bits", "needs finite numbers", "another")
        scale = np.asarray(self.scale, np.float32)
        centred = x - self.mean
        # An infinite sum times a scale of 0 is NaN, which is neither above nor below another.
        largest = float(np.abs(centred).max(initial=0.0))
        rule = f"needs numbers whose sums of {self.fan} are in the range of float32"
        require(largest * self.fan < float(np.finfo(np.float32).max), "ExpansionEncoder.bits", rule, f"{largest:g}")
        return expand(centred, self._table, scale, self.active, threads)

    @cached_property
    def _table(self) -> NDArray[np.int32]:
        """[size, fan] the inputs of each bit."""
        return generator(self.seed, 0).integers(self.mean.size, size=(self.size, self.fan), dtype=np.int32)
