"""Stimuli of a network: sources of spikes, Poisson input and currents."""

from __future__ import annotations

import math
from abc import ABC
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from ..base.errors import NeurosimInputError, is_number, require
from ..base.values import Distribution, Value, check_value
from .neurons.base import LATER
from .synapses.base import Pattern


@final
@dataclass(frozen=True)
class SpikeSource:
    """Units that play spikes: a recording, or the output of another simulation.

    An event at time t belongs to the step that contains t, and leaves its unit like a spike of a neuron in that step.
    """


@final
@dataclass(frozen=True, eq=False)
class PoissonSource:
    """Units that spike at random, independently: a Poisson number of spikes in every step.

    Attributes:
        rate: spikes/s of every unit; [units] for each; with `times` [times] or [times, units].
        times: [times] s, ascending from 0: start of each rate, rounded to steps. None: the rate stays.

    Raises:
        NeurosimInputError: on construction, naming the attribute and its rule.
    """

    rate: float | NDArray[Any]
    times: NDArray[Any] | None = field(default=None, metadata=LATER)

    def __post_init__(self) -> None:
        _check_rates(self, "PoissonSource")


@final
@dataclass(frozen=True, eq=False)
class PoissonInput:
    """Independent Poisson spikes to every unit of a population, through one synapse each; drawn while it runs.

    Attributes:
        target: name of the population.
        rate: spikes/s that each unit receives (the sum n f of n sources at f spikes/s); [units] for each; with `times`
            [times] or [times, units].
        weight: of each spike, in the unit of the receptor.
        receptor: name of an input of the target; None means its first.
        name: unique in the network; None means "poisson->target".
        times: [times] s, ascending from 0: start of each rate, rounded to steps. None: the rate stays.

    Raises:
        NeurosimInputError: on construction, naming the attribute and its rule.
    """

    target: str
    rate: float | NDArray[Any]
    weight: float
    receptor: str | None = None
    name: str | None = None
    times: NDArray[Any] | None = field(default=None, metadata=LATER)

    def __post_init__(self) -> None:
        if self.name is None:
            object.__setattr__(self, "name", f"poisson->{self.target}")
        _check_rates(self, str(self))
        require(is_number(self.weight) and math.isfinite(self.weight), f"{self}.weight", "must be finite", self.weight)

    def __str__(self) -> str:
        return f"PoissonInput[{self.name!r}]"


@dataclass(frozen=True, eq=False)
class Current(ABC):
    """A current into neurons whose model has a parameter `i_offset`, to which it adds; constant within a step.

    Attributes:
        target: name of the population.
        name: unique in the network; None means "current->target".
        units: numbers of the units that receive it; None means all.
    """

    target: str
    name: str | None = field(default=None, kw_only=True)
    units: Sequence[int] | NDArray[Any] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if self.name is None:
            object.__setattr__(self, "name", f"current->{self.target}")
        if self.units is not None:
            # As floats first: 1.5 must be an error, and not unit 1.
            units = _frozen(self, "units")
            are_distinct = units.ndim == 1 and units.size == len(np.unique(units))
            are_indices = units.min(initial=0) >= 0 and bool((units % 1 == 0).all())
            require(are_distinct and are_indices, f"{self}.units", "must be different numbers of units", self.units)
            _frozen(self, "units", np.int64)

    def __str__(self) -> str:
        return f"{type(self).__name__}[{self.name!r}]"

    def check_size(self, size: int) -> None:
        """Raise `NeurosimInputError` for a unit beyond the `size` of the target."""
        if self.units is not None:
            highest = int(np.max(self.units, initial=0))
            require(highest < size, f"{self}.units", f"must be < the {size} units of its target", highest)


