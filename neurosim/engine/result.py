"""Result of a run (spikes, samples, work), and its progress on the way."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, final, overload
from typing import TypeVar as TypingTypeVar

import numpy as np
from numpy.typing import NDArray

from ..base.errors import NeurosimInputError, escaped, lookup, nearest
from ..base.measure.work import LayerCounts
from ..base.shown import Shown, html_table
from ..data.recordings import Recordings
from ..data.spikes import GRID_SLACK, Spikes
from ..network.network import Network
from ..network.population import Population
from .grid.sources import GridEvents
from .probe import Probe

if TYPE_CHECKING:
    # Type checkers bring this module along: without parameters, `Result` is that of one recording or of many.
    from typing_extensions import TypeVar

    S_co = TypeVar("S_co", bound=Spikes | Recordings, default=Spikes | Recordings, covariant=True)
    Array = NDArray[Any]
    A_co = TypeVar("A_co", bound=Array | list[Array], default=Array | list[Array], covariant=True)
else:
    from typing import TypeVar

    S_co = TypeVar("S_co", covariant=True)
    A_co = TypeVar("A_co", covariant=True)


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
    """The work of a run by layer, counted when it is first read: counting goes through every row of the network.

    It is counted when it is copied or pickled, too.
    """

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

    def __reduce__(self) -> tuple[Callable[..., Work], tuple[tuple[LayerCounts, ...]]]:
        return _work_of, (self._counted(),)

    def __repr__(self) -> str:
        if self._count is not None:
            return "Work(counted when it is read)"
        return escaped(f"Work({', '.join(layer.name for layer in self._layers)})")

    def _repr_html_(self) -> str:
        """Return a table of the synaptic operations and events of each layer."""
        rows = {
            layer.name: f"{_number(layer.synaptic_operations)} synaptic operations, "
            f"{_number(layer.input_events)} events in, {_number(layer.output_events)} out"
            for layer in self._counted()
        }
        return html_table("Work", rows)


def _work_of(layers: tuple[LayerCounts, ...]) -> Work:
    return Work(lambda: layers)


def _number(count: int | None) -> str:
    if count is None:
        return "an unknown number of"
    return f"{count:,}"


_Entry = TypingTypeVar("_Entry")


@final
class ByName(dict[str, _Entry]):
    """Entries of a result by name; the error of an unknown name has the nearest one and all."""

    def __missing__(self, name: str) -> _Entry:
        near = nearest(str(name), self)
        hint = f"did you mean '{near}'? " if near else ""
        choice = f"choose from {', '.join(self)}" if self else "there is none"
        raise KeyError(f"unknown name '{name}'; {hint}{choice}")


@final
@dataclass(frozen=True, eq=False)
class Result(Shown, Generic[S_co, A_co]):
    """Spikes, samples and work of a run, or of a piece of it. It may be copied and pickled.

    For type checkers: `Result[Spikes, NDArray]` of one recording, `Result[Recordings, list[NDArray]]` of a batch.

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
            which nothing learns, for `Windowed.learned`; by name of each projection that keeps its weights: "weights".
            Empty in the pieces of a `Simulation`, which has them as an attribute.
        start: s of biological time at which this piece begins.
        probes: probes whose samples are in `states`, in its order.
    """

    spikes: Mapping[str, S_co]
    states: Mapping[str, A_co]
    work: Sequence[LayerCounts]
    clock: float | None
    duration: float
    build_s: float = field(default=0.0)
    run_s: float = field(default=0.0)
    weights: Mapping[str, A_co] = field(default_factory=dict)
    readings: Mapping[str, A_co] = field(default_factory=dict)
    learned: Mapping[str, Mapping[str, NDArray[Any]]] = field(default_factory=dict)
    start: float = field(default=0.0)
    probes: tuple[Probe, ...] = field(default=())

    def __post_init__(self) -> None:
        object.__setattr__(self, "spikes", ByName(self.spikes))
        object.__setattr__(self, "states", ByName(self.states))

    def facts(self) -> Mapping[str, object]:
        """Return times, numbers of spikes by population, and the shapes of samples."""
        facts: dict[str, object] = {"duration": f"{self.duration:.6g} s", "run": f"{self.run_s:.3g} s"}
        for name, spikes in self.spikes.items():
            count = len(spikes.units)
            if isinstance(spikes, Recordings):
                facts[name] = f"{count:,} spikes in {len(spikes):,} recordings"
            else:
                facts[name] = f"{count:,} spikes"
        for name, samples in self.states.items():
            facts[name] = samples
        return facts

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
    for name, (steps, units) in events.items():
        population = network.populations[network.numbers[name]]
        times = np.asarray(steps * clock, np.float64)
        spikes[name] = Spikes.unchecked(times, units, population.size, duration, population.shape)
    return spikes


def join_recordings(
    population: Population,
    pieces: Sequence[tuple[NDArray[Any], NDArray[np.int32]]],
    batch: Recordings,
    tick: float,
    durations: NDArray[np.float64],
) -> Recordings:
    """Return the spikes of a population in all recordings of a batch, with the labels of the batch.

    Args:
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
