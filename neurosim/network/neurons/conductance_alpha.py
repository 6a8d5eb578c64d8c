"""Leaky integrate-and-fire neurons whose synaptic conductances rise before they fall."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from ...base.values import OptionalParameter, Parameter
from ...kernels.tools.elementary import exp, widest_vectors
from .base import Neuron, hold_steps, propagator
from .by_unit import at


def alpha_step(tau: float, dt: float) -> tuple[float, float, float, float]:
    """Return the factors of a step of an alpha function, tau dg/dt = rise - g and tau drise/dt = -rise.

    They are: of g, and of rise, to its own end; from rise to the end of g; and from rise and g to the mean of g.
    """
    s = 1.0 / tau
    # Variables rise, g and the integral of g over the step, whose mean is the integral / dt.
    p = propagator([[-s, 0, 0], [s, -s, 0], [0, 1, 0]], dt)
    return p[0, 0], p[1, 0], p[2, 0] / dt, p[2, 1] / dt


@final
@dataclass(frozen=True)
class AlphaCobaLIF(Neuron):
    """Leaky integrate-and-fire, synaptic conductances shaped as alpha functions.

        tau_mem dv/dt = v_leak - v + r (g_excitatory (e_excitatory - v) + g_inhibitory (e_inhibitory - v) + i_offset)
        tau_syn dg/dt = rise - g,  tau_syn drise/dt = -rise, for each receptor with its own time constant
        arrival of weight w:  rise += e w, also while refractory: g = w (t / tau_syn) exp(1 - t / tau_syn), peak w
        v > v_threshold:      spike, then v = v_reset, held for t_refractory

    where
        tau_mem: membrane time constant without synaptic input, s.
        tau_syn: time to the peak of the conductance, s.
        tau_syn_inhibitory: the same of the second receptor, s; None means tau_syn.
        e_excitatory, e_inhibitory: reversal potentials, V.
        v_threshold, v_leak, v_reset: V.
        r: membrane resistance, ohm.
        i_offset: constant current, A.
        t_refractory: absolute refractory period, s.

    Weights are in S and >= 0, inhibitory ones too. The conductances are exact. The membrane takes their mean over the
    step, for which its equation is solved exactly: second order in dt, stable for any conductance.
    State: v; refractory, the steps left to hold; g and rise of each receptor. Source: Rall 1967 for the shape; NEST's
    iaf_cond_alpha, PyNN's IF_cond_alpha.
    """

    tau_mem: Parameter = 0.02
    tau_syn: Parameter = 0.002
    tau_syn_inhibitory: OptionalParameter = None
    e_excitatory: Parameter = 0.0
    e_inhibitory: Parameter = -0.080
    v_threshold: Parameter = -0.050
    v_leak: Parameter = -0.060
    v_reset: Parameter = -0.060
    r: Parameter = 1e8
    i_offset: Parameter = 0.0
    t_refractory: Parameter = 0.0
    state: ClassVar[tuple[str, ...]] = (
        "v",
        "refractory",
        "g_excitatory",
        "rise_excitatory",
        "g_inhibitory",
        "rise_inhibitory",
    )
    receptors: ClassVar[tuple[str, ...]] = ("excitatory", "inhibitory")
    positive: ClassVar[tuple[str, ...]] = ("excitatory", "inhibitory")

    def initial(self) -> tuple[float, ...]:
        return self.v_leak, 0.0, 0.0, 0.0, 0.0, 0.0

    def constants(self, dt: float) -> tuple[float, ...]:
        numbers = [-dt / self.tau_mem, self.v_leak + self.r * self.i_offset, math.e]
        for tau in (self.tau_syn, self.tau_syn_inhibitory or self.tau_syn):
            decay, rise_to_g, rise_to_mean, g_to_mean = alpha_step(tau, dt)
            numbers += [decay, rise_to_g, self.r * rise_to_mean, self.r * g_to_mean]
        reversals = self.e_excitatory, self.e_inhibitory
        return (*numbers, *reversals, self.v_threshold, self.v_reset, hold_steps(self.t_refractory, dt))

    @staticmethod
    def step(state: NDArray[Any], inputs: NDArray[Any], c: NDArray[Any], spiked: NDArray[np.uint8]) -> None:
        v = state[0]
        refractory = state[1]
        g_excitatory = state[2]
        rise_excitatory = state[3]
        g_inhibitory = state[4]
        rise_inhibitory = state[5]
        e_arriving = inputs[0]
        h_arriving = inputs[1]
        rate = c[0]
        rest = c[1]
        euler = c[2]
        e_decay = c[3]
        e_rise_to_g = c[4]
        e_rise_to_mean = c[5]
        e_to_mean = c[6]
        h_decay = c[7]
        h_rise_to_g = c[8]
        h_rise_to_mean = c[9]
        h_to_mean = c[10]
        excitatory = c[11]
        inhibitory = c[12]
        threshold = c[13]
        reset = c[14]
        hold = c[15]
        zero = c.dtype.type(0)
        one = c.dtype.type(1)
        widest_vectors()
        for i in range(spiked.size):
            u = v[i]
            wait = refractory[i]
            e = g_excitatory[i]
            e_rise = rise_excitatory[i]
            h = g_inhibitory[i]
            h_rise = rise_inhibitory[i]
            # Mean conductances over the step, times r.
            up = e_rise * at(e_rise_to_mean, i) + e * at(e_to_mean, i)
            down = h_rise * at(h_rise_to_mean, i) + h * at(h_to_mean, i)
            # With them tau_mem dv/dt = total (goal - v), solved over the step: rate = -dt / tau_mem.
            total = one + (up + down)
            goal = (at(rest, i) + (up * at(excitatory, i) + down * at(inhibitory, i))) / total
            free = goal + (u - goal) * exp(at(rate, i) * total)
            # While refractory the membrane is clamped below its threshold and cannot fire.
            new = u if wait > zero else free
            # Rises charge conductances; input arrives at the rise, times e, so that a weight is the peak.
            g_excitatory[i] = e * at(e_decay, i) + e_rise * at(e_rise_to_g, i)
            g_inhibitory[i] = h * at(h_decay, i) + h_rise * at(h_rise_to_g, i)
            rise_excitatory[i] = e_rise * at(e_decay, i) + at(euler, i) * e_arriving[i]
            rise_inhibitory[i] = h_rise * at(h_decay, i) + at(euler, i) * h_arriving[i]
            fired = new > at(threshold, i)
            v[i] = at(reset, i) if fired else new
            if fired:
                refractory[i] = at(hold, i)
            else:
                refractory[i] = max(wait - one, zero)
            spiked[i] = fired
