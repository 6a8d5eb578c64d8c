"""The contract of synapses whose variables and effects are a model of their own."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .base import LearningRule, Terms


class SynapseModel(LearningRule):
    """Synapses that hold variables beside their weight and act when spikes arrive, when targets fire, or every step.

    It takes the place of a learning rule in `Projection.plasticity`; `synapse_equations` writes such classes from text.
    Weights have no bounds but those that the model itself keeps.

    The order in a step is that of `LearningRule`: variables that move in every step are led over it, what they send is
    their value before; presynaptic spikes that arrive call `on_pre`; the target steps; its spike calls `on_post`, after
    its reset. States of the target are read as they are then.
    """

    w_min = -math.inf
    w_max = math.inf
    variables: ClassVar[tuple[str, ...]]
    """Names of the variables of a synapse beside the weight."""
    reads: ClassVar[tuple[str, ...]] = ()
    """States of the target that the model reads."""
    on_pre: ClassVar[Callable[..., None]]
    """Function of `kernels.engine.clocked.plastic` that is called in every step."""
    on_post: ClassVar[Callable[..., None] | None] = None
    """Function of `kernels.engine.clocked.plastic` for spikes of targets."""

    @abstractmethod
    def initial(self) -> tuple[float, ...]:
        """Return the initial value of each variable."""

    @abstractmethod
    def constants(self, dt: float) -> tuple[float, ...]:
        """Return the numbers that both functions use, for steps of `dt` seconds."""

    def terms(self) -> Terms:
        """Return a rule without changes: the functions of the model are called instead of it."""
        return Terms(w_min=self.w_min, w_max=self.w_max, tau_plus=1.0, tau_minus=1.0)


def numbers_of(model: SynapseModel, dt: float, rows: list[int]) -> NDArray[Any]:
    """Return the vector that the functions of a model read: constants, then the rows of the states that it reads."""
    return np.array([*model.constants(dt), *rows], np.float64)
