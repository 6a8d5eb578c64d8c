"""Rare classes in an associative memory: how well each way to descend knows them once the frequent ones are known."""

import numpy as np
from matplotlib import pyplot

from neurosim.memory.associative.tail import tail_expected, tail_run

ways = {"gradient": "gradient descent", "sign": "sign descent", "adam": "Adam", "muon": "Muon"}
ratios = np.geomspace(0.003, 1, 25)
pyplot.figure(figsize=(7, 4), layout="constrained")
for way, name in ways.items():
    worst = [tail_run(way, ratio).worst[-1] for ratio in ratios]
    tenth, hundredth = (tail_run(way, ratio).worst[-1] for ratio in (0.1, 0.01))
    print(f"{name:16}  classes a tenth as frequent: {tenth:.2f}, a hundredth: {hundredth:.2f}")
    pyplot.semilogx(ratios, worst, "o" if way == "gradient" else "-", label=name)
pyplot.semilogx(ratios, [tail_expected(ratio) for ratio in ratios], "--", label="gradient flow, formula")
pyplot.title("The rarest class once the most frequent is known at .99")
pyplot.xlabel("frequency of a rare class / of a frequent one")
pyplot.ylabel("probability of the worst class")
pyplot.legend()
pyplot.savefig("tail_classes.svg")
print("drawn: tail_classes.svg")
