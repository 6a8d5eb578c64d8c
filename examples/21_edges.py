"""A table of edges with ids of its own: who answers when some neurons are active, and who needs a neuron between?"""

from itertools import pairwise

import numpy as np

from neurosim import LIF, Network, Simulation
from neurosim.network import Activation, Edges

# Four layers of neurons with names; each neuron excites 12 of the next layer.
random = np.random.default_rng(0)
layers = [[f"{name}-{k}" for k in range(40)] for name in ("taste", "first", "second", "motor")]
pairs = [(a, b) for lower, upper in pairwise(layers) for a in lower for b in random.choice(upper, 12, False)]
pre, post = np.array(pairs).T
ids = np.array([id for layer in layers for id in layer])
columns = {"layer": np.array([id.partition("-")[0] for id in ids])}
edges = Edges.between(pre, post, weight=0.35, delay=1.8e-3, ids=ids, columns=columns)

cell = LIF(tau_mem=0.02, t_refractory=2.2e-3)
activate = [Activation(["layer=taste"], rate=100.0, weight=1.5)]


simulation = Simulation(Network.from_edges(edges, cell, activate=activate), clock=1e-4)


def rates() -> dict[str, float]:
    """Return the mean rate of each layer over three trials, spikes/s."""
    counts = sum(simulation.with_trial(trial).run(1.0).spikes["neurons"].counts() for trial in range(3)) / 3
    return {layer: float(counts[edges.columns["layer"] == layer].mean()) for layer in dict.fromkeys(columns["layer"])}


intact = rates()
# Nothing is built anew.
simulation.silence("neurons", edges.units([f"second-{k}" for k in range(20)]))
without = rates()
for layer, rate in intact.items():
    print(f"{layer:8} {rate:6.1f} spikes/s, with half of the second layer silenced {without[layer]:6.1f}")
assert without["motor"] < intact["motor"]
