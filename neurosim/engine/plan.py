"""A network made ready to run: synapses drawn, delays in steps, constants computed. Independent of any recording."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import NeurosimInputError, check
from ..network import Network, PoissonInput, Population, Projection, stream
from ..neurons import Neuron
from ..synapses import Distribution, Rows, draw
from .callback import callback

# Beyond this many expected events a step, a Poisson count by thresholds is no longer worth its table.
LARGEST_MEAN = 500.0
LONGEST_DELAY = 2**16 - 1


@dataclass(frozen=True, eq=False)
class Cells:
    """A population of neurons: `initial` is real [states, size], `constants` real [...], `slots` those of its ring."""

    population: Population
    step: int
    initial: NDArray
    constants: NDArray
    slots: int


@dataclass(frozen=True, eq=False)
class Route:
    """A projection: `weights` and `delays` are None where one number serves all synapses."""

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

    def nonzero_degrees(self) -> NDArray[np.int64]:
        """[sources] synapses of weight other than zero."""
        if self.weights is None:
            return np.diff(self.offsets) * (self.weight != 0)
        before = np.concatenate([[0], np.cumsum(self.weights != 0)])
        return np.diff(before[self.offsets])

    @property
    def nbytes(self) -> int:
        arrays = (self.offsets, self.targets, self.weights, self.delays)
        return sum(a.nbytes for a in arrays if a is not None)


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
class Plan:
    """What `compile_network` makes; index p is that of `network.populations`."""

    network: Network
    clock: float
    seed: int
    real: np.dtype
    cells: dict[int, Cells]
    poisson: dict[int, Noise]
    routes: tuple[Route, ...]
    noises: tuple[Noise, ...]


def compile_network(network: Network, clock: float, seed: int, real: np.dtype) -> Plan:
    """Draw and lay out everything that does not change while the network runs.

    Raises:
        NeurosimInputError: a delay under a step, a network larger than the memory that is free, a rate too high.
    """
    check_memory(network, real)
    number = {population.name: p for p, population in enumerate(network.populations)}
    routes = tuple(_route(network, projection, number, clock, seed, real) for projection in network.projections)
    slots = dict.fromkeys(range(len(number)), 1)
    for route in routes:
        longest = route.delay if route.delays is None else int(route.delays.max(initial=1))
        slots[route.target] = max(slots[route.target], longest + 1)
    populations = list(enumerate(network.populations))
    return Plan(
        network,
        clock,
        seed,
        real,
        {p: _cells(pop, slots[p], clock, seed, real) for p, pop in populations if isinstance(pop.model, Neuron)},
        {p: _source(pop, p, clock, seed) for p, pop in populations if hasattr(pop.model, "rate")},
        routes,
        tuple(_noise(network, stimulus, number, clock, seed) for stimulus in network.stimuli),
    )


def check_memory(network: Network, real: np.dtype) -> None:
    """Raise if the synapses are expected not to fit in the memory that is free, before allocating any."""
    need = 0.0
    for projection in network.projections:
        source, target = (network.population(name).side for name in (projection.source, projection.target))
        each = 4 + (np.ndim(projection.weight) or isinstance(projection.weight, Distribution)) * (real.itemsize + 8)  # type: ignore[arg-type]
        each += 10 * (np.ndim(projection.delay) > 0 or isinstance(projection.delay, Distribution))  # type: ignore[arg-type]
        need += 8.0 * source.size + each * projection.pattern.expected(source, target)
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


def _cells(population: Population, slots: int, clock: float, seed: int, real: np.dtype) -> Cells:
    neuron = population.model
    assert isinstance(neuron, Neuron)
    name = type(neuron).__name__
    starts, constants = neuron.initial(), np.asarray(neuron.constants(clock), np.float64)
    rows = len(neuron.state)
    check(rows > 0 and len(starts) == rows, f"{name}.initial", f"must give {rows} values, one a state", len(starts))
    initial = np.empty((rows, population.size), real)
    for row, variable in enumerate(neuron.state):
        key = stream(seed, "initial", population.name, variable)
        value = population.initial.get(variable, starts[row])
        initial[row] = draw(value, key, 0, population.size, f"Population[{population.name!r}].initial")
    return Cells(population, callback(neuron, real), initial, constants.astype(real), slots)


def _route(
    network: Network, projection: Projection, number: dict[str, int], clock: float, seed: int, real: np.dtype
) -> Route:
    source, target = number[projection.source], number[projection.target]
    sides = network.populations[source].side, network.populations[target].side
    key = stream(seed, "pattern", str(projection.name))
    rows = projection.pattern.rows(*sides, source == target, key, 0, sides[0].size)
    weight, weights = _weights(projection, rows, seed, real)
    delay, delays = _delays(projection, rows, clock, seed)
    receptor, targets = network.receptor(projection), rows.targets.view(np.uint32)
    return Route(projection, source, target, receptor, rows.offsets, targets, weight, weights, delay, delays)


def _drawn(projection: Projection, rows: Rows, seed: int, what: str) -> float | NDArray[np.float64]:
    """One number, or one for each synapse in the order of the rows."""
    value = getattr(projection, what)
    if not isinstance(value, Distribution) and np.ndim(value) == 0:
        return float(value)
    key = stream(seed, what, str(projection.name))
    values = draw(value, key, 0, len(rows.targets), f"{projection}.{what}")
    return values if rows.order is None else values[rows.order]


def _weights(projection: Projection, rows: Rows, seed: int, real: np.dtype) -> tuple[float, NDArray | None]:
    weights = _drawn(projection, rows, seed, "weight")
    if rows.weights is not None:
        weights = weights * rows.weights
    return (weights, None) if isinstance(weights, float) else (0.0, np.ascontiguousarray(weights, real))


def _delays(projection: Projection, rows: Rows, clock: float, seed: int) -> tuple[int, NDArray | None]:
    delays = _drawn(projection, rows, seed, "delay")
    steps = np.floor(np.atleast_1d(delays) / clock + 0.5)
    if steps.size == 0:
        return 1, None
    thing, shortest, longest = f"{projection}.delay", float(np.min(delays)), float(np.max(delays))
    hint = "; give the distribution a `low`" if isinstance(projection.delay, Distribution) else ""
    check(steps.min() >= 1, thing, f"must round to at least one step of {clock:g} s{hint}", shortest)
    check(steps.max() <= LONGEST_DELAY, thing, f"must be <= {LONGEST_DELAY} steps of {clock:g} s", longest)
    same = bool(steps.min() == steps.max())
    return int(steps[0]), None if same else steps.astype(np.uint16)


def _source(population: Population, p: int, clock: float, seed: int) -> Noise:
    rate = population.model.rate  # type: ignore[union-attr]
    thresholds = _thresholds(rate, clock, f"Population[{population.name!r}].model.rate")
    return Noise(population, p, 0, 0.0, thresholds, stream(seed, "source", population.name))


def _noise(network: Network, stimulus: PoissonInput, number: dict[str, int], clock: float, seed: int) -> Noise:
    thresholds = _thresholds(stimulus.rate, clock, f"{stimulus}.rate")
    key = stream(seed, "stimulus", str(stimulus.name))
    return Noise(stimulus, number[stimulus.target], network.receptor(stimulus), stimulus.weight, thresholds, key)


def _thresholds(rate: float, clock: float, thing: str) -> NDArray[np.uint32]:
    from ..kernels.random import poisson_thresholds

    mean = rate * clock
    check(mean <= LARGEST_MEAN, thing, f"must be <= {LARGEST_MEAN / clock:g} spikes/s at steps of {clock:g} s", rate)
    check(math.isfinite(mean), thing, "must be finite", rate)
    return poisson_thresholds(mean)
