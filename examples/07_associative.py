"""How much associative memories hold, simulated beside the theory: Hopfield, dense, multitasking, key-value pairs."""

import warnings

import numpy as np
from matplotlib import pyplot

from neurosim.base import CapacityWarning
from neurosim.memory import DenseHebbian, FastWeights, Hopfield
from neurosim.memory.associative.dense import dense_bit_error
from neurosim.memory.associative.hopfield import hopfield_capacity, hopfield_overlap
from neurosim.memory.associative.multitasking import multitasking_overlaps
from neurosim.memory.associative.pairs import expected_error, keys

warnings.simplefilter("ignore", CapacityWarning)  # to fill memories beyond capacity is the point here
rng = np.random.default_rng(0)
units = 600
loads = np.linspace(0.04, 0.2, 9)


def recalled(load: float) -> float:
    """Mean overlap with a stored pattern of a recall that starts at it."""
    patterns = rng.choice([-1, 1], (round(load * units), units))
    memory = Hopfield.store(patterns)
    return np.mean([memory.recall(p, seed=k).overlap(p)[0] for k, p in enumerate(patterns[:12])])


alpha, m = hopfield_capacity()
print(f"Hopfield: capacity {alpha:.6f} patterns a unit, overlap {m:.4f}, {(1 - m) / 2:.2%} of the bits wrong there")
theory = np.linspace(0.04, 0.2, 400)
figure, (top, bottom) = pyplot.subplots(2, figsize=(7, 7), layout="constrained")
top.plot(theory, [hopfield_overlap(a) for a in theory], label="theory")
top.plot(loads, [recalled(a) for a in loads], "o", label=f"simulated, {units} units")
top.set(title="Hopfield: recall ends at .138 patterns a unit", xlabel="patterns a unit", ylabel="overlap")
top.legend()

for n, order, count in ((100, 3, 1000), (60, 4, 1500)):
    patterns = rng.choice([-1.0, 1.0], (count, n))
    dense = DenseHebbian.store(patterns, order)
    wrong = np.mean([np.sign(dense.field(p)) != p for p in patterns[:100]])
    expected = dense_bit_error(n, order, count)
    print(f"order {order}, {count} patterns of {n} units: {wrong:.4f} of the bits wrong, {expected:.4f} expected")

diluted = rng.choice([-1, 0, 1], (3, 4000), p=[0.35, 0.3, 0.35])
cue = np.where(diluted[0], diluted[0], rng.choice([-1, 1], 4000))
overlaps = np.sort(np.abs(Hopfield.store(diluted).recall(cue).overlap(diluted)))[::-1]
print("multitasking, three at once:", overlaps.round(3), "expected", multitasking_overlaps(3, 0.3).round(3))

d_k = 64
counts = np.unique(np.geomspace(1, 256, 40).round().astype(int))
for row, (name, rule) in enumerate({"Hebbian": FastWeights(), "delta": FastWeights(delta=True)}.items()):
    for column, kind in enumerate(("random", "orthogonal")):
        k = keys(kind, 256, d_k)
        v = rng.normal(size=(256, d_k))
        found = [rule.memory(d_k, d_k).write(k[:n], v[:n]).error(k[:n], v[:n]) for n in counts[::3]]
        expected = np.array([expected_error(rule, n, d_k, kind) for n in counts])
        colour = f"C{2 * row + column}"
        bottom.semilogx(counts, expected, color=colour, label=f"{name}, {kind} keys")
        bottom.semilogx(counts[::3], found, "o", color=colour)
bottom.set(title="Pairs of keys and values", xlabel=f"pairs in {d_k} x {d_k} weights", ylabel="error / |v|^2")
bottom.legend()
figure.savefig("associative.svg")
print("drawn: associative.svg (lines: theory, dots: simulated)")
