"""How a population fires: rate, silence, regularity."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..spikes import Spikes

# Intervals a unit must have for its coefficient of variation to mean anything.
LEAST = 2


def activity(spikes: Spikes) -> dict[str, Any]:
    """The figures of one population.

    Returns:
        size; spikes; rate_hz: spikes a unit and second; silent: units without a spike; cv: the coefficient of
        variation of the intervals between spikes (1 for a Poisson process, 0 for a clock), mean over units with at
        least two intervals, None where there are none; digest.
    """
    counts = spikes.counts().ravel()
    return {
        "size": spikes.size,
        "spikes": len(spikes),
        "rate_hz": len(spikes) / (spikes.size * spikes.duration) if spikes.duration else None,
        "silent": int(np.count_nonzero(counts == 0)),
        "cv": variation(spikes),
        "digest": spikes.digest(),
    }


def variation(spikes: Spikes) -> float | None:
    """Mean coefficient of variation of the intervals, or None."""
    order = np.argsort(spikes.units, kind="stable")  # times stay in order within a unit
    times, units = spikes.times[order], spikes.units[order]
    same = np.diff(units) == 0
    gaps, owner = np.diff(times)[same], units[1:][same]
    count = np.bincount(owner, minlength=spikes.size).astype(np.float64)
    enough = count >= LEAST
    if not enough.any():
        return None
    number = np.maximum(count, 1)
    mean = np.bincount(owner, gaps, spikes.size) / number
    spread = np.bincount(owner, (gaps - mean[owner]) ** 2, spikes.size) / number
    return float(np.mean(np.sqrt(spread[enough]) / mean[enough]))
