"""Spikes of PyNN's sources, as the engine draws them or is handed them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...base.random import rng_key
from ...data.renewal import RenewalSpikes
from ...data.spikes import Spikes
from ...network.stimuli import PoissonSource
from .cells import MS, SpikeSourceArray, SpikeSourceGamma
from .currents import step_of

if TYPE_CHECKING:
    from .populations import Population as Cells
    from .simulator import State


class FedCells:
    """Spikes of a source that the engine does not draw itself, handed over run by run.

    Attributes:
        played: ms and units of the spikes of the last run.
    """

    def __init__(self, cells: Cells, state: State) -> None:
        self.cells = cells
        self.state = state
        self.begin = 0
        self.played: tuple[NDArray[np.float64], NDArray[np.int64]] = (np.empty(0), np.empty(0, np.int64))
        if isinstance(cells.celltype, SpikeSourceArray):
            self.renewal: RenewalSpikes | None = None
        else:
            self.renewal = renewal_of(cells, rng_key(state.seed, "pynn", name_of(cells)))

    def __iter__(self) -> Iterator[Spikes]:
        while True:
            yield self._take(self.begin, self.state.target)

    def _take(self, begin: int, end: int) -> Spikes:
        """Return the spikes of steps `begin` to `end - 1`; step k holds the times above k dt up to (k + 1) dt."""
        state = self.state
        if self.renewal is None:
            trains = [np.asarray(train.value, np.float64) for train in self.cells.parameters["spike_times"]]
            times = np.concatenate([np.empty(0), *trains])
            units = np.repeat(np.arange(len(trains)), [len(train) for train in trains])
            # A time that is a multiple of the clock up to rounding is the end of its step.
            steps = np.ceil(times / state.dt - 1e-6).astype(np.int64) - 1
        else:
            times, units = self.renewal.until(end * state.clock)
            steps = np.clip(np.ceil(times / state.clock).astype(np.int64) - 1, begin, end - 1)
        inside = (steps >= begin) & (steps < end)
        order = np.argsort(steps[inside], kind="stable")
        steps = steps[inside][order]
        units = units[inside][order]
        if self.renewal is None:
            self.played = times[inside][order], units
        else:
            self.played = (steps + 1).astype(np.float64) * state.dt, units
        self.begin = end
        # The middle of its step, from the start of this window.
        relative = (steps - begin + 0.5) * state.clock
        return Spikes(relative, units.astype(np.int32), self.cells.size, (end - begin) * state.clock)


def name_of(cells: Cells) -> str:
    """Return the name of a population in the engine."""
    return f"population {cells.number:05d}"


def renewal_of(cells: Cells, key: int) -> RenewalSpikes:
    """Return the spikes of a source of a renewal process."""
    p = cells.parameters
    begin = p["start"] * MS
    end = (p["start"] + p["duration"]) * MS
    if isinstance(cells.celltype, SpikeSourceGamma):
        return RenewalSpikes(key, p["beta"] / p["alpha"], shape=p["alpha"], begin=begin, end=end)
    return RenewalSpikes(key, p["rate"], dead_time=p["tau_refrac"] * MS, begin=begin, end=end)


def poisson_of(cells: Cells) -> PoissonSource:
    """Return a source of Poisson spikes, each unit between its start and the end of its duration."""
    rate, times = poisson_rates(cells)
    return PoissonSource(rate, times)


def poisson_rates(cells: Cells) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return [times, units] rates, spikes/s, and [times] s from which on they hold."""
    p = cells.parameters
    begins = np.array([step_of(time) for time in p["start"]])
    ends = np.array([step_of(time) for time in p["start"] + p["duration"]])
    changes = np.unique(np.concatenate([[0], begins, ends]))
    inside = (begins <= changes[:, None]) & (changes[:, None] < ends)
    return inside * p["rate"], changes * simulator_clock(cells)


def simulator_clock(cells: Cells) -> float:
    """Return the clock, s."""
    return float(cells._simulator.state.clock)
