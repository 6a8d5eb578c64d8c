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


class Membrane(NamedTuple):
    """Constants of membrane, adaptation and spike: numbers of one unit, or what `c` holds of all units.

    Attributes:
        rate, rest: -dt / tau_mem, and v_leak + r i_offset.
        leak, rheobase, delta, per_delta, peak: v_leak, v_rheobase, delta_t, 1 / delta_t and v_threshold.
        w_decay, half: exp(-dt / tau_w), and 1 / 2.
        reset, hold: v_reset, and the steps of t_refractory.
        excitatory, inhibitory: reversal potentials.
    """

    rate: Any
    rest: Any
    r: Any
    leak: Any
    rheobase: Any
    delta: Any
    per_delta: Any
    peak: Any
    a: Any
    w_decay: Any
    half: Any
    reset: Any
    b: Any
    hold: Any
    excitatory: Any
    inhibitory: Any


@njit(inline="always")
def _membrane_of(c):
    """Return the first constants of `c` by name."""
    return Membrane(
        c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7], c[8], c[9], c[10], c[11], c[12], c[13], c[14], c[15]
    )  # fmt: skip


@njit(inline="always")
def _of_unit(k, i):
    """Return the constants of unit i."""
    return Membrane(
        at(k.rate, i), at(k.rest, i), at(k.r, i), at(k.leak, i), at(k.rheobase, i), at(k.delta, i), at(k.per_delta, i),
        at(k.peak, i), at(k.a, i), at(k.w_decay, i), at(k.half, i), at(k.reset, i), at(k.b, i), at(k.hold, i),
        at(k.excitatory, i), at(k.inhibitory, i),
    )  # fmt: skip


@njit(inline="always")
def _moved(u, x, held, pulls, k, one):
    """Return v and w after a step from u and x; v stays where `held`.

    With mean conductances tau_mem dv/dt = total (goal - v), where goal has the upswing and w: both are taken at the
    start for an estimate of the end, then as means of start and estimate.
    """
    total = one + pulls.conductance
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


@njit(inline="always")
def _ended(v, w, wait, k, one):
    """Return v, w and the steps left to hold after a step that moved the unit to v and w, and whether it fired."""
    zero = one - one
    fired = (wait <= zero) & (v > k.peak)
    if fired:
        return k.reset, w + k.b, k.hold, fired
    return v, w, max(wait - one, zero), fired


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

    def _membrane(self, dt: float) -> Membrane:
        """Return the constants of one unit."""
        return Membrane(
            rate=-dt / self.tau_mem,
            rest=self.v_leak + self.r * self.i_offset,
            r=self.r,
            leak=self.v_leak,
            rheobase=self.v_rheobase,
            delta=self.delta_t,
            per_delta=1.0 / self.delta_t,
            peak=self.v_threshold,
            a=self.a,
            w_decay=math.exp(-dt / self.tau_w),
            half=0.5,
            reset=self.v_reset,
            b=self.b,
            hold=hold_steps(self.t_refractory, dt),
            excitatory=self.e_excitatory,
            inhibitory=self.e_inhibitory,
        )


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
        membrane = _membrane_of(c)
        e_decay = c[16]
        e_to_mean = c[17]
        h_decay = c[18]
        h_to_mean = c[19]
        zero = c.dtype.type(0)
        one = c.dtype.type(1)
        widest_vectors()
        for i in range(spiked.size):
            k = _of_unit(membrane, i)
            wait = refractory[i]
            e = g_excitatory[i]
            h = g_inhibitory[i]
            # Mean conductances over the step, times r.
            up = e * at(e_to_mean, i)
            down = h * at(h_to_mean, i)
            pulls = Pulls(up + down, up * k.excitatory + down * k.inhibitory)
            new, x = _moved(v[i], w[i], wait > zero, pulls, k, one)
            # The conductances decay, then input arrives: it moves the membrane from the next step on.
            g_excitatory[i] = e * at(e_decay, i) + e_arriving[i]
            g_inhibitory[i] = h * at(h_decay, i) + h_arriving[i]
            v[i], w[i], refractory[i], spiked[i] = _ended(new, x, wait, k, one)


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
        membrane = _membrane_of(c)
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
            k = _of_unit(membrane, i)
            wait = refractory[i]
            e = g_excitatory[i]
            e_rise = rise_excitatory[i]
            h = g_inhibitory[i]
            h_rise = rise_inhibitory[i]
            # Mean conductances over the step, times r.
            up = e_rise * at(e_rise_to_mean, i) + e * at(e_to_mean, i)
            down = h_rise * at(h_rise_to_mean, i) + h * at(h_to_mean, i)
            pulls = Pulls(up + down, up * k.excitatory + down * k.inhibitory)
            new, x = _moved(v[i], w[i], wait > zero, pulls, k, one)
            # Rises charge conductances; input arrives at the rise, times e, so that a weight is the peak.
            g_excitatory[i] = e * at(e_decay, i) + e_rise * at(e_rise_to_g, i)
            g_inhibitory[i] = h * at(h_decay, i) + h_rise * at(h_rise_to_g, i)
            rise_excitatory[i] = e_rise * at(e_decay, i) + at(euler, i) * e_arriving[i]
            rise_inhibitory[i] = h_rise * at(h_decay, i) + at(euler, i) * h_arriving[i]
            v[i], w[i], refractory[i], spiked[i] = _ended(new, x, wait, k, one)
