"""What a run gives back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import final

from numpy.typing import NDArray

from ..errors import check
from ..measure import Layer
from ..spikes import Recordings, Spikes


@final
@dataclass(frozen=True, eq=False)
class Probe:
    """A state variable to record.

    Attributes:
        population, variable: names.
        interval: s; sample j is the state at time j * interval, the initial state first.
        units: which units; None means all.

    Raises:
        NeurosimInputError: an interval that is not > 0 s.
    """

    population: str
    variable: str
    interval: float = 1e-3
    units: Sequence[int] | None = None

    def __post_init__(self) -> None:
        check(self.interval > 0, f"Probe[{self.name!r}].interval", "must be > 0 s", self.interval)

    @property
    def name(self) -> str:
        return f"{self.population}.{self.variable}"


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
    def left(self) -> float:
        """Wall-clock seconds left at this rate."""
        return self.real_time_factor * (self.total - self.done) if self.done else float("inf")


@final
@dataclass(frozen=True, eq=False)
class Result:
    """A run's spikes, states and work.

    Attributes:
        spikes: by population; `Recordings`, item i answering recording i, where the input was `Recordings`.
        states: by probe name "population.variable": [samples, units], or a list of them, one a recording.
        work: one layer for each population of neurons, in order of names.
        clock: s, the step.
        duration: s of biological time run, all recordings together.
        build_s, run_s: wall-clock seconds to make the network ready (first compile included) and to run it.
    """

    spikes: Mapping[str, Spikes | Recordings]
    states: Mapping[str, NDArray | list[NDArray]]
    work: tuple[Layer, ...]
    clock: float
    duration: float
    build_s: float = field(default=0.0)
    run_s: float = field(default=0.0)

    @property
    def real_time_factor(self) -> float:
        """Wall-clock seconds of running per biological second."""
        return self.run_s / self.duration if self.duration else 0.0
