"""Leaky integrate-and-fire neurons whose synapses are conductances."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...base.values import OptionalParameter, Parameter
from ...kernels.engine.exact.adaptive import integrator
from ...kernels.tools.elementary import exp, widest_vectors
from .base import PRECISION, ExactNeuron, hold_steps
from .by_unit import at


@njit
def _slope(v, _w, e, h, c):
    """Return dv/dt, and 0 for the variable that the model lacks; c holds `CobaLIF.exact_constants`."""
    tau_mem = c[5]
    rest = c[6]
    r = c[7]
    e_excitatory = c[8]
    e_inhibitory = c[9]
    return (rest - v + r * (e * (e_excitatory - v) + h * (e_inhibitory - v))) / tau_mem, 0.0


_advance, _find = integrator(_slope)


@final
@dataclass(frozen=True)
class CobaLIF(ExactNeuron):
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

    Weights are in S and >= 0, inhibitory ones too. The conductances are exact. On a grid the membrane takes their mean
    over the step, for which its equation is solved exactly: second order in dt, stable for any conductance. In
    continuous time it goes by steps with an error below 1e-10 of the way from rest to the threshold.
    State: v; refractory, the steps left to hold; the two conductances. Source: Vogels & Abbott 2005; PyNN's
    IF_cond_exp, NEST's iaf_cond_exp.
    """

    tau_mem: Parameter = 0.02
    tau_syn: Parameter = 0.005
    tau_syn_inhibitory: OptionalParameter = 0.010
    e_excitatory: Parameter = 0.0
    e_inhibitory: Parameter = -0.080
    v_threshold: Parameter = -0.050
    v_leak: Parameter = -0.060
    v_reset: Parameter = -0.060
    r: Parameter = 1e8
    i_offset: Parameter = 0.0
    t_refractory: Parameter = 0.0
    state: ClassVar[tuple[str, ...]] = ("v", "refractory", "g_excitatory", "g_inhibitory")
    receptors: ClassVar[tuple[str, ...]] = ("excitatory", "inhibitory")
    positive: ClassVar[tuple[str, ...]] = ("excitatory", "inhibitory")

    def initial(self) -> tuple[float, ...]:
        return self.v_leak, 0.0, 0.0, 0.0

    def constants(self, dt: float) -> tuple[float, ...]:
        numbers = [-dt / self.tau_mem, self.v_leak + self.r * self.i_offset]
        taus = self.tau_syn, self.tau_syn_inhibitory or self.tau_syn
        for tau, reversal in zip(taus, (self.e_excitatory, self.e_inhibitory), strict=True):
            # Factors of a conductance g at the start of the step: its end; its mean over the step times r,
            # mean(g) = g tau / dt (1 - exp(-dt / tau)); and that times the reversal.
            mean = -self.r * tau / dt * math.expm1(-dt / tau)
            numbers += [math.exp(-dt / tau), mean, mean * reversal]
        return (*numbers, self.v_threshold, self.v_reset, hold_steps(self.t_refractory, dt))

    @staticmethod
    def step(state: NDArray[Any], inputs: NDArray[Any], c: NDArray[Any], spiked: NDArray[np.uint8]) -> None:
        v = state[0]
        refractory = state[1]
        g_excitatory = state[2]
        g_inhibitory = state[3]
        e_arriving = inputs[0]
        h_arriving = inputs[1]
        rate = c[0]
        rest = c[1]
        e_decay = c[2]
        e_mean = c[3]
        e_pull = c[4]
        h_decay = c[5]
        h_mean = c[6]
        h_pull = c[7]
        threshold = c[8]
        reset = c[9]
        hold = c[10]
        zero = c.dtype.type(0)
        one = c.dtype.type(1)
        # A step of 50 operations a unit: .62 ns in place of .81.
        widest_vectors()
        for i in range(spiked.size):
            u = v[i]
            wait = refractory[i]
            e = g_excitatory[i]
            h = g_inhibitory[i]
            # With mean conductances tau_mem dv/dt = total (goal - v), total = 1 + r (g_e + g_h); goal: limit of v.
            total = one + (e * at(e_mean, i) + h * at(h_mean, i))
            goal = (at(rest, i) + (e * at(e_pull, i) + h * at(h_pull, i))) / total
            # Solved over a step: rate = -dt / tau_mem.
            free = goal + (u - goal) * exp(at(rate, i) * total)
            # While refractory the membrane is clamped below its threshold and cannot fire.
            new = u if wait > zero else free
            # The conductances decay, then input arrives: it moves the membrane from the next step on.
            g_excitatory[i] = e * at(e_decay, i) + e_arriving[i]
            g_inhibitory[i] = h * at(h_decay, i) + h_arriving[i]
            fired = new > at(threshold, i)
            v[i] = at(reset, i) if fired else new
            if fired:
                refractory[i] = at(hold, i)
            else:
                refractory[i] = max(wait - one, zero)
            spiked[i] = fired

    def exact_constants(self) -> tuple[float, ...]:
        fall_e = 1 / self.tau_syn
        fall_h = 1 / (self.tau_syn_inhibitory or self.tau_syn)
        rest = self.v_leak + self.r * self.i_offset
        reversals = (self.e_excitatory, self.e_inhibitory)
        # The scale of v is the way from rest, or from the reset, to the threshold.
        tolerance = PRECISION / max(self.v_threshold - self.v_leak, self.v_threshold - self.v_reset)
        head = tolerance, 0.0, fall_e, fall_h, 0.05 * self.tau_mem
        return (*head, self.tau_mem, rest, self.r, *reversals, self.v_threshold, self.v_reset, self.t_refractory)

    @staticmethod
    def flow(state: NDArray[Any], elapsed: float, c: NDArray[Any]) -> None:
        e = state[2]
        h = state[3]
        fall_e = c[2]
        fall_h = c[3]
        clamped = min(elapsed, state[1])
        if clamped > 0.0:
            state[1] -= clamped
            e *= math.exp(-clamped * fall_e)
            h *= math.exp(-clamped * fall_h)
        state[0], _, state[2], state[3] = _advance(state[0], 0.0, e, h, elapsed - clamped, c)

    @staticmethod
    def jump(state: NDArray[Any], receptor: int, weight: float, c: NDArray[Any]) -> None:
        state[2 + receptor] += weight

    @staticmethod
    def crossing(state: NDArray[Any], c: NDArray[Any]) -> float:
        e = state[2]
        h = state[3]
        clamped = state[1]
        fall_e = c[2]
        fall_h = c[3]
        rest = c[6]
        excitatory = c[8]
        inhibitory = c[9]
        threshold = c[10]
        if clamped > 0.0:
            e *= math.exp(-clamped * fall_e)
            h *= math.exp(-clamped * fall_h)
        # Where v, rest and the reversals of all open conductances lie at or below it, v never reaches the threshold.
        if state[0] <= threshold and rest <= threshold:
            e_below = excitatory <= threshold or e <= 0.0
            h_below = inhibitory <= threshold or h <= 0.0
            if e_below and h_below:
                return math.inf
        ahead = _find(state[0], 0.0, e, h, threshold, c)
        return ahead + clamped if ahead >= 0.0 else ahead - clamped

    @staticmethod
    def fire(state: NDArray[Any], c: NDArray[Any]) -> None:
        reset = c[11]
        t_refractory = c[12]
        state[0] = reset
        state[1] = t_refractory
