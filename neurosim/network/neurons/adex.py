"""Adaptive exponential integrate-and-fire neurons."""

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
from .by_unit import at, check_each


@njit
def _slope(v, w, e, h, c):
    """Return dv/dt and dw/dt; c holds `AdEx.exact_constants`."""
    tau_mem = c[5]
    tau_w = c[6]
    leak = c[7]
    rheobase = c[8]
    threshold = c[9]
    delta = c[11]
    r = c[12]
    offset = c[13]
    a = c[14]
    # Beyond the threshold as at it: the upswing is over, and must not overflow.
    v = min(v, threshold)
    upswing = delta * math.exp((v - rheobase) / delta)
    return (leak - v + upswing + r * (e + h + offset - w)) / tau_mem, (a * (v - leak) - w) / tau_w


@njit
def _held(v, w, e, h, time, c):
    """Return w and both currents after a time in which v is clamped: w relaxes to a (v - v_leak), currents decay."""
    fall_e = c[2]
    fall_h = c[3]
    tau_w = c[6]
    leak = c[7]
    a = c[14]
    goal = a * (v - leak)
    return goal + (w - goal) * math.exp(-time / tau_w), e * math.exp(-time * fall_e), h * math.exp(-time * fall_h)


_advance, _find = integrator(_slope)


