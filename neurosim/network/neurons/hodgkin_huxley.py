"""Neurons with the sodium and potassium channels of a squid's axon."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...base.values import OptionalParameter, Parameter
from ...kernels.tools.elementary import exp, widest_vectors
from .base import Neuron
from .by_unit import at, check_each


class LinoidSeries(NamedTuple):
    """Coefficients of x / (exp(x) - 1) around 0, of x to x^10 (Bernoulli numbers), and how far the series is taken."""

    one: float
    first: float
    second: float
    fourth: float
    sixth: float
    eighth: float
    tenth: float
    reach: float


@njit(inline="always")
def _linoid(x, k):
    """Return x / (exp(x) - 1), by its series where |x| < 0.25: to 1e-16, where exp(x) - 1 would lose digits."""
    square = x * x
    higher = k.sixth - square * (k.eighth - square * k.tenth)
    near = k.one - x * k.first + square * (k.second - square * (k.fourth - square * higher))
    small = abs(x) < k.reach
    safe = k.one if small else x
    return near if small else safe / (exp(safe) - k.one)


@njit(inline="always")
def _opened(gate, opening, closing, dt, one):
    """Return a gate after a step in which its rates stay: it relaxes to opening / (opening + closing)."""
    total = opening + closing
    goal = opening / total
    return goal + (gate - goal) * exp(-dt * total)


@final
@dataclass(frozen=True)
class HodgkinHuxley(Neuron):
    """Hodgkin and Huxley's channels as Traub and Miles have them, synaptic conductances that decay exponentially.

        c_mem dv/dt = g_leak (v_leak - v) + g_na m^3 h (e_na - v) + g_k n^4 (e_k - v)
                      + g_excitatory (e_excitatory - v) + g_inhibitory (e_inhibitory - v) + i_offset
        dm/dt = a_m (1 - m) - b_m m, and so for h and n, with u = (v - v_offset) / mV and rates in 1/ms:
            a_m = 0.32 (13 - u) / (exp((13 - u) / 4) - 1),   b_m = 0.28 (u - 40) / (exp((u - 40) / 5) - 1)
            a_h = 0.128 exp((17 - u) / 18),                  b_h = 4 / (1 + exp((40 - u) / 5))
            a_n = 0.032 (15 - u) / (exp((15 - u) / 5) - 1),  b_n = 0.5 exp((10 - u) / 40)
        tau_syn dg_excitatory/dt = -g_excitatory, and the same for g_inhibitory with its own time constant
        arrival of weight w:           g += w
        v rises beyond v_threshold:    spike; nothing is reset

    where
        c_mem: capacitance of the membrane, F.
        g_leak, g_na, g_k: conductances of the leak, and of all sodium and potassium channels when open, S.
        v_leak, e_na, e_k: reversal potentials of the leak, of sodium and of potassium, V.
        v_offset: shift of the channels' rates along v, V.
        e_excitatory, e_inhibitory: reversal potentials of the synapses, V.
        tau_syn: synaptic time constant, s.
        tau_syn_inhibitory: the same of the second receptor, s; None means tau_syn.
        v_threshold: potential whose upward crossing counts as a spike, V.
        i_offset: constant current, A.

    Weights are in S and >= 0, inhibitory ones too. The conductances of synapses are exact. Exponential Euler: gates
    move with the rates of the membrane at the start, then the membrane with the open channels at the end, each solved
    exactly: first order in dt, stable. Spikes need steps of at most about 0.05 ms. Gates start at rest at v_leak.
    State: v; m, h and n; the two conductances. Source: Traub & Miles 1991; Brette et al. 2007, J. Comput. Neurosci.
    23:349; NEST's hh_cond_exp_traub, PyNN's HH_cond_exp.
    """

    c_mem: Parameter = 2e-10
    g_leak: Parameter = 1e-8
    g_na: Parameter = 2e-5
    g_k: Parameter = 6e-6
    v_leak: Parameter = -0.065
    e_na: Parameter = 0.050
    e_k: Parameter = -0.090
    v_offset: Parameter = -0.063
    e_excitatory: Parameter = 0.0
    e_inhibitory: Parameter = -0.080
    tau_syn: Parameter = 0.0002
    tau_syn_inhibitory: OptionalParameter = 0.002
    v_threshold: Parameter = -0.033
    i_offset: Parameter = 0.0
    state: ClassVar[tuple[str, ...]] = ("v", "m", "h", "n", "g_excitatory", "g_inhibitory")
    receptors: ClassVar[tuple[str, ...]] = ("excitatory", "inhibitory")
    positive: ClassVar[tuple[str, ...]] = ("excitatory", "inhibitory")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_each("HodgkinHuxley.c_mem", lambda c: c > 0, "must be > 0 F", self.c_mem)
        check_each("HodgkinHuxley.g_leak", lambda g: g > 0, "must be > 0 S", self.g_leak)
        for name in ("g_na", "g_k"):
            check_each(f"HodgkinHuxley.{name}", lambda g: g >= 0, "must be >= 0 S", getattr(self, name))

    def initial(self) -> tuple[float, ...]:
        u = (self.v_leak - self.v_offset) * 1e3
        gates = []
        for opening, closing in (
            (0.32 * 4 * _ratio((13 - u) / 4), 0.28 * 5 * _ratio((u - 40) / 5)),
            (0.128 * math.exp((17 - u) / 18), 4 / (1 + math.exp((40 - u) / 5))),
            (0.032 * 5 * _ratio((15 - u) / 5), 0.5 * math.exp((10 - u) / 40)),
        ):
            gates.append(opening / (opening + closing))
        return (self.v_leak, *gates, 0.0, 0.0)

    def constants(self, dt: float) -> tuple[float, ...]:
        synapses: list[float] = []
        for tau in (self.tau_syn, self.tau_syn_inhibitory or self.tau_syn):
            # The mean of a conductance over the step is g tau / dt (1 - exp(-dt / tau)).
            synapses += [math.exp(-dt / tau), -tau / dt * math.expm1(-dt / tau)]
        channels = self.g_leak, self.g_na, self.g_k, self.g_leak * self.v_leak + self.i_offset, self.e_na, self.e_k
        reversals = self.e_excitatory, self.e_inhibitory
        return (-dt / self.c_mem, dt * 1e3, *channels, self.v_offset, *synapses, *reversals, self.v_threshold)

    @staticmethod
    def step(state: NDArray[Any], inputs: NDArray[Any], c: NDArray[Any], spiked: NDArray[np.uint8]) -> None:
        v = state[0]
        m = state[1]
        h = state[2]
        n = state[3]
        g_excitatory = state[4]
        g_inhibitory = state[5]
        e_arriving = inputs[0]
        i_arriving = inputs[1]
        rate = c[0]
        ms = c[1]
        g_leak = c[2]
        g_na = c[3]
        g_k = c[4]
        drive = c[5]
        e_na = c[6]
        e_k = c[7]
        offset = c[8]
        e_decay = c[9]
        e_mean = c[10]
        i_decay = c[11]
        i_mean = c[12]
        excitatory = c[13]
        inhibitory = c[14]
        threshold = c[15]
        real = c.dtype.type
        one = real(1)
        series = LinoidSeries(
            one,
            real(0.5),
            real(1 / 12),
            real(1 / 720),
            real(1 / 30240),
            real(1 / 1209600),
            real(1 / 47900160),
            real(0.25),
        )
        widest_vectors()
        for i in range(spiked.size):
            before = v[i]
            u = (before - at(offset, i)) * real(1000)
            # Rates in 1/ms at the start; each gate relaxes over the step, ms = dt in ms.
            a_m = real(1.28) * _linoid((real(13) - u) * real(0.25), series)
            b_m = real(1.4) * _linoid((u - real(40)) * real(0.2), series)
            a_h = real(0.128) * exp((real(17) - u) / real(18))
            b_h = real(4) / (one + exp((real(40) - u) * real(0.2)))
            a_n = real(0.16) * _linoid((real(15) - u) * real(0.2), series)
            b_n = real(0.5) * exp((real(10) - u) * real(0.025))
            m_end = _opened(m[i], a_m, b_m, at(ms, i), one)
            h_end = _opened(h[i], a_h, b_h, at(ms, i), one)
            n_end = _opened(n[i], a_n, b_n, at(ms, i), one)
            # Open channels at the end, and synapses as means: c_mem dv/dt = total (goal - v), solved over the step.
            sodium = at(g_na, i) * (m_end * m_end * m_end * h_end)
            potassium = at(g_k, i) * (n_end * n_end) * (n_end * n_end)
            up = g_excitatory[i] * at(e_mean, i)
            down = g_inhibitory[i] * at(i_mean, i)
            total = at(g_leak, i) + (sodium + potassium) + (up + down)
            pull = at(drive, i) + (sodium * at(e_na, i) + potassium * at(e_k, i))
            goal = (pull + (up * at(excitatory, i) + down * at(inhibitory, i))) / total
            after = goal + (before - goal) * exp(at(rate, i) * total)
            v[i] = after
            m[i] = m_end
            h[i] = h_end
            n[i] = n_end
            # The conductances decay, then input arrives: it moves the membrane from the next step on.
            g_excitatory[i] = g_excitatory[i] * at(e_decay, i) + e_arriving[i]
            g_inhibitory[i] = g_inhibitory[i] * at(i_decay, i) + i_arriving[i]
            spiked[i] = (before <= at(threshold, i)) & (after > at(threshold, i))


def _ratio(x: float) -> float:
    """Return x / (exp(x) - 1)."""
    return 1.0 if x == 0 else x / math.expm1(x)
