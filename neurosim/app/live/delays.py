"""Delays of answers: percentiles over all events and packets of a stream, in bounded memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Width of a bin, and the delay from which on all are in the last bin, s.
BIN = 1e-4
MAX_DELAY = 60.0
PERCENTILES = (50, 95, 99)


class Delays:
    """Histogram of delays, exact to `BIN`."""

    def __init__(self) -> None:
        self._counts: NDArray[np.int64] = np.zeros(round(MAX_DELAY / BIN) + 1, np.int64)
        self.largest = 0.0

    def add(self, delays: NDArray[np.float64]) -> None:
        """Count delays, s; negative ones are 0."""
        if not len(delays):
            return
        bins = np.clip(delays / BIN, 0, len(self._counts) - 1).astype(np.int64)
        counts = np.bincount(bins)
        self._counts[: len(counts)] += counts
        self.largest = max(self.largest, float(delays.max()))

    def percentiles(self) -> dict[str, float]:
        """Return the delays in s by name, "p50", "p95", "p99" and "max"; nothing before the first."""
        total = int(self._counts.sum())
        if not total:
            return {}
        sums = np.cumsum(self._counts)
        # The upper edge of the bin below which this share of the delays lies.
        values = {f"p{p}": (int(np.searchsorted(sums, p / 100 * total)) + 1) * BIN for p in PERCENTILES}
        return {**values, "max": self.largest}
