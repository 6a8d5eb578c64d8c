"""The contract of a neuron model."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import Field, fields
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...base.errors import is_number, require
from ...base.values import Distribution, varies
from .by_unit import check_each

# Metadata of a field that a model got after networks with it had been saved.
LATER = {"later": True}
# One over the error of a step in continuous time, as a part of a model's own scale of v, where its flow is integrated
# numerically.
PRECISION = 1e10


def written_fields(value: Any) -> list[Field[Any]]:
    """Return the fields of a dataclass in its description; those marked `LATER` only if they differ from defaults."""
    return [f for f in fields(value) if f.metadata != LATER or not _is(getattr(value, f.name), f.default)]


def _is(value: Any, default: Any) -> bool:
    return value is default or (not isinstance(value, np.ndarray) and bool(value == default))


class Drive(NamedTuple):
    """A row of a neuron's inputs that the engine fills for every unit in every step, besides those of its receptors.

    Attributes:
        kind: "step", the number of the step; "unit", the number of the unit; "normal", a standard normal number;
            "uniform", a number between 0 and 1. Random numbers are keyed by seed, population, name, unit and step.
        name: of the row in the model.
        shared: all units have the same number.
    """

    kind: str
    name: str
    shared: bool = False


class Neuron(ABC):
    """A point neuron: parameters, declared state, one step. It may be copied and pickled.

    A model is a final frozen dataclass of parameters (plain numbers, SI units). Its docstring gives the ODE, the jump
    a synaptic weight makes, and the meaning and unit of every parameter. It runs compiled at full speed from whatever
    file it is written in; nothing needs to be registered.

    The grid, for all models: step k leads the state from time k dt to (k + 1) dt. It integrates, then adds the input
    that arrives at (k + 1) dt, then compares with the threshold, as NEST does. A spike of step k has the time
    k dt, the start of its step, as Brian2 does; with a delay of d steps, d >= 1, it arrives in step k + d. After it a
    neuron is held for `t_refractory`, rounded to steps: the next round(t_refractory / dt) steps leave the membrane at
    its reset.

    Parameters are checked by their names: `tau_...` must be > 0 s, `t_...` must be >= 0 s, all must be finite, and
    `v_reset` must lie below `v_threshold`.
    """

    state: ClassVar[tuple[str, ...]]
    """Names of the state variables, one row each."""
    receptors: ClassVar[tuple[str, ...]]
    """Names of the inputs, one row each; the first is a projection's default."""
    positive: ClassVar[tuple[str, ...]] = ()
    """Receptors whose weights must be >= 0: conductances, of which a negative one makes the membrane explode."""

    drives: ClassVar[tuple[Drive, ...]] = ()
    """Rows of `inputs` after those of the receptors: time and random numbers, for a model that needs them."""

    def __post_init__(self) -> None:
        name = type(self).__name__
        sizes = {}
        for entry in fields(self):  # type: ignore[arg-type]
            value = getattr(self, entry.name)
            if isinstance(value, (list, tuple, np.ndarray)) and np.ndim(value):
                if np.asarray(value).dtype.kind in "iuf":
                    value = np.array(value, np.float64)
                else:
                    value = np.asarray(value)
                value.flags.writeable = False
                object.__setattr__(self, entry.name, value)
                sizes[entry.name] = value.size
            # The annotation as it is written in the class: `OptionalParameter`, or `float | None` in one of a user.
            optional = "None" in str(entry.type) or "Optional" in str(entry.type)
            if value is not None or not optional:
                _check_parameter(f"{name}.{entry.name}", entry.name, value)
        for other, size in sizes.items():
            first, count = next(iter(sizes.items()))
            require(size == count, f"{name}.{other}", f"must hold {count} values, as {first}", size)
        threshold = getattr(self, "v_threshold", math.inf)
        reset = getattr(self, "v_reset", -math.inf)
        # Of two arrays the error names the unit; of two numbers the threshold too.
        limit = "" if varies(threshold) else f" {threshold} V"
        check_each(f"{name}.v_reset", np.less, f"must be < v_threshold{limit}", reset, threshold)

    @abstractmethod
    def initial(self) -> tuple[float, ...]:
        """Return the initial value of each state variable, the same for all units."""

    @abstractmethod
    def constants(self, dt: float) -> tuple[float, ...]:
        """Return the numbers `step` uses, for steps of `dt` seconds, computed in float64.

        Every parameter is a number here: where one differs from unit to unit, this is called for each unit.
        """

    @staticmethod
    @abstractmethod
    def step(state: NDArray[Any], inputs: NDArray[Any], c: NDArray[Any], spiked: NDArray[np.uint8]) -> None:
        """Compute one grid step of n units, in place.

        Args:
            state: [len(state), n], read and written.
            inputs: [len(receptors) + len(drives), n], the weights that arrive at the end of this step, summed, and the
                rows of `drives`.
            c: [k], the numbers of `constants(dt)`; [k, n] where parameters differ from unit to unit. `at(c[j], i)` is
                constant j of unit i in both forms.
            spiked: [n], set to 1 for units that fire, else to 0.

        All three float arrays have one dtype, float32 or float64. To be compiled to vector instructions the loop runs
        over `range(spiked.size)`, reads rows and constants into locals first, and selects (`a if condition else b`, one
        variable at a time) where it would branch. Literals come as `c.dtype.type(1)`, or they widen float32.
        """

    quiet: ClassVar[Callable[[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[np.uint8]], None] | None] = None
    """A shorter form of `step` for n units none of which is refractory and to which nothing arrives, or None.

    It computes what `step` computes of inputs and `refractory` that are zero, and does not read these.
    """


