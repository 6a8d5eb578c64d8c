"""A neuron of one's own: its equation, its parameters and one compiled step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from neurosim.network import Neuron, at


@dataclass(frozen=True)
class QuadraticIF(Neuron):
    """Quadratic integrate-and-fire, delta synapses.

        tau_mem dv/dt = v (v - v_critical)
        arrival of weight w:  v += w
        v > v_threshold:      spike, then v = v_reset

    where
        tau_mem: time constant, s.
        v_critical: v from which it rises by itself.
        v_threshold, v_reset: as above.

    State: v. Source: Latham et al. 2000.
    """

    tau_mem: float = 0.02
    v_critical: float = 0.5
    v_threshold: float = 2.0
    v_reset: float = -0.5
    state: ClassVar[tuple[str, ...]] = ("v",)
    receptors: ClassVar[tuple[str, ...]] = ("input",)

    def initial(self):
        return (0.0,)

    def constants(self, dt):
        return dt / self.tau_mem, self.v_critical, self.v_threshold, self.v_reset

    @staticmethod
    def step(state, inputs, c, spiked):
        v = state[0]
        arrived = inputs[0]
        rate = c[0]
        critical = c[1]
        threshold = c[2]
        reset = c[3]
        for i in range(spiked.size):
            u = v[i] + at(rate, i) * v[i] * (v[i] - at(critical, i)) + arrived[i]
            fired = u > at(threshold, i)
            v[i] = at(reset, i) if fired else u
            spiked[i] = fired
