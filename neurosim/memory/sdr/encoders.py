"""Encoders of values to SDRs; similar values have overlapping SDRs."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Hashable
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import lru_cache
from itertools import product
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from ...base.errors import NeurosimInputError, require
from ...base.rules import Positive, Rule, check_rules
from ...data.spikes import Spikes
from .code import SDR, generator

# Largest number of a bucket: sums with it stay integers of 64 bits.
MAX_BUCKET = 2.0**62


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
        rises = self.minimum < self.maximum
        require(rises, "ScalarEncoder.maximum", f"must be > minimum {self.minimum}", self.maximum)
        for name in ("minimum", "maximum"):
            bound = getattr(self, name)
            require(math.isfinite(bound), f"ScalarEncoder.{name}", "must be finite", bound)
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
    """Any number: values `resolution` apart share all but one bit, distant ones a few by chance.

    Values beyond 2^62 times the resolution, as the 1e36 that stands for a missing value in some files, share a code.

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
        bucket = round(min(max(x / self.resolution, -MAX_BUCKET), MAX_BUCKET))
        # Values k buckets apart share active - k of these keys, and so as many bits.
        keys = bucket + np.arange(self.active, dtype=np.int64)
        width = self.size // self.active
        places = np.array([_place(self.seed, int(key), width) for key in keys])
        return SDR(keys % self.active * width + places, self.size)


@dataclass(frozen=True)
class DateEncoder(Encoder):
    """A date and time as periodic parts, end to end: time of day, day of the week, weekend or not, season.

    Overlap falls linearly with the distance in time. `encode` takes a `datetime`, a `datetime64`, or seconds since
    1970; times of day are those of the clock that wrote them, and a time zone is ignored.

    Source: Purdy 2016, "Encoding data for HTM systems", arXiv 1602.05925.

    Attributes:
        time_of_day: active bits of the time of day; a part of 0 bits is left out.
        day_of_week: active bits of the day of the week.
        weekend: active bits of whether it is Saturday or Sunday.
        season: active bits of the day of the year.
        hours: times of day this far apart share no bit.
        days: days of the week this far apart share no bit.
        season_days: days of the year this far apart share no bit.
    """

    time_of_day: Annotated[int, Rule(">= 0 bits")] = 21
    day_of_week: Annotated[int, Rule(">= 0 bits")] = 0
    weekend: Annotated[int, Rule(">= 0 bits")] = 0
    season: Annotated[int, Rule(">= 0 bits")] = 0
    hours: Positive = 9.49
    days: Positive = 1.0
    season_days: Positive = 91.5

    def __post_init__(self) -> None:
        check_rules(self)
        active = self.time_of_day + self.day_of_week + self.weekend + self.season
        require(active > 0, "DateEncoder", "must have a part with active bits, e.g. time_of_day=21", active)
        for name, period in (("hours", 24.0), ("days", 7.0), ("season_days", 366.0)):
            radius = getattr(self, name)
            require(radius < period, f"DateEncoder.{name}", f"must be < {period:g}", radius)

    @property
    def size(self) -> int:  # type: ignore[override]
        return sum(part.size for part in self._parts)

    @property
    def _parts(self) -> tuple[Encoder, ...]:
        """Return the encoders of the parts that have bits, in order."""
        return _date_parts(self)

    def encode(self, value: object) -> SDR:
        moment = _moment(value)
        hour = moment.hour + moment.minute / 60 + moment.second / 3600
        values: list[object] = []
        if self.time_of_day:
            values.append(hour)
        if self.day_of_week:
            # The hour is a part of the day: Sunday evening lies beside Monday morning.
            values.append(moment.weekday() + hour / 24)
        if self.weekend:
            values.append(moment.weekday() >= 5)
        if self.season:
            values.append(float(moment.timetuple().tm_yday - 1))
        codes = [part.encode(each) for part, each in zip(self._parts, values, strict=True)]
        return codes[0].concatenate(*codes[1:])


