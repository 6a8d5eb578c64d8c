"""Leaky integrate-and-fire neurons whose synapses are conductances."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
from numpy.typing import NDArray

from ..kernels.maths import exp
from .base import Neuron, hold_steps


@final
@dataclass(frozen=True)
class CobaLIF(Neuron):
    """Leaky integrate-and-fire, synaptic conductances that decay exponentially.

        tau_mem dv/dt = v_leak - v + r (g_excitatory (e_excitatory - v) + g_inhibitory (e_inhibitory - v) + i_offset)
        tau_syn dg_excitatory/dt = -g_excitatory, and the same for g_inhibitory with its own time constant
        arrival of weight w:  g += w, also while refractory
        v > v_threshold:      spike, then v = v_reset, held for t_refractory

    where
        tau_mem: membrane time constant without synaptic input, s.
        tau_syn: synaptic time constant, s.
        tau_syn_inhibitory: the same of the second receptor, s; None means tau_syn.
        e_excitatory, e_inhibitory: reversal potentials, V.
        v_threshold, v_leak, v_reset: V.
        r: membrane resistance, ohm.
        i_offset: constant current, A.
        t_refractory: absolute refractory period, s.

    Weights are in S and >= 0, inhibitory ones too. The conductances are exact; the membrane takes their mean over the
    step, for which its equation is solved exactly: second order in dt, stable for any conductance.
    State: v; refractory, the steps left to hold; the two conductances. Source: Vogels & Abbott 2005; PyNN's
    IF_cond_exp, NEST's iaf_cond_exp.
    """

    tau_mem: float = 0.02
    tau_syn: float = 0.005
    tau_syn_inhibitory: float | None = 0.010
    e_excitatory: float = 0.0
    e_inhibitory: float = -0.080
    v_threshold: float = -0.050
    v_leak: float = -0.060
    v_reset: float = -0.060
    r: float = 1e8
    i_offset: float = 0.0
    t_refractory: float = 0.0
    state: ClassVar[tuple[str, ...]] = ("v", "refractory", "g_excitatory", "g_inhibitory")
    receptors: ClassVar[tuple[str, ...]] = ("excitatory", "inhibitory")
    positive: ClassVar[tuple[str, ...]] = ("excitatory", "inhibitory")

    def initial(self) -> tuple[float, ...]:
        return self.v_leak, 0.0, 0.0, 0.0

    def constants(self, dt: float) -> tuple[float, ...]:
        numbers = [-dt / self.tau_mem, self.v_leak + self.r * self.i_offset]
        taus = self.tau_syn, self.tau_syn_inhibitory or self.tau_syn
        for tau, reversal in zip(taus, (self.e_excitatory, self.e_inhibitory), strict=True):
            # Of a conductance at the start of the step, times r: its end, its mean over the step, its pull.
            mean = -self.r * tau / dt * math.expm1(-dt / tau)
            numbers += [math.exp(-dt / tau), mean, mean * reversal]
        return (*numbers, self.v_threshold, self.v_reset, hold_steps(self.t_refractory, dt))

    @staticmethod
    def step(state: NDArray, inputs: NDArray, c: NDArray, spiked: NDArray[np.uint8]) -> None:
        v, left, e, h = state[0], state[1], state[2], state[3]
        e_in, h_in = inputs[0], inputs[1]
        rate, rest, e_decay, e_mean, e_pull, h_decay, h_mean, h_pull = c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7]
        threshold, reset, hold = c[8], c[9], c[10]
        zero, one = c.dtype.type(0), c.dtype.type(1)
        for i in range(spiked.size):
            wait, a, b, u = left[i], e[i], h[i], v[i]
            total = one + (a * e_mean + b * h_mean)
            goal = (rest + (a * e_pull + b * h_pull)) / total
            free = goal + (u - goal) * exp(rate * total)
            u = u if wait > zero else free
            e[i] = a * e_decay + e_in[i]
            h[i] = b * h_decay + h_in[i]
            fired = u > threshold
            v[i] = reset if fired else u
            left[i] = hold if fired else max(wait - one, zero)
            spiked[i] = fired
