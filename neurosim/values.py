"""Values by unit or by synapse: one number for all, a vector, or a distribution to draw from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .errors import NeurosimInputError, require


class Distribution(ABC):
    """A random number for each synapse or unit, drawn by counter: value i depends on the key and on i alone."""

    @abstractmethod
    def draw(self, key: int, first: int, count: int) -> NDArray[np.float64]:
        """Return the [count] values of indices `first` to `first + count - 1`."""


PLAIN = (float, int, bool, type(None))
Value: TypeAlias = float | NDArray | Distribution

if TYPE_CHECKING:
    # A neuron computes with numbers alone (see `Neuron.constants`), and type checkers must let it.
    Parameter: TypeAlias = Any
else:
    Parameter = Value


def draw(value: Value, key: int, first: int, count: int, name: str) -> NDArray[np.float64]:
    """Return [count] numbers of any kind of value; `name` stands in errors."""
    if isinstance(value, Distribution):
        return value.draw(key, first, count)
    array = np.asarray(value, np.float64)
    if array.ndim == 0:
        return np.full(count, float(array))
    require(len(array) >= first + count, name, f"must hold {first + count} values", len(array))
    return array[first : first + count]


def check_value(value: Value, name: str) -> None:
    """Raise unless `value` is a finite number, a vector of finite numbers, or a distribution."""
    if isinstance(value, Distribution):
        return
    array = np.asarray(value)
    if array.dtype.kind not in "iuf" or array.ndim > 1:
        raise NeurosimInputError(f"{name}: must be a number, a vector or a distribution (got {value!r:.60})")
    bad = array[~np.isfinite(array)]
    require(bad.size == 0, name, "must be finite", bad.flat[0] if bad.size else None)


def varies(value: Any) -> bool:
    """Return whether a value may differ from unit to unit: it is a vector or a distribution."""
    # Numbers first: a network asks for every parameter of every population, several times.
    return type(value) not in PLAIN and (isinstance(value, Distribution) or np.ndim(value) > 0)
