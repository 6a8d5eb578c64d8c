"""A prepared network: compiled for the grid, with its records and probes. `simulate` and `Simulation` start from it."""

from __future__ import annotations

import gc
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..base.errors import is_integer, is_number, lookup, require
from ..base.values import check_unit, check_voltage
from ..network.network import Network, SpikeSource
from ..network.neurons.base import Neuron
from ..network.windowed import Windowed
from .compile.network import CompiledNetwork, compile_network
from .compile.row_table import Late
from .compile.synapse_sampler import SynapseSampler
from .grid.probes import BoundProbe, bind_probes
from .probe import Probe, check_names
from .processes import ALONE, Processes

# Parameters of neurons that are milliseconds in nature.
TIMES = ("tau_mem", "tau_syn", "tau_syn_inhibitory", "t_refractory", "tau_dendrite", "tau_ampa", "tau_rise", "tau_gaba")
# Voltages. Models whose own values are all >= 0 may be without unit; the others are in volts.
VOLTAGES = ("v_leak", "v_reset", "v_threshold", "v_rheobase", "e_excitatory", "e_inhibitory")
PRECISIONS: dict[str, np.dtype[Any]] = {"float32": np.dtype(np.float32), "float64": np.dtype(np.float64)}


@dataclass(frozen=True, eq=False)
class PreparedNetwork:
    """A compiled network, and the spikes and states to record.

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
    processes: Processes = ALONE,
) -> PreparedNetwork:
    """Compile a network for steps of `clock` seconds; the arguments are those of `simulate`, `threads` an integer.

    late, former: of a network that is changed while it runs, by name of the projection; see `RowTableBuilder`.
    processes: that share the network.

    Raises:
        NeurosimInputError: an argument that breaks its rule, or a network that cannot be compiled.
    """
    recorded = recorded_names(network, record)
    real = lookup(PRECISIONS, precision, "simulate.precision")
    numbers = {str(projection.name): number for number, projection in enumerate(network.projections)}
    changed = {numbers[name]: each for name, each in (late or {}).items()}
    with _without_collection():
        compiled = compile_network(
            network, clock, seed, real, threads, late=changed, former=former, processes=processes
        )
    return PreparedNetwork(compiled, recorded, bind_probes(compiled, probes), count_updates)


@contextmanager
def _without_collection() -> Iterator[None]:
    """Pause the collector of cycles: no object is garbage yet, and the search took an eighth of the compile time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def check_arguments(
    network: Network, clock: float | None, seed: int, trial: int = 0, probes: Sequence[Probe] = ()
) -> None:
    """Raise `NeurosimInputError` unless a simulation can run on these."""
    require(isinstance(network, Network), "simulate.network", "must be a Network", network)
    check_names(probes)
    check_units(network, clock)
    require(clock is None or (is_number(clock) and 0 < clock < math.inf), "simulate.clock", "must be > 0 s", clock)
    require(is_integer(seed), "simulate.seed", "must be an integer", seed)
    require(seed >= 0, "simulate.seed", "must be >= 0", seed)
    valid = is_integer(trial) and 0 <= trial < 2**31
    require(valid, "simulate.trial", "must be an integer from 0 to 2^31 - 1", trial)


def check_units(network: Network, clock: float | None, only: str | None = None) -> None:
    """Warn with a `UnitWarning` of times in milliseconds in the place of seconds, and of millivolts in that of volts.

    only: the name of the population or projection to check; None means all.
    """
    for population in network.populations:
        model = population.model
        name = f"Population[{population.name!r}].model"
        if not isinstance(model, Neuron) or only not in (None, population.name):
            continue
        for time in TIMES:
            value = getattr(model, time, None)
            if value is not None:
                check_unit(value, f"{name}.{time}", clock)
        voltages = [each for each in VOLTAGES if is_number(getattr(type(model), each, None))]
        if any(getattr(type(model), each) < 0 for each in voltages):
            for each in voltages:
                check_voltage(getattr(model, each), f"{name}.{each}")
    for projection in network.projections:
        if only in (None, projection.name):
            check_unit(projection.delay, f"{projection}.delay", clock)


def recorded_names(network: Network, record: Sequence[str] | None) -> tuple[str, ...]:
    """Return the populations whose spikes to keep: those named, or all of neurons and all windowed ones.

    Raises:
        NeurosimInputError: an unknown name, or a source that plays a recording.
    """
    if record is None:
        return tuple(p.name for p in network.populations if isinstance(p.model, (Neuron, Windowed)))
    listed = isinstance(record, Sequence) and not isinstance(record, str)
    require(listed, "simulate.record", "must be a list of names of populations", f"{record!r:.60}")
    for name in record:
        model = network.population(name, "simulate.record").model
        require(not isinstance(model, SpikeSource), "simulate.record", "must not name a SpikeSource: it plays", name)
    return tuple(dict.fromkeys(record))
