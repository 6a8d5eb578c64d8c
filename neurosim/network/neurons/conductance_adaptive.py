"""Adaptive exponential neurons whose synapses are conductances."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...base.values import OptionalParameter, Parameter
from ...kernels.tools.elementary import exp, widest_vectors
from .base import Neuron, hold_steps
from .by_unit import at, check_each
from .conductance_alpha import alpha_step


class Pulls(NamedTuple):
    """Mean conductances of a step times r, and the sum of r g times their reversals, which move the membrane."""

    conductance: float
    drive: float


class Upswing(NamedTuple):
    """Constants of the membrane and of w; `rate` is -dt / tau_mem, `rest` v_leak + r i_offset."""

    rate: float
    rest: float
    r: float
    leak: float
    rheobase: float
    delta: float
    per_delta: float
    peak: float
    a: float
    w_decay: float
    half: float
    one: float


@njit(inline="always")
def _moved(u, x, held, pulls, k):
    """Return v and w after a step from u and x; v stays where `held`.

    With mean conductances tau_mem dv/dt = total (goal - v), where goal has the upswing and w: both are taken at the
    start for an estimate of the end, then as means of start and estimate.
    """
    total = k.one + pulls.conductance
    decay = exp(k.rate * total)
    start = k.delta * exp((min(u, k.peak) - k.rheobase) * k.per_delta)
    goal = (k.rest + pulls.drive - k.r * x + start) / total
    ahead = min(goal + (u - goal) * decay, k.peak)
    ahead = u if held else ahead
    w_goal = k.a * (u - k.leak)
    x_ahead = w_goal + (x - w_goal) * k.w_decay
    end = k.delta * exp((ahead - k.rheobase) * k.per_delta)
    goal = (k.rest + pulls.drive - k.r * k.half * (x + x_ahead) + k.half * (start + end)) / total
    new = goal + (u - goal) * decay
    # w relaxes to a (v - v_leak), v as the mean over the step.
    w_goal = k.a * (k.half * (u + ahead) - k.leak)
    return u if held else new, w_goal + (x - w_goal) * k.w_decay


@dataclass(frozen=True)
class _ConductanceAdEx(Neuron):
    """Adaptive exponential integrate-and-fire driven by two conductances, whose time course a subclass defines."""

    tau_mem: Parameter = 0.281 / 30
    tau_w: Parameter = 0.144
    tau_syn: Parameter = 0.005
    tau_syn_inhibitory: OptionalParameter = None
    e_excitatory: Parameter = 0.0
    e_inhibitory: Parameter = -0.080
    v_rheobase: Parameter = -0.0504
    delta_t: Parameter = 0.002
    v_threshold: Parameter = -0.040
    v_leak: Parameter = -0.0706
    v_reset: Parameter = -0.0706
    r: Parameter = 1e9 / 30
    a: Parameter = 4e-9
    b: Parameter = 8.05e-11
    i_offset: Parameter = 0.0
    t_refractory: Parameter = 0.0
    receptors: ClassVar[tuple[str, ...]] = ("excitatory", "inhibitory")
    positive: ClassVar[tuple[str, ...]] = ("excitatory", "inhibitory")

    def __post_init__(self) -> None:
        super().__post_init__()
        name = type(self).__name__
        check_each(f"{name}.delta_t", lambda delta: delta > 0, "must be > 0 V", self.delta_t)
        check_each(f"{name}.v_rheobase", np.less, "must be < v_threshold", self.v_rheobase, self.v_threshold)

    @property
    def _taus(self) -> tuple[float, float]:
        return self.tau_syn, self.tau_syn_inhibitory or self.tau_syn

    def initial(self) -> tuple[float, ...]:
        return (self.v_leak, *(0.0 for _ in self.state[1:]))

    def _membrane(self, dt: float) -> tuple[float, ...]:
        """Return the constants of the membrane, of the adaptation, and of a spike."""
        rest = self.v_leak + self.r * self.i_offset
        upswing = self.v_rheobase, self.delta_t, 1.0 / self.delta_t, self.v_threshold
        ends = self.v_reset, self.b, hold_steps(self.t_refractory, dt), self.e_excitatory, self.e_inhibitory
        w_decay = math.exp(-dt / self.tau_w)
        return (-dt / self.tau_mem, rest, self.r, self.v_leak, *upswing, self.a, w_decay, 0.5, *ends)


@final
@dataclass(frozen=True)
class CobaAdEx(_ConductanceAdEx):
    """Adaptive exponential integrate-and-fire, synaptic conductances that decay exponentially.

        tau_mem dv/dt = v_leak - v + delta_t exp((v - v_rheobase) / delta_t) + r (g_excitatory (e_excitatory - v)
                        + g_inhibitory (e_inhibitory - v) + i_offset - w)
        tau_w dw/dt = a (v - v_leak) - w
        tau_syn dg_excitatory/dt = -g_excitatory, and the same for g_inhibitory with its own time constant
        arrival of weight w:  g += w, also while refractory
        v > v_threshold:      spike, then v = v_reset, held for t_refractory, and w += b

    where
        tau_mem: membrane time constant without synaptic input, s.
        tau_w: time constant of the adaptation current w, s.
        tau_syn: synaptic time constant, s.
        tau_syn_inhibitory: the same of the second receptor, s; None means tau_syn.
        e_excitatory, e_inhibitory: reversal potentials, V.
        v_rheobase: potential at which the exponential takes over (V_T), V.
        delta_t: sharpness of the upswing, V, > 0.
        v_threshold: potential at which the upswing is cut and a spike counted, V.
        v_leak, v_reset: V.
        r: membrane resistance, ohm.
        a: subthreshold adaptation, S.
        b: rise of w by a spike, A.
        i_offset: constant current, A.
        t_refractory: absolute refractory period, s.

    Weights are in S and >= 0, inhibitory ones too. The conductances are exact, and enter as their means over the step.
    For these, and for means of the upswing and of w at the start and at a first estimate of the end (at most
    v_threshold), the membrane is solved exactly: second order in dt, stable for any conductance.
    State: v; refractory, the steps left to hold; w; the two conductances. Source: Brette & Gerstner 2005,
    J. Neurophysiol. 94:3637; NEST's aeif_cond_exp, PyNN's EIF_cond_exp_isfa_ista.
    """

    state: ClassVar[tuple[str, ...]] = ("v", "refractory", "w", "g_excitatory", "g_inhibitory")

    def constants(self, dt: float) -> tuple[float, ...]:
        numbers: list[float] = []
        for tau in self._taus:
            # The mean of a conductance over the step is g tau / dt (1 - exp(-dt / tau)).
            numbers += [math.exp(-dt / tau), -self.r * tau / dt * math.expm1(-dt / tau)]
        return (*self._membrane(dt), *numbers)

    @staticmethod
    def step(state: NDArray[Any], inputs: NDArray[Any], c: NDArray[Any], spiked: NDArray[np.uint8]) -> None:
        v = state[0]
        refractory = state[1]
        w = state[2]
        g_excitatory = state[3]
        g_inhibitory = state[4]
        e_arriving = inputs[0]
        h_arriving = inputs[1]
        rate = c[0]
        rest = c[1]
        r = c[2]
        leak = c[3]
        rheobase = c[4]
        delta = c[5]
        per_delta = c[6]
        peak = c[7]
        a = c[8]
        w_decay = c[9]
        half = c[10]
        reset = c[11]
        b = c[12]
        hold = c[13]
        excitatory = c[14]
        inhibitory = c[15]
        e_decay = c[16]
        e_to_mean = c[17]
        h_decay = c[18]
        h_to_mean = c[19]
        zero = c.dtype.type(0)
        one = c.dtype.type(1)
        widest_vectors()
        for i in range(spiked.size):
            wait = refractory[i]
            e = g_excitatory[i]
            h = g_inhibitory[i]
            # Mean conductances over the step, times r.
            up = e * at(e_to_mean, i)
            down = h * at(h_to_mean, i)
            pulls = Pulls(up + down, up * at(excitatory, i) + down * at(inhibitory, i))
            upswing = Upswing(
                at(rate, i), at(rest, i), at(r, i), at(leak, i), at(rheobase, i), at(delta, i), at(per_delta, i),
                at(peak, i), at(a, i), at(w_decay, i), at(half, i), one,
            )  # fmt: skip
            new, x = _moved(v[i], w[i], wait > zero, pulls, upswing)
            # The conductances decay, then input arrives: it moves the membrane from the next step on.
            g_excitatory[i] = e * at(e_decay, i) + e_arriving[i]
            g_inhibitory[i] = h * at(h_decay, i) + h_arriving[i]
            fired = (wait <= zero) & (new > at(peak, i))
            v[i] = at(reset, i) if fired else new
            w[i] = x + at(b, i) if fired else x
            if fired:
                refractory[i] = at(hold, i)
            else:
                refractory[i] = max(wait - one, zero)
            spiked[i] = fired


@final
@dataclass(frozen=True)
class AlphaCobaAdEx(_ConductanceAdEx):
    """Adaptive exponential integrate-and-fire, synaptic conductances shaped as alpha functions.

        tau_mem dv/dt = v_leak - v + delta_t exp((v - v_rheobase) / delta_t) + r (g_excitatory (e_excitatory - v)
                        + g_inhibitory (e_inhibitory - v) + i_offset - w)
        tau_w dw/dt = a (v - v_leak) - w
        tau_syn dg/dt = rise - g,  tau_syn drise/dt = -rise, for each receptor with its own time constant
        arrival of weight w:  rise += e w, also while refractory: g = w (t / tau_syn) exp(1 - t / tau_syn), peak w
        v > v_threshold:      spike, then v = v_reset, held for t_refractory, and w += b

    where
        tau_syn: time to the peak of the conductance, s.
        tau_syn_inhibitory: the same of the second receptor, s; None means tau_syn.
        tau_mem: membrane time constant without synaptic input, s.
        tau_w: time constant of the adaptation current w, s.
        e_excitatory, e_inhibitory: reversal potentials, V.
        v_rheobase: potential at which the exponential takes over (V_T), V.
        delta_t: sharpness of the upswing, V, > 0.
        v_threshold: potential at which the upswing is cut and a spike counted, V.
        v_leak, v_reset: V.
        r: membrane resistance, ohm.
        a: subthreshold adaptation, S.
        b: rise of w by a spike, A.
        i_offset: constant current, A.
        t_refractory: absolute refractory period, s.

    Weights are in S and >= 0, inhibitory ones too. Solved as `CobaAdEx`: second order in dt, stable for any
    conductance.
    State: v; refractory, the steps left to hold; w; g and rise of each receptor. Source: Brette & Gerstner 2005,
    J. Neurophysiol. 94:3637; NEST's aeif_cond_alpha, PyNN's EIF_cond_alpha_isfa_ista.
    """

    state: ClassVar[tuple[str, ...]] = (
        "v",
        "refractory",
        "w",
        "g_excitatory",
        "rise_excitatory",
        "g_inhibitory",
        "rise_inhibitory",
    )

    def constants(self, dt: float) -> tuple[float, ...]:
        numbers: list[float] = []
        for tau in self._taus:
            decay, rise_to_g, rise_to_mean, g_to_mean = alpha_step(tau, dt)
            numbers += [decay, rise_to_g, self.r * rise_to_mean, self.r * g_to_mean]
        return (*self._membrane(dt), *numbers, math.e)

    @staticmethod
    def step(state: NDArray[Any], inputs: NDArray[Any], c: NDArray[Any], spiked: NDArray[np.uint8]) -> None:
        v = state[0]
        refractory = state[1]
        w = state[2]
        g_excitatory = state[3]
        rise_excitatory = state[4]
        g_inhibitory = state[5]
        rise_inhibitory = state[6]
        e_arriving = inputs[0]
        h_arriving = inputs[1]
        rate = c[0]
        rest = c[1]
        r = c[2]
        leak = c[3]
        rheobase = c[4]
        delta = c[5]
        per_delta = c[6]
        peak = c[7]
        a = c[8]
        w_decay = c[9]
        half = c[10]
        reset = c[11]
        b = c[12]
        hold = c[13]
        excitatory = c[14]
        inhibitory = c[15]
        e_decay = c[16]
        e_rise_to_g = c[17]
        e_rise_to_mean = c[18]
        e_to_mean = c[19]
        h_decay = c[20]
        h_rise_to_g = c[21]
        h_rise_to_mean = c[22]
        h_to_mean = c[23]
        euler = c[24]
        zero = c.dtype.type(0)
        one = c.dtype.type(1)
        widest_vectors()
        for i in range(spiked.size):
            wait = refractory[i]
            e = g_excitatory[i]
            e_rise = rise_excitatory[i]
            h = g_inhibitory[i]
            h_rise = rise_inhibitory[i]
            # Mean conductances over the step, times r.
            up = e_rise * at(e_rise_to_mean, i) + e * at(e_to_mean, i)
            down = h_rise * at(h_rise_to_mean, i) + h * at(h_to_mean, i)
            pulls = Pulls(up + down, up * at(excitatory, i) + down * at(inhibitory, i))
            upswing = Upswing(
                at(rate, i), at(rest, i), at(r, i), at(leak, i), at(rheobase, i), at(delta, i), at(per_delta, i),
                at(peak, i), at(a, i), at(w_decay, i), at(half, i), one,
            )  # fmt: skip
            new, x = _moved(v[i], w[i], wait > zero, pulls, upswing)
            # Rises charge conductances; input arrives at the rise, times e, so that a weight is the peak.
            g_excitatory[i] = e * at(e_decay, i) + e_rise * at(e_rise_to_g, i)
            g_inhibitory[i] = h * at(h_decay, i) + h_rise * at(h_rise_to_g, i)
            rise_excitatory[i] = e_rise * at(e_decay, i) + at(euler, i) * e_arriving[i]
            rise_inhibitory[i] = h_rise * at(h_decay, i) + at(euler, i) * h_arriving[i]
            fired = (wait <= zero) & (new > at(peak, i))
            v[i] = at(reset, i) if fired else new
            w[i] = x + at(b, i) if fired else x
            if fired:
                refractory[i] = at(hold, i)
            else:
                refractory[i] = max(wait - one, zero)
            spiked[i] = fired
