"""Neurons beyond one passive compartment: a dendrite beside the soma, and NMDA receptors."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from ...base.values import Parameter
from ...kernels.tools.elementary import exp, widest_vectors
from .base import Neuron, hold_steps, propagator
from .by_unit import at, check_each

# Block of NMDA receptors by magnesium, 1 / (1 + mg / 3.57 mM exp(-62 v / V)): Jahr & Stevens 1990.
MG_HALF = 3.57
MG_SLOPE = -62.0


@final
@dataclass(frozen=True)
class TwoCompartmentLIF(Neuron):
    """Leaky integrate-and-fire with a passive dendrite, delta synapses on both.

        tau_mem dv/dt = v_leak - v + coupling (v_dendrite - v) + r i_offset
        tau_dendrite dv_dendrite/dt = v_leak - v_dendrite + coupling_dendrite (v - v_dendrite)
        arrival of weight w at "soma":      v += w, lost while refractory
        arrival of weight w at "dendrite":  v_dendrite += w
        v > v_threshold:                    spike, then v = v_reset, held for t_refractory; the dendrite goes on

    where
        tau_mem, tau_dendrite: membrane time constants of the compartments alone, s.
        coupling, coupling_dendrite: conductance between them, in parts of the leak of the soma, of the dendrite; >= 0.
        v_threshold, v_leak, v_reset: V (or dimensionless, with weights alike).
        r: membrane resistance of the soma, ohm.
        i_offset: constant current into the soma, A.
        t_refractory: absolute refractory period, s.

    State: v; refractory, the steps left to hold; v_dendrite. Integrated exactly. Source: Rall 1962, two compartments.
    """

    tau_mem: Parameter = 0.02
    tau_dendrite: Parameter = 0.02
    coupling: Parameter = 0.5
    coupling_dendrite: Parameter = 0.5
    v_threshold: Parameter = 1.0
    v_leak: Parameter = 0.0
    v_reset: Parameter = 0.0
    r: Parameter = 1.0
    i_offset: Parameter = 0.0
    t_refractory: Parameter = 0.0
    state: ClassVar[tuple[str, ...]] = ("v", "refractory", "v_dendrite")
    receptors: ClassVar[tuple[str, ...]] = ("soma", "dendrite")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("coupling", "coupling_dendrite"):
            check_each(f"TwoCompartmentLIF.{name}", lambda share: share >= 0, "must be >= 0", getattr(self, name))

    def initial(self) -> tuple[float, ...]:
        return self.v_leak, 0.0, self.v_leak

    def constants(self, dt: float) -> tuple[float, ...]:
        g = self.coupling
        d = self.coupling_dendrite
        soma = [-(1 + g) / self.tau_mem, g / self.tau_mem]
        dendrite = [d / self.tau_dendrite, -(1 + d) / self.tau_dendrite]
        p = propagator([soma, dendrite], dt)
        # Resting potentials: both slopes are 0. The current is shared between the leaks through the coupling.
        pull = self.r * self.i_offset / (1 + g + d)
        rest = self.v_leak + pull * (1 + d)
        rest_dendrite = self.v_leak + pull * d
        # While the soma is held the dendrite relaxes alone, to (v_leak + d v) / (1 + d).
        alone = self.v_leak / (1 + d)
        pulled = d / (1 + d)
        alone_decay = math.exp(-dt * (1 + d) / self.tau_dendrite)
        ends = self.v_threshold, self.v_reset, hold_steps(self.t_refractory, dt)
        return (rest, rest_dendrite, p[0, 0], p[0, 1], p[1, 0], p[1, 1], alone, pulled, alone_decay, *ends)

    @staticmethod
    def step(state: NDArray[Any], inputs: NDArray[Any], c: NDArray[Any], spiked: NDArray[np.uint8]) -> None:
        v = state[0]
        refractory = state[1]
        v_dendrite = state[2]
        arriving = inputs[0]
        d_arriving = inputs[1]
        rest = c[0]
        d_rest = c[1]
        s_to_s = c[2]
        d_to_s = c[3]
        s_to_d = c[4]
        d_to_d = c[5]
        leak = c[6]
        pulled = c[7]
        alone_decay = c[8]
        threshold = c[9]
        reset = c[10]
        hold = c[11]
        zero = c.dtype.type(0)
        one = c.dtype.type(1)
        never = c.dtype.type(math.inf)
        widest_vectors()
        for i in range(spiked.size):
            wait = refractory[i]
            x = v[i] - at(rest, i)
            y = v_dendrite[i] - at(d_rest, i)
            # The distances x, y from rest move by exp(A dt), the step of both compartments. Then input arrives.
            free = at(rest, i) + x * at(s_to_s, i) + y * at(d_to_s, i) + arriving[i]
            flown = at(d_rest, i) + x * at(s_to_d, i) + y * at(d_to_d, i)
            # While refractory the soma is held, wherever it was set, and the dendrite relaxes towards it; no threshold
            # is in reach.
            clamped = at(leak, i) + at(pulled, i) * v[i]
            alone = clamped + (v_dendrite[i] - clamped) * at(alone_decay, i)
            new = v[i] if wait > zero else free
            v_dendrite[i] = (alone if wait > zero else flown) + d_arriving[i]
            fired = new > (never if wait > zero else at(threshold, i))
            v[i] = at(reset, i) if fired else new
            if fired:
                refractory[i] = at(hold, i)
            else:
                refractory[i] = max(wait - one, zero)
            spiked[i] = fired


@final
@dataclass(frozen=True)
class NMDALIF(Neuron):
    """Leaky integrate-and-fire with conductances of AMPA, NMDA and GABA receptors.

        tau_mem dv/dt = v_leak - v + r (g_ampa (e_excitatory - v) + g_nmda B(v) (e_excitatory - v)
                                        + g_gaba (e_inhibitory - v) + i_offset)
        B(v) = 1 / (1 + mg / 3.57 exp(-62 v)), the part of the NMDA receptors that magnesium does not block
        tau_ampa dg_ampa/dt = -g_ampa, and the same for g_gaba with its own time constant; arrival of w:  g += w
        tau_rise dh/dt = -h,  dg_nmda/dt = h / tau_rise - g_nmda / tau_nmda;              arrival of w:  h += w
        v > v_threshold:      spike, then v = v_reset, held for t_refractory

    where
        tau_mem: membrane time constant without synaptic input, s.
        tau_ampa, tau_rise, tau_nmda, tau_gaba: synaptic time constants, s.
        e_excitatory, e_inhibitory: reversal potentials, V.
        mg: magnesium outside, mM, >= 0; 0 for no block.
        v_threshold, v_leak, v_reset: V.
        r: membrane resistance, ohm.
        i_offset: constant current, A.
        t_refractory: absolute refractory period, s.

    Weights are in S and >= 0. The conductances are exact; the membrane takes their mean over the step, with the block
    at its start, and is solved exactly: first order in dt, stable for any conductance.
    State: v; refractory, the steps left to hold; g_ampa; h and g_nmda; g_gaba. Source: Wang 2002, without saturation;
    Jahr & Stevens 1990 for the block.
    """

    tau_mem: Parameter = 0.02
    tau_ampa: Parameter = 0.002
    tau_rise: Parameter = 0.002
    tau_nmda: Parameter = 0.1
    tau_gaba: Parameter = 0.005
    e_excitatory: Parameter = 0.0
    e_inhibitory: Parameter = -0.070
    mg: Parameter = 1.0
    v_threshold: Parameter = -0.050
    v_leak: Parameter = -0.070
    v_reset: Parameter = -0.055
    r: Parameter = 4e7
    i_offset: Parameter = 0.0
    t_refractory: Parameter = 0.002
    state: ClassVar[tuple[str, ...]] = ("v", "refractory", "g_ampa", "h", "g_nmda", "g_gaba")
    receptors: ClassVar[tuple[str, ...]] = ("ampa", "nmda", "gaba")
    positive: ClassVar[tuple[str, ...]] = ("ampa", "nmda", "gaba")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_each("NMDALIF.mg", lambda mg: mg >= 0, "must be >= 0 mM", self.mg)

    def initial(self) -> tuple[float, ...]:
        return self.v_leak, 0.0, 0.0, 0.0, 0.0, 0.0

    def constants(self, dt: float) -> tuple[float, ...]:
        # Variables h, g_nmda and the integral of g_nmda over the step, whose mean is the integral / dt.
        fall = 1 / self.tau_rise
        decay = 1 / self.tau_nmda
        p = propagator([[-fall, 0, 0], [fall, -decay, 0], [0, 1, 0]], dt)
        nmda = p[0, 0], p[1, 0], p[1, 1], self.r * p[2, 0] / dt, self.r * p[2, 1] / dt
        # AMPA and GABA: g decays by exp(-dt / tau); its mean over the step is g tau / dt (1 - exp(-dt / tau)).
        simple = []
        for tau in (self.tau_ampa, self.tau_gaba):
            simple += [math.exp(-dt / tau), -self.r * tau / dt * math.expm1(-dt / tau)]
        rest = self.v_leak + self.r * self.i_offset
        ends = self.v_threshold, self.v_reset, hold_steps(self.t_refractory, dt)
        return (
            -dt / self.tau_mem, rest, *simple, *nmda, self.e_excitatory, self.e_inhibitory, self.mg / MG_HALF, MG_SLOPE,
            *ends,
        )  # fmt: skip

    @staticmethod
    def step(state: NDArray[Any], inputs: NDArray[Any], c: NDArray[Any], spiked: NDArray[np.uint8]) -> None:
        v = state[0]
        refractory = state[1]
        g_ampa = state[2]
        rising = state[3]
        g_nmda = state[4]
        g_gaba = state[5]
        a_arriving = inputs[0]
        n_arriving = inputs[1]
        b_arriving = inputs[2]
        rate = c[0]
        rest = c[1]
        a_decay = c[2]
        a_mean = c[3]
        b_decay = c[4]
        b_mean = c[5]
        h_decay = c[6]
        h_to_g = c[7]
        n_decay = c[8]
        h_mean = c[9]
        n_mean = c[10]
        excitatory = c[11]
        inhibitory = c[12]
        block = c[13]
        slope = c[14]
        threshold = c[15]
        reset = c[16]
        hold = c[17]
        zero = c.dtype.type(0)
        one = c.dtype.type(1)
        widest_vectors()
        for i in range(spiked.size):
            u = v[i]
            wait = refractory[i]
            a = g_ampa[i]
            h = rising[i]
            n = g_nmda[i]
            b = g_gaba[i]
            # Mean conductances over the step, times r; the magnesium block is taken at the membrane of its start.
            open_share = one / (one + at(block, i) * exp(at(slope, i) * u))
            up = a * at(a_mean, i) + (h * at(h_mean, i) + n * at(n_mean, i)) * open_share
            down = b * at(b_mean, i)
            # tau_mem dv/dt = total (goal - v), solved over the step: rate = -dt / tau_mem.
            total = one + (up + down)
            goal = (at(rest, i) + (up * at(excitatory, i) + down * at(inhibitory, i))) / total
            free = goal + (u - goal) * exp(at(rate, i) * total)
            # While refractory the membrane is clamped below its threshold and cannot fire.
            new = u if wait > zero else free
            # The conductances move on, then input arrives: it moves the membrane from the next step on.
            g_ampa[i] = a * at(a_decay, i) + a_arriving[i]
            g_nmda[i] = h * at(h_to_g, i) + n * at(n_decay, i)
            rising[i] = h * at(h_decay, i) + n_arriving[i]
            g_gaba[i] = b * at(b_decay, i) + b_arriving[i]
            fired = new > at(threshold, i)
            v[i] = at(reset, i) if fired else new
            if fired:
                refractory[i] = at(hold, i)
            else:
                refractory[i] = max(wait - one, zero)
            spiked[i] = fired
