"""Anomaly likelihood (Ahmad, Lavin, Purdy & Agha 2017), and the surprise of a jump of the value."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.errors import require
from ...base.rules import Count, Natural, check_rules
from ...network.windowed import array_of, check_present

# Lower bounds of the distribution's mean and variance, and the variance of values that counts as flat: NuPIC's.
MIN_MEAN = 0.03
MIN_VARIANCE = 0.0003
FLAT = 1.5e-5
# Tails up to RED that follow each other count as YELLOW after the first: one alarm for one event.
RED = 1e-5
YELLOW = 1e-3
# The score is -log10(tail + TINY) / 10, from 0 to 1.
TINY = 1e-10
MAX_RECORDS = 2**62
# A change that is the largest of a thousand has a surprise of 1.
DECADES = 3
# Arrays of a saved state.
RUN = "run"
HISTORY = "history"
VALUES = "values"
COUNT = "count"
DISTRIBUTION = "distribution"
LAST = "last"


@dataclass(eq=False)
class AnomalyLikelihood:
    """Turns anomalies from 0 to 1 into a score: how improbable their short mean is among earlier ones.

    The mean over the last `window` anomalies is compared with a normal distribution of such means, fitted again every
    `refit` records to the last `history` ones without the first `learning` of the series. Of the upper tail Q, the
    score is -log10(Q + 1e-10) / 10: .5 where Q is 1e-5. Up to the record `learning + estimation` the score is that of
    Q = .5. A tail of at most 1e-5 that follows another counts as 1e-3.

    Source: Ahmad et al. 2017, "Unsupervised real-time anomaly detection for streaming data", Neurocomputing 262;
    constants and re-estimation as in NuPIC 1.0.

    Attributes:
        learning: records at the beginning that the distribution ignores.
        estimation: records after them before the first fit.
        window: records of the short mean.
        history: records of the distribution.
        refit: records from one fit to the next.

    Raises:
        NeurosimInputError: on construction, naming the attribute and its rule.
    """

    learning: Natural = 288
    estimation: Count = 100
    window: Count = 10
    history: Count = 8640
    refit: Count = 100

    def __post_init__(self) -> None:
        check_rules(self)
        self._run = np.zeros(self.window)
        self._history = np.zeros(self.history)
        self._values = np.zeros(self.history)
        self._count = 0
        # Mean and deviation; a deviation of 0: no distribution yet.
        self._distribution = np.zeros(2)
        self._last = 1.0

    @property
    def records(self) -> int:
        """Number of records."""
        return self._count

    def step(self, anomaly: float, value: float = math.nan) -> float:
        """Return the score of a record, from 0 to 1.

        Args:
            anomaly: of the record, 0 to 1.
            value: of the series; while the values of the history are all alike, nothing is improbable. NaN: none.
        """
        # The score is of the mean of the last anomalies: a single one says little where a series is noisy.
        self._run[self._count % self.window] = anomaly
        mean = float(self._run.sum()) / min(self._count + 1, self.window)
        tail = 0.5
        if self._count >= self.learning + self.estimation:
            if self._distribution[1] == 0.0 or self._count % self.refit == 0:
                self._fit()
            tail = self._tail(mean)
        # Only now: a record is not compared with itself.
        place = self._count % self.history
        self._history[place] = mean
        self._values[place] = value
        self._count += 1
        return -math.log10(tail + TINY) / 10

    def _tail(self, mean: float) -> float:
        centre, deviation = self._distribution
        tail = 0.5 * math.erfc((mean - centre) / (deviation * math.sqrt(2)))
        before = self._last
        self._last = tail
        # An anomaly that goes on is reported once; what follows it says only that it goes on.
        if tail <= RED and before <= RED:
            return YELLOW
        return tail

    def _fit(self) -> None:
        """Fit the distribution to the history."""
        inside = min(self._count, self.history)
        shifted_out = self._count - inside
        skipped = min(inside, max(0, self.learning - shifted_out))
        # Records in the order of their arrival; the ring begins with the oldest.
        order = (np.arange(skipped, inside) + shifted_out) % self.history
        means = self._history[order]
        values = self._values[order]
        values = values[np.isfinite(values)]
        # The variance of values near the largest number is infinite, and not flat.
        with np.errstate(over="ignore"):
            flat = values.size > 0 and float(values.var()) < FLAT
        if means.size == 0 or flat:
            # So broad that nothing is improbable.
            self._distribution[:] = 0.5, 1e3
            return
        self._distribution[0] = max(float(means.mean()), MIN_MEAN)
        self._distribution[1] = math.sqrt(max(float(means.var()), MIN_VARIANCE))

    def state(self) -> dict[str, NDArray[Any]]:
        """Return copies of everything that steps change."""
        return {
            RUN: self._run.copy(),
            HISTORY: self._history.copy(),
            # safetensors that hold NaN are refused as damaged: no value is an infinity.
            VALUES: np.nan_to_num(self._values, nan=np.inf),
            COUNT: np.array([self._count], np.int64),
            DISTRIBUTION: self._distribution.copy(),
            LAST: np.array([self._last]),
        }

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Continue from the arrays that `state` returned.

        Raises:
            NeurosimInputError: an array that does not fit; nothing is changed then.
        """
        own = self.state()
        held = {name: array_of(arrays, name, own[name]) for name in own}
        require(0 <= int(held[COUNT][0]) < MAX_RECORDS, COUNT, "must be >= 0", held[COUNT][0])
        self._run[:] = held[RUN]
        self._history[:] = held[HISTORY]
        self._values[:] = np.where(np.isfinite(held[VALUES]), held[VALUES], np.nan)
        self._count = int(held[COUNT][0])
        self._distribution[:] = held[DISTRIBUTION]
        self._last = float(held[LAST][0])


