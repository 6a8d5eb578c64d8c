"""A prepared network: compiled for the grid, with what to record of it. `simulate` and `Simulation` start from it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import lookup, require
from ..network import Network, SpikeSource
from ..neurons import Neuron
from ..windowed import Windowed
from .compile.network import CompiledNetwork, compile_network
from .compile.row_tables import Late
from .compile.synapse_sampler import SynapseSampler
from .grid.probes import BoundProbe, bind_probes
from .probe import Probe

PRECISIONS: dict[str, np.dtype[Any]] = {"float32": np.dtype(np.float32), "float64": np.dtype(np.float64)}


@dataclass(frozen=True, eq=False)
class PreparedNetwork:
    """A compiled network, and what to record of it.

    Attributes:
        recorded: names of the populations whose spikes to keep.
        probes: state variables to sample.
        count_updates: count the membrane entries that change from step to step.
    """

    compiled: CompiledNetwork
    recorded: tuple[str, ...]
    probes: tuple[BoundProbe, ...] = ()
    count_updates: bool = False


def prepare(
    network: Network,
    *,
    clock: float,
    seed: int,
    threads: int,
    precision: str,
    record: Sequence[str] | None,
    probes: Sequence[Probe],
    count_updates: bool,
    late: Mapping[str, Late] | None = None,
    former: Sequence[SynapseSampler] = (),
) -> PreparedNetwork:
    """Compile a network for steps of `clock` seconds; the arguments are those of `simulate`, `threads` an integer.

    late, former: of a network that is changed while it runs, by name of the projection; see `RowTableBuilder`.

    Raises:
        NeurosimInputError: an argument that breaks its rule, or a network that cannot be compiled.
    """
    recorded, real = recorded_names(network, record), lookup(PRECISIONS, precision, "simulate.precision")
    numbers = {str(projection.name): number for number, projection in enumerate(network.projections)}
    changed = {numbers[name]: each for name, each in (late or {}).items()}
    compiled = compile_network(network, clock, seed, real, threads, late=changed, former=former)
    return PreparedNetwork(compiled, recorded, bind_probes(compiled, probes), count_updates)


def check_numbers(clock: float | None, seed: int, trial: int) -> None:
    """Raise `NeurosimInputError` unless a simulation can run on these."""
    require(clock is None or (math.isfinite(clock) and clock > 0), "simulate.clock", "must be > 0 s", clock)
    require(isinstance(seed, (int, np.integer)), "simulate.seed", "must be an integer", seed)
    valid = isinstance(trial, (int, np.integer)) and 0 <= trial < 2**31
    require(valid, "simulate.trial", "must be an integer from 0 to 2^31 - 1", trial)


def recorded_names(network: Network, record: Sequence[str] | None) -> tuple[str, ...]:
    """Return the populations whose spikes to keep: those named, or all of neurons and all windowed ones.

    Raises:
        NeurosimInputError: an unknown name, or a source that plays a recording.
    """
    if record is None:
        return tuple(p.name for p in network.populations if isinstance(p.model, (Neuron, Windowed)))
    for name in record:
        model = network.population(name, "simulate.record").model
        require(not isinstance(model, SpikeSource), "simulate.record", "must not name a SpikeSource: it plays", name)
    return tuple(dict.fromkeys(record))
