"""How surely a dendritic segment recognises: counted by simulation, beside the exact mathematics."""

import numpy as np
from matplotlib import pyplot

from neurosim.memory import SDR, SpatialPooler, TemporalMemory, false_negative
from neurosim.memory.dendrites.segments import (
    SegmentUnits,
    measure_false_negatives,
    measure_false_positives,
    measure_union_false_positives,
)

size = 2048
active = 40
synapses = 20
pyplot.figure(figsize=(7, 4), layout="constrained")
for number, threshold in enumerate((8, 12, 16)):
    lost = np.arange(active + 1)
    missed = np.array([false_negative(active, synapses, threshold, int(v)) for v in lost])
    pyplot.plot(lost / active, 1 - missed, color=f"C{number}", label=f"threshold {threshold}")
    some = lost[::4] / active
    counted = [measure_false_negatives(size, active, synapses, threshold, x, trials=2000) for x in some]
    pyplot.plot(some, [1 - c.rate for c in counted], "o", color=f"C{number}")
    inside = sum(c.agrees(0.999) for c in counted)
    print(f"threshold {threshold:2}: {inside} of {len(counted)} counts inside the 99.9 % band of the formula")
pyplot.title("A segment recognises its pattern in much noise; dots: counted")
pyplot.xlabel("share of the bits that noise moves")
pyplot.ylabel("chance to recognise it")
pyplot.legend()
pyplot.savefig("recognition.svg")

chance = measure_false_positives(300, 64, 24, 12, trials=100_000)
print(f"a random pattern (64 of 300) is taken for it: {chance.rate:.5f}, expected {chance.expected:.5f}")
for patterns in (5, 10, 20):
    union, _ = measure_union_false_positives(1000, 30, 20, 10, patterns, trials=20_000)
    print(f"and a union of {patterns:2} patterns (30 of 1000): {union.rate:.4f}, expected {union.expected:.4f}")

patterns = [[SDR.random(size, active, seed=1, index=50 * n + i) for i in range(50)] for n in range(20)]
units = SegmentUnits.store(patterns, synapses, threshold=10)
right = [
    units.recognise(p.noise(0.3, seed=2, index=i)).tolist() == [m == n for m in range(20)]
    for n, own in enumerate(patterns)
    for i, p in enumerate(own)
]
print(f"20 neurons with 50 segments each, 30 % noise: {np.mean(right):.1%} of 1000 patterns answered by theirs alone")

memory = TemporalMemory(columns=512, cells_per_column=8)
pooler = SpatialPooler(200, 512, density=0.04)
song = [pooler.step(SDR.random(200, 20, seed=3, index=i), learn=False) for i in range(8)]
for _ in range(8):
    memory.reset()
    surprise = [memory.step(note) for note in song]
print("a learned sequence surprises by", surprise[1:], "a break by", memory.step(song[2]))
print("drawn: recognition.svg")
