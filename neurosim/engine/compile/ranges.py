"""Numbers of a network that the precision of a run cannot hold: refused before they become infinite."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.errors import NeurosimInputError, require
from ...network.network import Network
from ...network.neurons.base import Neuron
from ...network.neurons.by_unit import rows
from ...network.population import Population
from ...network.stimuli import PoissonInput
from .cells import Cells
from .currents import CompiledCurrent

# Standard deviations within which a noise current is assumed to stay.
DEVIATIONS = 10.0


def check_weights(network: Network, real: np.dtype[Any]) -> None:
    """Check the weights of projections and stimuli, or the parameters of their distributions.

    Raises:
        NeurosimInputError: naming the projection or stimulus, the limit and the weight.
    """
    for projection in network.projections:
        check_range(f"{projection}.weight", projection.weight, real)
    for stimulus in network.stimuli:
        if isinstance(stimulus, PoissonInput):
            check_range(f"{stimulus}.weight", stimulus.weight, real)


def check_range(name: str, value: object, real: np.dtype[Any]) -> None:
    """Check that a number, an array, or every parameter of a distribution is finite in a precision.

    Raises:
        NeurosimInputError: naming the limit and the number.
    """
    limit = float(np.finfo(real).max)
    if is_dataclass(value):
        parts = [getattr(value, each.name) for each in fields(value)]
    else:
        parts = [value]
    for part in parts:
        # No copy of the array: it may hold a number for each synapse.
        array = np.asarray(part)
        if not np.issubdtype(array.dtype, np.number):
            continue
        for extreme in (array.min(initial=0.0), array.max(initial=0.0)):
            unbounded = is_dataclass(value) and np.isinf(extreme)
            fits = bool(abs(extreme) <= limit) or unbounded
            require(fits, name, f"must be at most {limit:.3g}, the range of {real}", extreme)


@contextmanager
def refused_division(population: Population, neuron: Neuron) -> Iterator[None]:
    """Refuse parameters whose constants cannot be computed in this block, as where one of them divides by 0.

    Raises:
        NeurosimInputError: naming the population, its model and the parameters that are 0.
    """
    try:
        yield
    except ArithmeticError as error:
        values = {each.name: np.asarray(getattr(neuron, each.name)) for each in fields(neuron)}  # type: ignore[arg-type]
        numbers = {name: value for name, value in values.items() if np.issubdtype(value.dtype, np.number)}
        zeros = ", ".join(name for name, value in numbers.items() if not value.all()) or "none"
        rule = f"must have parameters from which constants of {type(neuron).__name__} can be computed"
        raise NeurosimInputError(
            f"Population[{population.name!r}].model: {rule} ({error}; parameters that are 0: {zeros})"
        ) from None


def check_constants(
    population: Population, neuron: Neuron, clock: float, constants: NDArray[np.float64], real: np.dtype[Any]
) -> None:
    """Check that constants of a model, computed in float64, are finite in a precision, or infinite by definition.

    Raises:
        NeurosimInputError: naming the population, its model and the largest parameter.
    """
    limit = float(np.finfo(real).max)
    infinite = np.isinf(constants)
    wrong = np.isnan(constants) | (~infinite & (np.abs(constants) > limit))
    if infinite.any() and hasattr(neuron, "i_offset"):
        without = rows(replace(neuron, i_offset=0.0), lambda unit: unit.constants(clock))  # type: ignore[type-var]
        by_definition = np.isinf(without).reshape(len(without), -1).any(axis=1)
        # Rows of a model that takes a current are its constants twice, and their change by 1 A.
        by_definition = np.tile(by_definition, len(constants) // len(without))
        wrong |= infinite & ~by_definition.reshape(-1, *[1] * (constants.ndim - 1))
    if wrong.any():
        values = {each.name: np.asarray(getattr(neuron, each.name)) for each in fields(neuron)}  # type: ignore[arg-type]
        sizes = {name: value for name, value in values.items() if np.issubdtype(value.dtype, np.number)}
        largest = max(sizes, key=lambda name: np.abs(sizes[name]).max(initial=0.0))
        rule = f"must be small enough for {real}, in which constants of {type(neuron).__name__} would not be finite"
        value = sizes[largest].flat[np.abs(sizes[largest]).argmax()]
        require(False, f"Population[{population.name!r}].model.{largest}", rule, value)


def check_currents(network: Network, cells: Mapping[int, Cells], currents: Sequence[CompiledCurrent]) -> None:
    """Check that currents leave the constants finite to which they are added.

    Raises:
        NeurosimInputError: naming the current, its target and its peak.
    """
    for current in currents:
        if current.couplings is not None:
            continue
        constants = cells[current.population].constants
        plain, _, slope = constants.astype(np.float64).reshape(3, -1)
        peak = _peak(current)
        limit = float(np.finfo(constants.dtype).max)
        moved = slope != 0
        with np.errstate(over="ignore"):
            reached = np.abs(plain[moved]) + np.abs(slope[moved]) * peak
        fits = peak <= limit and bool((reached <= limit).all())
        target = network.populations[current.population].name
        rule = f"must leave the constants of Population[{target!r}] finite in {constants.dtype}"
        require(fits, f"current {current.name!r}", rule, peak)


def _peak(current: CompiledCurrent) -> float:
    """Return the largest absolute value of a current, A."""
    if current.function == "sine":
        return float(np.abs(current.numbers[:2]).sum())
    if current.function == "process":
        mean, deviation = current.values
        return float((np.abs(mean) + DEVIATIONS * np.abs(deviation)).max(initial=0.0))
    return float(np.abs(current.values).max(initial=0.0))
