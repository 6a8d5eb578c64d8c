"""A network made ready to run: synapses drawn, delays in steps, constants computed. Independent of any recording."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...errors import NeurosimInputError, require
from ...network import Network, PoissonInput, Population, Projection
from ...neurons import Neuron
from ...neurons.by_unit import drawn, rows
from ...random import rng_key
from ...synapses import Distribution, draw
from .callback import callback
from .layout import Layout, lay_out
from .plastic import PlasticSynapses, compile_plastic, plastic_bytes
from .row_tables import RowTable, RowTableBuilder
from .synapse_sampler import SynapseSampler, build_sampler, in_threads

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
class Route:
    """A projection, synapse by synapse: `weights` and `delays` are None where one number serves all."""

    projection: Projection
    source: int
    target: int
    receptor: int
    offsets: NDArray[np.int64]
    targets: NDArray[np.uint32]
    weight: float
    weights: NDArray | None
    delay: int
    delays: NDArray[np.uint16] | None


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
    drawings: tuple[SynapseSampler, ...]
    paths: tuple[RowTable, ...]
    degrees: tuple[NDArray[np.int32], ...]
    plastic: tuple[PlasticSynapses, ...]

    @property
    def interval(self) -> int:
        """Steps for which all spikes that can fall due are known when they begin: the shortest delay."""
        from ...kernels.engine.clocked.deliver import GROUPS

        paths = [1 if path.form == GROUPS else path.delay for path in self.paths]
        return min([MAX_INTERVAL, *paths, *(lesson.lead for lesson in self.plastic)])

    @property
    def depth(self) -> int:
        """Steps that the queue holds: the longest delay in it and the present one."""
        from ...kernels.engine.clocked.deliver import QUEUE

        return 1 + max((path.longest for path in self.paths if path.form == QUEUE), default=0)

    @property
    def history(self) -> int:
        """Steps whose spikes are still needed."""
        from ...kernels.engine.clocked.deliver import QUEUE

        paths = [path.longest for path in self.paths if path.form != QUEUE]
        return max([self.interval, *paths, *(lesson.reach for lesson in self.plastic)])

    def route(self, number: int) -> Route:
        """The synapses of a projection, one by one."""
        drawing = build_sampler(self.network, self.drawings[number].projection, self.clock, self.seed, 1)
        made = drawing.rows(0, len(drawing.before) - 1)
        weights = None if drawing.weight is not None else drawing.weights(made, 0).astype(self.real)
        delays = None if drawing.delay is not None else drawing.delays(made, 0)
        return Route(
            drawing.projection,
            drawing.source,
            drawing.target,
            drawing.receptor,
            made.offsets,
            made.targets.view(np.uint32),
            drawing.weight or 0.0,
            weights,
            drawing.delay or 0,
            delays,
        )

    @property
    def routes(self) -> tuple[Route, ...]:
        """All synapses, one by one: drawn again, and much larger than the paths."""
        return tuple(self.route(number) for number in range(len(self.drawings)))


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
    drawings = _prepare_all(network, clock, seed, threads)
    degrees: list[NDArray[np.int32]] = [
        np.zeros(network.population(d.projection.source).size, np.int32) for d in drawings
    ]
    paths = RowTableBuilder(network, layout, drawings, real, threads, degrees).build(plain)
    taught = compile_plastic(network, drawings, clock, real, degrees)
    populations = list(enumerate(network.populations))
    return CompiledNetwork(
        network,
        clock,
        seed,
        real,
        {p: _cells(pop, clock, seed, real) for p, pop in populations if isinstance(pop.model, Neuron)},
        {p: _source(pop, p, clock, seed) for p, pop in populations if hasattr(pop.model, "rate")},
        tuple(_noise(network, stimulus, number, clock, seed) for stimulus in network.stimuli),
        layout,
        tuple(drawing.forget() for drawing in drawings),
        tuple(paths),
        tuple(degrees),
        taught,
    )


def _prepare_all(network: Network, clock: float, seed: int, threads: int) -> list[SynapseSampler]:
    """All projections, several at a time if there are several."""
    each = max(1, threads // max(1, len(network.projections)))
    ready: dict[int, SynapseSampler] = {}

    def one(number: int) -> None:
        ready[number] = build_sampler(network, network.projections[number], clock, seed, each)

    in_threads(one, list(range(len(network.projections))), threads)
    return [ready[number] for number in range(len(network.projections))]


def check_memory(network: Network, real: np.dtype) -> None:
    """Raise if the synapses are expected not to fit in the memory that is free, before allocating any."""
    need = 0.0
    for projection in network.projections:
        source, target = (network.population(name).side for name in (projection.source, projection.target))
        each = 6 + (np.ndim(projection.weight) > 0 or isinstance(projection.weight, Distribution)) * real.itemsize  # type: ignore[arg-type]
        each += 2 * (np.ndim(projection.delay) > 0 or isinstance(projection.delay, Distribution))  # type: ignore[arg-type]
        each += plastic_bytes(projection, real)
        need += 24.0 * source.size + each * projection.pattern.expected(source, target)
    free = free_memory()
    if free is not None and need > free:
        raise NeurosimInputError(
            f"Network: its synapses need about {need / 2**30:.1f} GiB while being made, and {free / 2**30:.1f} GiB of "
            "memory are free; make it smaller or sparser"
        )


def free_memory() -> int | None:
    """Bytes that can be had without swapping; None where the system does not say."""
    try:
        with open("/proc/meminfo") as lines:
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):
        names = getattr(os, "sysconf_names", {})
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if "SC_PHYS_PAGES" in names else None


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
