"""Distributions that weights, delays, initial states and parameters of neurons are drawn from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, final

import numpy as np
from numpy.typing import NDArray

from ...base.errors import NeurosimInputError, require
from ...base.rules import Rule, check_rules
from ...base.values import Distribution

# Rounds of drawing values outside [low, high] again: at an acceptance of 5 % all but 1e-22 are then inside.
ATTEMPTS = 1000


@final
@dataclass(frozen=True)
class Uniform(Distribution):
    """Uniform between `low` and `high`."""

    low: Annotated[float, Rule("finite")]
    high: Annotated[float, Rule("finite")]

    def __post_init__(self) -> None:
        check_rules(self)
        require(self.low < self.high, "Uniform.high", f"must be > low {self.low}", self.high)

    def draw(self, key: int, first: int, count: int) -> NDArray[np.float64]:
        from ...kernels.tools.random import uniforms

        values = np.empty(count)
        uniforms(np.uint64(key), first, 0, values)
        return self.low + (self.high - self.low) * values

    def draw_runs(self, key: int, firsts: NDArray[np.int64], offsets: NDArray[np.int64]) -> NDArray[np.float64]:
        from ...kernels.tools.random import uniform_runs

        values = np.empty(int(offsets[-1]))
        uniform_runs(np.uint64(key), firsts, offsets, 0, values)
        return self.low + (self.high - self.low) * values


@final
@dataclass(frozen=True)
class Normal(Distribution):
    """Normal; a value outside [low, high] is drawn again (PyNN's normal_clipped)."""

    mean: Annotated[float, Rule("finite")]
    sd: Annotated[float, Rule("finite"), Rule(">= 0")]
    low: float = -math.inf
    high: float = math.inf

    def __post_init__(self) -> None:
        check_rules(self)
        require(self.low < self.high, "Normal.high", f"must be > low {self.low}", self.high)

    def draw(self, key: int, first: int, count: int) -> NDArray[np.float64]:
        return self.draw_runs(key, np.array([first]), np.array([0, count]))

    def draw_runs(self, key: int, firsts: NDArray[np.int64], offsets: NDArray[np.int64]) -> NDArray[np.float64]:
        from ...kernels.tools.random import clipped_normal_runs

        values = np.empty(int(offsets[-1]))
        shape = (float(self.mean), float(self.sd), float(self.low), float(self.high))
        if not clipped_normal_runs(np.uint64(key), firsts, offsets, shape, ATTEMPTS, values):
            raise _nothing_within(self)
        return values


@final
@dataclass(frozen=True)
class LogNormal(Distribution):
    """exp of a normal of mean `mu` and standard deviation `sigma`; a value outside [low, high] is drawn again."""

    mu: Annotated[float, Rule("finite")]
    sigma: Annotated[float, Rule("finite"), Rule(">= 0")]
    low: float = 0.0
    high: float = math.inf

    def __post_init__(self) -> None:
        check_rules(self)
        require(self.low < self.high, "LogNormal.high", f"must be > low {self.low}", self.high)

    def draw(self, key: int, first: int, count: int) -> NDArray[np.float64]:
        return self.draw_runs(key, np.array([first]), np.array([0, count]))

    def draw_runs(self, key: int, firsts: NDArray[np.int64], offsets: NDArray[np.int64]) -> NDArray[np.float64]:
        return _within(self, key, firsts, offsets, lambda z: np.exp(self.mu + self.sigma * z))


DISTRIBUTIONS: dict[str, type[Distribution]] = {d.__name__: d for d in (Uniform, Normal, LogNormal)}


def _within(owner, key, firsts, offsets, shape):
    """Return `shape` of normal numbers; those outside low and high are drawn again, each from its own counter."""
    from ...kernels.tools.random import normal_runs, normals_at

    values = np.empty(int(offsets[-1]))
    normal_runs(np.uint64(key), firsts, offsets, 0, values)
    values = shape(values)
    bad = np.flatnonzero((values < owner.low) | (values > owner.high))
    for attempt in range(1, ATTEMPTS):
        if bad.size == 0:
            return values
        numbers = np.empty(bad.size)
        # The counter of a value is its index in the projection, which says the run that it lies in.
        run = np.searchsorted(offsets, bad, side="right") - 1
        normals_at(np.uint64(key), bad - offsets[run] + firsts[run], attempt, numbers)
        values[bad] = shape(numbers)
        bad = bad[(values[bad] < owner.low) | (values[bad] > owner.high)]
    raise _nothing_within(owner)


def _nothing_within(owner: Distribution) -> NeurosimInputError:
    return NeurosimInputError(f"{owner}: almost nothing of it lies between low and high; widen them")
