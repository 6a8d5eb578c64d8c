"""What a network is driven by, brought to one form: for every recording, the events of every spike source."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import NeurosimInputError, require
from ..network import Network, SpikeSource
from ..spikes import GRID_SLACK, Recordings, Spikes
from .grid.workspace import Events

Input: TypeAlias = "float | Spikes | Recordings | Mapping[str, Spikes] | Mapping[str, Recordings]"
# Steps are counted in 32 bits in the output.
MAX_STEPS = 2**31 - 2


@dataclass(frozen=True, eq=False)
class RunInputs:
    """The input of a run.

    Attributes:
        given: by population number, what each spike source plays.
        durations: [recordings] float64, s.
        batch: the recordings whose labels the result carries; None where a single run was asked for.
    """

    given: dict[int, Spikes | Recordings]
    durations: np.ndarray
    batch: Recordings | None

    def __len__(self) -> int:
        return len(self.durations)

    def events(self, index: int, clock: float) -> dict[int, Events]:
        """Recording `index` on the grid.

        Raises:
            NeurosimInputError: its events are unordered, negative, or of a unit the population lacks.
        """
        return {p: _grid(given, index, clock) for p, given in self.given.items()}

    def steps(self, index: int, clock: float) -> int:
        """Grid steps of recording `index`."""
        return max(0, math.ceil(self.durations[index] / clock - GRID_SLACK))


def read_inputs(network: Network, inputs: Input, duration: float | None, clock: float | None) -> RunInputs:
    """Check `inputs` against the network's spike sources. `clock` None: continuous time, which has no steps to count.

    Raises:
        NeurosimInputError: a source without a recording or of another size, recordings that do not pair up.
    """
    sources = {p.name: n for n, p in enumerate(network.populations) if isinstance(p.model, SpikeSource)}
    named: dict[str, Spikes | Recordings] = {}
    if isinstance(inputs, (int, float)):
        require(duration is None, "simulate.duration", "must be left out where the input is a duration", duration)
        duration = float(inputs)
    elif isinstance(inputs, Mapping):
        named = dict(inputs)
    else:
        require(
            len(sources) == 1, "simulate.inputs", f"must be a mapping by name for sources {sorted(sources)}", inputs
        )
        named = dict.fromkeys(sources, inputs)
    _check_named(network, sources, named)
    batches = [given for given in named.values() if isinstance(given, Recordings)]
    require(len(batches) in (0, len(named)), "simulate.inputs", "must be all Spikes or all Recordings", list(named))
    require(len({len(b) for b in batches}) < 2, "simulate.inputs", "must hold equally many", [len(b) for b in batches])
    durations: NDArray = np.zeros(len(batches[0]) if batches else 1)
    for given in named.values():
        durations = np.maximum(durations, given.durations if isinstance(given, Recordings) else given.duration)
    if duration is not None:
        durations = np.full(len(durations), float(duration))
    _check_durations(durations, clock)
    return RunInputs(
        {sources[name]: given for name, given in named.items()}, durations, batches[0] if batches else None
    )


def _check_named(network: Network, sources: Mapping[str, int], named: Mapping[str, object]) -> None:
    for name in sources:
        if name not in named:
            raise NeurosimInputError(f"simulate.inputs: population '{name}' is a SpikeSource and has no recording")
    for name, given in named.items():
        require(name in sources, "simulate.inputs", f"must name spike sources {sorted(sources)}", name)
        if not isinstance(given, (Spikes, Recordings)):
            kind = type(given).__name__
            raise NeurosimInputError(
                f"simulate.inputs[{name!r}]: must be Spikes, Recordings or a duration (got {kind})"
            )
        size = network.population(name).size
        require(
            given.size == size, f"simulate.inputs[{name!r}]", f"must have the population's {size} units", given.size
        )


def _check_durations(durations: np.ndarray, clock: float | None) -> None:
    finite = bool(np.isfinite(durations).all() and (durations >= 0).all())
    require(finite, "simulate.duration", "must be finite and >= 0 s", float(np.min(durations, initial=0.0)))
    longest = float(np.max(durations, initial=0.0))
    if clock is None:
        return
    require(longest / clock < MAX_STEPS, "simulate.duration", f"must be < {MAX_STEPS} steps of {clock:g} s", longest)


def _grid(given: Spikes | Recordings, index: int, clock: float) -> Events:
    spikes = given[index] if isinstance(given, Recordings) else given
    steps, units = spikes.steps(clock), spikes.units
    thing = f"simulate.inputs: recording {index}"
    if steps.size:
        require(bool((steps[1:] >= steps[:-1]).all()), f"{thing}: times", "must be ascending", "an earlier one")
        require(steps[0] >= 0, f"{thing}: times", "must be >= 0 s", spikes.times[0])
        require(
            steps[-1] <= MAX_STEPS, f"{thing}: times", f"must be < {MAX_STEPS} steps of the clock", spikes.times[-1]
        )
        require(units.min() >= 0, f"{thing}: units", "must be >= 0", units.min())
        require(units.max() < given.size, f"{thing}: units", f"must be < {given.size}", units.max())
    return Events(steps.astype(np.int32), np.ascontiguousarray(units, np.int32))