@final
@dataclass(frozen=True)
class AdEx(ExactNeuron):
    """Adaptive exponential integrate-and-fire, synaptic currents that decay exponentially.

        tau_mem dv/dt = v_leak - v + delta_t exp((v - v_rheobase) / delta_t) + r (i_excitatory + i_inhibitory
                        + i_offset - w)
        tau_w dw/dt = a (v - v_leak) - w
        tau_syn di_excitatory/dt = -i_excitatory, and the same for i_inhibitory with its own time constant
        arrival of weight w:  i += w, also while refractory
        v > v_threshold:      spike, then v = v_reset, held for t_refractory, and w += b

    where
        tau_mem: membrane time constant, s.
        tau_w: time constant of the adaptation current w, s.
        tau_syn: synaptic time constant, s.
        tau_syn_inhibitory: the same of the second receptor, s; None means tau_syn.
        v_rheobase: potential at which the exponential takes over (V_T), V.
        delta_t: sharpness of the upswing, V, > 0.
        v_threshold: potential at which the upswing is cut and a spike counted, V.
        v_leak, v_reset: V.
        r: membrane resistance, ohm.
        a: subthreshold adaptation, S.
        b: rise of w by a spike, A.
        i_offset: constant current, A.
        t_refractory: absolute refractory period, s.

    Weights are in A and carry their sign. On a grid v and w by Heun's method, second order in dt, v taken as
    v_threshold where a step leaves it beyond; in continuous time by steps with an error below 1e-10 of delta_t. The
    currents are exact. Defaults: the regular spiking neuron of the source.
    State: v; refractory, the steps left to hold; w; the two currents. Source: Brette & Gerstner 2005,
    J. Neurophysiol. 94:3637; NEST's aeif_psc_exp.
    """

    tau_mem: Parameter = 0.281 / 30
    tau_w: Parameter = 0.144
    tau_syn: Parameter = 0.002
    tau_syn_inhibitory: OptionalParameter = None
    v_rheobase: Parameter = -0.0504
    delta_t: Parameter = 0.002
    v_threshold: Parameter = 0.020
    v_leak: Parameter = -0.0706
    v_reset: Parameter = -0.0706
    r: Parameter = 1e9 / 30
    a: Parameter = 4e-9
    b: Parameter = 8.05e-11
    i_offset: Parameter = 0.0
    t_refractory: Parameter = 0.0
    state: ClassVar[tuple[str, ...]] = ("v", "refractory", "w", "i_excitatory", "i_inhibitory")
    receptors: ClassVar[tuple[str, ...]] = ("excitatory", "inhibitory")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_each("AdEx.delta_t", lambda delta: delta > 0, "must be > 0 V", self.delta_t)
        check_each("AdEx.v_rheobase", np.less, "must be < v_threshold", self.v_rheobase, self.v_threshold)

    def initial(self) -> tuple[float, ...]:
        return self.v_leak, 0.0, 0.0, 0.0, 0.0

    def constants(self, dt: float) -> tuple[float, ...]:
        step = dt / self.tau_mem
        step_w = dt / self.tau_w
        taus = (self.tau_syn, self.tau_syn_inhibitory or self.tau_syn)
        decays = (math.exp(-dt / tau) for tau in taus)
        voltages = self.v_leak, self.v_rheobase, self.v_threshold, self.v_reset, self.delta_t, 1.0 / self.delta_t
        others = self.r, self.i_offset, self.a, self.b, hold_steps(self.t_refractory, dt)
        return (step, step_w, *decays, *voltages, *others, 0.5)

    @staticmethod
    def step(state: NDArray[Any], inputs: NDArray[Any], c: NDArray[Any], spiked: NDArray[np.uint8]) -> None:
        v = state[0]
        refractory = state[1]
        w = state[2]
        i_excitatory = state[3]
        i_inhibitory = state[4]
        e_arriving = inputs[0]
        h_arriving = inputs[1]
        step = c[0]
        step_w = c[1]
        e_decay = c[2]
        h_decay = c[3]
        leak = c[4]
        rheobase = c[5]
        peak = c[6]
        reset = c[7]
        delta = c[8]
        per_delta = c[9]
        r = c[10]
        offset = c[11]
        a = c[12]
        b = c[13]
        hold = c[14]
        half = c[15]
        zero = c.dtype.type(0)
        one = c.dtype.type(1)
        widest_vectors()
        for i in range(spiked.size):
            wait = refractory[i]
            u = v[i]
            x = w[i]
            e = i_excitatory[i]
            h = i_inhibitory[i]
            # Heun's method. Slopes times dt at the start of the step; step = dt / tau_mem, 0 while refractory.
            moving = zero if wait > zero else at(step, i)
            upswing = at(delta, i) * exp((u - at(rheobase, i)) * at(per_delta, i))
            slope = moving * (at(leak, i) - u + upswing + at(r, i) * (e + h + at(offset, i) - x))
            slope_w = at(step_w, i) * (at(a, i) * (u - at(leak, i)) - x)
            # The currents decay by exp(-dt / tau_syn).
            e = e * at(e_decay, i)
            h = h * at(h_decay, i)
            # Slopes at the end, where Euler's method would lead; beyond the peak they are those at the peak.
            ahead = min(u + slope, at(peak, i))
            x_ahead = x + slope_w
            upswing = at(delta, i) * exp((ahead - at(rheobase, i)) * at(per_delta, i))
            slope += moving * (at(leak, i) - ahead + upswing + at(r, i) * (e + h + at(offset, i) - x_ahead))
            slope_w += at(step_w, i) * (at(a, i) * (ahead - at(leak, i)) - x_ahead)
            # The step takes their mean.
            new = u + at(half, i) * slope
            x = x + at(half, i) * slope_w
            fired = new > at(peak, i)
            v[i] = at(reset, i) if fired else new
            w[i] = x + at(b, i) if fired else x
            # Input arrives at the end of the step: it moves the membrane from the next step on.
            i_excitatory[i] = e + e_arriving[i]
            i_inhibitory[i] = h + h_arriving[i]
            if fired:
                refractory[i] = at(hold, i)
            else:
                refractory[i] = max(wait - one, zero)
            spiked[i] = fired

    def exact_constants(self) -> tuple[float, ...]:
        fall_e = 1 / self.tau_syn
        fall_h = 1 / (self.tau_syn_inhibitory or self.tau_syn)
        first = 0.05 * min(self.tau_mem, self.tau_w)
        tolerances = PRECISION / self.delta_t, PRECISION * abs(self.r) / self.delta_t
        voltages = self.v_leak, self.v_rheobase, self.v_threshold, self.v_reset, self.delta_t
        others = self.r, self.i_offset, self.a, self.b, self.t_refractory
        return (*tolerances, fall_e, fall_h, first, self.tau_mem, self.tau_w, *voltages, *others)

    @staticmethod
    def flow(state: NDArray[Any], elapsed: float, c: NDArray[Any]) -> None:
        v = state[0]
        w = state[2]
        e = state[3]
        h = state[4]
        clamped = min(elapsed, state[1])
        if clamped > 0.0:
            state[1] -= clamped
            w, e, h = _held(v, w, e, h, clamped, c)
        state[0], state[2], state[3], state[4] = _advance(v, w, e, h, elapsed - clamped, c)

    @staticmethod
    def jump(state: NDArray[Any], receptor: int, weight: float, c: NDArray[Any]) -> None:
        state[3 + receptor] += weight

    @staticmethod
    def crossing(state: NDArray[Any], c: NDArray[Any]) -> float:
        v = state[0]
        clamped = state[1]
        w = state[2]
        e = state[3]
        h = state[4]
        if clamped > 0.0:
            w, e, h = _held(v, w, e, h, clamped, c)
        threshold = c[9]
        ahead = _find(v, w, e, h, threshold, c)
        return ahead + clamped if ahead >= 0.0 else ahead - clamped

    @staticmethod
    def fire(state: NDArray[Any], c: NDArray[Any]) -> None:
        reset = c[10]
        b = c[15]
        t_refractory = c[16]
        state[0] = reset
        state[1] = t_refractory
        state[2] += b
