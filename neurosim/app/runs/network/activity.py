"""Activity of a population: rate, silence, regularity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ....data.spikes import Spikes

# Intervals a unit must have for its coefficient of variation to mean anything.
MIN_INTERVALS = 2


@dataclass(frozen=True, kw_only=True)
class Activity:
    """Activity of the units of a population.

    Attributes:
        size: units.
        spikes: of all units.
        rate_hz: spikes a unit and second; None where no time passed.
        silent: units without a spike.
        cv: coefficient of variation of the intervals between spikes (1 for a Poisson process, 0 for a clock), mean over
            units with at least two intervals that are not all 0 s; None where there are none.
        digest: of the spikes.
    """

    size: int = 0
    spikes: int = 0
    rate_hz: float | None = None
    silent: int = 0
    cv: float | None = None
    digest: str = ""

    @classmethod
    def of(cls, spikes: Spikes) -> Activity:
        """Return the activity of the units that fired `spikes`."""
        return Activity(
            size=spikes.size,
            spikes=len(spikes),
            rate_hz=len(spikes) / (spikes.size * spikes.duration) if spikes.duration else None,
            silent=int(np.count_nonzero(spikes.counts() == 0)),
            cv=interval_variation(spikes),
            digest=spikes.digest(),
        )


def interval_variation(spikes: Spikes) -> float | None:
    """Return the mean coefficient of variation of the intervals between a unit's spikes, or None."""
    order = np.argsort(spikes.units, kind="stable")  # times stay in order within a unit
    times = spikes.times[order]
    units = spikes.units[order]
    same = np.diff(units) == 0
    # Differences across two units are dropped.
    gaps = np.diff(times)[same]
    owner = units[1:][same]
    count = np.bincount(owner, minlength=spikes.size).astype(np.float64)
    number = np.maximum(count, 1)
    mean = np.bincount(owner, gaps, spikes.size) / number
    # Units whose spikes are all of one moment, as those of a code may be, have intervals of 0 s.
    enough = (count >= MIN_INTERVALS) & (mean > 0)
    if not enough.any():
        return None
    spread = np.bincount(owner, (gaps - mean[owner]) ** 2, spikes.size) / number
    return float(np.mean(np.sqrt(spread[enough]) / mean[enough]))
