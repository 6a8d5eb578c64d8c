"""Rare classes in an associative memory: how well each way to descend knows them once the frequent ones are known."""

import numpy as np

from neurosim.app import PALETTE, Curve, curves, write_picture
from neurosim.memory.associative.tail import tail_expected, tail_run

ways = {"gradient": "gradient descent", "sign": "sign descent", "adam": "Adam", "muon": "Muon"}
ratios = np.geomspace(0.003, 1, 25)
series = []
for k, (way, name) in enumerate(ways.items()):
    worst = [tail_run(way, ratio).worst[-1] for ratio in ratios]
    tenth, hundredth = (tail_run(way, ratio).worst[-1] for ratio in (0.1, 0.01))
    print(f"{name:16}  classes a tenth as frequent: {tenth:.2f}, a hundredth: {hundredth:.2f}")
    series.append(Curve(name, ratios, np.array(worst), PALETTE[k], "dots" if way == "gradient" else "line"))
expected = np.array([tail_expected(ratio) for ratio in ratios])
series.append(Curve("gradient flow, formula", ratios, expected, PALETTE[0], "dashed"))

words = (
    "Probability of the worst known class when the best is known at 0.99, against how rare it is: Muon stays at 0.99"
)
chart = curves(series, "frequency of a rare class / of a frequent one", "worst class", words, y=(0, 1.05), log_x=True)
write_picture("tail_classes.svg", chart)
print("drawn: tail_classes.svg")
