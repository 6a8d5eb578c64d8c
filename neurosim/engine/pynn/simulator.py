"""State of the simulator behind the PyNN API: what was described, and the simulation that runs it.

PyNN's base classes look here for `name` and `state`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pyNN import common

name = "neurosim"
DEFAULT_TIMESTEP = 0.1


class ID(int, common.IDMixin):
    """Number of a cell; `parent` is its population."""

    def __init__(self, n: int) -> None:
        int.__init__(n)
        common.IDMixin.__init__(self)


class Running(Protocol):
    """A description that was compiled, and its simulation: `translation.Built`."""

    def run(self) -> None:
        """Run to the target of the state, and hand out what was recorded."""

    def records(self, cells: Any, variable: str) -> bool:
        """Return whether a variable of all cells, or spikes, are recorded already."""

    def is_sample_due(self, interval: float) -> bool:
        """Return whether a sample of the present state belongs to a recording every `interval` ms."""

    def present(self, cells: Any, variable: str) -> NDArray[np.float64]:
        """Return [units] a state variable now, in PyNN's unit."""

    def present_weights(self, synapses: Any, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the present weights of a projection; `weights` are those at the start."""


class State(common.control.BaseState):
    """State of the simulator.

    Attributes:
        dt: ms, the clock.
        steps: number of steps since the last reset.
        target: step at which the present run ends.
        given_min_delay: `min_delay` of `setup`, ms or "auto".
        populations, projections, current_sources: what was described since `setup`, in the order of creation.
        generators: number of `NativeRNG` without a seed since `setup`.
        built: the compiled description while it runs; None before the first run and after a reset.
        builder: makes `built` of the state.
        seed, threads, precision: as for `neurosim.Simulation`.
    """

    def __init__(self) -> None:
        common.control.BaseState.__init__(self)
        self.mpi_rank = 0
        self.num_processes = 1
        self.dt = DEFAULT_TIMESTEP
        self.seed = 0
        self.threads: int | None = None
        self.precision = "float64"
        self.max_delay: Any = "auto"
        self.given_min_delay: Any = "auto"
        self.builder: Callable[[State], Running] | None = None
        self.clear()

    def clear(self) -> None:
        """Forget everything that was described."""
        self.recorders: set[Any] = set()
        self.write_on_end: list[Any] = []
        self.populations: list[Any] = []
        self.projections: list[Any] = []
        self.current_sources: list[Any] = []
        self.id_counter = 0
        self.generators = 0
        self.segment_counter = -1
        self.reset()

    def reset(self) -> None:
        """Return to time 0; the next run compiles the description, as it is then."""
        self.running = False
        self.t_start = 0
        self.steps = 0
        self.target = 0
        self.built: Running | None = None
        self.segment_counter += 1

    @property
    def t(self) -> float:
        """Return the present time, ms."""
        return round(self.steps * self.dt, 9)

    @property
    def clock(self) -> float:
        """Return the clock, s."""
        return self.dt * 1e-3

    @property
    def min_delay(self) -> Any:
        """Return the shortest delay, ms; without one the clock."""
        if self.given_min_delay != "auto":
            return self.given_min_delay
        shortest = [projection.shortest_delay for projection in self.projections if len(projection)]
        return min(shortest, default=self.dt)

    @min_delay.setter
    def min_delay(self, delay: Any) -> None:
        self.given_min_delay = delay

    def run(self, duration: float) -> None:
        """Run for `duration` ms."""
        self.run_until(self.t + duration)

    def run_until(self, end: float) -> None:
        """Run to the step nearest to `end` ms."""
        self.target = max(self.steps, int(np.rint(end / self.dt)))
        if self.populations and self.built is None:
            assert self.builder is not None
            self.built = self.builder(self)
        self.running = True
        if self.target == self.steps:
            return
        if self.built is not None:
            self.built.run()
        self.steps = self.target


state = State()
