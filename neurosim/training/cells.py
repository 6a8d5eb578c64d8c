"""Trained neurons in the event-driven engine: the steps of `neurosim.layers`, each unit with constants of its own.

Where all units of a layer share their constants, the engine's own LIF, CubaLIF and LI compute the same. These take the
constants as they are, rows of state that never change, for a time constant that went through an exponential in another
precision would be another number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
from numpy.typing import NDArray

from ..neurons import Neuron


@final
@dataclass(frozen=True)
class UnitLIF(Neuron):
    """`neurosim.layers.LIF`, a unit each with its own constants.

        u = alpha v + arrived;  spike where u > theta, then v = soft_reset (u - theta), else v = u

    where
        soft_reset: what exceeds the threshold is kept, else v = 0.

    State: v; alpha, the decay in a step, and theta, which stay as `initial` of the population gives them.
    """

    soft_reset: bool = True
    state: ClassVar[tuple[str, ...]] = ("v", "alpha", "theta")
    receptors: ClassVar[tuple[str, ...]] = ("input",)

    def initial(self) -> tuple[float, ...]:
        return 0.0, 0.0, 1.0

    def constants(self, dt: float) -> tuple[float, ...]:
        return (float(self.soft_reset),)

    @staticmethod
    def step(state: NDArray, inputs: NDArray, c: NDArray, spiked: NDArray[np.uint8]) -> None:
        v, alpha, theta, arrived, keep = state[0], state[1], state[2], inputs[0], c[0]
        for i in range(spiked.size):
            u, top = alpha[i] * v[i] + arrived[i], theta[i]
            fired = u > top
            v[i] = keep * (u - top) if fired else u
            spiked[i] = fired


@final
@dataclass(frozen=True)
class UnitCurrentLIF(Neuron):
    """`neurosim.layers.CurrentLIF`, a unit each with its own constants.

        u = alpha v + kappa i;  i = delta i + arrived;  spike and v as UnitLIF

    State: v; i; alpha, theta, delta and kappa, which stay.
    """

    soft_reset: bool = False
    state: ClassVar[tuple[str, ...]] = ("v", "i", "alpha", "theta", "delta", "kappa")
    receptors: ClassVar[tuple[str, ...]] = ("input",)

    def initial(self) -> tuple[float, ...]:
        return 0.0, 0.0, 0.0, 1.0, 0.0, 1.0

    def constants(self, dt: float) -> tuple[float, ...]:
        return (float(self.soft_reset),)

    @staticmethod
    def step(state: NDArray, inputs: NDArray, c: NDArray, spiked: NDArray[np.uint8]) -> None:
        v, current, alpha, theta, delta, kappa = state[0], state[1], state[2], state[3], state[4], state[5]
        arrived, keep = inputs[0], c[0]
        for i in range(spiked.size):
            old, top = current[i], theta[i]
            u = alpha[i] * v[i] + kappa[i] * old
            fired = u > top
            v[i] = keep * (u - top) if fired else u
            current[i] = delta[i] * old + arrived[i]
            spiked[i] = fired


@final
@dataclass(frozen=True)
class UnitAdaptiveLIF(Neuron):
    """`neurosim.layers.SEAdLIF` (SE-adLIF), a unit each with its own constants.

        u = alpha v + (1 - alpha) (arrived - w);  spike and v as UnitLIF
        w = beta w + (1 - beta) (by_v v + by_spike s), with the new v

    State: v; w; alpha, theta, beta, by_v and by_spike, which stay. Source: as `neurosim.layers.SEAdLIF`.
    """

    soft_reset: bool = False
    state: ClassVar[tuple[str, ...]] = ("v", "w", "alpha", "theta", "beta", "by_v", "by_spike")
    receptors: ClassVar[tuple[str, ...]] = ("input",)

    def initial(self) -> tuple[float, ...]:
        return 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0

    def constants(self, dt: float) -> tuple[float, ...]:
        return (float(self.soft_reset),)

    @staticmethod
    def step(state: NDArray, inputs: NDArray, c: NDArray, spiked: NDArray[np.uint8]) -> None:
        v, w, alpha, theta, beta, by_v, by_spike = (
            state[0],
            state[1],
            state[2],
            state[3],
            state[4],
            state[5],
            state[6],
        )
        arrived, keep = inputs[0], c[0]
        zero, one = c.dtype.type(0), c.dtype.type(1)
        for i in range(spiked.size):
            a, b, slow, top = alpha[i], beta[i], w[i], theta[i]
            u = a * v[i] + (one - a) * (arrived[i] - slow)
            fired = u > top
            new = keep * (u - top) if fired else u
            jump = by_spike[i] if fired else zero
            w[i] = b * slow + (one - b) * (by_v[i] * new + jump)
            v[i] = new
            spiked[i] = fired


@final
@dataclass(frozen=True)
class UnitIntegrator(Neuron):
    """`neurosim.layers.LeakyIntegrator`, a unit each with its own decay: v = alpha v + arrived, and no spikes.

    State: v; alpha, which stays.
    """

    state: ClassVar[tuple[str, ...]] = ("v", "alpha")
    receptors: ClassVar[tuple[str, ...]] = ("input",)

    def initial(self) -> tuple[float, ...]:
        return 0.0, 0.0

    def constants(self, dt: float) -> tuple[float, ...]:
        return (0.0,)

    @staticmethod
    def step(state: NDArray, inputs: NDArray, c: NDArray, spiked: NDArray[np.uint8]) -> None:
        v, alpha, arrived = state[0], state[1], inputs[0]
        for i in range(spiked.size):
            v[i] = alpha[i] * v[i] + arrived[i]
            spiked[i] = 0
