"""What a network is driven by in continuous time: the events of a recording at their own moments."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ...errors import NeurosimInputError, require
from ...spikes import Recordings, Spikes
from ..inputs import RunInputs
from .network import ExactNetwork
from .workspace import Given


def events(drive: RunInputs, index: int) -> Given:
    """Times and units of recording `index`, by population; what happens at one moment in order of units.

    Raises:
        NeurosimInputError: its events are unordered, negative, or of a unit the population lacks.
    """
    return {p: _checked(given, index) for p, given in drive.given.items()}


def _checked(given: Spikes | Recordings, index: int) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    spikes = given[index] if isinstance(given, Recordings) else given
    times, units = np.asarray(spikes.times, np.float64), np.ascontiguousarray(spikes.units, np.int32)
    if times.size:
        thing = f"simulate.inputs: recording {index}"
        rises = times[1:] >= times[:-1]  # False beside a NaN
        require(
            bool(rises.all()) and not math.isnan(times[0]), f"{thing}: times", "must be ascending", "an earlier one"
        )
        require(times[0] >= 0, f"{thing}: times", "must be >= 0 s", times[0])
        require(units.min() >= 0, f"{thing}: units", "must be >= 0", units.min())
        require(units.max() < given.size, f"{thing}: units", f"must be < {given.size}", units.max())
        if not rises.all() or (times[1:] == times[:-1]).any():
            order = np.lexsort((units, times))
            times, units = times[order], units[order]
    return np.ascontiguousarray(times), np.ascontiguousarray(units)


def check_delays(plan: ExactNetwork, drive: RunInputs) -> None:
    """Raise if a delay is lost beside the length of a run: a spike would arrive at the moment it was sent."""
    longest = float(np.max(drive.durations, initial=0.0))
    for route in plan.routes:
        if longest + route.delay <= longest:
            raise NeurosimInputError(
                f"{route.projection}.delay: must be > {np.spacing(longest):.2g} s, the resolution of a run of "
                f"{longest:g} s (got {route.delay:g})"
            )
