"""Parameters by unit: vectors and distributions in place of a neuron's numbers."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from typing import Any, TypeVar

import numpy as np
from numba import types
from numba.extending import overload
from numpy.typing import NDArray

from ...base.errors import require
from ...base.random import rng_key
from ...base.values import Distribution, Value, draw, varies

N = TypeVar("N")


def at(constant: Any, i: int) -> Any:
    """Return a constant of unit i, in a `step`: the number that all units share, or entry i of a row [n]."""
    if np.ndim(constant):
        return constant[i]
    return constant


@overload(at, inline="always")
def _at(constant, i):
    if isinstance(constant, types.Array):
        return lambda constant, i: constant[i]
    return lambda constant, i: constant


def varied(neuron: Any) -> dict[str, NDArray[Any] | Distribution]:
    """Return the parameters that are vectors or distributions, by name."""
    values = {field.name: getattr(neuron, field.name) for field in fields(neuron)}
    return {name: value for name, value in values.items() if varies(value)}


def drawn(neuron: N, seed: int, population: str, size: int) -> N:
    """Return a neuron without distributions: each is drawn, [size] values, by seed, population and parameter.

    Raises:
        NeurosimInputError: a value that was drawn breaks the parameter's rule: names parameter and unit.
    """
    values = {}
    for name, value in varied(neuron).items():
        if isinstance(value, Distribution):
            key = rng_key(seed, "initial", population, name)
            values[name] = draw(value, key, 0, size, name)
    if not values:
        return neuron
    return replace(neuron, **values)  # type: ignore[type-var]


def rows(neuron: N, numbers: Callable[[N], Sequence[float]]) -> NDArray[np.float64]:
    """Return the k numbers that `numbers` computes of a neuron: [k], or [k, n] if parameters differ from unit to unit.

    `numbers` is called for each unit alone, so a unit has exactly the constants of a neuron whose parameters are plain
    numbers. Distributions must be drawn before.
    """
    if not varied(neuron):
        return np.asarray(numbers(neuron), np.float64)
    return np.ascontiguousarray(np.array([numbers(unit) for unit in _units(neuron)], np.float64).T)


def _units(neuron: N) -> Iterator[N]:
    """Yield one neuron for each unit, with its own numbers as parameters; it is overwritten by the next."""
    arrays = varied(neuron)
    unit = copy.copy(neuron)
    for values in zip(*(array.tolist() for array in arrays.values()), strict=True):  # type: ignore[union-attr]
        for name, value in zip(arrays, values, strict=True):
            # The array was checked on construction: set the value without checks, in one object for all units.
            object.__setattr__(unit, name, value)
        yield unit


def check_each(name: str, holds: Callable[..., Any], rule: str, *values: Value | None) -> None:
    """Raise unless `holds(*values)` for each unit where values are arrays; the first value belongs to `name`.

    Distributions are not checked before they are drawn.

    Raises:
        NeurosimInputError: naming the first unit at fault: `LIF.tau_mem[3]: must be > 0 s (got -0.02)`.
    """
    if any(isinstance(each, Distribution) for each in values):
        return
    good = np.asarray(holds(*values))
    if good.ndim == 0:
        require(bool(good), name, rule, values[0])
    elif not good.all():
        unit = int(np.argmin(good))
        require(False, f"{name}[{unit}]", rule, np.broadcast_to(np.asarray(values[0]), good.shape)[unit])