@lru_cache(maxsize=64)
def _date_parts(encoder: DateEncoder) -> tuple[Encoder, ...]:
    parts: list[Encoder] = []
    if encoder.time_of_day:
        parts.append(_ring(24.0, encoder.hours, encoder.time_of_day))
    if encoder.day_of_week:
        parts.append(_ring(7.0, encoder.days, encoder.day_of_week))
    if encoder.weekend:
        parts.append(CategoryEncoder((False, True), encoder.weekend))
    if encoder.season:
        parts.append(_ring(366.0, encoder.season_days, encoder.season))
    return tuple(parts)


def _ring(period: float, radius: float, active: int) -> ScalarEncoder:
    """Return the encoder of a ring on which values `radius` apart share no bit."""
    # A bit is radius / active wide, so that blocks of `active` bits overlap up to `radius` apart.
    return ScalarEncoder(0.0, period, max(math.ceil(period * active / radius), active + 1), active, periodic=True)


def _moment(value: object) -> datetime:
    if isinstance(value, datetime):
        return value
    if isinstance(value, np.datetime64):
        seconds = value.astype("datetime64[us]").astype(np.int64) / 1e6
    else:
        seconds = _number(value, "DateEncoder.encode")
    try:
        return datetime.fromtimestamp(float(seconds), timezone.utc)
    except (ValueError, OverflowError, OSError):
        rule = "must be a time of the years 1 to 9999, in s since 1970"
        raise NeurosimInputError(f"DateEncoder.encode: {rule} (got {value})") from None


@dataclass(frozen=True)
class CoordinateEncoder(Encoder):
    """A point in space, without bounds: points nearer than `radius` share bits, distant ones a few by chance.

    The whole-numbered neighbours of a point, at most `radius` away along each axis, are ranked by a hash; the first
    ones choose a bit each, by another hash, until `active` bits are on.

    Source: Purdy 2016, "Encoding data for HTM systems", arXiv 1602.05925.

    Attributes:
        resolution: distance that counts as one step, in the unit of the coordinates.
        radius: steps.
        size, active: bits, and those that are on.
        dimensions: number of coordinates.
        seed: key of both hashes.
    """

    resolution: Positive
    radius: Annotated[int, Rule("> 0 steps")]
    size: int
    active: int
    dimensions: Annotated[int, Rule("> 0")] = 2
    seed: int = 0

    def __post_init__(self) -> None:
        check_rules(self)
        bound = min(self.size // 2, (2 * self.radius + 1) ** self.dimensions // 2)
        require(0 < self.active <= bound, "CoordinateEncoder.active", f"must be in 1..{bound}", self.active)

    def encode(self, value: object) -> SDR:
        point = np.asarray(value, np.float64)
        good = point.shape == (self.dimensions,) and bool(np.isfinite(point).all())
        require(good, "CoordinateEncoder.encode", f"needs {self.dimensions} finite numbers", value)
        steps = np.clip(point / self.resolution, -MAX_BUCKET, MAX_BUCKET)
        centre = np.round(steps).astype(np.int64)
        # A neighbour has the same hash whichever point it is near, so that near points choose the same bits.
        hashed = np.full(len(_box(self.radius, self.dimensions)), np.uint64(self.seed))
        for axis in (centre + _box(self.radius, self.dimensions)).T:
            hashed = _mixed(hashed ^ axis.astype(np.uint64))
        bits = _mixed(hashed)[np.argsort(hashed)] % np.uint64(self.size)
        # The first places of distinct bits, in the order of the ranks.
        distinct, places = np.unique(bits, return_index=True)
        chosen = distinct[np.argsort(places)][: self.active]
        return SDR(chosen.astype(np.int64), self.size)


@lru_cache(maxsize=16)
def _box(radius: int, dimensions: int) -> NDArray[np.int64]:
    """Return [n, dimensions] steps to every neighbour."""
    return np.array(list(product(range(-radius, radius + 1), repeat=dimensions)), np.int64)


def _mixed(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return words of 64 bits, mixed as in SplitMix64 (Steele et al. 2014)."""
    words = words + np.uint64(0x9E3779B97F4A7C15)
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


@lru_cache(maxsize=65536)
def _place(seed: int, key: int, width: int) -> int:
    """Draw the place of a key in its group of `width` bits; a draw takes 15 us, and keys come again."""
    # Modulo 2^63: keys of negative numbers become keys of the generator, too.
    return int(generator(seed, key % 2**63).integers(width))


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
