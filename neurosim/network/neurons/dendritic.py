"""A point neuron with an active dendrite: events on the dendrite start a plateau that lets the soma respond."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from ...base.values import Parameter
from .base import Neuron, hold_steps
from .by_unit import at, check_each


@final
@dataclass(frozen=True)
class DendriticLIF(Neuron):
    """Leaky integrate-and-fire with a dendritic plateau, delta synapses.

        tau_mem dv/dt = v_leak - v + r i_offset
        arrival of weight w at "input":     v += w during a plateau, else v += gain w; lost while refractory
        arrivals above 0 at "dendrite":     a plateau of t_plateau begins, or begins again
        v > v_threshold, or during a plateau v > v_threshold_plateau:
                                            spike, then v = v_reset, held for t_refractory

    The source of the dendritic events is a population of segments: see `memory.DendriticSegments`. A threshold that
    is lower during a plateau makes segments predict: predicted neurons fire first. A `gain` below 1 makes them gate:
    without a plateau the soma hears little (0: nothing).

    where
        tau_mem: membrane time constant, s.
        v_threshold, v_threshold_plateau, v_leak, v_reset: V (or dimensionless, with weights alike).
        gain: factor of the input outside plateaus, >= 0; 1 for none.
        r: membrane resistance, ohm.
        i_offset: constant current, A.
        t_refractory: absolute refractory period, s.
        t_plateau: duration of a plateau, s; NMDA spikes last 0.05 to 0.1 s.

    State: v; refractory and plateau, the steps left of each. Source: Hawkins and Ahmad 2016 (prediction); Antic et al.
    2010 (plateaus).
    """

    tau_mem: Parameter = 0.02
    v_threshold: Parameter = 1.0
    v_threshold_plateau: Parameter = 0.5
    v_leak: Parameter = 0.0
    v_reset: Parameter = 0.0
    gain: Parameter = 1.0
    r: Parameter = 1.0
    i_offset: Parameter = 0.0
    t_refractory: Parameter = 0.0
    t_plateau: Parameter = 0.05
    state: ClassVar[tuple[str, ...]] = ("v", "refractory", "plateau")
    receptors: ClassVar[tuple[str, ...]] = ("input", "dendrite")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_each("DendriticLIF.gain", lambda gain: gain >= 0, "must be >= 0", self.gain)
        low = self.v_threshold_plateau
        check_each("DendriticLIF.v_threshold_plateau", np.greater, "must be > v_reset", low, self.v_reset)
        check_each("DendriticLIF.v_threshold_plateau", np.less_equal, "must be <= v_threshold", low, self.v_threshold)

    def initial(self) -> tuple[float, ...]:
        return self.v_leak, 0.0, 0.0

    def constants(self, dt: float) -> tuple[float, ...]:
        hold = hold_steps(self.t_refractory, dt)
        plateau = hold_steps(self.t_plateau, dt)
        rest = self.v_leak + self.r * self.i_offset
        thresholds = self.v_threshold, self.v_threshold_plateau
        return math.exp(-dt / self.tau_mem), rest, *thresholds, self.v_reset, self.gain, hold, plateau

    @staticmethod
    def step(state: NDArray[Any], inputs: NDArray[Any], c: NDArray[Any], spiked: NDArray[np.uint8]) -> None:
        v = state[0]
        refractory = state[1]
        plateau = state[2]
        arriving = inputs[0]
        dendrite = inputs[1]
        decay = c[0]
        rest = c[1]
        high = c[2]
        low = c[3]
        reset = c[4]
        gain = c[5]
        hold = c[6]
        lasting = c[7]
        zero = c.dtype.type(0)
        one = c.dtype.type(1)
        for i in range(spiked.size):
            u = v[i]
            wait = refractory[i]
            # Steps of the plateau that remain: an event on the dendrite starts it anew.
            if dendrite[i] > zero:
                remaining = at(lasting, i)
            else:
                remaining = max(plateau[i] - one, zero)
            # During a plateau the soma receives its input in full.
            if remaining > zero:
                received = arriving[i]
            else:
                received = at(gain, i) * arriving[i]
            # tau_mem dv/dt = rest - v over a step: v - rest decays by exp(-dt / tau_mem). Then input arrives.
            free = at(rest, i) + (u - at(rest, i)) * at(decay, i) + received
            # While refractory the membrane is clamped, input is lost, and no threshold is in reach.
            new = u if wait > zero else free
            threshold = at(low, i) if remaining > zero else at(high, i)
            fired = (wait <= zero) & (new > threshold)
            v[i] = at(reset, i) if fired else new
            if fired:
                refractory[i] = at(hold, i)
            else:
                refractory[i] = max(wait - one, zero)
            plateau[i] = remaining
            spiked[i] = fired
