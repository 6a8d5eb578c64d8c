"""Spikes of renewal processes: gamma processes, and Poisson processes with a dead time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base.errors import NeurosimInputError, is_number, require
from .spikes import Spikes

# Counters of a unit's draws begin at its number times this.
DRAWS = 1 << 40


class RenewalSpikes:
    """Spikes of independent units whose intervals are drawn alike: a dead time plus a gamma-distributed time.

    An interval is dead_time + G, where G has the gamma distribution of this shape and the mean 1 / rate - dead_time.
    With shape = 1 it is a Poisson process with a dead time, with dead_time = 0 a gamma process. The first interval
    starts at `begin`. Interval k of unit i is drawn by the key and (i, k), so that spikes do not depend on the pieces
    in which they are taken.

    Args:
        key: of the random numbers.
        rate: [units] spikes/s, >= 0.
        shape: of the gamma distribution, > 0: a number or [units].
        dead_time: s, below 1 / rate: a number or [units].
        begin, end: s between which spikes lie: numbers or [units].

    Raises:
        NeurosimInputError: a value that breaks its rule.

    Source: Cox 1962, Renewal Theory; NEST's gamma_sup_generator and ppd_sup_generator of one process.
    """

    def __init__(
        self, key: int, rate: Any, *, shape: Any = 1.0, dead_time: Any = 0.0, begin: Any = 0.0, end: Any = math.inf
    ) -> None:
        self.key = key
        self.rate = np.atleast_1d(np.asarray(rate, np.float64))
        self.size = len(self.rate)
        self.shape = self._by_unit("shape", shape)
        self.dead_time = self._by_unit("dead_time", dead_time)
        self.end = self._by_unit("end", end)
        _check("rate", self.rate, np.isfinite(self.rate) & (self.rate >= 0), "must be >= 0 spikes/s")
        _check("shape", self.shape, np.isfinite(self.shape) & (self.shape > 0), "must be > 0")
        _check("dead_time", self.dead_time, self.dead_time >= 0, "must be >= 0 s")
        fits = (self.rate == 0) | (self.dead_time * self.rate < 1)
        _check("dead_time", self.dead_time, fits, "must be < 1 / rate")
        # Of each unit the time of its last spike, and the number of its spikes so far.
        self.last = self._by_unit("begin", begin)
        self.counts = np.zeros(self.size, np.int64)
        self.time = 0.0

    def _by_unit(self, name: str, value: Any) -> NDArray[np.float64]:
        array = np.asarray(value, np.float64)
        fits = array.shape in ((), (self.size,)) and not np.isnan(array).any()
        require(bool(fits), f"RenewalSpikes.{name}", f"must be a number or [{self.size}], one a unit", f"{value!r:.60}")
        return np.broadcast_to(array, self.size).copy()

    def until(self, time: float) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return times, s, and units of the spikes since the last call up to `time`, ordered by time.

        Raises:
            NeurosimInputError: a time before that of the last call.
        """
        valid = is_number(time) and math.isfinite(time) and time >= self.time
        require(bool(valid), "RenewalSpikes.until.time", f"must be finite and >= {self.time:g} s", time)
        self.time = float(time)
        pieces = [self._train(unit, time) for unit in range(self.size)]
        units = np.repeat(np.arange(self.size), [len(piece) for piece in pieces])
        times = np.concatenate([np.empty(0), *pieces])
        order = np.lexsort((units, times))
        return times[order], units[order]

    def windows(self, length: float) -> Iterator[Spikes]:
        """Yield the spikes in windows of `length` seconds without end: an input of `neurosim.Simulation`.

        Raises:
            NeurosimInputError: a length that is not > 0 s.
        """
        require(is_number(length) and 0 < length < math.inf, "RenewalSpikes.windows.length", "must be > 0 s", length)
        number = 0
        while True:
            begin = number * length
            number += 1
            times, units = self.until(number * length)
            relative = np.clip(times - begin, 0.0, length)
            yield Spikes(relative, units.astype(np.int32), self.size, length)

    def _train(self, unit: int, time: float) -> NDArray[np.float64]:
        """Return the spikes of a unit up to a time, and count them."""
        stop = min(time, self.end[unit])
        rate = self.rate[unit]
        pieces = []
        while rate > 0 and self.last[unit] <= stop:
            # The expected number and some more; what lies beyond `stop` is drawn again later, by the same counters.
            count = int((stop - self.last[unit]) * rate * 1.1) + 8
            times = np.cumsum(np.concatenate([[self.last[unit]], self._intervals(unit, count)]))[1:]
            inside = int(np.searchsorted(times, stop, side="right"))
            pieces.append(times[:inside])
            if inside:
                self.last[unit] = times[inside - 1]
                self.counts[unit] += inside
            if inside < count:
                break
        return np.concatenate([np.empty(0), *pieces])

    def _intervals(self, unit: int, count: int) -> NDArray[np.float64]:
        """Return the next intervals of a unit, s."""
        from scipy.special import gammaincinv

        from ..kernels.tools.random import uniforms

        values = np.empty(count)
        uniforms(np.uint64(self.key), unit * DRAWS + int(self.counts[unit]), 0, values)
        shape = self.shape[unit]
        scale = (1 / self.rate[unit] - self.dead_time[unit]) / shape
        if shape == 1:
            drawn = -np.log1p(-values)
        else:
            drawn = gammaincinv(shape, values)
        return self.dead_time[unit] + scale * drawn


def _check(name: str, values: NDArray[np.float64], good: NDArray[np.bool_], rule: str) -> None:
    if not good.all():
        unit = int(np.argmin(good))
        raise NeurosimInputError(f"RenewalSpikes.{name}[{unit}]: {rule} (got {values[unit]:g})")
