"""State variables to record, and their place in a network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from ..base.errors import NeurosimInputError, is_number, lookup, require
from ..network.network import Network
from ..network.neurons.base import Neuron


@final
@dataclass(frozen=True, eq=False)
class Probe:
    """A state variable to record: of the units of a population, or of the synapses of a projection that learns.

    Attributes:
        population, variable: names. Instead of a population the name of a projection: its variables are `weight`, and
            under a learning rule `pre` and `post`, the traces at each synapse of spikes of its source and its target.
        interval: s; sample j is the state at time j * interval, the initial state first.
        units: numbers of the units, or of the synapses in the order of `Simulation.weights`, to record; None means all.
        label: name of the samples; None means "population.variable". Two probes of one variable need labels.

    Raises:
        NeurosimInputError: an interval that is not > 0 s, or no units.
    """

    population: str
    variable: str
    interval: float = 1e-3
    units: Sequence[int] | None = None
    label: str | None = None

    def __post_init__(self) -> None:
        valid = is_number(self.interval) and 0 < self.interval < math.inf
        require(valid, f"Probe[{self.name!r}].interval", "must be > 0 s", self.interval)
        has_units = self.units is None or len(self.units) > 0
        require(has_units, f"Probe[{self.name!r}].units", "must hold at least one; leave it out for all", self.units)

    @property
    def name(self) -> str:
        return self.label or f"{self.population}.{self.variable}"


class Location(NamedTuple):
    """Place of a probe's variable: number of the population, row of its state, [n] units."""

    population: int
    row: int
    units: NDArray[np.int32]


def locate(network: Network, probe: Probe) -> Location:
    """Return the place of a probe's variable.

    Raises:
        NeurosimInputError: an unknown population, variable or unit.
    """
    name = f"Probe[{probe.name!r}]"
    population = network.population(probe.population, name)
    if not isinstance(population.model, Neuron):
        raise NeurosimInputError(f"{name}: population '{population.name}' is a source and has no state")
    rows = {variable: row for row, variable in enumerate(population.model.state)}
    number = network.numbers[population.name]
    return Location(number, lookup(rows, probe.variable, name), probed_units(probe, population.size))


def probed_units(probe: Probe, size: int) -> NDArray[np.int32]:
    """Return [n] the numbers that a probe records of `size` units or synapses.

    Raises:
        NeurosimInputError: a number of no unit.
    """
    if probe.units is None:
        units = np.arange(size)
    else:
        units = np.asarray(probe.units)
    are_numbers = units.ndim == 1 and (units.size == 0 or units.dtype.kind in "iuf")
    inside = are_numbers and bool(((units >= 0) & (units < size) & (units % 1 == 0)).all())
    require(inside, f"Probe[{probe.name!r}].units", f"must be a list of units >= 0 and < {size}", probe.units)
    return units.astype(np.int32)


def check_names(probes: Sequence[Probe]) -> None:
    """Raise `NeurosimInputError` unless these are probes, of different names."""
    valid = isinstance(probes, Sequence) and all(isinstance(probe, Probe) for probe in probes)
    require(valid, "simulate.probes", "must be a list of Probe", f"{probes!r:.60}")
    names = [probe.name for probe in probes]
    for name in names:
        if names.count(name) > 1:
            raise NeurosimInputError(f"Probe[{name!r}]: another probe has this name; give one of them a label")
