"""Active dendrites in a network: segments learn which context comes before a neuron's spikes, and then half of the
drive is enough to make it fire."""

import numpy as np
from matplotlib import pyplot

from neurosim import Link, Network, OneToOne, Population, Projection, Spikes, SpikeSource, Windowed, simulate
from neurosim.memory import SDR, DendriticSegments
from neurosim.network import DendriticLIF

NEURONS = 8
CONTEXT = 200
WINDOW = 0.01
EPISODE = 0.05
contexts = [SDR.random(CONTEXT, 12, seed=1, index=n).indices for n in range(NEURONS)]


def network(learn, learned=None):
    segments = DendriticSegments(NEURONS, CONTEXT, activation_threshold=8, min_threshold=6, permanence_increment=0.05)
    return Network(
        [
            Population("drive", NEURONS, SpikeSource()),
            Population("context", CONTEXT, SpikeSource()),
            Population("neurons", NEURONS, DendriticLIF(v_threshold_plateau=0.4, t_plateau=WINDOW)),
            Population("segments", NEURONS, Windowed(segments, WINDOW, learn, learned)),
        ],
        [
            Projection("drive", "neurons", OneToOne(), 0.6),
            Projection("segments", "neurons", OneToOne(), 1.0, receptor="dendrite"),
        ],
        links=[Link("context", "segments", "context"), Link("neurons", "segments", "soma")],
    )


def episodes(count, spikes_each):
    """The context of neuron n, 10 ms later its drive; n = 0, 1, ... in turn."""
    starts = np.arange(count) * EPISODE
    order = np.arange(count) % NEURONS
    seen = Spikes(np.repeat(starts + 0.002, 12), np.concatenate([contexts[n] for n in order]), CONTEXT, count * EPISODE)
    drive = (starts[:, None] + 0.0125 + 0.001 * np.arange(spikes_each)).ravel()
    return {"context": seen, "drive": Spikes(drive, np.repeat(order, spikes_each), NEURONS, count * EPISODE)}


trained = simulate(network(learn=True), episodes(120, 2))
weak = episodes(NEURONS, 1)
for name, learned in (("before learning", None), ("after learning", trained.learned["segments"])):
    fired = simulate(network(learn=False, learned=learned), weak).spikes["neurons"]
    print(f"{name:16} {len(np.unique(fired.units))} of {NEURONS} neurons fire on one input of two")

windows = round(EPISODE / WINDOW)
surprise = trained.readings["segments"].reshape(-1, windows).max(axis=1).reshape(-1, NEURONS).mean(axis=1)
pyplot.figure(figsize=(7, 4), layout="constrained")
pyplot.plot(range(1, len(surprise) + 1), surprise, "o-")
pyplot.title("The more often a context was seen, the better its spikes are predicted")
pyplot.xlabel("times that each context was seen")
pyplot.ylabel("share of spikes not predicted")
pyplot.savefig("prediction.svg")
print("drawn: prediction.svg")
