"""Values as spikes: each value of a series is a bump of activity over units, the nearest of which fire first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, final

import numpy as np
from numpy.typing import NDArray

from ...base.errors import require
from ...base.rules import NotASetting, Positive, Rule, check_rules
from ...base.shown import Shown
from ...data.recordings import Recordings

# Units with less activity are silent: those within 2.4 widths of the value fire.
MIN_ACTIVITY = 0.05
# The latest spike leaves a tenth of the step before the next value.
SPREAD = 0.9


@final
@dataclass(frozen=True)
class ValueCode(Shown):
    """Population code with latencies: a unit fires once for a value, the earlier the nearer the value is to its centre.

    A column of values has `units` units, whose centres c lie at equal distances from low - width r to high + width r,
    r = high - low. For a value v the activity of a unit is a = exp(-(v - c)^2 / (2 (width r)^2)), and it fires
    .9 (1 - a) steps after the beginning of the value's step, if a >= .05. Values outside of low..high count as the
    nearest inside.

    Source: Bohte, Kok & La Poutre 2002, Neurocomputing 48 (Gaussian receptive fields, early spikes for high activity).

    Attributes:
        units: of each column.
        width: standard deviation of a bump, as a fraction of the range.
        step: s, the time that a value lasts.
        low, high: [columns] ranges of the values.

    Raises:
        NeurosimInputError: on construction, naming the attribute and its rule.
    """

    units: Annotated[int, Rule(">= 8")] = 64
    width: Positive = 0.2
    step: Positive = 0.02
    low: Annotated[tuple[float, ...], NotASetting()] = (0.0,)
    high: Annotated[tuple[float, ...], NotASetting()] = (1.0,)

    def __post_init__(self) -> None:
        check_rules(self)
        name = "ValueCode.high"
        require(len(self.low) == len(self.high) > 0, name, f"must hold {len(self.low)} numbers", self.high)
        rises = all(low < high for low, high in zip(self.low, self.high, strict=True))
        require(rises, name, f"must be > low {self.low}", self.high)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the sensor: the units of all columns in a row."""
        return (len(self.low) * self.units,)

    def encode(self, values: NDArray[np.float64]) -> Recordings:
        """Return the spikes of series, a recording each.

        Args:
            values: [series, values, columns].

        Raises:
            NeurosimInputError: values of another shape, or that are not finite.
        """
        columns = len(self.low)
        fits = values.ndim == 3 and values.shape[2] == columns and values.size > 0
        require(fits, "ValueCode.encode", f"needs values [series, values, {columns}]", values.shape)
        require(bool(np.isfinite(values).all()), "ValueCode.encode", "needs finite values", "NaN or infinity")
        low = np.array(self.low)
        place = np.clip((values - low) / (np.array(self.high) - low), 0.0, 1.0)
        # A width beyond both ends, so that the lowest and the highest value have neighbours on both sides, too.
        centres = np.linspace(-self.width, 1.0 + self.width, self.units)
        ticks = []
        units = []
        for each in place:
            activity = np.exp(-((each[:, :, None] - centres) ** 2) / (2 * self.width**2))
            moment, column, unit = np.nonzero(activity >= MIN_ACTIVITY)
            # The most active unit fires at once: latency tells the distance from a centre.
            latency = SPREAD * (1.0 - activity[moment, column, unit])
            time = (moment + latency) * self.step
            order = np.argsort(time, kind="stable")
            ticks.append(time[order])
            units.append((column * self.units + unit)[order].astype(np.int32))
        lengths = [len(each) for each in ticks]
        return Recordings(
            ticks=np.concatenate(ticks),
            units=np.concatenate(units),
            offsets=np.concatenate([[0], np.cumsum(lengths)]),
            durations=np.full(len(values), values.shape[1] * self.step),
            tick=1.0,
            size=columns * self.units,
            shape=self.shape,
        )
