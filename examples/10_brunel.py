"""A balanced network (Brunel 2000) in Python, and the same in TOML: one digest of spikes."""

from pathlib import Path

from neurosim import LIF, FixedNumberPre, Network, PoissonInput, Population, Probe, Projection
from neurosim.engine import Description, Settings, read_description, write_description
from neurosim.network import Uniform

cell = LIF(tau_mem=0.02, v_threshold=0.02, v_reset=0.01, t_refractory=0.002)
anywhere = {"v": Uniform(0.0, 0.02)}
populations = [Population("E", 1000, cell, anywhere), Population("I", 250, cell, anywhere)]
projections = [
    Projection(source, target, FixedNumberPre(count), weight, delay=1.5e-3)
    for source, count, weight in (("E", 100, 0.5e-3), ("I", 25, -3e-3))
    for target in ("E", "I")
]
stimuli = [PoissonInput(target, rate=2400.0, weight=0.5e-3) for target in ("E", "I")]
network = Network(populations, projections, stimuli)
settings = Settings(duration=1.0, clock=1e-4, seed=1)
python = Description(network, settings, (Probe("E", "v", units=[0, 1, 2]),))

toml = read_description(Path(__file__).with_suffix(".toml"))
results = [told.simulate() for told in (python, toml)]
for name, spikes in results[0].spikes.items():
    print(f"{name}: {len(spikes) / spikes.size:.1f} spikes/s a neuron, digest {spikes.digest()[:16]}")
    assert spikes.digest() == results[1].spikes[name].digest()

write_description("brunel.toml", python)
print("written as brunel.toml: neurosim simulate --config brunel.toml")