@final
@dataclass(frozen=True, eq=False)
class StepCurrent(Current):
    """A current that changes at given times and stays between: steps, or any waveform sampled at the clock.

    Attributes:
        times: [times] s, ascending, >= 0: start of each amplitude, rounded to steps; 0 A before the first.
        amplitudes: [times] A, or [times, units] for each of `units`.

    Source: PyNN's StepCurrentSource, NEST's step_current_generator.

    Raises:
        NeurosimInputError: on construction, naming the attribute and its rule.
    """

    times: Sequence[float] | NDArray[Any]
    amplitudes: Sequence[float] | Sequence[Sequence[float]] | NDArray[Any]

    def __post_init__(self) -> None:
        super().__post_init__()
        times = _frozen(self, "times")
        amplitudes = _frozen(self, "amplitudes")
        ascends = _ascends(times) and times[0] >= 0
        require(ascends, f"{self}.times", "must ascend from >= 0 s", times[:1])
        fits = amplitudes.ndim in (1, 2) and len(amplitudes) == len(times)
        require(fits, f"{self}.amplitudes", f"must be [{len(times)}] or [{len(times)}, units]", amplitudes.shape)
        require(bool(np.isfinite(amplitudes).all()), f"{self}.amplitudes", "must be finite", "NaN or infinity")

    def check_size(self, size: int) -> None:
        super().check_size(size)
        count = size if self.units is None else len(self.units)
        amplitudes = np.asarray(self.amplitudes)
        fits = amplitudes.ndim == 1 or amplitudes.shape[1] == count
        require(fits, f"{self}.amplitudes", f"must be [times, {count}]", amplitudes.shape)


@final
@dataclass(frozen=True, eq=False)
class SineCurrent(Current):
    """offset + amplitude sin(2 pi frequency t + phase) from `start` to `stop`, 0 A else; t is the middle of each step.

    Attributes:
        amplitude, offset: A.
        frequency: Hz.
        phase: radians.
        start, stop: s, rounded to steps; None means no end.

    Source: PyNN's ACSource, NEST's ac_generator.
    """

    amplitude: float
    frequency: float
    offset: float = 0.0
    phase: float = 0.0
    start: float = 0.0
    stop: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("amplitude", "frequency", "offset", "phase", "start", "stop"):
            if name == "stop" and self.stop is None:
                continue
            value = getattr(self, name)
            require(is_number(value) and math.isfinite(value), f"{self}.{name}", "must be a finite number", value)
        require(self.frequency >= 0, f"{self}.frequency", "must be >= 0 Hz", self.frequency)
        require(self.start >= 0, f"{self}.start", "must be >= 0 s", self.start)
        later = self.stop is None or self.stop >= self.start
        require(later, f"{self}.stop", f"must be >= its start at {self.start:g} s", self.stop)


@final
@dataclass(frozen=True, eq=False)
class NoiseCurrent(Current):
    """An Ornstein-Uhlenbeck process of each unit's own: tau dI/dt = mean - I + sd sqrt(2 tau) xi(t), stationary.

    Exact at every step; white noise with a new value each step where tau is far below the clock.

    Attributes:
        mean: A; or [units].
        sd: standard deviation, A; or [units].
        tau: correlation time, s.

    Source: Uhlenbeck & Ornstein 1930; PyNN's NoisyCurrentSource, NEST's noise_generator.

    Raises:
        NeurosimInputError: on construction, naming the attribute and its rule.
    """

    mean: float | NDArray[Any]
    sd: float | NDArray[Any]
    tau: float

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("mean", "sd"):
            values = np.asarray(getattr(self, name))
            valid = values.dtype.kind in "iuf" and values.ndim <= 1 and bool(np.isfinite(values).all())
            require(valid, f"{self}.{name}", "must be finite, a number or a vector by unit", getattr(self, name))
        require(np.min(self.sd, initial=0.0) >= 0, f"{self}.sd", "must be >= 0 A", np.min(self.sd, initial=0.0))
        positive = is_number(self.tau) and math.isfinite(self.tau) and self.tau > 0
        require(positive, f"{self}.tau", "must be > 0 s", self.tau)

    def check_size(self, size: int) -> None:
        super().check_size(size)
        count = size if self.units is None else len(self.units)
        for name in ("mean", "sd"):
            shape = np.shape(getattr(self, name))
            require(shape in ((), (count,)), f"{self}.{name}", f"must be a number or [{count}]", shape)


