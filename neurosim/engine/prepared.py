"""A compiled network with its records and probes, and the checks of arguments that all runs share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..base.errors import is_integer, is_number, require
from ..base.values import check_resolved, check_unit, check_voltage
from ..network.network import Network
from ..network.neurons.base import Neuron
from ..network.stimuli import SpikeSource
from ..network.windowed import Windowed
from .compile.network import CompiledNetwork
from .compile.windows import tapped
from .grid.probes import BoundProbe
from .inputs import check_network
from .probe import Probe, check_names

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

    @property
    def logged(self) -> tuple[str, ...]:
        """Return the populations whose spikes leave the workspace: to be recorded, or for windowed populations."""
        compiled = self.compiled
        watched = {compiled.network.populations[p].name for p in tapped(compiled.windows)}
        windowed = {plan.name for plan in compiled.windows}
        return tuple(sorted({*self.recorded, *watched} - windowed))


def check_arguments(
    network: Network, clock: float | None, seed: int, trial: int = 0, probes: Sequence[Probe] = ()
) -> None:
    """Raise `NeurosimInputError` unless a simulation can run on these."""
    check_network(network, "simulate.network")
    check_names(probes)
    require(clock is None or (is_number(clock) and 0 < clock < math.inf), "simulate.clock", "must be > 0 s", clock)
    check_units(network, clock)
    require(is_integer(seed), "simulate.seed", "must be an integer", seed)
    require(seed >= 0, "simulate.seed", "must be >= 0", seed)
    valid = is_integer(trial) and 0 <= trial < 2**31
    require(valid, "simulate.trial", "must be an integer from 0 to 2^31 - 1", trial)


def check_units(network: Network, clock: float | None, only: str | None = None) -> None:
    """Warn with a `UnitWarning` of times that look like milliseconds, not seconds, of millivolts, not volts, and of
    time constants shorter than a step.

    Args:
        only: the name of the population or projection to check; None means all.
    """
    for population in network.populations:
        model = population.model
        name = f"Population[{population.name!r}].model"
        if not isinstance(model, Neuron) or only not in (None, population.name):
            continue
        for time in TIMES:
            value = getattr(model, time, None)
            if value is None:
                continue
            check_unit(value, f"{name}.{time}", clock)
            # A refractory time below a step is none, which is often meant.
            if clock is not None and time != "t_refractory":
                check_resolved(value, f"{name}.{time}", clock)
        # Defaults below zero mean volts: such a model is of a real membrane.
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
