"""How surely sparse codes are told apart: the exact chance of a false match, and the same by counting."""

from neurosim.memory import SDR, false_negative, false_positive, overlaps, union_false_positive
from neurosim.memory.sdr import code

n = 2048
w = 40
synapses = 20
threshold = 9
pattern = SDR.random(n, w, seed=0)
segment = pattern.subsample(synapses, seed=1)

bank = code.bank([SDR.random(n, w, seed=2, index=i) for i in range(20_000)])
print(f"a random pattern matches with chance {false_positive(n, w, synapses, threshold):.2e}")
print(f"of 20,000 random patterns, matched: {(overlaps(segment, bank) >= threshold).sum()}")

for noise in (0.2, 0.5, 0.6):
    missed = false_negative(w, synapses, threshold, round(noise * w))
    noisy = code.bank([pattern.noise(noise, seed=3, index=i) for i in range(2000)])
    counted = (overlaps(segment, noisy) < threshold).mean()
    print(f"noise {noise:.0%}: the pattern is missed with chance {missed:.4f}, counted {counted:.4f}")

for patterns in (1, 10, 40):
    chance = union_false_positive(n, w, synapses, threshold, patterns)
    print(f"a union of {patterns:2} patterns is matched by chance {chance:.2e}")
