"""Values by unit or by synapse: one number for all, a vector, or a distribution to draw from."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .errors import NeurosimInputError, UnitWarning, require


class Distribution(ABC):
    """A random number for each synapse or unit, drawn by counter: value i depends on the key and on i alone."""

    @abstractmethod
    def draw(self, key: int, first: int, count: int) -> NDArray[np.float64]:
        """Return the [count] values of indices `first` to `first + count - 1`."""

    def draw_runs(self, key: int, firsts: NDArray[np.int64], offsets: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the values of several runs of indices: run i begins with `firsts[i]` and fills offsets[i:i + 1]."""
        runs = zip(firsts.tolist(), np.diff(offsets).tolist(), strict=True)
        return np.concatenate([np.empty(0), *(self.draw(key, first, count) for first, count in runs)])


SAMPLE = 16  # values of a distribution that stand for all where units are checked
PLAIN = (float, int, bool, type(None))
Value: TypeAlias = float | NDArray[Any] | Distribution

if TYPE_CHECKING:
    # To type checkers, what may be set (any value) differs from what `Neuron.constants` reads (a number).

    class Parameter:
        """A parameter of a neuron."""

        def __get__(self, instance: object, owner: type) -> float: ...

        def __set__(self, instance: object, value: Value) -> None: ...

    class OptionalParameter:
        """A parameter of a neuron that may be None."""

        def __get__(self, instance: object, owner: type) -> float | None: ...

        def __set__(self, instance: object, value: Value | None) -> None: ...

else:
    Parameter = Value
    OptionalParameter = Value | None


def draw(value: Value, key: int, first: int, count: int, name: str) -> NDArray[np.float64]:
    """Return [count] numbers of any kind of value; `name` stands in errors."""
    if isinstance(value, Distribution):
        return value.draw(key, first, count)
    array = np.asarray(value, np.float64)
    if array.ndim == 0:
        return np.full(count, float(array))
    require(len(array) >= first + count, name, f"must hold {first + count} values", len(array))
    return array[first : first + count]


def draw_runs(value: Value, key: int, firsts: NDArray[np.int64], offsets: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the numbers of several runs of indices: run i begins with `firsts[i]` and fills offsets[i:i + 1]."""
    if isinstance(value, Distribution):
        return value.draw_runs(key, firsts, offsets)
    array = np.asarray(value, np.float64)
    if array.ndim == 0:
        return np.full(int(offsets[-1]), float(array))
    return array[indices_of(firsts, offsets)]


def indices_of(firsts: NDArray[np.int64], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the indices of several runs: `firsts[i]` and those after it at offsets[i:i + 1]."""
    return np.arange(offsets[-1]) + np.repeat(firsts - offsets[:-1], np.diff(offsets))


def check_value(value: Value, name: str) -> None:
    """Raise unless `value` is a finite number, a vector of finite numbers, or a distribution."""
    if isinstance(value, Distribution):
        return
    array = np.asarray(value)
    if array.dtype.kind not in "iuf" or array.ndim > 1:
        raise NeurosimInputError(f"{name}: must be a number, a vector or a distribution (got {value!r:.60})")
    bad = array[~np.isfinite(array)]
    require(bad.size == 0, name, "must be finite", bad.flat[0] if bad.size else None)


def check_unit(value: Value, name: str, clock: float | None = None) -> None:
    """Warn with a `UnitWarning` of a time in seconds that looks like one in milliseconds.

    Such a time is 1 to 500 s and at least 1,000 steps of `clock`. A longer one means never, and where a step is 1 s
    times are counted in steps. Of a distribution a few values are tried.
    """
    longest = float(np.max(_sample(value), initial=0.0))
    if 1.0 <= longest < 500.0 and (clock is None or longest >= 1000.0 * clock):
        if clock is None:
            steps = ""
        else:
            steps = f", {longest / clock:,.0f} steps"
        warnings.warn(
            f"{name}: {longest:g} s is long{steps}; times are in seconds: {longest:g} ms are {longest / 1000:g}",
            UnitWarning,
            stacklevel=2,
        )


def check_resolved(value: Value, name: str, clock: float) -> None:
    """Warn with a `UnitWarning` of a time constant in seconds that is shorter than a step in all units.

    A few that are shorter come from training, which knows the step. Of a distribution a few values are tried.
    """
    if type(value) in PLAIN:
        # A network asks for several times of every population.
        longest = float(value)  # type: ignore[arg-type]
    else:
        longest = float(np.max(_sample(value), initial=0.0))
    if 0.0 < longest < clock:
        warnings.warn(
            f"simulate.clock: a step of {clock:g} s is longer than {name}, {longest:g} s, so that what happens within "
            "a step is lost; times are in seconds: take a clock well below it",
            UnitWarning,
            stacklevel=2,
        )


def check_voltage(value: Value, name: str) -> None:
    """Warn with a `UnitWarning` of a voltage in volts that looks like one in millivolts: from 5 to 500 V."""
    sample = _sample(value)
    if sample.size:
        largest = float(sample.flat[np.abs(sample).argmax()])
    else:
        largest = 0.0
    if 5.0 <= abs(largest) < 500.0:
        warnings.warn(
            f"{name}: {largest:g} V is far from rest; voltages are in volts: {largest:g} mV are {largest / 1000:g}",
            UnitWarning,
            stacklevel=2,
        )


def _sample(value: Value) -> NDArray[Any]:
    """Return the numbers of a value; of a distribution the first few."""
    if isinstance(value, Distribution):
        return value.draw(0, 0, SAMPLE)
    return np.asarray(value)


def varies(value: Any) -> bool:
    """Return whether a value may differ from unit to unit: it is a vector or a distribution."""
    # Numbers first: a network asks for every parameter of every population, several times.
    return type(value) not in PLAIN and (isinstance(value, Distribution) or np.ndim(value) > 0)
