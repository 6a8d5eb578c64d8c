"""A macrocolumn: what it saw once it knows, whole sequences come back from their first frame, and noise is forgiven."""

import numpy as np

from neurosim.app import PALETTE, BarGroup, Curve, curves, histograms, write_picture
from neurosim.memory import SDR, Macrocolumn, Selection

size = 256
active = 16
sharp = Selection(exponents=(3.0, 1.0, 1.0), hypothesis=0.9)


def items(n: int, seed: int) -> list[SDR]:
    return [SDR.random(size, active, seed, i) for i in range(n)]


column = Macrocolumn(size, modules=24, units=16, selection=sharp)
print(f"{column.modules} modules of {column.units} units, binary weights: {sum(column.weights.values()):,}")

memory = column.memory()
known = items(60, seed=1)
stored = column.store_many(memory, known)
heard = column.recall_many(memory, known)
new = column.recall_many(memory, items(60, seed=2))
print(f"stored once, recalled: {(heard.codes == stored.codes).mean():.1%} of the winners")
print(f"familiarity of known items {heard.familiarity.mean():.3f}, of new ones {new.familiarity.mean():.3f}")
print(
    f"words read and written to store an item, the first and the last: {stored.operations[0]}, {stored.operations[-1]}"
)
groups = [
    BarGroup("new", new.familiarity, PALETTE[0]),
    BarGroup("known", heard.familiarity, PALETTE[1]),
]
words = "Familiarity of 60 stored and 60 new items: all stored ones reach 1, no new one does"
write_picture("familiarity.svg", histograms(groups, "familiarity", words))

memory = column.memory()
songs = [items(8, seed) for seed in range(10, 20)]
codes = [column.store_sequence(memory, song).codes for song in songs]
played = [column.generate(memory, song[0], 8) for song in songs]
right = np.mean([(a.codes == b).mean() for a, b in zip(played, codes, strict=True)])
print(f"10 sequences of 8 frames from their first frames alone: {right:.1%} of the winners")
shown = column.complete(memory, played[0].codes[7], active)
print(f"the last frame of the first, read back from its code: {shown.overlap(songs[0][7])} of {active} inputs")
turned = column.recall_sequence(memory, songs[0][::-1])
print(f"familiarity in order {column.recall_sequence(memory, songs[0]).familiarity.mean():.3f}", end=", ")
print(f"backwards {turned.familiarity.mean():.3f}; inputs alone:", end=" ")
print(column.recall_sequence(memory, songs[0][::-1], back_off=True).terms[1:].tolist())

noise = np.linspace(0, 1, 11)
series = []
for count, colour in zip((50, 150, 250), PALETTE, strict=False):
    wide = Macrocolumn(size, 24, 16, lateral=False, selection=Selection(chi=0.0))
    memory = wide.memory()
    known = items(count, seed=3)
    codes = wide.store_many(memory, known).codes
    found = [wide.recall_many(memory, [k.noise(x, 4, i) for i, k in enumerate(known)]).codes for x in noise]
    series.append(Curve(f"{count} items", noise, np.array([(f == codes).mean() for f in found]), colour))
words = (
    "Winners recalled against the part of the inputs that noise moves: the fewer items are stored, the more it takes"
)
write_picture("recall.svg", curves(series, "noise", "winners recalled", words, y=(0, 1.05)))
print("drawn: familiarity.svg, recall.svg")
