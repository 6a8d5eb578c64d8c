"""A network to NIR for other programs, and a graph as they write it, run here."""

import nir as library
import numpy as np

from neurosim import LIF, AllToAll, CubaLIF, Network, Population, Projection, Spikes, SpikeSource, simulate
from neurosim.engine import write_description
from neurosim.network import Convolution, Normal, from_nir, to_nir, write_nir

draw = np.random.default_rng(0)
camera = Spikes.sort(draw.random(20_000) * 0.5, draw.integers(0, 512, 20_000), 512, 0.5, (2, 16, 16))

# Ours to NIR and back: the same spikes, bit for bit.
network = Network(
    [
        Population("camera", (2, 16, 16), SpikeSource()),
        Population("edges", (4, 14, 14), LIF(tau_mem=0.02, v_threshold=2.0, t_refractory=2e-3)),
        Population("hidden", 50, CubaLIF(tau_mem=0.02, tau_syn=5e-3, v_threshold=0.5)),
    ],
    [
        Projection("camera", "edges", Convolution(draw.normal(size=(4, 2, 3, 3))), weight=0.4),
        Projection("edges", "hidden", AllToAll(), Normal(0.01, 0.05), delay=3e-3),
    ],
)
write_nir("ours.nir", to_nir(network, dt=1e-3, seed=1))
here, back = (simulate(each, camera, clock=1e-3, seed=1) for each in (network, from_nir("ours.nir")))
for name, spikes in here.spikes.items():
    print(f"{name}: {len(spikes):,} spikes, the same after NIR: {spikes.digest() == back.spikes[name].digest()}")
    assert spikes.digest() == back.spikes[name].digest()

# Theirs: pooling, unfolding and a matrix with biases are one projection; units whose bias differs have parameters of
# their own. A spike is a current of 1 for a step of 1 ms, so r = tau / dt makes a weight the jump of the membrane.
lif = library.LIF(np.full(10, 0.02), np.full(10, 20.0), np.zeros(10), np.ones(10), np.zeros(10))
nodes = {
    "input": library.Input({"input": np.array([2, 16, 16])}),
    "pool": library.SumPool2d(np.array([4, 4]), np.array([4, 4]), np.array([0, 0])),
    "flat": library.Flatten({"input": np.array([2, 4, 4])}, 0, -1),
    "fc": library.Affine(draw.normal(0.02, 0.05, (10, 32)), draw.normal(0, 0.02, 10)),
    "lif": lif,
    "output": library.Output({"output": np.array([10])}),
}
library.write("theirs.nir", library.NIRGraph(nodes, list(zip(nodes, list(nodes)[1:], strict=False))))
theirs = from_nir("theirs.nir", dt=1e-3)
counts = simulate(theirs, camera).spikes["lif"].counts()
print(f"theirs, through {theirs.projections[0].name}: {theirs.population('lif').model}, spikes {counts.tolist()}")
write_description("theirs.toml", theirs)
print("written as theirs.toml: name a recording in it and run neurosim simulate --config theirs.toml")
