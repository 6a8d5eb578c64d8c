"""Leaky integrate-and-fire neurons whose threshold adapts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from ...base.values import Parameter
from ...kernels.engine.exact.flow import two_exponentials
from ...kernels.tools.elementary import widest_vectors
from .base import DeltaNeuron, hold_steps
from .by_unit import at


@final
@dataclass(frozen=True)
class AdaptiveLIF(DeltaNeuron):
    """Leaky integrate-and-fire with a threshold that every spike raises, delta synapses.

        tau_mem dv/dt = v_leak - v + r i_offset
        tau_adapt da/dt = -a
        arrival of weight w:  v += w, lost while refractory
        v > v_threshold + a:  spike, then v = v_reset, held for t_refractory, and a += beta

    where
        tau_mem: membrane time constant, s.
        tau_adapt: time constant of the threshold, s.
        beta: rise of the threshold by a spike, V.
        v_threshold, v_leak, v_reset: V (or dimensionless, with weights alike).
        r: membrane resistance, ohm.
        i_offset: constant current, A.
        t_refractory: absolute refractory period, s.

    State: v; refractory, the steps left to hold; a, V. Source: Bellec et al. 2018 (arXiv 1803.09574), whose beta is
    the same in units of a.
    """

    tau_mem: Parameter = 0.02
    tau_adapt: Parameter = 0.2
    beta: Parameter = 0.1
    v_threshold: Parameter = 1.0
    v_leak: Parameter = 0.0
    v_reset: Parameter = 0.0
    r: Parameter = 1.0
    i_offset: Parameter = 0.0
    t_refractory: Parameter = 0.0
    state: ClassVar[tuple[str, ...]] = ("v", "refractory", "a")

    def initial(self) -> tuple[float, ...]:
        return self.v_leak, 0.0, 0.0

    def constants(self, dt: float) -> tuple[float, ...]:
        decays = math.exp(-dt / self.tau_mem), math.exp(-dt / self.tau_adapt)
        rest = self.v_leak + self.r * self.i_offset
        hold = hold_steps(self.t_refractory, dt)
        return (*decays, rest, self.v_threshold, self.v_reset, self.beta, hold)

    @staticmethod
    def step(state: NDArray[Any], inputs: NDArray[Any], c: NDArray[Any], spiked: NDArray[np.uint8]) -> None:
        v = state[0]
        refractory = state[1]
        a = state[2]
        arriving = inputs[0]
        decay = c[0]
        a_decay = c[1]
        rest = c[2]
        threshold = c[3]
        reset = c[4]
        beta = c[5]
        hold = c[6]
        zero = c.dtype.type(0)
        one = c.dtype.type(1)
        widest_vectors()
        for i in range(spiked.size):
            # tau_adapt da/dt = -a over a step.
            u = v[i]
            wait = refractory[i]
            raised = a[i] * at(a_decay, i)
            # tau_mem dv/dt = rest - v over a step: v - rest decays by exp(-dt / tau_mem). Then input arrives.
            free = at(rest, i) + (u - at(rest, i)) * at(decay, i) + arriving[i]
            # While refractory the membrane is clamped and cannot fire; beta < 0 may bring the threshold below it.
            new = u if wait > zero else free
            fired = (wait <= zero) & (new > at(threshold, i) + raised)
            v[i] = at(reset, i) if fired else new
            a[i] = raised + at(beta, i) if fired else raised
            if fired:
                refractory[i] = at(hold, i)
            else:
                refractory[i] = max(wait - one, zero)
            spiked[i] = fired

    def exact_constants(self) -> tuple[float, ...]:
        rest = self.v_leak + self.r * self.i_offset
        taus = (self.tau_mem, self.tau_adapt)
        voltages = (self.v_threshold, self.v_reset, self.beta)
        return (*taus, rest, *voltages, self.t_refractory)

    @staticmethod
    def flow(state: NDArray[Any], elapsed: float, c: NDArray[Any]) -> None:
        tau_mem = c[0]
        tau_adapt = c[1]
        rest = c[2]
        # The membrane is clamped until the refractory period ends, then decays to rest; the threshold always decays.
        clamped = min(elapsed, state[1])
        state[1] -= clamped
        state[0] = rest + (state[0] - rest) * math.exp(-(elapsed - clamped) / tau_mem)
        state[2] *= math.exp(-elapsed / tau_adapt)

    @staticmethod
    def crossing(state: NDArray[Any], c: NDArray[Any]) -> float:
        tau_mem = c[0]
        tau_adapt = c[1]
        rest = c[2]
        threshold = c[3]
        # From the end of the refractory period on: v = threshold + a, two exponentials of different time constants.
        a = state[2] * math.exp(-state[1] / tau_adapt)
        return state[1] + two_exponentials(rest - threshold, state[0] - rest, tau_mem, -a, tau_adapt)

    @staticmethod
    def fire(state: NDArray[Any], c: NDArray[Any]) -> None:
        reset = c[4]
        beta = c[5]
        t_refractory = c[6]
        state[0] = reset
        state[1] = t_refractory
        state[2] += beta
