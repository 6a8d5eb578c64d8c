"""Populations of neurons of a compiled network, on the grid or in continuous time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.errors import require
from ...base.random import rng_key
from ...base.values import draw
from ...network.neurons.base import Neuron
from ...network.neurons.by_unit import rows
from ...network.population import Population


@dataclass(frozen=True, eq=False)
class Cells:
    """A population of neurons.

    Attributes:
        state: names of the state variables.
        functions: addresses of the compiled functions of the model.
        initial: [states, size].
        constants: [k]; by unit [k, size] on the grid, [size, k] in continuous time. Of neurons that receive currents
            [3 k, size]: room for the constants of a step, the constants without current, and the change by 1 A.
        receptors: rows of input: of the receptors and drives of the model, and one more of a current.
    """

    population: Population
    state: tuple[str, ...]
    functions: tuple[int, ...]
    initial: NDArray[Any]
    constants: NDArray[Any]
    receptors: int


def initial_state(population: Population, neuron: Neuron, seed: int) -> NDArray[np.float64]:
    """Return [states, size] the initial state of a population; `neuron` is its model without distributions."""
    starts = rows(neuron, type(neuron).initial)
    states = len(neuron.state)
    name = type(neuron).__name__
    valid = states > 0 and len(starts) == states
    require(valid, f"{name}.initial", f"must give {states} values, one a state", len(starts))
    initial = np.empty((states, population.size))
    for row, variable in enumerate(neuron.state):
        # By name: a value does not depend on other populations or variables.
        key = rng_key(seed, "initial", population.name, variable)
        value = population.initial.get(variable, starts[row])
        initial[row] = draw(value, key, 0, population.size, f"Population[{population.name!r}].initial")
    return initial
