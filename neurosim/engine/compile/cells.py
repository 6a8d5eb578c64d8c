"""Populations of a compiled network, on the grid or in continuous time: neurons, and Poisson spikes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import require
from ...network import Network, PoissonSource, Population
from ...neurons import Neuron
from ...neurons.by_unit import rows
from ...random import rng_key
from ...synapses import draw

# Above this expected number of events a step, a Poisson count by thresholds is no longer worth its table.
MAX_MEAN = 500.0


@dataclass(frozen=True, eq=False)
class Cells:
    """A population of neurons.

    Attributes:
        functions: addresses of the compiled functions of the model.
        initial: [states, size].
        constants: [k]; by unit [k, size] on the grid, [size, k] in continuous time.
    """

    population: Population
    functions: tuple[int, ...]
    initial: NDArray[Any]
    constants: NDArray[Any]


@dataclass(frozen=True, eq=False)
class Noise:
    """Poisson spikes: of each unit of a source, or to each unit of a target.

    Attributes:
        population: number of the source, or of the target.
        receptor, weight: of a stimulus; 0 for a source.
        rate: spikes/s of each unit.
        key: of the random stream.
        thresholds: of the number of spikes in a step of the clock; empty in continuous time.
    """

    population: int
    receptor: int
    weight: float
    rate: float
    key: int
    thresholds: NDArray[np.uint32]


def initial_state(population: Population, neuron: Neuron, seed: int) -> NDArray[np.float64]:
    """Return [states, size] the initial state of a population; `neuron` is its model without distributions."""
    starts, states, name = rows(neuron, type(neuron).initial), len(neuron.state), type(neuron).__name__
    valid = states > 0 and len(starts) == states
    require(valid, f"{name}.initial", f"must give {states} values, one a state", len(starts))
    initial = np.empty((states, population.size))
    for row, variable in enumerate(neuron.state):
        key = rng_key(seed, "initial", population.name, variable)
        value = population.initial.get(variable, starts[row])
        initial[row] = draw(value, key, 0, population.size, f"Population[{population.name!r}].initial")
    return initial


def compile_noise(network: Network, seed: int, clock: float | None) -> tuple[dict[int, Noise], tuple[Noise, ...]]:
    """Return Poisson sources by population number, and stimuli, for steps of `clock` seconds or continuous time.

    Raises:
        NeurosimInputError: a rate too high for the clock.
    """
    sources = {
        p: Noise(
            population=p,
            receptor=0,
            weight=0.0,
            rate=population.model.rate,
            key=rng_key(seed, "source", population.name),
            thresholds=_thresholds(population.model.rate, clock, f"Population[{population.name!r}].model.rate"),
        )
        for p, population in enumerate(network.populations)
        if isinstance(population.model, PoissonSource)
    }
    numbers = {population.name: p for p, population in enumerate(network.populations)}
    stimuli = tuple(
        Noise(
            population=numbers[stimulus.target],
            receptor=network.receptor(stimulus),
            weight=stimulus.weight,
            rate=stimulus.rate,
            key=rng_key(seed, "stimulus", str(stimulus.name)),
            thresholds=_thresholds(stimulus.rate, clock, f"{stimulus}.rate"),
        )
        for stimulus in network.stimuli
    )
    return sources, stimuli


def _thresholds(rate: float, clock: float | None, name: str) -> NDArray[np.uint32]:
    from ...kernels.tools.random import poisson_thresholds

    if clock is None:
        return np.empty(0, np.uint32)
    mean = rate * clock
    require(mean <= MAX_MEAN, name, f"must be <= {MAX_MEAN / clock:g} spikes/s at steps of {clock:g} s", rate)
    require(math.isfinite(mean), name, "must be finite", rate)
    thresholds: NDArray[np.uint32] = poisson_thresholds(mean)  # type: ignore[no-untyped-call]
    return thresholds
