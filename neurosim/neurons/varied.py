"""Neurons whose parameters differ from unit to unit: the parameters are state variables that never change.

Population("x", 100, VariedLIF(), {"v_threshold": Uniform(0.9, 1.1), "tau_mem": values}): a parameter that `initial`
does not name is the model's own for all units. Cost: an exponential or two a step, and memory traffic for each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
from numpy.typing import NDArray

from ..kernels.tools.elementary import exp
from .base import Neuron, hold_steps


@final
@dataclass(frozen=True)
class VariedLIF(Neuron):
    """Leaky integrate-and-fire, delta synapses, parameters by unit.

        tau_mem dv/dt = v_leak - v
        arrival of weight w:  v += w, lost while refractory
        v > v_threshold:      spike, then v = v_reset, held for t_refractory

    where
        tau_mem: membrane time constant, s.
        v_threshold, v_leak, v_reset: V (or dimensionless, with weights alike). A constant current is a higher v_leak.
        t_refractory: absolute refractory period, s, of all units.
        soft_reset: v -= v_threshold - v_reset instead of v = v_reset.

    State: v; refractory, the steps left to hold; tau_mem, v_threshold, v_leak and v_reset, which may differ by unit.
    Source: as `LIF`.
    """

    tau_mem: float = 0.02
    v_threshold: float = 1.0
    v_leak: float = 0.0
    v_reset: float = 0.0
    t_refractory: float = 0.0
    soft_reset: bool = False
    state: ClassVar[tuple[str, ...]] = ("v", "refractory", "tau_mem", "v_threshold", "v_leak", "v_reset")
    receptors: ClassVar[tuple[str, ...]] = ("input",)

    def initial(self) -> tuple[float, ...]:
        return self.v_leak, 0.0, self.tau_mem, self.v_threshold, self.v_leak, self.v_reset

    def constants(self, dt: float) -> tuple[float, ...]:
        return -dt, float(self.soft_reset), hold_steps(self.t_refractory, dt), math.inf

    @staticmethod
    def step(state: NDArray, inputs: NDArray, c: NDArray, spiked: NDArray[np.uint8]) -> None:
        v, left, tau, threshold, rest, reset = state[0], state[1], state[2], state[3], state[4], state[5]
        arrived = inputs[0]
        minus_dt, keep, hold, never = c[0], c[1], c[2], c[3]
        zero, one = c.dtype.type(0), c.dtype.type(1)
        for i in range(spiked.size):
            u, wait, goal, top = v[i], left[i], rest[i], threshold[i]
            free = goal + (u - goal) * exp(minus_dt / tau[i]) + arrived[i]
            new = u if wait > zero else free
            bar = never if wait > zero else top
            fired = new > bar
            v[i] = reset[i] + keep * (new - top) if fired else new
            left[i] = hold if fired else max(wait - one, zero)
            spiked[i] = fired


@final
@dataclass(frozen=True)
class VariedIF(Neuron):
    """Integrate-and-fire without leak, delta synapses, parameters by unit.

        dv/dt = drift
        arrival of weight w:  v += w, lost while refractory
        v > v_threshold:      spike, then v = v_reset, held for t_refractory

    where
        v_threshold, v_reset: V (or dimensionless, with weights alike).
        drift: V/s, what a constant current does.
        t_refractory: absolute refractory period, s, of all units.
        soft_reset: v -= v_threshold - v_reset instead of v = v_reset.

    State: v; refractory, the steps left to hold; v_threshold, v_reset and drift, which may differ by unit. Source: as
    `IF`.
    """

    v_threshold: float = 1.0
    v_reset: float = 0.0
    drift: float = 0.0
    t_refractory: float = 0.0
    soft_reset: bool = False
    state: ClassVar[tuple[str, ...]] = ("v", "refractory", "v_threshold", "v_reset", "drift")
    receptors: ClassVar[tuple[str, ...]] = ("input",)

    def initial(self) -> tuple[float, ...]:
        return self.v_reset, 0.0, self.v_threshold, self.v_reset, self.drift

    def constants(self, dt: float) -> tuple[float, ...]:
        return dt, float(self.soft_reset), hold_steps(self.t_refractory, dt), math.inf

    @staticmethod
    def step(state: NDArray, inputs: NDArray, c: NDArray, spiked: NDArray[np.uint8]) -> None:
        v, left, threshold, reset, drift = state[0], state[1], state[2], state[3], state[4]
        arrived = inputs[0]
        dt, keep, hold, never = c[0], c[1], c[2], c[3]
        zero, one = c.dtype.type(0), c.dtype.type(1)
        for i in range(spiked.size):
            u, wait, top = v[i], left[i], threshold[i]
            new = u if wait > zero else u + drift[i] * dt + arrived[i]
            bar = never if wait > zero else top
            fired = new > bar
            v[i] = reset[i] + keep * (new - top) if fired else new
            left[i] = hold if fired else max(wait - one, zero)
            spiked[i] = fired


@final
@dataclass(frozen=True)
class VariedCubaLIF(Neuron):
    """Leaky integrate-and-fire, a synaptic current that decays exponentially, parameters by unit.

        tau_mem dv/dt = v_leak - v + i
        tau_syn di/dt = -i
        arrival of weight w:  i += w, also while refractory
        v > v_threshold:      spike, then v = v_reset, held for t_refractory

    where
        tau_mem, tau_syn: membrane and synaptic time constants, s.
        v_threshold, v_leak, v_reset: V (or dimensionless). A constant current is a higher v_leak.
        t_refractory: absolute refractory period, s, of all units.

    Weights are in V: current times membrane resistance. The step is exact: with x = dt (1 / tau_mem - 1 / tau_syn) a
    current i moves v by i (dt / tau_mem) exp(-dt / tau_mem) (exp(x) - 1) / x.
    State: v; refractory, the steps left to hold; i; tau_mem, tau_syn, v_threshold, v_leak and v_reset, which may
    differ by unit. Source: as `CubaLIF`.
    """

    tau_mem: float = 0.02
    tau_syn: float = 0.005
    v_threshold: float = 1.0
    v_leak: float = 0.0
    v_reset: float = 0.0
    t_refractory: float = 0.0
    state: ClassVar[tuple[str, ...]] = (
        "v",
        "refractory",
        "i",
        "tau_mem",
        "tau_syn",
        "v_threshold",
        "v_leak",
        "v_reset",
    )
    receptors: ClassVar[tuple[str, ...]] = ("input",)

    def initial(self) -> tuple[float, ...]:
        parameters = self.tau_mem, self.tau_syn, self.v_threshold, self.v_leak, self.v_reset
        return (self.v_leak, 0.0, 0.0, *parameters)

    def constants(self, dt: float) -> tuple[float, ...]:
        # Of (exp(x) - 1) / x near 0: its Taylor series, 1 / (k + 1)! from the highest k down.
        series = [1 / math.factorial(k + 1) for k in range(14, -1, -1)]
        return (dt, hold_steps(self.t_refractory, dt), 0.5, *series)

    @staticmethod
    def step(state: NDArray, inputs: NDArray, c: NDArray, spiked: NDArray[np.uint8]) -> None:
        v, left, current, tau_mem, tau_syn = state[0], state[1], state[2], state[3], state[4]
        threshold, rest, reset = state[5], state[6], state[7]
        arrived = inputs[0]
        dt, hold, near = c[0], c[1], c[2]
        zero, one = c.dtype.type(0), c.dtype.type(1)
        for i in range(spiked.size):
            u, wait, a, goal = v[i], left[i], current[i], rest[i]
            share = dt / tau_mem[i]
            x = share - dt / tau_syn[i]
            decay, grown = exp(-share), exp(x)
            series = c[3]
            for k in range(4, 18):
                series = series * x + c[k]
            far = (grown - one) / (x if abs(x) > near else one)
            mean = far if abs(x) > near else series
            free = goal + (u - goal) * decay + a * (share * decay * mean)
            new = u if wait > zero else free
            current[i] = a * exp(-dt / tau_syn[i]) + arrived[i]
            fired = new > threshold[i]
            v[i] = reset[i] if fired else new
            left[i] = hold if fired else max(wait - one, zero)
            spiked[i] = fired


VARIED: dict[str, type[Neuron]] = {model.__name__: model for model in (VariedLIF, VariedIF, VariedCubaLIF)}