class ExactNeuron(Neuron):
    """A neuron that also runs in continuous time (`simulate(..., clock=None)`): its flow between events is known.

    Four functions of one unit's state describe it: `flow`, `jump`, `crossing` and `fire`. They are compiled, from
    whatever file they are written in, for pointers to float64: `state[0]` reads and writes, there is no length, no
    slice and no dtype. Times are in seconds.

    The state is as in `step`, but `refractory` holds seconds, not steps. A neuron held until a moment is free at it.
    All weights that arrive at one unit at one moment are added before `crossing` is called.
    """

    @abstractmethod
    def exact_constants(self) -> tuple[float, ...]:
        """Return the numbers that the functions take as `c`."""

    @staticmethod
    @abstractmethod
    def flow(state: NDArray[Any], elapsed: float, c: NDArray[Any]) -> None:
        """Move the state [variables] on by `elapsed` seconds without events, however far the next crossing is."""

    @staticmethod
    @abstractmethod
    def jump(state: NDArray[Any], receptor: int, weight: float, c: NDArray[Any]) -> None:
        """Add a weight that arrives at a receptor to the state [variables]."""

    @staticmethod
    @abstractmethod
    def crossing(state: NDArray[Any], c: NDArray[Any]) -> float:
        """Return the seconds until the neuron fires if nothing arrives: 0 for now, inf for never; the state stays.

        A negative number -h means: not within h seconds; it is called again then, if nothing has arrived. So a model
        need not solve for a crossing that is far off, or may look ahead piecewise.
        """

    @staticmethod
    @abstractmethod
    def fire(state: NDArray[Any], c: NDArray[Any]) -> None:
        """Apply the spike to the state [variables], which is that at the moment of the crossing."""


class DeltaNeuron(ExactNeuron):
    """A neuron whose membrane, the first state, jumps by a weight while `refractory`, the second state, is 0."""

    receptors: ClassVar[tuple[str, ...]] = ("input",)

    @staticmethod
    def jump(state: NDArray[Any], receptor: int, weight: float, c: NDArray[Any]) -> None:
        # While refractory, input is lost.
        if state[1] <= 0.0:
            state[0] += weight


def _check_parameter(name: str, parameter: str, value: Any) -> None:
    """Check a parameter by its type and its name; a distribution is checked when it is drawn."""
    if isinstance(value, (bool, Distribution)):
        return
    if isinstance(value, np.ndarray):
        valid = value.ndim == 1 and value.dtype.kind in "iuf"
    else:
        valid = is_number(value)
    require(valid, name, "must be a number, a vector by unit or a distribution", f"{value!r:.60}")
    check_each(name, np.isfinite, "must be finite", value)
    if parameter.startswith("tau_"):
        check_each(name, lambda tau: tau > 0, "must be > 0 s", value)
    elif parameter.startswith("t_"):
        check_each(name, lambda t: t >= 0, "must be >= 0 s", value)


def hold_steps(t_refractory: float, dt: float) -> float:
    """Return the number of steps of `dt` for which a neuron is held after its spike; halves round up."""
    return math.floor(t_refractory / dt + 0.5)


def propagator(rates: Sequence[Sequence[float]], dt: float) -> NDArray[np.float64]:
    """Return exp(A dt) of a small matrix A (1/s): the exact step of x' = A x.

    By scaling, Taylor series and squaring in float64; equal time constants need no case of their own.
    """
    a = np.asarray(rates, np.float64) * dt
    scale = np.ones(len(a))
    if np.abs(a).sum(axis=1).max() > 1:
        # Volts driven by amperes have entries of 1e6 and more: each squaring would double their rounding errors.
        scale = _balance(a)
        a = a / scale[:, None] * scale
    # exp(a) = exp(a / 2^s)^(2^s), with s such that the norm of a / 2^s is at most 1/8.
    norm = float(np.abs(a).sum(axis=1).max())
    squarings = max(0, math.frexp(norm)[1] + 3)
    a = a / 2.0**squarings
    term = np.eye(len(a))
    total = term
    for k in range(1, 14):  # norm <= 1/8: the next term is below 1e-20
        term = term @ a / k
        total = total + term
    for _ in range(squarings):
        total = total @ total
    return total * scale[:, None] / scale


def _balance(a: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return powers of 2, the units of the variables, in which rows and columns of a matrix are about as large.

    exp(A) = D exp(D^-1 A D) D^-1 for a diagonal D (Osborne 1960).
    """
    sizes = np.abs(a).tolist()
    every = range(len(sizes))
    scale = [1.0] * len(sizes)
    # Sums below this do not lengthen the series; rows and columns of zeros have it.
    least = max(0.125, *(sizes[k][k] for k in every)) / 64
    for _ in range(30):
        is_changed = False
        for k in every:
            row = sum(sizes[k]) - sizes[k][k]
            column = sum(sizes[j][k] for j in every) - sizes[k][k]
            power = round(math.log2(max(row, least) / max(column, least)) / 2)
            if power == 0:
                continue
            is_changed = True
            factor = 2.0**power
            scale[k] *= factor
            for j in (j for j in every if j != k):
                sizes[k][j] /= factor
                sizes[j][k] *= factor
        if not is_changed:
            break
    return np.array(scale)
