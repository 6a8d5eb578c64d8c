"""The contract of a neuron model."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..errors import require


class Neuron(ABC):
    """A point neuron: parameters, declared state, one step.

    A model is a final frozen dataclass of parameters (plain numbers, SI units). Its docstring gives the ODE, the jump
    a synaptic weight makes, and the meaning and unit of every parameter. It runs compiled at full speed from whatever
    file it is written in; nothing needs to be registered.

    The grid, for all models: step k leads the state from time k dt to (k + 1) dt. It integrates, then adds the input
    that arrives at (k + 1) dt, then compares with the threshold, as NEST does. A spike found in step k is stamped
    k dt, the start of its step, as Brian2 does; with a delay of d steps, d >= 1, it arrives in step k + d. After it a
    neuron is held for `t_refractory`, rounded to whole steps: the next round(t_refractory / dt) steps leave the
    membrane where the reset put it.

    Parameters are checked by their names: `tau_...` must be > 0 s, `t_...` must be >= 0 s, all must be finite, and
    `v_reset` must lie below `v_threshold`.
    """

    state: ClassVar[tuple[str, ...]]
    """Names of the state variables, one row each."""
    receptors: ClassVar[tuple[str, ...]]
    """Names of the inputs, one row each; the first is a projection's default."""
    positive: ClassVar[tuple[str, ...]] = ()
    """Receptors whose weights must be >= 0: conductances, of which a negative one makes the membrane explode."""

    def __post_init__(self) -> None:
        for entry in fields(self):  # type: ignore[arg-type]
            _check_parameter(f"{type(self).__name__}.{entry.name}", entry.name, getattr(self, entry.name))
        threshold = getattr(self, "v_threshold", math.inf)
        reset = getattr(self, "v_reset", -math.inf)
        require(reset < threshold, f"{type(self).__name__}.v_reset", f"must be < v_threshold {threshold} V", reset)

    @abstractmethod
    def initial(self) -> tuple[float, ...]:
        """The value every unit starts from, one a state variable."""

    @abstractmethod
    def constants(self, dt: float) -> tuple[float, ...]:
        """The numbers `step` uses, for steps of `dt` seconds, computed in float64."""

    @staticmethod
    @abstractmethod
    def step(state: NDArray, inputs: NDArray, c: NDArray, spiked: NDArray[np.uint8]) -> None:
        """One grid step of n units, in place.

        Args:
            state: [len(state), n], read and written.
            inputs: [len(receptors), n], the weights that arrive at the end of this step, summed.
            c: [len(constants(dt))].
            spiked: [n], set to 1 for units that fire, else to 0.

        All three float arrays have one dtype, float32 or float64. To be compiled to vector instructions the loop runs
        over `range(spiked.size)`, reads what it needs into locals first, and selects (`a if condition else b`, one
        variable at a time) where it would branch. Literals come as `c.dtype.type(1)`, or they widen float32.
        """


class ExactNeuron(Neuron):
    """A neuron that also runs in continuous time (`simulate(..., clock=None)`): its flow between events is known.

    Four functions of one unit's state say how. They are compiled, from whatever file they are written in, for
    pointers to float64: `state[0]` reads and writes, there is no length, no slice and no dtype. Times are in seconds.

    The state is that of `step`, but `refractory` holds seconds, not steps. A neuron held until a moment is free at it.
    All that arrives at one unit at one moment is added before `crossing` is asked.
    """

    @abstractmethod
    def exact_constants(self) -> tuple[float, ...]:
        """The numbers the functions take as `c`."""

    @staticmethod
    @abstractmethod
    def flow(state: NDArray, elapsed: float, c: NDArray) -> None:
        """Lead the state over `elapsed` seconds without events, however far the next crossing is."""

    @staticmethod
    @abstractmethod
    def jump(state: NDArray, receptor: int, weight: float, c: NDArray) -> None:
        """Add a weight that arrives at a receptor."""

    @staticmethod
    @abstractmethod
    def crossing(state: NDArray, c: NDArray) -> float:
        """Seconds until the neuron fires if nothing arrives: 0 for now, inf for never. The state is left as it is.

        A negative number -h says: not within h seconds; ask again then, if nothing has arrived. So a model need not
        solve for a crossing that is far off, or may look ahead piecewise.
        """

    @staticmethod
    @abstractmethod
    def fire(state: NDArray, c: NDArray) -> None:
        """What the spike does to the state, that of the moment of the crossing."""


def _check_parameter(thing: str, name: str, value: Any) -> None:
    if isinstance(value, bool) or value is None:
        return
    require(isinstance(value, (int, float, np.integer, np.floating)), thing, "must be a number", repr(value))
    require(math.isfinite(value), thing, "must be finite", value)
    if name.startswith("tau_"):
        require(value > 0, thing, "must be > 0 s", value)
    elif name.startswith("t_"):
        require(value >= 0, thing, "must be >= 0 s", value)


def hold_steps(t_refractory: float, dt: float) -> float:
    """Whole steps of `dt` for which a neuron is held after its spike; halves round up."""
    return math.floor(t_refractory / dt + 0.5)


def propagator(rates: Sequence[Sequence[float]], dt: float) -> NDArray[np.float64]:
    """exp(A dt) of a small matrix A (1/s): the exact step of x' = A x.

    By scaling, Taylor series and squaring in float64; equal time constants need no case of their own.
    """
    a = np.asarray(rates, np.float64) * dt
    squarings = max(0, math.frexp(float(np.abs(a).sum(axis=1).max()))[1] + 3)
    a = a / 2.0**squarings
    total = term = np.eye(len(a))
    for k in range(1, 14):  # norm <= 1/8: the next term is below 1e-20
        term = term @ a / k
        total = total + term
    for _ in range(squarings):
        total = total @ total
    return total
