"""Encoders of values to SDRs; similar values have overlapping SDRs."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from ...base.errors import NeurosimInputError, require
from ...base.rules import Positive, Rule, check_rules
from ...data.spikes import Spikes
from .code import SDR, generator


class Encoder(ABC):
    """Turns values into SDRs of `size` bits; similar values overlap."""

    size: int

    @abstractmethod
    def encode(self, value: object) -> SDR:
        """Return the SDR of `value`; raise NeurosimInputError for a value outside the encoder's range."""


@dataclass(frozen=True)
class ScalarEncoder(Encoder):
    """A number in `minimum..maximum` as `active` neighbouring bits; overlap falls linearly with distance.

    `periodic` joins the ends, as for the hours of a day.
    """

    minimum: float
    maximum: float
    size: int
    active: int
    periodic: bool = False

    def __post_init__(self) -> None:
        require(self.minimum < self.maximum, "ScalarEncoder.maximum", f"must be > minimum {self.minimum}", self.maximum)
        require(0 < self.active < self.size, "ScalarEncoder.active", f"must be in 1..{self.size - 1}", self.active)

    def encode(self, value: object) -> SDR:
        x = _number(value, "ScalarEncoder.encode")
        inside = self.minimum <= x <= self.maximum
        require(inside, "ScalarEncoder.encode", f"must be in {self.minimum}..{self.maximum}", x)
        # A block of bits has size - active + 1 places; on a ring its place can be any bit.
        if self.periodic:
            places = self.size
        else:
            places = self.size - self.active
        start = round((x - self.minimum) / (self.maximum - self.minimum) * places)
        return SDR((start + np.arange(self.active)) % self.size, self.size)


@dataclass(frozen=True)
class CategoryEncoder(Encoder):
    """Each category has `active` bits of its own: no two overlap."""

    categories: tuple[Hashable, ...]
    active: Annotated[int, Rule("> 0 bits")]

    def __post_init__(self) -> None:
        distinct = len(set(self.categories)) == len(self.categories) > 0
        require(distinct, "CategoryEncoder.categories", "must be distinct, at least one", self.categories)
        check_rules(self)

    @property
    def size(self) -> int:  # type: ignore[override]
        return len(self.categories) * self.active

    def encode(self, value: object) -> SDR:
        require(value in self.categories, "CategoryEncoder.encode", f"must be one of {self.categories}", value)
        start = self.categories.index(value) * self.active
        return SDR(np.arange(start, start + self.active), self.size)


@dataclass(frozen=True)
class RandomDistributedScalarEncoder(Encoder):
    """Any number, without bounds: values `resolution` apart share all but one bit, distant ones a few by chance.

    Bucket b is the set of keys b .. b + active - 1. Key j lies in bit group `j mod active`, at a place drawn for j.
    Consecutive keys visit every group once, so each SDR has exactly `active` bits; the usual hashing of keys onto all
    bits loses some to collisions.
    """

    resolution: Positive
    size: int
    active: int
    seed: int = 0

    def __post_init__(self) -> None:
        check_rules(self)
        inside = 0 < self.active <= self.size
        require(inside, "RandomDistributedScalarEncoder.active", f"must be in 1..{self.size}", self.active)

    def encode(self, value: object) -> SDR:
        x = _number(value, "RandomDistributedScalarEncoder.encode")
        keys = round(x / self.resolution) + np.arange(self.active, dtype=np.int64)
        width = self.size // self.active
        # Modulo 2^63: keys of negative numbers become keys of the generator, too.
        places = np.array([generator(self.seed, int(key) % 2**63).integers(width) for key in keys])
        return SDR(keys % self.active * width + places, self.size)


@dataclass(frozen=True)
class EventWindowEncoder(Encoder):
    """A time window of a recording: the units that spiked, at most the `active` busiest of them.

    Ties go to the lower unit. `active` None keeps every unit that spiked.
    """

    size: Annotated[int, Rule("> 0 units")]
    active: Annotated[int, Rule("> 0 bits or None")] | None = None

    def __post_init__(self) -> None:
        check_rules(self)

    def encode(self, value: object) -> SDR:
        if not isinstance(value, Spikes):
            got = type(value).__name__
            raise NeurosimInputError(f"EventWindowEncoder.encode: needs Spikes (got {got}); see Spikes.window")
        require(value.size == self.size, "EventWindowEncoder.encode", f"needs Spikes of {self.size} units", value.size)
        counts = value.counts()
        busiest = np.argsort(-counts, kind="stable")[: self.active]
        return SDR(busiest[counts[busiest] > 0], self.size)


def _number(value: object, name: str) -> float:
    good = isinstance(value, (int, float, np.number)) and math.isfinite(value)
    require(good, name, "needs a finite number", value)
    return float(value)  # type: ignore[arg-type]
