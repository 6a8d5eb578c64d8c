"""SDR classifier: the distribution of a number, read from the cells that are active before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from ...base.errors import require
from ...base.rules import Count, Rule, check_rules
from ...network.windowed import array_of, check_present
from ..sdr.code import SDR


@dataclass(eq=False)
class SDRClassifier:
    """Learns online which value follows which active bits: one softmax layer over buckets of values.

    The probability of bucket b is softmax_b(sum over active bits i of w[i, b]). After the value is known, the weights
    of the active bits change by rate / |bits| times (1 for its bucket, else 0, less the probability). Divided by the
    number of bits, the change does not depend on how many cells fire: columns that burst activate all their cells.

    Source: the SDR classifier of NuPIC (Dillon 2016), which does not divide.

    Attributes:
        inputs: number of bits.
        low, high: range of the values; values outside count as the first and last bucket.
        buckets: equal parts of the range.
        rate: learning rate of the sum over the active bits.

    Raises:
        NeurosimInputError: on construction, naming the attribute and its rule.
    """

    inputs: Count
    low: float
    high: float
    buckets: Annotated[int, Rule(">= 2")] = 130
    rate: Annotated[float, Rule("> 0")] = 2.0

    def __post_init__(self) -> None:
        check_rules(self)
        require(self.low < self.high, "SDRClassifier.high", f"must be > low {self.low}", self.high)
        self._weights = np.zeros((self.inputs, self.buckets), np.float32)
        # The mean of a bucket follows the values that fell into it, from the middle of the bucket on.
        width = (self.high - self.low) / self.buckets
        self._means = self.low + width * (np.arange(self.buckets) + 0.5)
        # The last answer: a prediction is learned from next, and the sum over rows takes most of the time.
        self._last: tuple[SDR, NDArray[np.float64]] | None = None

    def probabilities(self, bits: SDR) -> NDArray[np.float64]:
        """Return [buckets] the probability of each bucket."""
        from ...kernels.memory.code_readout.cpu import scores

        require(bits.size == self.inputs, "SDRClassifier", f"needs an SDR of {self.inputs} bits", bits.size)
        if self._last is not None and self._last[0] is bits:
            return self._last[1]
        evidence = np.zeros((1, self.buckets))
        scores(*_entry(bits), self._weights, evidence)
        evidence = evidence[0]
        odds = np.exp(evidence - evidence.max())
        shares: NDArray[np.float64] = odds / odds.sum()
        self._last = (bits, shares)
        return shares

    def predict(self, bits: SDR) -> float:
        """Return the median of the distribution, which has the smallest expected absolute error."""
        return self._median(self.probabilities(bits))

    def learn(self, bits: SDR, value: float) -> None:
        """Learn that `value` followed `bits`."""
        from ...kernels.memory.code_readout.cpu import spread

        require(bool(np.isfinite(value)), "SDRClassifier.learn", "needs a finite number", value)
        error = -self.probabilities(bits)
        place = (value - self.low) / (self.high - self.low) * self.buckets
        bucket = int(min(max(place, 0.0), self.buckets - 1.0))
        error[bucket] += 1.0
        self._means[bucket] += 0.3 * (value - self._means[bucket])
        change = (self.rate / max(len(bits), 1) * error).astype(np.float32)
        spread(*_entry(bits), change[None], self._weights)
        self._last = None

    def _median(self, probabilities: NDArray[np.float64]) -> float:
        bucket = int(np.searchsorted(np.cumsum(probabilities), 0.5))
        return float(self._means[min(bucket, self.buckets - 1)])

    def state(self) -> dict[str, NDArray[Any]]:
        """Return copies of everything that learning changes: the rows of bits that learned, and their numbers."""
        rows = np.flatnonzero(self._weights.any(axis=1))
        return {"rows": rows.astype(np.int64), "weights": self._weights[rows], "means": self._means.copy()}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Continue from the arrays that `state` returned.

        Raises:
            NeurosimInputError: an array that does not fit; nothing is changed then.
        """
        check_present(arrays, ["rows"])
        number = np.size(arrays["rows"])
        rows = array_of(arrays, "rows", like=np.zeros(number, np.int64), low=0, high=self.inputs - 1)
        weights = array_of(arrays, "weights", like=np.zeros((number, self.buckets), np.float32))
        means = array_of(arrays, "means", self._means)
        self._last = None
        self._weights[:] = 0.0
        self._weights[rows] = weights
        self._means[:] = means


def _entry(bits: SDR) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
    """Return offsets, features and values of one code, as the kernels take many."""
    return np.array([0, len(bits)]), bits.indices, np.ones(len(bits), np.float32)
