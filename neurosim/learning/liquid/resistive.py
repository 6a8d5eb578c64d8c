"""Liquids in resistive memory: conductances with write noise and read noise.

The weights of a random network need not be precise, so Lin et al. put a liquid into resistive memory.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
from numba import float64, int64, njit, uint32
from numpy.typing import NDArray

from ...base.errors import require
from ...kernels.tools.elementary import log_of_fraction, turn
from ...kernels.tools.random import threefry, unit_interval
from ...network.neurons.base import Neuron, hold_steps
from ...network.neurons.current import CubaLIF

# A key of 48 bits in two halves, which float32 holds exactly, like units and steps below 2^24.
HALF = 1 << 24


@njit(inline="always")
def _words(n, k, at_v, at_x, high, low):
    """Return four random words of 32 bits; a function of its own, so that a step that is not compiled can call it."""
    none = uint32(0)
    return threefry(n, k, at_v, at_x, high, low, none, none)  # type: ignore[call-arg]


def written(weights: NDArray[np.float64], spread: float, normal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return weights after a write: log-normal, w exp(spread n - spread^2 / 2), with a mean of w.

    Args:
        spread: standard deviation of the logarithm of a conductance.
        normal: [weights] standard normal n of each device. The sign is in the wiring and does not vary.
    """
    return weights * np.exp(spread * normal - spread * spread / 2)


@final
@dataclass(frozen=True)
class ReadNoiseLIF(Neuron):
    """`CubaLIF` whose synapses are read with noise: each read of a weight w gives w (1 + read_noise n), n normal.

        tau_mem dv/dt = v_leak - v + i
        tau_syn di/dt = -i
        arrivals of a step:  i += current + sqrt(variance) n
        v > v_threshold:     spike, then v = v_reset, held for t_refractory

    where
        current: receptor, the sum of the weights w that arrive.
        variance: receptor, the sum of (read_noise w)^2 over the same arrivals: the sum of independent normal reads is
            normal, so one draw a neuron and step stands for one a synapse.
        tau_mem, tau_syn, t_refractory: s.
        v_threshold, v_leak, v_reset: V (or dimensionless).
        key_high, key_low: halves of the key of the noise, 24 bits each.

    The noise is keyed by key, unit, step, v and i: a recording has the same noise in any batch, and two recordings have
    independent noise as soon as their inputs differ.

    State: v; refractory, the steps left to hold; i; unit, the number of the neuron; step, the number of steps.
    """

    tau_mem: float = 0.02
    tau_syn: float = 0.005
    v_threshold: float = 1.0
    v_leak: float = 0.0
    v_reset: float = 0.0
    t_refractory: float = 0.0
    key_high: int = 0
    key_low: int = 0
    state: ClassVar[tuple[str, ...]] = ("v", "refractory", "i", "unit", "step")
    receptors: ClassVar[tuple[str, ...]] = ("current", "variance")
    positive: ClassVar[tuple[str, ...]] = ("variance",)

    def __post_init__(self) -> None:
        Neuron.__post_init__(self)
        for name, value in (("key_high", self.key_high), ("key_low", self.key_low)):
            require(0 <= value < HALF, f"ReadNoiseLIF.{name}", "must be in 0..2^24 - 1", value)

    def initial(self) -> tuple[float, ...]:
        return self.v_leak, 0.0, 0.0, 0.0, 0.0

    def constants(self, dt: float) -> tuple[float, ...]:
        model = CubaLIF(self.tau_mem, self.tau_syn, None, self.v_threshold, self.v_leak, self.v_reset)
        decay, rest, to_v, _, i_decay, *_ = model.constants(dt)
        hold = hold_steps(self.t_refractory, dt)
        return decay, rest, to_v, i_decay, self.v_threshold, self.v_reset, hold, self.key_high, self.key_low

    @staticmethod
    def step(state: NDArray[Any], inputs: NDArray[Any], c: NDArray[Any], spiked: NDArray[np.uint8]) -> None:
        v = state[0]
        refractory = state[1]
        current = state[2]
        unit = state[3]
        steps = state[4]
        arriving = inputs[0]
        variance = inputs[1]
        decay = c[0]
        rest = c[1]
        to_v = c[2]
        i_decay = c[3]
        threshold = c[4]
        reset = c[5]
        hold = c[6]
        high = uint32(c[7])
        low = uint32(c[8])
        zero = c.dtype.type(0)
        one = c.dtype.type(1)
        for i in range(spiked.size):
            u = v[i]
            x = current[i]
            holding = refractory[i] > zero
            # A standard normal number by Box and Muller, times the square root of the variance that arrives.
            noise = zero
            if variance[i] > zero:
                at_v = uint32(int64(u * 1048576.0))
                at_x = uint32(int64(x * 1048576.0))
                n = uint32(unit[i])
                k = uint32(steps[i])
                words: Any = _words(n, k, at_v, at_x, high, low)
                radius = math.sqrt(-2.0 * log_of_fraction(unit_interval(words[0], words[1])) * float64(variance[i]))
                noise = c.dtype.type(radius * turn(unit_interval(words[2], words[3]))[0])
            # The exact step: the distance from rest decays, and the current charges the membrane, unless refractory.
            if not holding:
                u = rest + (u - rest) * decay + x * to_v
            # The current decays, then input arrives.
            current[i] = x * i_decay + arriving[i] + noise
            fired = u > threshold
            v[i] = reset if fired else u
            if fired:
                refractory[i] = hold
            else:
                refractory[i] = max(refractory[i] - one, zero)
            steps[i] += one
            spiked[i] = fired
