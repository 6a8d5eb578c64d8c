"""Windows of a signal around spikes, and their mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from ...base.errors import require


@final
@dataclass(frozen=True, eq=False)
class Triggered:
    """Windows of a signal around spikes.

    Attributes:
        lags: [samples] s before (< 0) or after the spike.
        windows: [spikes, samples, ...] of those spikes whose window lies within the signal.
    """

    lags: NDArray[np.float64]
    windows: NDArray[Any]

    @property
    def mean(self) -> NDArray[np.float64]:
        """The spike-triggered average [samples, ...]; NaN without a spike."""
        none = np.full(self.windows.shape[1:], np.nan)
        if len(self.windows):
            return self.windows.mean(axis=0, dtype=np.float64)
        return none


def spike_triggered(
    times: NDArray[np.float64], signal: NDArray[Any], interval: float, window: tuple[float, float]
) -> Triggered:
    """Return the samples of `signal` around each of `times`.

    Args:
        times: [n] s, e.g. of one unit: `spikes.times[spikes.units == 3]`.
        signal: [samples, ...], sample j at j * interval: what a `Probe` records.
        interval: s between samples.
        window: s, where windows begin and end, e.g. (-0.05, 0.01).

    Raises:
        NeurosimInputError: an interval that is not > 0 s, or a window that ends before it begins.
    """
    moments = np.asarray(times)
    numeric = moments.dtype.kind in "iuf" and moments.ndim == 1
    require(numeric, "spike_triggered.times", "must be [n] s, such as spikes.times", type(times).__name__)
    require(interval > 0, "spike_triggered.interval", "must be > 0 s", interval)
    require(window[0] <= window[1], "spike_triggered.window", "must end after it begins", window)
    first, last = (round(edge / interval) for edge in window)
    centres = np.floor(moments / interval + 0.5).astype(np.int64)
    centres = centres[(centres + first >= 0) & (centres + last < len(signal))]
    offsets = np.arange(first, last + 1)
    return Triggered((offsets * interval).astype(np.float64), np.asarray(signal)[centres[:, None] + offsets])
