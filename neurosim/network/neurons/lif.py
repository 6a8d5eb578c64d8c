"""Neurons whose input is a jump of the membrane: leaky and perfect integrators, with and without spikes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from ...base.values import Parameter
from ...kernels.engine.exact.flow import relaxation_crossing
from ...kernels.tools.elementary import widest_vectors
from .base import DeltaNeuron, ExactNeuron, hold_steps
from .by_unit import at


@final
@dataclass(frozen=True)
class LIF(DeltaNeuron):
    """Leaky integrate-and-fire, delta synapses.

        tau_mem dv/dt = v_leak - v + r i_offset
        arrival of weight w:  v += w, lost while refractory
        v > v_threshold:      spike, then v = v_reset, held for t_refractory

    where
        tau_mem: membrane time constant, s.
        v_threshold, v_leak, v_reset: V (or dimensionless, with weights alike).
        r: membrane resistance, ohm.
        i_offset: constant current, A.
        t_refractory: absolute refractory period, s.
        soft_reset: v -= v_threshold - v_reset instead of v = v_reset, so the excess over the threshold stays.

    State: v; refractory, the steps left to hold. Source: Lapicque 1907; names as NIR's LIF.
    """

    tau_mem: Parameter = 0.02
    v_threshold: Parameter = 1.0
    v_leak: Parameter = 0.0
    v_reset: Parameter = 0.0
    r: Parameter = 1.0
    i_offset: Parameter = 0.0
    t_refractory: Parameter = 0.0
    soft_reset: bool = False
    state: ClassVar[tuple[str, ...]] = ("v", "refractory")

    def initial(self) -> tuple[float, ...]:
        return self.v_leak, 0.0

    def constants(self, dt: float) -> tuple[float, ...]:
        hold = hold_steps(self.t_refractory, dt)
        soft = float(self.soft_reset)
        rest = self.v_leak + self.r * self.i_offset
        return math.exp(-dt / self.tau_mem), rest, self.v_threshold, self.v_reset, soft, hold

    @staticmethod
    def step(state: NDArray[Any], inputs: NDArray[Any], c: NDArray[Any], spiked: NDArray[np.uint8]) -> None:
        v = state[0]
        refractory = state[1]
        arriving = inputs[0]
        decay = c[0]
        rest = c[1]
        threshold = c[2]
        reset = c[3]
        soft = c[4]
        hold = c[5]
        zero = c.dtype.type(0)
        one = c.dtype.type(1)
        widest_vectors()
        for i in range(spiked.size):
            u = v[i]
            wait = refractory[i]
            # tau_mem dv/dt = rest - v over a step: v - rest decays by exp(-dt / tau_mem). Then input arrives.
            free = at(rest, i) + (u - at(rest, i)) * at(decay, i) + arriving[i]
            # While refractory the membrane is clamped, input is lost, and no threshold is in reach.
            new = u if wait > zero else free
            fired = (wait <= zero) & (new > at(threshold, i))
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
        rest = self.v_leak + self.r * self.i_offset
        return self.tau_mem, rest, self.v_threshold, self.v_reset, float(self.soft_reset), self.t_refractory

    @staticmethod
    def flow(state: NDArray[Any], elapsed: float, c: NDArray[Any]) -> None:
        # Clamped until the refractory period ends, then v - rest decays.
        clamped = min(elapsed, state[1])
        state[1] -= clamped
        tau_mem = c[0]
        rest = c[1]
        state[0] = rest + (state[0] - rest) * math.exp(-(elapsed - clamped) / tau_mem)

    @staticmethod
    def crossing(state: NDArray[Any], c: NDArray[Any]) -> float:
        tau_mem = c[0]
        rest = c[1]
        threshold = c[2]
        return state[1] + relaxation_crossing(state[0], rest, threshold, tau_mem)

    @staticmethod
    def fire(state: NDArray[Any], c: NDArray[Any]) -> None:
        threshold = c[2]
        reset = c[3]
        soft = c[4]
        t_refractory = c[5]
        # v_reset; a soft reset (soft = 1) adds the excess over the threshold.
        state[0] = reset + soft * (state[0] - threshold)
        state[1] = t_refractory


@final
@dataclass(frozen=True)
class IF(DeltaNeuron):
    """Integrate-and-fire without leak, delta synapses.

        dv/dt = r i_offset
        arrival of weight w:  v += w, lost while refractory
        v > v_threshold:      spike, then v = v_reset, held for t_refractory

    where
        v_threshold, v_reset: V (or dimensionless, with weights alike).
        r: V per A and s, as in NIR's IF, whose dv/dt = r i.
        i_offset: constant current, A.
        t_refractory: absolute refractory period, s.
        soft_reset: v -= v_threshold - v_reset instead of v = v_reset.

    State: v; refractory, the steps left to hold. Source: names as NIR's IF.
    """

    v_threshold: Parameter = 1.0
    v_reset: Parameter = 0.0
    r: Parameter = 1.0
    i_offset: Parameter = 0.0
    t_refractory: Parameter = 0.0
    soft_reset: bool = False
    state: ClassVar[tuple[str, ...]] = ("v", "refractory")

    def initial(self) -> tuple[float, ...]:
        return self.v_reset, 0.0

    def constants(self, dt: float) -> tuple[float, ...]:
        hold = hold_steps(self.t_refractory, dt)
        soft = float(self.soft_reset)
        return self.r * self.i_offset * dt, self.v_threshold, self.v_reset, soft, hold

    @staticmethod
    def step(state: NDArray[Any], inputs: NDArray[Any], c: NDArray[Any], spiked: NDArray[np.uint8]) -> None:
        v = state[0]
        refractory = state[1]
        arriving = inputs[0]
        drift = c[0]
        threshold = c[1]
        reset = c[2]
        soft = c[3]
        hold = c[4]
        zero = c.dtype.type(0)
        one = c.dtype.type(1)
        widest_vectors()
        for i in range(spiked.size):
            u = v[i]
            wait = refractory[i]
            # dv/dt = r i_offset over a step: drift = r i_offset dt. Then input arrives.
            free = u + at(drift, i) + arriving[i]
            # While refractory the membrane is clamped, input is lost, and no threshold is in reach.
            new = u if wait > zero else free
            fired = (wait <= zero) & (new > at(threshold, i))
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
        drift = self.r * self.i_offset
        return drift, self.v_threshold, self.v_reset, float(self.soft_reset), self.t_refractory

    @staticmethod
    def flow(state: NDArray[Any], elapsed: float, c: NDArray[Any]) -> None:
        clamped = min(elapsed, state[1])
        state[1] -= clamped
        slope = c[0]
        state[0] += slope * (elapsed - clamped)

    @staticmethod
    def crossing(state: NDArray[Any], c: NDArray[Any]) -> float:
        # v rises by drift a second from the end of the refractory period on.
        slope = c[0]
        threshold = c[1]
        if state[0] > threshold:
            return state[1]
        if slope > 0.0:
            return state[1] + (threshold - state[0]) / slope
        return math.inf

    @staticmethod
    def fire(state: NDArray[Any], c: NDArray[Any]) -> None:
        threshold = c[1]
        reset = c[2]
        soft = c[3]
        t_refractory = c[4]
        # v_reset; a soft reset (soft = 1) adds the excess over the threshold.
        state[0] = reset + soft * (state[0] - threshold)
        state[1] = t_refractory


@final
@dataclass(frozen=True)
class LI(ExactNeuron):
    """Leaky integrator: a membrane that never spikes, such as a readout.

        tau_mem dv/dt = v_leak - v + r i_offset
        arrival of weight w:  v += w

    where
        tau_mem: time constant, s (NIR's LI calls it tau).
        v_leak: V (or dimensionless, with weights alike).
        r: resistance, ohm.
        i_offset: constant current, A.

    State: v. Source: names as NIR's LI.
    """

    tau_mem: Parameter = 0.02
    v_leak: Parameter = 0.0
    r: Parameter = 1.0
    i_offset: Parameter = 0.0
    state: ClassVar[tuple[str, ...]] = ("v",)
    receptors: ClassVar[tuple[str, ...]] = ("input",)

    def initial(self) -> tuple[float, ...]:
        return (self.v_leak,)

    def constants(self, dt: float) -> tuple[float, ...]:
        return math.exp(-dt / self.tau_mem), self.v_leak + self.r * self.i_offset

    @staticmethod
    def step(state: NDArray[Any], inputs: NDArray[Any], c: NDArray[Any], spiked: NDArray[np.uint8]) -> None:
        v = state[0]
        arriving = inputs[0]
        decay = c[0]
        rest = c[1]
        for i in range(spiked.size):
            # tau_mem dv/dt = rest - v over a step: v - rest decays by exp(-dt / tau_mem). Then input arrives.
            v[i] = at(rest, i) + (v[i] - at(rest, i)) * at(decay, i) + arriving[i]
            spiked[i] = 0

    def exact_constants(self) -> tuple[float, ...]:
        return self.tau_mem, self.v_leak + self.r * self.i_offset

    @staticmethod
    def flow(state: NDArray[Any], elapsed: float, c: NDArray[Any]) -> None:
        tau_mem = c[0]
        rest = c[1]
        state[0] = rest + (state[0] - rest) * math.exp(-elapsed / tau_mem)

    @staticmethod
    def jump(state: NDArray[Any], receptor: int, weight: float, c: NDArray[Any]) -> None:
        state[0] += weight

    @staticmethod
    def crossing(state: NDArray[Any], c: NDArray[Any]) -> float:
        return math.inf

    @staticmethod
    def fire(state: NDArray[Any], c: NDArray[Any]) -> None:
        pass
