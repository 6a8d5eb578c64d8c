"""Izhikevich's neuron."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...base.values import Parameter
from ...kernels.engine.exact.adaptive import integrator
from ...kernels.tools.elementary import widest_vectors
from .base import PRECISION, ExactNeuron
from .by_unit import at


@njit
def _slope(v, u, _x, _y, c):
    """Return dv/dt and du/dt; c holds `Izhikevich.exact_constants`."""
    square = c[5]
    linear = c[6]
    constant = c[7]
    a = c[8]
    b = c[9]
    threshold = c[11]
    # Beyond the threshold as at it.
    v = min(v, threshold)
    return (square * v + linear) * v + constant - u, a * (b * v - u)


_advance, _find = integrator(_slope)


@final
@dataclass(frozen=True)
class Izhikevich(ExactNeuron):
    """Izhikevich's neuron, delta synapses.

        dv/dt = 4e4 v^2 + 5e3 v + 140 - u + i_offset
        du/dt = a (b v - u)
        arrival of weight w:  v += w
        v > v_threshold:      spike, then v = v_reset and u += d

    where
        a: rate of recovery, 1/s (a thousand times the paper's, which counts in ms).
        b: coupling of u to v, 1/s (a thousand times the paper's, which counts in mV).
        d: rise of u by a spike, V/s (the paper's number).
        v_threshold, v_reset: V.
        i_offset: constant input, V/s (the paper's number).

    On a grid by Heun's method, second order in dt, v taken as v_threshold where a step leaves it beyond; in continuous
    time by steps with an error below 1e-13 V. Starts at rest, or at the reset where there is no rest. Defaults: regular
    spiking.
    State: v; u, V/s. Source: Izhikevich 2003, IEEE Trans. Neural Networks 14:1569.
    """

    a: Parameter = 20.0
    b: Parameter = 200.0
    d: Parameter = 8.0
    v_threshold: Parameter = 0.030
    v_reset: Parameter = -0.065
    i_offset: Parameter = 0.0
    state: ClassVar[tuple[str, ...]] = ("v", "u")
    receptors: ClassVar[tuple[str, ...]] = ("input",)

    def initial(self) -> tuple[float, ...]:
        # The lower root of dv/dt = 0 on u = b v.
        linear = 5e3 - self.b
        constant = 140.0 + self.i_offset
        discriminant = linear**2 - 4 * 4e4 * constant
        if discriminant >= 0:
            v = (-linear - math.sqrt(discriminant)) / 8e4
        else:
            v = self.v_reset
        return v, self.b * v

    def constants(self, dt: float) -> tuple[float, ...]:
        shape = 4e4, 5e3, 140.0 + self.i_offset
        return (dt, *shape, self.a, self.b, self.d, self.v_threshold, self.v_reset, 0.5)

    @staticmethod
    def step(state: NDArray[Any], inputs: NDArray[Any], c: NDArray[Any], spiked: NDArray[np.uint8]) -> None:
        v = state[0]
        recovery = state[1]
        arriving = inputs[0]
        dt = c[0]
        square = c[1]
        linear = c[2]
        constant = c[3]
        a = c[4]
        b = c[5]
        d = c[6]
        peak = c[7]
        reset = c[8]
        half = c[9]
        widest_vectors()
        for i in range(spiked.size):
            x = v[i]
            u = recovery[i]
            # Heun's method. Slopes times dt at the start of the step.
            slope = at(dt, i) * ((at(square, i) * x + at(linear, i)) * x + at(constant, i) - u)
            slope_u = at(dt, i) * at(a, i) * (at(b, i) * x - u)
            # Slopes at the end, where Euler's method would lead; beyond the peak they are those at the peak.
            ahead = min(x + slope, at(peak, i))
            u_ahead = u + slope_u
            slope += at(dt, i) * ((at(square, i) * ahead + at(linear, i)) * ahead + at(constant, i) - u_ahead)
            slope_u += at(dt, i) * at(a, i) * (at(b, i) * ahead - u_ahead)
            # The step takes their mean. Then input arrives.
            new = x + at(half, i) * slope + arriving[i]
            u = u + at(half, i) * slope_u
            fired = new > at(peak, i)
            v[i] = at(reset, i) if fired else new
            recovery[i] = u + at(d, i) if fired else u
            spiked[i] = fired

    def exact_constants(self) -> tuple[float, ...]:
        # Scales of the error: 1 mV of v, and 1 V/s of u, which moves v by 1 mV in 1 ms.
        tolerances = PRECISION / 1e-3, PRECISION
        shape = 4e4, 5e3, 140.0 + self.i_offset
        return (*tolerances, 0.0, 0.0, 2e-4, *shape, self.a, self.b, self.d, self.v_threshold, self.v_reset)

    @staticmethod
    def flow(state: NDArray[Any], elapsed: float, c: NDArray[Any]) -> None:
        state[0], state[1], _, _ = _advance(state[0], state[1], 0.0, 0.0, elapsed, c)

    @staticmethod
    def jump(state: NDArray[Any], receptor: int, weight: float, c: NDArray[Any]) -> None:
        state[0] += weight

    @staticmethod
    def crossing(state: NDArray[Any], c: NDArray[Any]) -> float:
        threshold = c[11]
        return _find(state[0], state[1], 0.0, 0.0, threshold, c)

    @staticmethod
    def fire(state: NDArray[Any], c: NDArray[Any]) -> None:
        d = c[10]
        reset = c[12]
        state[0] = reset
        state[1] += d
