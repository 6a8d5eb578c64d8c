"""A model of equations, read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..base import Drive
from .split import LinearPart
from .text import Equation, Lookup


@dataclass(frozen=True)
class EquationParts:
    """A model, read: what `neurosim.network.equations` got, as expressions.

    Attributes:
        equations: of all variables; `linear` is the part that is integrated exactly, `rest` the others.
        method: of the rest; None: Heun's, bounded by the threshold.
        threshold: the condition of a spike; None: there are none.
        refractory: a condition under which a neuron that fired fires no more; None: there is none.
        receptors: the variable or input that a weight of each is added to.
        inputs: values that are the sum of what arrives in a step.
        drives: rows of input that the engine fills, by name.
        lookups: values of timed arrays, by name; `timed` are the seconds between entries of each array.
        frozen: expressions by name that are computed at the start of a step and stay in it, in their order.
    """

    equations: Sequence[Equation]
    linear: LinearPart
    method: str | None
    threshold: Any
    refractory: Any
    reset: Sequence[tuple[str, Any]]
    parameters: Mapping[str, float]
    receptors: Mapping[str, str]
    inputs: Sequence[str]
    positive: tuple[str, ...]
    initial: Mapping[str, Any]
    drives: Mapping[str, Drive]
    lookups: Mapping[str, Lookup]
    timed: Mapping[str, Any]
    frozen: Mapping[str, Any] = field(default_factory=dict)
    rest: Sequence[Equation] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "rest", [e for e in self.equations if e.name not in self.linear.names])

    @property
    def rests(self) -> bool:
        """Return whether a refractory time follows a spike; variables that are not held move on in it."""
        return "t_refractory" in self.parameters or self.refractory is not None

    @property
    def states(self) -> list[str]:
        names = [equation.name for equation in self.equations]
        if self.rests:
            names.append("refractory")
        return names

    @property
    def over(self) -> tuple[Any, Any] | None:
        """Return left and right of a threshold `left > right`; None for another condition."""
        if type(self.threshold).__name__ != "less":
            return None
        right, left = self.threshold.args
        return left, right
