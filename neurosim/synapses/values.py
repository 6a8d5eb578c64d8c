"""Weights and delays: one number, an array, or a distribution to draw from."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TypeAlias, final

import numpy as np
from numpy.typing import NDArray

from ..errors import NeurosimInputError, require

# Rounds of drawing again what fell outside [low, high]: at an acceptance of 5 % all but 1e-22 have been accepted.
ATTEMPTS = 1000


class Distribution(ABC):
    """A random number a synapse (or unit), drawn by counter: value i depends on the key and i alone."""

    @abstractmethod
    def draw(self, key: int, first: int, count: int) -> NDArray[np.float64]:
        """[count] values of indices `first` to `first + count - 1`."""


Value: TypeAlias = "float | NDArray | Distribution"


@final
@dataclass(frozen=True)
class Uniform(Distribution):
    """Uniform between `low` and `high`."""

    low: float
    high: float

    def __post_init__(self) -> None:
        _finite(self, "low", "high")
        require(self.low < self.high, "Uniform.high", f"must be > low {self.low}", self.high)

    def draw(self, key: int, first: int, count: int) -> NDArray[np.float64]:
        from ..kernels.random import uniforms

        values = np.empty(count)
        uniforms(np.uint64(key), first, 0, values)
        return self.low + (self.high - self.low) * values


@final
@dataclass(frozen=True)
class Normal(Distribution):
    """Normal; a value outside [low, high] is drawn again (PyNN's normal_clipped)."""

    mean: float
    sd: float
    low: float = -math.inf
    high: float = math.inf

    def __post_init__(self) -> None:
        _finite(self, "mean", "sd")
        require(self.sd >= 0, "Normal.sd", "must be >= 0", self.sd)
        require(self.low < self.high, "Normal.high", f"must be > low {self.low}", self.high)

    def draw(self, key: int, first: int, count: int) -> NDArray[np.float64]:
        return _within(self, key, first, count, lambda z: self.mean + self.sd * z)


@final
@dataclass(frozen=True)
class LogNormal(Distribution):
    """exp of a normal of mean `mu` and standard deviation `sigma`; a value outside [low, high] is drawn again."""

    mu: float
    sigma: float
    low: float = 0.0
    high: float = math.inf

    def __post_init__(self) -> None:
        _finite(self, "mu", "sigma")
        require(self.sigma >= 0, "LogNormal.sigma", "must be >= 0", self.sigma)
        require(self.low < self.high, "LogNormal.high", f"must be > low {self.low}", self.high)

    def draw(self, key: int, first: int, count: int) -> NDArray[np.float64]:
        return _within(self, key, first, count, lambda z: np.exp(self.mu + self.sigma * z))


DISTRIBUTIONS: dict[str, type[Distribution]] = {d.__name__: d for d in (Uniform, Normal, LogNormal)}


def draw(value: Value, key: int, first: int, count: int, thing: str) -> NDArray[np.float64]:
    """[count] numbers of any kind of value; `thing` names it in errors."""
    if isinstance(value, Distribution):
        return value.draw(key, first, count)
    array = np.asarray(value, np.float64)
    if array.ndim == 0:
        return np.full(count, float(array))
    require(len(array) >= first + count, thing, f"must hold {first + count} values", len(array))
    return array[first : first + count]


def check_value(value: Value, thing: str) -> None:
    """Raise unless `value` is a finite number, a vector of them, or a distribution."""
    if isinstance(value, Distribution):
        return
    array = np.asarray(value)
    if array.dtype.kind not in "iuf" or array.ndim > 1:
        raise NeurosimInputError(f"{thing}: must be a number, a vector or a distribution (got {value!r:.60})")
    bad = array[~np.isfinite(array)]
    require(bad.size == 0, thing, "must be finite", bad.flat[0] if bad.size else None)


def _finite(owner: Distribution, *names: str) -> None:
    for name in names:
        value = getattr(owner, name)
        require(math.isfinite(value), f"{type(owner).__name__}.{name}", "must be finite", value)


def _within(owner, key, first, count, shape):
    from ..kernels.random import normals, normals_at

    values = np.empty(count)
    normals(np.uint64(key), first, 0, values)
    values = shape(values)
    bad = np.flatnonzero((values < owner.low) | (values > owner.high))
    for attempt in range(1, ATTEMPTS):
        if bad.size == 0:
            return values
        again = np.empty(bad.size)
        normals_at(np.uint64(key), bad + first, attempt, again)
        values[bad] = shape(again)
        bad = bad[(values[bad] < owner.low) | (values[bad] > owner.high)]
    raise NeurosimInputError(f"{owner}: almost nothing of it lies between low and high; widen them")
