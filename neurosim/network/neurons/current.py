"""Leaky integrate-and-fire neurons whose input is a synaptic current."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from ...base.values import OptionalParameter, Parameter
from ...kernels.engine.exact.flow import (
    AlphaMembrane,
    CubaMembrane,
    alpha_crossing,
    alpha_flow,
    cuba_crossing,
    cuba_flow,
    peak,
    shares,
)
from ...kernels.tools.elementary import widest_vectors
from .base import LATER, ExactNeuron, hold_steps, propagator
from .by_unit import at


@dataclass(frozen=True)
class _CurrentLIF(ExactNeuron):
    """Leaky integrate-and-fire charged by two synaptic currents, whose time course a subclass defines."""

    tau_mem: Parameter = 0.02
    tau_syn: Parameter = 0.005
    tau_syn_inhibitory: OptionalParameter = None
    v_threshold: Parameter = 1.0
    v_leak: Parameter = 0.0
    v_reset: Parameter = 0.0
    r: Parameter = 1.0
    i_offset: Parameter = 0.0
    t_refractory: Parameter = 0.0
    receptors: ClassVar[tuple[str, ...]] = ("excitatory", "inhibitory")

    @property
    def _taus(self) -> tuple[float, float]:
        return self.tau_syn, self.tau_syn_inhibitory or self.tau_syn

    @property
    def _rest(self) -> float:
        return self.v_leak + self.r * self.i_offset


@final
@dataclass(frozen=True)
class CubaLIF(_CurrentLIF):
    """Leaky integrate-and-fire, synaptic currents that decay exponentially.

        tau_mem dv/dt = v_leak - v + r (i_excitatory + i_inhibitory + i_offset)
        tau_syn di_excitatory/dt = -i_excitatory, and the same for i_inhibitory with its own time constant
        arrival of weight w:  i += w, also while refractory
        v > v_threshold:      spike, then v = v_reset, held for t_refractory

    where
        tau_mem: membrane time constant, s.
        tau_syn: synaptic time constant, s.
        tau_syn_inhibitory: the same of the second receptor, s; None means tau_syn.
        v_threshold, v_leak, v_reset: V (or dimensionless).
        r: membrane resistance, ohm.
        i_offset: constant current, A.
        t_refractory: absolute refractory period, s.
        soft_reset: v -= v_threshold - v_reset instead of v = v_reset.

    Weights are in A and carry their sign: an inhibitory projection has negative ones.
    State: v; refractory, the steps left to hold; the two currents. Source: Rotter & Diesmann 1999 (exact
    integration); NIR's CubaLIF, NEST's iaf_psc_exp, PyNN's IF_curr_exp.
    """

    soft_reset: bool = field(default=False, metadata=LATER)
    state: ClassVar[tuple[str, ...]] = ("v", "refractory", "i_excitatory", "i_inhibitory")

    def initial(self) -> tuple[float, ...]:
        return self.v_leak, 0.0, 0.0, 0.0

    def constants(self, dt: float) -> tuple[float, ...]:
        # Rows: v - rest, i_excitatory, i_inhibitory.
        m, s1, s2 = (-1.0 / tau for tau in (self.tau_mem, *self._taus))
        # With r = 1: a resistance of 1e8 in the matrix would cost 8 digits of its exponential.
        p = propagator([[m, -m, -m], [0, s1, 0], [0, 0, s2]], dt)
        hold = hold_steps(self.t_refractory, dt)
        decays = p[0, 0], self._rest, self.r * p[0, 1], self.r * p[0, 2], p[1, 1], p[2, 2]
        return (*decays, self.v_threshold, self.v_reset, hold, float(self.soft_reset))

    @staticmethod
    def step(state: NDArray[Any], inputs: NDArray[Any], c: NDArray[Any], spiked: NDArray[np.uint8]) -> None:
        v = state[0]
        refractory = state[1]
        i_excitatory = state[2]
        i_inhibitory = state[3]
        e_arriving = inputs[0]
        h_arriving = inputs[1]
        decay = c[0]
        rest = c[1]
        e_to_v = c[2]
        h_to_v = c[3]
        e_decay = c[4]
        h_decay = c[5]
        threshold = c[6]
        reset = c[7]
        hold = c[8]
        soft = c[9]
        zero = c.dtype.type(0)
        one = c.dtype.type(1)
        never = c.dtype.type(math.inf)
        # With all in the first cache .22 ns a unit in place of .29.
        widest_vectors()
        for i in range(spiked.size):
            u = v[i]
            wait = refractory[i]
            e = i_excitatory[i]
            h = i_inhibitory[i]
            # The exact step, a row of exp(A dt): v - rest decays, and the currents charge the membrane.
            free = at(rest, i) + (u - at(rest, i)) * at(decay, i) + (e * at(e_to_v, i) + h * at(h_to_v, i))
            # While refractory the membrane is clamped, and no threshold is in reach.
            new = u if wait > zero else free
            # The currents decay, then input arrives: it moves the membrane from the next step on.
            i_excitatory[i] = e * at(e_decay, i) + e_arriving[i]
            i_inhibitory[i] = h * at(h_decay, i) + h_arriving[i]
            fired = new > (never if wait > zero else at(threshold, i))
            # v_reset; a soft reset (soft = 1) adds the excess over the threshold.
            if fired:
                v[i] = at(reset, i) + at(soft, i) * (new - at(threshold, i))
            else:
                v[i] = new
            if fired:
                refractory[i] = at(hold, i)
            else:
                refractory[i] = max(wait - one, zero)
            spiked[i] = fired

    def exact_constants(self) -> tuple[float, ...]:
        mem = self.tau_mem
        taus = self._taus
        factors = (*(shares(tau, mem)[0] for tau in taus), *(peak(tau, mem) for tau in taus))
        ends = self.v_threshold, self.v_reset, self.t_refractory, float(self.soft_reset)
        return (mem, *taus, *factors, self._rest, self.r, *ends)

    @staticmethod
    def flow(state: NDArray[Any], elapsed: float, c: NDArray[Any]) -> None:
        membrane = CubaMembrane(c[0], c[1], c[2], c[3], c[4], c[5], c[6])
        rest = c[7]
        r = c[8]
        e = state[2]
        h = state[3]
        clamped = min(elapsed, state[1])
        if clamped > 0.0:
            state[1] -= clamped
            e *= math.exp(-clamped / membrane.tau_j)
            h *= math.exp(-clamped / membrane.tau_k)
        # Held, the membrane stays at its reset while currents decay; then it flows for the rest of the time.
        y, e, h = cuba_flow(membrane, state[0] - rest, e, h, elapsed - clamped, r)
        state[0] = rest + y
        state[2] = e
        state[3] = h

    @staticmethod
    def jump(state: NDArray[Any], receptor: int, weight: float, c: NDArray[Any]) -> None:
        state[2 + receptor] += weight

    @staticmethod
    def crossing(state: NDArray[Any], c: NDArray[Any]) -> float:
        membrane = CubaMembrane(c[0], c[1], c[2], c[3], c[4], c[5], c[6])
        rest = c[7]
        r = c[8]
        clamped = state[1]
        e = r * state[2]
        h = r * state[3]
        if clamped > 0.0:
            e *= math.exp(-clamped / membrane.tau_j)
            h *= math.exp(-clamped / membrane.tau_k)
        threshold = c[9]
        y = state[0] - rest
        # The threshold above the rest, as y is measured.
        bar = threshold - rest
        ahead = cuba_crossing(membrane, y, e, h, bar)
        return ahead + clamped if ahead >= 0.0 else ahead - clamped

    @staticmethod
    def fire(state: NDArray[Any], c: NDArray[Any]) -> None:
        threshold = c[9]
        reset = c[10]
        t_refractory = c[11]
        soft = c[12]
        # v_reset; a soft reset (soft = 1) adds the excess over the threshold.
        state[0] = reset + soft * (state[0] - threshold)
        state[1] = t_refractory


@final
@dataclass(frozen=True)
class AlphaLIF(_CurrentLIF):
    """Leaky integrate-and-fire, synaptic currents shaped as alpha functions.

        tau_mem dv/dt = v_leak - v + r (i_excitatory + i_inhibitory + i_offset)
        tau_syn di/dt = rise - i,  tau_syn drise/dt = -rise, for each receptor with its own time constant
        arrival of weight w:  rise += e w, also while refractory: i = w (t / tau_syn) exp(1 - t / tau_syn), peak w
        v > v_threshold:      spike, then v = v_reset, held for t_refractory

    where
        tau_mem: membrane time constant, s.
        tau_syn: time to the peak of the current, s.
        tau_syn_inhibitory: the same of the second receptor, s; None means tau_syn.
        v_threshold, v_leak, v_reset: V (or dimensionless).
        r: membrane resistance, ohm.
        i_offset: constant current, A.
        t_refractory: absolute refractory period, s.

    Weights are in A and carry their sign: an inhibitory projection has negative ones.
    State: v; refractory, the steps left to hold; i and rise of each receptor. Source: Rotter & Diesmann 1999 (exact
    integration); NEST's iaf_psc_alpha, PyNN's IF_curr_alpha.
    """

    tau_syn: Parameter = 0.002
    state: ClassVar[tuple[str, ...]] = (
        "v",
        "refractory",
        "i_excitatory",
        "rise_excitatory",
        "i_inhibitory",
        "rise_inhibitory",
    )

    def initial(self) -> tuple[float, ...]:
        return self.v_leak, 0.0, 0.0, 0.0, 0.0, 0.0

    def constants(self, dt: float) -> tuple[float, ...]:
        m = -1.0 / self.tau_mem
        numbers = [self._rest, math.e]
        for tau in self._taus:
            # Rows: v - rest, i, rise.
            s = -1.0 / tau
            # With r = 1: a resistance of 1e8 in the matrix would cost 8 digits of its exponential.
            p = propagator([[m, -m, 0], [0, s, -s], [0, 0, s]], dt)
            numbers += [self.r * p[0, 1], self.r * p[0, 2], p[1, 1], p[1, 2]]
        hold = hold_steps(self.t_refractory, dt)
        return (*numbers, math.exp(-dt / self.tau_mem), self.v_threshold, self.v_reset, hold)

    @staticmethod
    def step(state: NDArray[Any], inputs: NDArray[Any], c: NDArray[Any], spiked: NDArray[np.uint8]) -> None:
        v = state[0]
        refractory = state[1]
        i_excitatory = state[2]
        rise_excitatory = state[3]
        i_inhibitory = state[4]
        rise_inhibitory = state[5]
        e_arriving = inputs[0]
        h_arriving = inputs[1]
        rest = c[0]
        euler = c[1]
        e_to_v = c[2]
        e_rise_to_v = c[3]
        e_decay = c[4]
        e_rise_to_e = c[5]
        h_to_v = c[6]
        h_rise_to_v = c[7]
        h_decay = c[8]
        h_rise_to_h = c[9]
        decay = c[10]
        threshold = c[11]
        reset = c[12]
        hold = c[13]
        zero = c.dtype.type(0)
        one = c.dtype.type(1)
        widest_vectors()
        for i in range(spiked.size):
            u = v[i]
            wait = refractory[i]
            e = i_excitatory[i]
            e_rise = rise_excitatory[i]
            h = i_inhibitory[i]
            h_rise = rise_inhibitory[i]
            # The exact step, rows of exp(A dt): currents and their rises charge the membrane, rises charge currents.
            e_charge = e * at(e_to_v, i) + e_rise * at(e_rise_to_v, i)
            h_charge = h * at(h_to_v, i) + h_rise * at(h_rise_to_v, i)
            free = at(rest, i) + (u - at(rest, i)) * at(decay, i) + (e_charge + h_charge)
            # While refractory the membrane is clamped below its threshold and cannot fire.
            new = u if wait > zero else free
            i_excitatory[i] = e * at(e_decay, i) + e_rise * at(e_rise_to_e, i)
            i_inhibitory[i] = h * at(h_decay, i) + h_rise * at(h_rise_to_h, i)
            # Input arrives at the rise, times e, so that a weight is the peak of its current.
            rise_excitatory[i] = e_rise * at(e_decay, i) + at(euler, i) * e_arriving[i]
            rise_inhibitory[i] = h_rise * at(h_decay, i) + at(euler, i) * h_arriving[i]
            fired = new > at(threshold, i)
            v[i] = at(reset, i) if fired else new
            if fired:
                refractory[i] = at(hold, i)
            else:
                refractory[i] = max(wait - one, zero)
            spiked[i] = fired

    def exact_constants(self) -> tuple[float, ...]:
        mem = self.tau_mem
        taus = self._taus
        (share_e, ramp_e), (share_h, ramp_h) = (shares(tau, mem) for tau in taus)
        factors = (share_e, share_h, ramp_e, ramp_h, *(peak(tau, mem) for tau in taus))
        return (mem, *taus, *factors, self._rest, self.r, self.v_threshold, self.v_reset, self.t_refractory)

    @staticmethod
    def flow(state: NDArray[Any], elapsed: float, c: NDArray[Any]) -> None:
        membrane = AlphaMembrane(c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7], c[8])
        rest = c[9]
        r = c[10]
        y = state[0] - rest
        e = state[2]
        p = state[3]
        h = state[4]
        q = state[5]
        # During the refractory time only the currents move on; the membrane follows from its end.
        clamped = min(elapsed, state[1])
        if clamped > 0.0:
            state[1] -= clamped
            _, e, p, h, q = alpha_flow(membrane, 0.0, e, p, h, q, clamped, r)
        y, e, p, h, q = alpha_flow(membrane, y, e, p, h, q, elapsed - clamped, r)
        state[0] = rest + y
        state[2] = e
        state[3] = p
        state[4] = h
        state[5] = q

    @staticmethod
    def jump(state: NDArray[Any], receptor: int, weight: float, c: NDArray[Any]) -> None:
        state[3 + 2 * receptor] += math.e * weight

    @staticmethod
    def crossing(state: NDArray[Any], c: NDArray[Any]) -> float:
        membrane = AlphaMembrane(c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7], c[8])
        rest = c[9]
        r = c[10]
        clamped = state[1]
        # Currents times r, in volts: the flow below is without r.
        e = r * state[2]
        p = r * state[3]
        h = r * state[4]
        q = r * state[5]
        if clamped > 0.0:
            _, e, p, h, q = alpha_flow(membrane, 0.0, e, p, h, q, clamped, 1.0)
        threshold = c[11]
        y = state[0] - rest
        bar = threshold - rest
        ahead = alpha_crossing(membrane, y, e, p, h, q, bar)
        # A negative number is "not within so many seconds": these, too, count from the end of the refractory time.
        return ahead + clamped if ahead >= 0.0 else ahead - clamped

    @staticmethod
    def fire(state: NDArray[Any], c: NDArray[Any]) -> None:
        reset = c[12]
        t_refractory = c[13]
        state[0] = reset
        state[1] = t_refractory
