"""Synapses compete: under STDP, those of one neuron part into strong and weak (Song, Miller & Abbott 2000)."""

import numpy as np
from matplotlib import pyplot

from neurosim import STDP, AllToAll, CobaLIF, Network, PoissonInput, PoissonSource, Population, Projection, Simulation
from neurosim.network import Uniform

cell = CobaLIF(
    tau_mem=0.02,
    tau_syn=0.005,
    tau_syn_inhibitory=0.005,
    e_inhibitory=-0.070,
    v_threshold=-0.054,
    v_leak=-0.074,
    v_reset=-0.060,
    r=1.0,  # conductances in parts of the leak's, as in the paper
)
rule = STDP(tau_plus=0.02, tau_minus=0.02, a_plus=0.005, a_minus=0.00525, w_max=0.015)
inputs = 1000
rate = 20.0
network = Network(
    [Population("inputs", inputs, PoissonSource(rate)), Population("cell", 1, cell)],
    [Projection("inputs", "cell", AllToAll(), Uniform(0.0, rule.w_max), 1e-3, plasticity=rule)],
    [PoissonInput("cell", rate=200 * 10.0, weight=0.05, receptor="inhibitory")],
)
simulation = Simulation(network, clock=5e-4, seed=1, threads=1)
edges = np.linspace(0, 1, 21)
pyplot.figure(figsize=(7, 4), layout="constrained")
for until, name in {0.0: "at the start", 20.0: "20 s", 200.0: "200 s"}.items():
    spikes = simulation.run(until - simulation.time).spikes["cell"]
    part = simulation.weights["inputs->cell"] / rule.w_max
    share = np.histogram(part, edges)[0] / inputs
    pyplot.plot((edges[1:] + edges[:-1]) / 2, share, label=name)
    last = np.diff(spikes.times[-200:])
    ends = np.mean((part < 0.1) | (part > 0.9))
    if len(last):
        fires = f", {1 / last.mean():.0f} spikes/s, CV {last.std() / last.mean():.2f}"
    else:
        fires = ""
    print(f"{name:12}: {ends:.0%} of the weights within a tenth of an end{fires}")
pyplot.title("Weights that are even at the start part into weak and strong ones")
pyplot.xlabel("weight / largest weight")
pyplot.ylabel("share of the synapses")
pyplot.legend()
pyplot.savefig("stdp.svg")
print("drawn: stdp.svg")
