"""Groups of views that the run in continuous time takes, made by `neurosim.engine.exact.workspace`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class ExactTables(NamedTuple):
    """The network, as the tables whose columns are named in `loop`, and reals that belong to their rows."""

    units: NDArray[np.int64]
    """[populations, UNIT_COLUMNS]."""
    rates: NDArray[np.float64]
    """[populations], spikes/s of all units of a Poisson source together."""
    stimuli: NDArray[np.int64]
    """[stimuli, STIMULUS_COLUMNS]."""
    stimulus_weights: NDArray[np.float64]
    """[stimuli]."""
    stimulus_rates: NDArray[np.float64]
    """[stimuli], spikes/s to all units together."""
    routes: NDArray[np.int64]
    """[routes, ROUTE_COLUMNS]."""
    route_weights: NDArray[np.float64]
    """[routes], the one weight of each."""
    route_delays: NDArray[np.float64]
    """[routes], s, the one or the shortest delay."""
    probes: NDArray[np.int64]
    """[probes, PROBE_COLUMNS]."""
    intervals: NDArray[np.float64]
    """[probes], s."""
    owner: NDArray[np.int32]
    """[neurons], the population of each."""


class Moments(NamedTuple):
    """Moments of what comes next, s; inf for never."""

    source_next: NDArray[np.float64]
    """[populations], the next spike of each Poisson population."""
    stimulus_next: NDArray[np.float64]
    """[stimuli], the next spike of each."""
    heads: NDArray[np.float64]
    """[routes], the next arrival of each."""
    now: NDArray[np.float64]
    """[1], the last moment done."""


class Crossings(NamedTuple):
    """Crossings of the threshold that are predicted, and the heap of them."""

    keys: NDArray[np.float64]
    """[neurons], the moment predicted for each, s."""
    places: NDArray[np.int32]
    """[neurons], where each is in the heap; -1: not."""
    heap: NDArray[np.int32]
    """[neurons], numbers of neurons."""
    asks: NDArray[np.uint8]
    """[neurons], whether it is no crossing but a moment to ask again."""
