"""A network made ready to run: synapses drawn, delays in steps, constants computed. Independent of any recording."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...errors import require
from ...network import (
    Network,
    PoissonInput,
    Population,
)
from ...neurons import Neuron
from ...neurons.by_unit import drawn, rows
from ...random import rng_key
from ...synapses import draw
from ..threads import for_each
from .callback import callback
from .layout import Layout, lay_out
from .memory import check_memory
from .plastic import PlasticSynapses, compile_plastic
from .row_tables import RowTable, RowTableBuilder
from .synapse_sampler import SynapseSampler, build_sampler

# Beyond this many expected events a step, a Poisson count by thresholds is no longer worth its table.
MAX_MEAN = 500.0
# Steps from one meeting of the threads to the next, where no delay asks for fewer.
MAX_INTERVAL = 64


@dataclass(frozen=True, eq=False)
class Cells:
    """A population of neurons: `initial` is real [states, size], `constants` real [k], or [k, size] by unit."""

    population: Population
    step: int
    initial: NDArray
    constants: NDArray


@dataclass(frozen=True, eq=False)
class Noise:
    """A Poisson stimulus, or (weight 0, target itself) a Poisson source: its table and its stream."""

    stimulus: PoissonInput | Population
    target: int
    receptor: int
    weight: float
    thresholds: NDArray[np.uint32]
    key: int


@dataclass(frozen=True, eq=False)
class CompiledNetwork:
    """What `compile_network` makes; index p is that of `network.populations`."""

    network: Network
    clock: float
    seed: int
    real: np.dtype
    cells: dict[int, Cells]
    poisson: dict[int, Noise]
    noises: tuple[Noise, ...]
    layout: Layout
    samplers: tuple[SynapseSampler, ...]
    row_tables: tuple[RowTable, ...]
    degrees: tuple[NDArray[np.int32], ...]
    plastic: tuple[PlasticSynapses, ...]

    @property
    def interval(self) -> int:
        """Steps for which all spikes that can fall due are known when they begin: the shortest delay."""
        from ...kernels.engine.clocked.deliver import GROUPS

        delays = [1 if rows.form == GROUPS else rows.delay for rows in self.row_tables]
        return min([MAX_INTERVAL, *delays, *(synapses.min_delay for synapses in self.plastic)])

    @property
    def depth(self) -> int:
        """Steps that the queue holds: the longest delay in it and the present one."""
        from ...kernels.engine.clocked.deliver import QUEUE

        return 1 + max((rows.max_delay for rows in self.row_tables if rows.form == QUEUE), default=0)

    @property
    def history(self) -> int:
        """Steps whose spikes are still needed."""
        from ...kernels.engine.clocked.deliver import QUEUE

        delays = [rows.max_delay for rows in self.row_tables if rows.form != QUEUE]
        return max([self.interval, *delays, *(synapses.max_delay for synapses in self.plastic)])


def compile_network(
    network: Network, clock: float, seed: int, real: np.dtype, threads: int = 1, plain: bool = False
) -> CompiledNetwork:
    """Draw and lay out everything that does not change while the network runs.

    Args:
        threads: to work on it; no result depends on them.
        plain: store every row in the plainest form, to compare the others with.

    Raises:
        NeurosimInputError: a delay under a step, a network larger than the memory that is free, a rate too high.
    """
    check_memory(network, real)
    number = {population.name: p for p, population in enumerate(network.populations)}
    layout = lay_out(network)
    samplers = _build_samplers(network, clock, seed, threads)
    degrees: list[NDArray[np.int32]] = [
        np.zeros(network.population(s.projection.source).size, np.int32) for s in samplers
    ]
    row_tables = RowTableBuilder(network, layout, samplers, real, threads, degrees).build(plain)
    plastic = compile_plastic(network, samplers, clock, real, degrees)
    populations = list(enumerate(network.populations))
    return CompiledNetwork(
        network=network,
        clock=clock,
        seed=seed,
        real=real,
        cells={p: _cells(pop, clock, seed, real) for p, pop in populations if isinstance(pop.model, Neuron)},
        poisson={p: _source(pop, p, clock, seed) for p, pop in populations if hasattr(pop.model, "rate")},
        noises=tuple(_noise(network, stimulus, number, clock, seed) for stimulus in network.stimuli),
        layout=layout,
        samplers=tuple(sampler.without_cache() for sampler in samplers),
        row_tables=tuple(row_tables),
        degrees=tuple(degrees),
        plastic=plastic,
    )


def _build_samplers(network: Network, clock: float, seed: int, threads: int) -> list[SynapseSampler]:
    """All projections, several at a time if there are several."""
    each = max(1, threads // max(1, len(network.projections)))
    ready: dict[int, SynapseSampler] = {}

    def one(number: int) -> None:
        ready[number] = build_sampler(network, network.projections[number], clock, seed, each)

    for_each(range(len(network.projections)), one, threads)
    return [ready[number] for number in range(len(network.projections))]


def _cells(population: Population, clock: float, seed: int, real: np.dtype) -> Cells:
    assert isinstance(population.model, Neuron)
    neuron = drawn(population.model, seed, population.name, population.size)
    name = type(neuron).__name__
    starts, constants = rows(neuron, type(neuron).initial), rows(neuron, lambda unit: unit.constants(clock))
    states = len(neuron.state)
    require(
        states > 0 and len(starts) == states, f"{name}.initial", f"must give {states} values, one a state", len(starts)
    )
    initial = np.empty((states, population.size), real)
    for row, variable in enumerate(neuron.state):
        key = rng_key(seed, "initial", population.name, variable)
        value = population.initial.get(variable, starts[row])
        initial[row] = draw(value, key, 0, population.size, f"Population[{population.name!r}].initial")
    step = callback(neuron, real, by_unit=constants.ndim == 2)
    return Cells(population, step, initial, constants.astype(real))


def _source(population: Population, p: int, clock: float, seed: int) -> Noise:
    rate = population.model.rate  # type: ignore[union-attr]
    thresholds = _thresholds(rate, clock, f"Population[{population.name!r}].model.rate")
    return Noise(population, p, 0, 0.0, thresholds, rng_key(seed, "source", population.name))


def _noise(network: Network, stimulus: PoissonInput, number: dict[str, int], clock: float, seed: int) -> Noise:
    thresholds = _thresholds(stimulus.rate, clock, f"{stimulus}.rate")
    key = rng_key(seed, "stimulus", str(stimulus.name))
    return Noise(stimulus, number[stimulus.target], network.receptor(stimulus), stimulus.weight, thresholds, key)


def _thresholds(rate: float, clock: float, thing: str) -> NDArray[np.uint32]:
    from ...kernels.tools.random import poisson_thresholds

    mean = rate * clock
    require(mean <= MAX_MEAN, thing, f"must be <= {MAX_MEAN / clock:g} spikes/s at steps of {clock:g} s", rate)
    require(math.isfinite(mean), thing, "must be finite", rate)
    return poisson_thresholds(mean)
