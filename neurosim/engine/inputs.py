"""Inputs of a network: the recording of every spike source, checked against the network."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..base.errors import NeurosimInputError, is_number, require
from ..data.recordings import Recordings
from ..data.spikes import GRID_SLACK, Spikes
from ..network.network import Network
from ..network.stimuli import SpikeSource

Input: TypeAlias = "float | Spikes | Recordings | Mapping[str, Spikes] | Mapping[str, Recordings]"
# Steps are counted in 32 bits in the output.
MAX_STEPS = 2**31 - 2


@dataclass(frozen=True, eq=False)
class RunInputs:
    """Inputs of a run.

    Attributes:
        by_source: recording or batch of each spike source, by population number.
        durations: [recordings] float64, s.
        batch: the recordings whose labels the result carries; None for a single run.
    """

    by_source: dict[int, Spikes | Recordings]
    durations: NDArray[np.float64]
    batch: Recordings | None

    def __len__(self) -> int:
        return len(self.durations)

    def recording(self, index: int) -> dict[int, Spikes]:
        """Return the recording `index` of each spike source."""
        return {p: item[index] if isinstance(item, Recordings) else item for p, item in self.by_source.items()}


def read_inputs(network: Network, inputs: Input | None, duration: float | None, clock: float | None) -> RunInputs:
    """Check the `inputs` of `simulate` against the network. `clock` None: continuous time, which has no steps to count.

    Raises:
        NeurosimInputError: a source without a recording or of another size, recordings that do not pair up.
    """
    if is_number(inputs):
        require(duration is None, "simulate.duration", "must be left out where the input is a duration", duration)
        duration = float(inputs)  # type: ignore[arg-type]
        inputs = {}
    if inputs is None:
        rule = "must be given where there is no input, in seconds"
        require(duration is not None, "simulate.duration", rule, duration)
    played = {p: _check_recording(network, p, item) for p, item in match_sources(network, inputs).items()}
    batches = [item for item in played.values() if isinstance(item, Recordings)]
    names = [network.populations[p].name for p in played]
    require(len(batches) in (0, len(played)), "simulate.inputs", "must be all Spikes or all Recordings", names)
    counts = [len(batch) for batch in batches]
    require(len(set(counts)) < 2, "simulate.inputs", "must hold equally many", counts)
    durations: NDArray[np.float64] = np.zeros(len(batches[0]) if batches else 1)
    for item in played.values():
        # Sources play side by side: the run lasts as long as the longest.
        durations = np.maximum(durations, item.durations if isinstance(item, Recordings) else item.duration)
    if duration is not None:
        check_duration(duration)
        durations = np.full(len(durations), float(duration))
    _check_durations(durations, clock)
    return RunInputs(played, durations, batches[0] if batches else None)


def check_network(network: object, name: str) -> None:
    """Raise `NeurosimInputError` unless this is a network; a method that returns one is a frequent slip."""
    rule = "must be a Network"
    if callable(network):
        rule = f"{rule}; call the function that returns it"
        network = getattr(network, "__qualname__", type(network).__name__)
    require(isinstance(network, Network), name, rule, network)


def match_sources(network: Network, inputs: object) -> dict[int, object]:
    """Return the item of each spike source, by population number.

    Args:
        inputs: a mapping by name; or the item for the one source; or None.

    Raises:
        NeurosimInputError: a source without an item, or a name that no source has.
    """
    sources = {p.name: n for n, p in enumerate(network.populations) if isinstance(p.model, SpikeSource)}
    if inputs is None:
        named: dict[str, object] = {}
    elif isinstance(inputs, Mapping):
        named = dict(inputs)
    else:
        rule = f"must be a mapping by name for sources {sorted(sources)}"
        require(len(sources) == 1, "simulate.inputs", rule, inputs)
        named = dict.fromkeys(sources, inputs)
    strange = [name for name in named if name not in sources]
    for name in sources:
        if name not in named:
            reason = f"population '{name}' is a SpikeSource and has no recording"
            if strange:
                reason += f"; '{strange[0]}', which has one, is no SpikeSource"
            raise NeurosimInputError(f"simulate.inputs: {reason}")
    for name in named:
        require(name in sources, "simulate.inputs", f"must name spike sources {sorted(sources)}", name)
    return {sources[name]: item for name, item in named.items()}


def check_size(item: Spikes | Recordings, size: int, name: str) -> None:
    """Raise unless a recording has as many units as its population."""
    require(item.size == size, name, f"must have the population's {size} units", item.size)


def check_units(units: NDArray[np.integer], size: int, name: str) -> NDArray[np.int32]:
    """Return the units of events as int32.

    Raises:
        NeurosimInputError: a unit below 0, or not below `size`.
    """
    if units.size:
        require(units.min() >= 0, f"{name}: units", "must be >= 0", units.min())
        require(units.max() < size, f"{name}: units", f"must be < {size}", units.max())
    return np.ascontiguousarray(units, np.int32)


def check_duration(duration: object) -> None:
    """Raise `NeurosimInputError` unless a duration is a number of seconds that can be run."""
    valid = is_number(duration) and 0 <= duration < math.inf  # type: ignore[operator]
    require(valid, "simulate.duration", "must be finite and >= 0 s", duration)


def steps_of(duration: float, clock: float) -> int:
    """Return the number of grid steps of `duration` seconds, rounded up.

    Raises:
        NeurosimInputError: negative, not finite, or more steps than can be counted.
    """
    _check_durations(np.array([duration], np.float64), clock)
    return max(0, math.ceil(duration / clock - GRID_SLACK))


def changes_of(times: NDArray[np.float64], clock: float, name: str) -> NDArray[np.int64]:
    """Return the steps nearest to the ascending times at which something changes.

    Args:
        name: of what changes, in errors.

    Raises:
        NeurosimInputError: two of them in one step.
    """
    # A time beyond all steps that can be counted is beyond those of an integer, too.
    steps = np.floor(np.minimum(times / clock, 2.0**62) + 0.5).astype(np.int64)
    apart = bool((np.diff(steps) > 0).all())
    shortest = float(np.diff(times).min(initial=clock))
    require(apart, f"{name}.times", f"must be at least a step of {clock:g} s apart", shortest)
    return steps


def _check_recording(network: Network, p: int, item: object) -> Spikes | Recordings:
    population = network.populations[p]
    name = f"simulate.inputs[{population.name!r}]"
    if not isinstance(item, (Spikes, Recordings)):
        raise NeurosimInputError(f"{name}: must be Spikes, Recordings or a duration (got {type(item).__name__})")
    check_size(item, population.size, name)
    return item


def _check_durations(durations: NDArray[np.float64], clock: float | None) -> None:
    for duration in durations[~(np.isfinite(durations) & (durations >= 0))]:
        check_duration(duration)
    longest = float(np.max(durations, initial=0.0))
    if clock is not None:
        rule = f"must be < {MAX_STEPS} steps of {clock:g} s"
        require(longest / clock < MAX_STEPS, "simulate.duration", rule, longest)
