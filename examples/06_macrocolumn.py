"""A macrocolumn: what it saw once it knows, whole sequences come back from their first frame, and noise is forgiven."""

import numpy as np
from matplotlib import pyplot

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
figure, (top, bottom) = pyplot.subplots(2, figsize=(7, 7), layout="constrained")
top.hist([new.familiarity, heard.familiarity], bins=20, label=["new", "known"])
top.set(title="Familiarity of items", xlabel="familiarity", ylabel="items")
top.legend()

memory = column.memory()
songs = [items(8, seed) for seed in range(10, 20)]
codes = [column.store_sequence(memory, song).codes for song in songs]
played = [column.generate(memory, song[0], 8) for song in songs]
equal = np.mean([(a.codes == b).mean() for a, b in zip(played, codes, strict=True)])
print(f"10 sequences of 8 frames from their first frames alone: {equal:.1%} of the winners")
shown = column.complete(memory, played[0].codes[7], active)
print(f"the last frame of the first, read back from its code: {shown.overlap(songs[0][7])} of {active} inputs")
turned = column.recall_sequence(memory, songs[0][::-1])
print(f"familiarity in order {column.recall_sequence(memory, songs[0]).familiarity.mean():.3f}", end=", ")
print(f"backwards {turned.familiarity.mean():.3f}; inputs alone:", end=" ")
print(column.recall_sequence(memory, songs[0][::-1], back_off=True).terms[1:].tolist())

noise = np.linspace(0, 1, 11)
for count in (50, 150, 250):
    wide = Macrocolumn(size, 24, 16, lateral=False, selection=Selection(chi=0.0))
    memory = wide.memory()
    known = items(count, seed=3)
    codes = wide.store_many(memory, known).codes
    found = [wide.recall_many(memory, [k.noise(x, 4, i) for i, k in enumerate(known)]).codes for x in noise]
    bottom.plot(noise, [(f == codes).mean() for f in found], label=f"{count} items")
bottom.set(title="Fewer items forgive more noise", xlabel="share of inputs moved", ylabel="winners recalled")
bottom.legend()
figure.savefig("macrocolumn.svg")
print("drawn: macrocolumn.svg")