@dataclass(eq=False)
class JumpSurprise:
    """Says how unusual the change of a value from one record to the next is among earlier changes, without its sign.

    Of the last n <= `history` changes the fraction q is as large or larger, equal ones counted half, and at least
    1 / (n + 1). The surprise is -log10(q) / 3, at most 1: 0 for the smallest change, 1 for one in a thousand. It does
    not depend on the scale or the distribution of the values.

    Attributes:
        history: changes to compare with.

    Raises:
        NeurosimInputError: on construction, naming the attribute and its rule.
    """

    history: Count = 8640

    def __post_init__(self) -> None:
        check_rules(self)
        self._jumps: list[float] = []
        self._sorted: list[float] = []
        self._last = math.nan

    def step(self, value: float) -> float:
        """Return the surprise of the change to `value`, 0 to 1; 0 where it or the value before is missing (NaN)."""
        jump = abs(value - self._last)
        self._last = value
        if not math.isfinite(jump):
            return 0.0
        count = len(self._sorted)
        # Sorted, so that a rank costs log n; in order of arrival, to know which one leaves.
        below = bisect_left(self._sorted, jump)
        up_to = bisect_right(self._sorted, jump)
        if count:
            tail = max(1.0 - (below + up_to) / 2 / count, 1 / (count + 1))
        else:
            tail = 1.0
        if count == self.history:
            oldest = self._jumps.pop(0)
            del self._sorted[bisect_left(self._sorted, oldest)]
        self._jumps.append(jump)
        insort(self._sorted, jump)
        return min(-math.log10(tail) / DECADES, 1.0)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the changes, in the order of their arrival, and the last value (infinite: none)."""
        return {"jumps": np.array(self._jumps, np.float64), LAST: np.nan_to_num([self._last], nan=np.inf)}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Continue from the arrays that `state` returned.

        Raises:
            NeurosimInputError: an array that does not fit; nothing is changed then.
        """
        check_present(arrays, ["jumps"])
        jumps = array_of(arrays, "jumps", np.zeros(np.size(arrays["jumps"])))
        good = jumps.size <= self.history and bool(np.isfinite(jumps).all())
        require(good, "jumps", f"must be at most {self.history} finite numbers", jumps.shape)
        last = float(array_of(arrays, LAST, np.zeros(1))[0])
        self._jumps = jumps.tolist()
        self._sorted = sorted(self._jumps)
        self._last = last if math.isfinite(last) else math.nan
