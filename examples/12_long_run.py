"""A run of any length: input in windows, spikes to disk, saved now and then, gone on with after whatever happened.

The same from the command line, for a network in TOML:

    neurosim simulate --config net.toml --checkpoint-every 60
    neurosim simulate --resume runs/...
"""

from collections.abc import Iterator

import numpy as np

from neurosim import LIF, STDP, AllToAll, Network, Population, Projection, Simulation, Spikes, SpikeSource, simulate
from neurosim.data import read_sonata

network = Network(
    [Population("in", 50, SpikeSource()), Population("out", 20, LIF(tau_mem=0.02))],
    [Projection("in", "out", AllToAll(), 0.2, plasticity=STDP(w_max=0.4))],
)


def camera() -> Iterator[Spikes]:
    """A recording that never ends, a second at a time; a file would be `data.read_windows("recording.h5")`."""
    for second in range(10**9):
        rng = np.random.default_rng(second)
        yield Spikes.sort(rng.random(1000), rng.integers(0, 50, 1000), 50, duration=1.0)


with Simulation(network, camera(), spikes_to="spikes.h5") as simulation:
    for _ in range(3):
        result = simulation.run(1.0)
        simulation.save("saved.safetensors")
        print(f"{simulation.time:.0f} s: {simulation.spike_count} spikes, {result.real_time_factor:.4f} s a second")

# In another process, on any number of threads, from the last save on: bit for bit what would have come next.
network = Network(network.populations, network.projections)
again = Simulation.load("saved.safetensors", network, camera(), threads=1)
rest = again.run(1.0).spikes["out"]

windows = camera()
parts = [next(windows) for _ in range(4)]
times = np.concatenate([part.times + second for second, part in enumerate(parts)])
whole = simulate(network, Spikes(times, np.concatenate([part.units for part in parts]), 50, 4.0)).spikes["out"]
assert read_sonata("spikes.h5").digest() == whole.window(0, 3).digest()
assert np.array_equal(rest.units, whole.units[whole.times >= 3])
print(f"4 s at once: the same {len(whole)} spikes")
