"""What a run gives back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import final, overload

from numpy.typing import NDArray

from ..errors import require
from ..measure import LayerCounts
from ..spikes import Recordings, Spikes


@final
@dataclass(frozen=True, eq=False)
class Probe:
    """A state variable to record.

    Attributes:
        population, variable: names.
        interval: s; sample j is the state at time j * interval, the initial state first.
        units: which units; None means all.
        label: the name of its samples; None means "population.variable". Two probes of one variable need labels.

    Raises:
        NeurosimInputError: an interval that is not > 0 s.
    """

    population: str
    variable: str
    interval: float = 1e-3
    units: Sequence[int] | None = None
    label: str | None = None

    def __post_init__(self) -> None:
        require(self.interval > 0, f"Probe[{self.name!r}].interval", "must be > 0 s", self.interval)

    @property
    def name(self) -> str:
        return self.label or f"{self.population}.{self.variable}"


@final
@dataclass(frozen=True)
class Progress:
    """How far a run has come: seconds of biological time `done` of `total`, `spikes` so far, in `elapsed` seconds."""

    done: float
    total: float
    spikes: int
    elapsed: float

    @property
    def real_time_factor(self) -> float:
        """Wall-clock seconds per biological second; below 1 is faster than life."""
        return self.elapsed / self.done if self.done else float("inf")

    @property
    def spikes_per_s(self) -> float:
        """Spikes of the recorded populations per biological second."""
        return self.spikes / self.done if self.done else 0.0

    @property
    def left(self) -> float:
        """Wall-clock seconds left at this rate."""
        return self.real_time_factor * (self.total - self.done) if self.done else float("inf")


@final
class Work(Sequence[LayerCounts]):
    """Layers that are counted when they are first looked at: every row of the network is gone through for it."""

    def __init__(self, count: Callable[[], tuple[LayerCounts, ...]]) -> None:
        self._count: Callable[[], tuple[LayerCounts, ...]] | None = count
        self._layers: tuple[LayerCounts, ...] = ()

    def _known(self) -> tuple[LayerCounts, ...]:
        if self._count is not None:
            self._layers, self._count = self._count(), None
        return self._layers

    def __len__(self) -> int:
        return len(self._known())

    @overload
    def __getitem__(self, index: int) -> LayerCounts: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[LayerCounts, ...]: ...
    def __getitem__(self, index: int | slice) -> LayerCounts | tuple[LayerCounts, ...]:
        return self._known()[index]

    def __repr__(self) -> str:
        return repr(self._known())


@final
@dataclass(frozen=True, eq=False)
class Result:
    """A run's spikes, states and work, or those of a piece of it.

    Attributes:
        spikes: by population, times counted from the start of the run, not of the piece; `Recordings`, item i
            answering recording i, where the input was `Recordings`. Empty where they went to a file.
        states: by probe name: [samples, units], or a list of them, one a recording.
        work: one layer for each population of neurons, in order of names.
        clock: s, the step; None: continuous time, each spike at its own moment.
        duration: s of biological time run, all recordings together.
        build_s, run_s: wall-clock seconds to make the network ready (compiling included) and to run it.
        weights: by name of the projections that have a learning rule: [synapses] their weights at the end, in the order
            of sources, then targets; or a list of them, one a recording.
    """

    spikes: Mapping[str, Spikes | Recordings]
    states: Mapping[str, NDArray | list[NDArray]]
    work: Sequence[LayerCounts]
    clock: float | None
    duration: float
    build_s: float = field(default=0.0)
    run_s: float = field(default=0.0)
    weights: Mapping[str, NDArray | list[NDArray]] = field(default_factory=dict)

    @property
    def real_time_factor(self) -> float:
        """Wall-clock seconds of running per biological second."""
        return self.run_s / self.duration if self.duration else 0.0