@final
@dataclass(frozen=True, eq=False)
class GapJunctions(Current):
    """Electrical coupling: of two coupled neurons each receives conductance (v of the other - its own v).

    The voltages are those at the start of the step, as Brian2's summed variables have them: first order in the clock,
    which should be short against capacitance / conductance. Threads meet in every step.

    Attributes:
        target, source: names of populations, or one name twice.
        pattern: rule of the pairs that are coupled; within a population a pair that is listed both ways is one
            junction, and no neuron is coupled to itself.
        conductance: S, >= 0: a number, a distribution, or a vector in the pattern's order.

    Source: Hodgkin & Huxley's cable with a resistor between cells; NEST's gap_junction.

    Raises:
        NeurosimInputError: on construction, naming the attribute and its rule.
    """

    source: str
    pattern: Pattern
    conductance: Value

    def __post_init__(self) -> None:
        if self.name is None:
            object.__setattr__(self, "name", f"{self.source}--{self.target}")
        super().__post_init__()
        require(self.units is None, f"{self}.units", "must be None: the pattern says which", self.units)
        require(isinstance(self.pattern, Pattern), f"{self}.pattern", "must be a connection pattern", self.pattern)
        check_value(self.conductance, f"{self}.conductance")
        if not isinstance(self.conductance, Distribution):
            lowest = np.min(self.conductance, initial=0.0)
            require(lowest >= 0, f"{self}.conductance", "must be >= 0 S", lowest)


CURRENTS = (StepCurrent, SineCurrent, NoiseCurrent, GapJunctions)
STIMULI: dict[str, type] = {kind.__name__: kind for kind in (PoissonInput, *CURRENTS)}


def check_rate_size(owner: PoissonSource | PoissonInput, name: str, size: int) -> None:
    """Raise `NeurosimInputError` unless rates by unit are one for each of `size` units."""
    rate = np.asarray(owner.rate)
    # [units], or with times [times, units].
    by_unit = rate.ndim == (1 if owner.times is None else 2)
    fits = not by_unit or rate.shape[-1] == size
    require(fits, f"{name}.rate", f"must hold {size} values, one a unit", rate.shape)


def _check_rates(owner: PoissonSource | PoissonInput, name: str) -> None:
    """Check rate and times of Poisson spikes, and freeze their arrays."""
    rate = np.asarray(owner.rate)
    times = owner.times
    if rate.ndim:
        rate = _frozen(owner, "rate")
    are_numbers = rate.dtype.kind in "iuf" and not isinstance(owner.rate, bool)
    # The error names the lowest rate of several.
    lowest = owner.rate
    if are_numbers and rate.ndim:
        lowest = float(np.min(rate, initial=0.0))
    valid = are_numbers and bool(np.isfinite(rate).all()) and bool(np.all(rate >= 0))
    require(valid, f"{name}.rate", "must be >= 0 spikes/s", lowest)
    if times is None:
        rule = "must be a number or [units]; give times for rates that change"
        require(rate.ndim <= 1, f"{name}.rate", rule, rate.shape)
        return
    times = _frozen(owner, "times")
    require(times.ndim == 1, f"{name}.times", "must be a list, one time for each rate", times)
    # A rate holds from its time to the next, so the first time is the start.
    ascends = _ascends(times) and times[0] == 0
    require(ascends, f"{name}.times", "must ascend from 0 s", times[:1])
    fits = rate.ndim in (1, 2) and len(rate) == len(times)
    require(fits, f"{name}.rate", f"must be [{len(times)}] or [{len(times)}, units], one a time", rate.shape)


def _ascends(times: NDArray[Any]) -> bool:
    """Return whether an array holds at least one time, all finite and ascending."""
    return times.ndim == 1 and times.size > 0 and bool(np.isfinite(times).all() and (np.diff(times) > 0).all())


def _frozen(owner: Any, name: str, dtype: Any = np.float64) -> NDArray[Any]:
    """Replace a field by an array that cannot be written to, and return it."""
    value = getattr(owner, name)
    try:
        array: NDArray[Any] = np.array(value, dtype)
    except (TypeError, ValueError):
        # Stimuli have names of their own; a source is named by its class.
        if isinstance(owner, (Current, PoissonInput)):
            label = str(owner)
        else:
            label = type(owner).__name__
        raise NeurosimInputError(f"{label}.{name}: must be numbers, one a place (got {value!r:.60})") from None
    array.flags.writeable = False
    object.__setattr__(owner, name, array)
    return array
