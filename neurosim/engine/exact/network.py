"""A network compiled for continuous time: the synapses of the grid, with delays in seconds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...base.errors import NeurosimInputError, require
from ...base.values import Distribution
from ...network.network import Network
from ...network.neurons import NEURONS
from ...network.neurons.base import ExactNeuron, Neuron
from ...network.neurons.by_unit import drawn, rows
from ...network.population import Population
from ...network.projection import Projection
from ...network.windowed import Windowed
from ..compile.callbacks import exact_callbacks
from ..compile.cells import Cells, initial_state
from ..compile.memory import check_memory
from ..compile.noise import Noise, compile_noise
from ..compile.synapse_sampler import build_sampler

REAL = np.dtype(np.float64)


@dataclass(frozen=True, eq=False)
class Route:
    """A projection.

    Attributes:
        targets, weights: [n] by source, then target; empty where there are `synapses`. `weights` is None where all
            synapses have `weight`.
        delay: s, of all synapses, or the shortest.
        synapses: [n, 3] delay, weight and target where delays differ, each source's sorted by (delay, target). One
            array: they are read one at a time, far from one another.
    """

    projection: Projection
    source: int
    target: int
    receptor: int
    offsets: NDArray[np.int64]
    targets: NDArray[np.uint32]
    weight: float
    weights: NDArray[np.float64] | None
    delay: float
    synapses: NDArray[np.float64] | None

    def __len__(self) -> int:
        return int(self.offsets[-1])

    @property
    def nonzero(self) -> int:
        """Return the number of synapses of weight other than zero."""
        if self.synapses is not None:
            return int(np.count_nonzero(self.synapses[:, 1]))
        if self.weights is None:
            return len(self) * (self.weight != 0)
        return int(np.count_nonzero(self.weights))

    @property
    def nbytes(self) -> int:
        arrays = (self.offsets, self.targets, self.weights, self.synapses)
        return sum(a.nbytes for a in arrays if a is not None)


@dataclass(frozen=True, eq=False)
class ExactNetwork:
    """A network in continuous time, all of it that does not change while it runs.

    Attributes:
        cells, poisson: populations of neurons, and Poisson sources, by their number in `network.populations`.
        routes: projections.
        noises: Poisson stimuli.
    """

    network: Network
    seed: int
    cells: dict[int, Cells]
    poisson: dict[int, Noise]
    routes: tuple[Route, ...]
    noises: tuple[Noise, ...]


def compile_exact(network: Network, seed: int) -> ExactNetwork:
    """Draw and lay out everything that does not change while the network runs.

    Raises:
        NeurosimInputError: a model without an exact form, a delay that is not > 0, a network larger than the memory
            that is free.
    """
    for population in network.populations:
        _check_exact(population)
    for projection in network.projections:
        learning = projection.plasticity or projection.short_term or projection.homeostasis
        if learning is not None:
            kind = type(learning).__name__
            raise NeurosimInputError(
                f"{projection}: {kind} runs on a grid only; give simulate a clock, or leave the rule out"
            )
        share = projection.p_transmit
        require(share == 1, f"{projection}.p_transmit", "must be 1 in continuous time; give a clock", share)
    # Before synapses are drawn: they are what takes the memory.
    check_memory(network, REAL)
    poisson, noises = compile_noise(network, seed, clock=None)
    cells = {}
    for p, population in enumerate(network.populations):
        if isinstance(population.model, ExactNeuron):
            cells[p] = _cells(population, population.model, seed)
    return ExactNetwork(
        network=network,
        seed=seed,
        cells=cells,
        poisson=poisson,
        routes=tuple(_route(network, projection, seed) for projection in network.projections),
        noises=noises,
    )


def _check_exact(population: Population) -> None:
    model = population.model
    if isinstance(model, Windowed):
        raise NeurosimInputError(
            f"Population[{population.name!r}].model: {type(model.model).__name__} acts once a window, which is cut on "
            "a grid of steps; give simulate a clock"
        )
    if isinstance(model, Neuron) and not isinstance(model, ExactNeuron):
        names = ", ".join(sorted(name for name, kind in NEURONS.items() if issubclass(kind, ExactNeuron)))
        raise NeurosimInputError(
            f"Population[{population.name!r}].model: {type(model).__name__} has no exact form, which clock=None needs "
            f"(see neurosim.network.neurons.base.ExactNeuron); give simulate a clock, or use one of {names}"
        )


def _cells(population: Population, model: ExactNeuron, seed: int) -> Cells:
    neuron = drawn(model, seed, population.name, population.size)
    # [units, constants]: an event reads all constants of one unit, side by side.
    constants = np.ascontiguousarray(rows(neuron, type(neuron).exact_constants).T)
    finite = bool(np.isfinite(constants).all())
    require(finite, f"{type(neuron).__name__}.exact_constants", "must be finite", constants.tolist())
    initial = initial_state(population, neuron, seed)
    return Cells(
        population=population,
        state=neuron.state,
        functions=exact_callbacks(neuron),
        initial=initial,
        constants=constants,
        receptors=len(neuron.receptors),
    )


def _route(network: Network, projection: Projection, seed: int) -> Route:
    """Return the synapses of a projection, with one delay for all or sorted by delay."""
    sampler = build_sampler(network, projection, clock=None, seed=seed, threads=1)
    rows, weights, delays = sampler.all_synapses()
    targets = rows.targets.view(np.uint32)
    offsets = rows.offsets
    if targets.size:
        shortest = float(np.min(delays, initial=np.inf))
    else:
        # No synapse: any delay > 0 passes the check.
        shortest = 1.0
    if isinstance(projection.delay, Distribution):
        hint = "; give the distribution a `low`"
    else:
        hint = ""
    require(shortest > 0, f"{projection}.delay", f"must be > 0 s{hint}", shortest)
    synapses = None
    weight = sampler.weight
    if not np.all(delays == shortest):
        # The earliest of a row first: a spike on its way then waits for one synapse at a time.
        order = np.lexsort((targets, delays, np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))))
        synapses = np.stack([delays[order], weights[order], targets[order]], axis=1)
        targets = targets[:0]
        weights = weights[:0]
        # Each synapse carries its own.
        weight = 0.0
    return Route(
        projection=projection,
        source=sampler.source,
        target=sampler.target,
        receptor=sampler.receptor,
        offsets=offsets,
        targets=targets,
        weight=weight or 0.0,
        weights=np.ascontiguousarray(weights) if weight is None else None,
        delay=shortest,
        synapses=synapses,
    )


def check_delays(compiled: ExactNetwork, duration: float) -> None:
    """Raise if a delay is below the resolution of a run: a spike would arrive at the moment it was sent."""
    for route in compiled.routes:
        if duration + route.delay <= duration:
            raise NeurosimInputError(
                f"{route.projection}.delay: must be > {np.spacing(duration):.2g} s, the resolution of a run of "
                f"{duration:g} s (got {route.delay:g})"
            )
