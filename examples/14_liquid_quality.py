"""What makes a liquid good: its measures against what a readout makes of it, and what noisy memory does to both."""

from dataclasses import replace

import numpy as np

from neurosim.data import catalog
from neurosim.learning import Liquid, Readout
from neurosim.learning.liquid.quality import distance, generalisation_rank, measure_quality

train = catalog.load("digits", "train").select(range(0, 1497, 7))
test = catalog.load("digits", "test").select(range(0, 300, 4))
base = Liquid(train.shape, neurons=200)

liquids = {
    "default": base,
    "uniform wiring": replace(base, wiring="uniform"),
    "no recurrence": replace(base, in_degree=0),
    "no inhibition": replace(base, inhibitory=0.0),
    "coarse patches": replace(base, patch_radius=0.3),
    "resistive, written +- 50 %": replace(base, write_noise=0.5),
    "resistive, read +- 50 % too": replace(base, write_noise=0.5, read_noise=0.5),
}
print(f"{'liquid':28}accuracy separation kernel rank generalisation rank effective rank radius rate silent")
for name, made in liquids.items():
    liquid = made.adapt(train.select(range(0, len(train), 8)))
    learned, played = (liquid.run(recordings).spikes["liquid"] for recordings in (train, test))
    accuracy = (Readout().fit(learned, train.labels).predict(played) == test.labels).mean()
    q = measure_quality(liquid, test, played)
    noisy = generalisation_rank(liquid, test, n=q.states, jitter=0.002)
    print(
        f"{name:28}{accuracy:8.3f} {q.separation:10.3f} {q.kernel_rank:6} of {q.states:2} {noisy:13} of {q.states:2} "
        f"{q.effective_rank:14.1f} {q.spectral_radius:6.2f} {q.mean_rate:4.0f} {q.silent:6.3f}"
    )

liquid = base.adapt(train.select(range(0, len(train), 8)))
same, other = (np.flatnonzero(test.labels == label)[:2] for label in (3, 7))
pairs = {"of one digit": (same[:1], same[1:]), "of two digits": (same[:1], other[:1])}
for name, (a, b) in pairs.items():
    states = [liquid.run(test.select(i)).spikes["liquid"] for i in (a, b)]
    apart = distance(*states, moments=5)[0]
    print(f"states after two recordings {name} lie apart by", np.round(apart, 2), "at fifths of the time")
