"""Result of a run (spikes, samples, work), and its progress on the way."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final, overload

import numpy as np
from numpy.typing import NDArray

from ..base.errors import NeurosimInputError, lookup
from ..base.measure.work import LayerCounts
from ..data.spikes import GRID_SLACK, Recordings, Spikes
from ..network.network import Network, Population
from .grid.sources import GridEvents
from .probe import Probe


@final
@dataclass(frozen=True)
class Progress:
    """Progress of a run: s of biological time `done` of `total`, `spikes` so far, in `elapsed` wall-clock seconds."""

    done: float
    total: float
    spikes: int
    elapsed: float

    @property
    def real_time_factor(self) -> float:
        """Return the wall-clock seconds per biological second; < 1 is faster than real time."""
        if self.done:
            return self.elapsed / self.done
        return float("inf")

    @property
    def spikes_per_s(self) -> float:
        """Return the spikes of the recorded populations per biological second."""
        if self.done:
            return self.spikes / self.done
        return 0.0

    @property
    def left(self) -> float:
        """Return the wall-clock seconds until the end, at the present rate."""
        if self.done:
            return self.real_time_factor * (self.total - self.done)
        return float("inf")


@final
class Work(Sequence[LayerCounts]):
    """The work of a run by layer, counted when it is first read: counting goes through every row of the network."""

    def __init__(self, count: Callable[[], tuple[LayerCounts, ...]]) -> None:
        self._count: Callable[[], tuple[LayerCounts, ...]] | None = count
        self._layers: tuple[LayerCounts, ...] = ()

    def _counted(self) -> tuple[LayerCounts, ...]:
        if self._count is not None:
            self._layers = self._count()
            self._count = None
        return self._layers

    def __len__(self) -> int:
        return len(self._counted())

    @overload
    def __getitem__(self, index: int) -> LayerCounts: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[LayerCounts, ...]: ...
    def __getitem__(self, index: int | slice) -> LayerCounts | tuple[LayerCounts, ...]:
        return self._counted()[index]

    def __repr__(self) -> str:
        return repr(self._counted())


@final
@dataclass(frozen=True, eq=False)
class Result:
    """Spikes, samples and work of a run, or of a piece of it.

    Attributes:
        spikes: by population; times count from the start of the run, not of the piece. `Recordings` where the input
            was `Recordings`: item i is the response to recording i. Empty where spikes went to a file.
        states: by probe name: [samples, units], or a list of such arrays, one a recording.
        work: one layer for each population of neurons, in order of names.
        clock: s, the step; None: continuous time.
        duration: s of biological time, the sum over all recordings.
        build_s, run_s: wall-clock seconds to prepare the network (compiling included) and to run it.
        weights: by name of each projection with a learning rule: [synapses] weights at the end, by source, then target;
            or a list of such arrays, one a recording.
        readings: by name of each windowed population whose model has readings: [windows, readings] float64, or a list
            of such arrays, one a recording.
        learned: by name of each windowed population: the arrays of its state at the end, or at the start of a batch in
            which nothing learns, for `Windowed.learned`. Empty in the pieces of a `Simulation`, which has them as an
            attribute.
        start: s of biological time at which this piece begins.
        probes: probes whose samples are in `states`, in its order.
    """

    spikes: Mapping[str, Spikes | Recordings]
    states: Mapping[str, NDArray[Any] | list[NDArray[Any]]]
    work: Sequence[LayerCounts]
    clock: float | None
    duration: float
    build_s: float = field(default=0.0)
    run_s: float = field(default=0.0)
    weights: Mapping[str, NDArray[Any] | list[NDArray[Any]]] = field(default_factory=dict)
    readings: Mapping[str, NDArray[np.float64] | list[NDArray[np.float64]]] = field(default_factory=dict)
    learned: Mapping[str, Mapping[str, NDArray[Any]]] = field(default_factory=dict)
    start: float = field(default=0.0)
    probes: tuple[Probe, ...] = field(default=())

    @property
    def real_time_factor(self) -> float:
        """Return the wall-clock seconds of running per biological second."""
        if self.duration:
            return self.run_s / self.duration
        return 0.0

    def recordings(self, population: str) -> Recordings:
        """Return the spikes of a population in a run on `Recordings`: item i is the response to recording i.

        Raises:
            NeurosimInputError: the population was not recorded, or the input was a single recording.
        """
        spikes = lookup(self.spikes, population, "Result.recordings")
        if not isinstance(spikes, Recordings):
            raise NeurosimInputError("Result.recordings: needs a run on Recordings (got one recording); read .spikes")
        return spikes

    def sample_times(self, probe: Probe, count: int) -> NDArray[np.float64]:
        """Return [count] the times, s, of the first samples of a probe in this piece."""
        # Samples lie at multiples of the interval from the start of the run, not of the piece.
        first = math.ceil(self.start / probe.interval - GRID_SLACK)
        times: NDArray[np.float64] = np.arange(first, first + count, dtype=np.float64)
        times *= probe.interval
        return times


def named_spikes(
    network: Network, events: Mapping[str, GridEvents], clock: float, duration: float
) -> dict[str, Spikes]:
    """Return the events of populations as spikes."""
    spikes = {}
    for name, each in events.items():
        population = network.population(name)
        times = np.asarray(each.steps * clock, np.float64)
        spikes[name] = Spikes.unchecked(times, each.units, population.size, duration, population.shape)
    return spikes


def join_recordings(
    population: Population,
    pieces: Sequence[tuple[NDArray[Any], NDArray[np.int32]]],
    batch: Recordings,
    tick: float,
    durations: NDArray[np.float64],
) -> Recordings:
    """Return the spikes of a population in all recordings of a batch, with the labels of the batch.

    pieces: of each recording, times in multiples of `tick` seconds, and units.
    """
    none = [np.empty(0, np.int32)]
    counts = [len(units) for _, units in pieces]
    return Recordings(
        ticks=np.concatenate([ticks for ticks, _ in pieces] or none),
        units=np.concatenate([units for _, units in pieces] or none),
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        durations=durations,
        size=population.size,
        shape=population.shape,
        tick=tick,
        labels=batch.labels,
        classes=batch.classes,
        groups=batch.groups,
    )
