"""The adaptive neuron of trained networks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from ...base.values import Parameter
from ...kernels.tools.elementary import widest_vectors
from .base import Neuron
from .by_unit import at


@final
@dataclass(frozen=True)
class SEAdLIF(Neuron):
    """Leaky integrate-and-fire with an adaptation current, as `neurosim.learning.SEAdLIFLayer` trains it (SE-adLIF).

        u = alpha v + (1 - alpha) (x - w), x being the weights that arrive in the step
        u > v_threshold:  spike, then v = 0; otherwise v = u
        w = beta w + (1 - beta) q (a v + b s), with the new v, and s = 1 if it spiked, else 0
        alpha = exp(-dt / tau_mem), beta = exp(-dt / tau_adapt)

    where
        tau_mem, tau_adapt: time constants of membrane and adaptation, s.
        a, b: gains of the membrane and of a spike in the adaptation, dimensionless.
        q: their common scale, dimensionless.
        v_threshold: V (or dimensionless, with weights alike).
        soft_reset: v = u - v_threshold instead of v = 0.

    Runs on a grid only, with the step it was trained with: input is a current that lasts one step.
    State: v; w. Source: Baronig et al. 2025, "Advancing spatio-temporal processing through adaptation in spiking
    neural networks" (symplectic Euler: w sees the new v).
    """

    tau_mem: Parameter = 0.025
    tau_adapt: Parameter = 0.3
    a: Parameter = 0.5
    b: Parameter = 1.0
    q: Parameter = 120.0
    v_threshold: Parameter = 1.0
    soft_reset: bool = False
    state: ClassVar[tuple[str, ...]] = ("v", "w")
    receptors: ClassVar[tuple[str, ...]] = ("input",)

    def initial(self) -> tuple[float, ...]:
        return 0.0, 0.0

    def constants(self, dt: float) -> tuple[float, ...]:
        decays = math.exp(-dt / self.tau_mem), math.exp(-dt / self.tau_adapt)
        return (*decays, self.v_threshold, self.q * self.a, self.q * self.b, float(self.soft_reset))

    @staticmethod
    def step(state: NDArray[Any], inputs: NDArray[Any], c: NDArray[Any], spiked: NDArray[np.uint8]) -> None:
        v = state[0]
        w = state[1]
        arriving = inputs[0]
        decay = c[0]
        w_decay = c[1]
        threshold = c[2]
        by_v = c[3]
        by_spike = c[4]
        soft = c[5]
        zero = c.dtype.type(0)
        one = c.dtype.type(1)
        widest_vectors()
        for i in range(spiked.size):
            slow = w[i]
            # tau_mem dv/dt = x - w - v over a step in which x and w stay.
            u = at(decay, i) * v[i] + (one - at(decay, i)) * (arriving[i] - slow)
            fired = u > at(threshold, i)
            # 0; with a soft reset (soft = 1) the excess over the threshold.
            new = at(soft, i) * (u - at(threshold, i)) if fired else u
            # tau_adapt dw/dt = q (a v + b s) - w over the step, with v after the reset.
            jump = at(by_spike, i) if fired else zero
            w[i] = at(w_decay, i) * slow + (one - at(w_decay, i)) * (at(by_v, i) * new + jump)
            v[i] = new
            spiked[i] = fired
