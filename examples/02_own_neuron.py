"""A neuron of your own, in your own file: it runs compiled, and nothing is registered anywhere."""

import math
from dataclasses import dataclass

from neurosim import FixedNumberPre, Network, PoissonInput, Population, Probe, Projection, simulate
from neurosim.network import Neuron, at, check_neuron


@dataclass(frozen=True)
class QIF(Neuron):
    """Quadratic integrate-and-fire: tau_mem dv/dt = v (v - v_critical); a weight w makes v jump by w (Latham 2000)."""

    tau_mem: float = 0.02
    v_critical: float = 0.5
    v_threshold: float = 2.0
    v_reset: float = -0.5
    state = ("v",)
    receptors = ("input",)

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


if __name__ == "__main__":  # so that `neurosim simulate --config net.toml --model 02_own_neuron.py:QIF` can import it
    print(check_neuron(QIF()))  # the contract: every rule a neuron must hold to, and how this one does
    network = Network(
        [Population("cells", 500, QIF())],
        [Projection("cells", "cells", FixedNumberPre(50), weight=-0.02, delay=2e-3)],
        [PoissonInput("cells", rate=900.0, weight=0.06)],
    )
    result = simulate(network, 2.0, clock=1e-4, seed=1, probes=[Probe("cells", "v", 1e-3, units=[0])])
    spikes = result.spikes["cells"]
    print(f"{len(spikes) / 500 / 2:.1f} spikes/s a cell, real-time factor {result.real_time_factor:.3f}")
    print(f"membrane of cell 0 between {result.states['cells.v'].min():.2f} and {result.states['cells.v'].max():.2f}")
    assert math.isfinite(result.states["cells.v"].max())
