"""A pipeline that sees every recording once: camera, edges, macrocolumns, readout. `16_columns.toml` is the same."""

import numpy as np
from matplotlib import pyplot

from neurosim import LIF, Link, Network, Population, Projection, Spikes, SpikeSource, Windowed, plot, simulate
from neurosim.data import catalog
from neurosim.learning import OnlineReadout, label_recordings
from neurosim.memory import Hierarchy, Level, Selection, patches
from neurosim.network import Convolution

train = catalog.load("digits", "train").select(range(0, 1497, 5))
test = catalog.load("digits", "test").select(range(0, 300, 3))
# s: three saccades, and 3 ms for the last spikes of the edges
WINDOW = 0.106
DURATION = 0.318

edge = np.repeat([1.0, -1.0], 2)[:, None] * np.ones(4)
kernel = np.stack([np.stack([np.rot90(edge, k)] * 2) for k in range(4)])  # [orientation, polarity, y, x]
exemplars = Selection(exponents=(8.0, 1.0, 1.0), chi=1e4, hypothesis=0.9)
level = Level(patches((4, 16, 16), 6, 2), 4, 64, lateral=False, frozen_above=0.49, selection=exemplars)
columns = Hierarchy(4 * 16 * 16, (level,), top_down=False)
readout = OnlineReadout(columns.outputs, 10, windows=3)

sources = [Population("camera", train.shape, SpikeSource()), Population("label", 10, SpikeSource())]
edges = Population("edges", (4, 16, 16), LIF(tau_mem=0.02, v_threshold=1.0))
seen = Projection("camera", "edges", Convolution(kernel, stride=2), weight=0.25)
models = {"columns": columns, "readout": readout}
windowed = [Population(name, model.outputs, Windowed(model, WINDOW)) for name, model in models.items()]
links = [Link("edges", "columns"), Link("columns", "readout"), Link("label", "readout", "label")]
network = Network([*sources, edges, *windowed], [seen], links=links)

labels = label_recordings(train.labels, 10, 2 * WINDOW, DURATION)
learned = simulate(network, {"camera": train, "label": labels}, record=[]).learned

silent = label_recordings(np.full(len(test), -1), 10, 0.0, DURATION)
result = simulate(network.with_learned(learned, learn=False), {"camera": test, "label": silent}, count_updates=True)
answers = np.array([codes.units[-1] for codes in result.spikes["readout"]])
print(f"accuracy {(answers == test.labels).mean():.3f} on {len(test)} recordings, {len(train)} seen once")
for layer in result.work:
    print(f"{layer.name}: {layer.synaptic_operations / len(test):,.0f} operations a recording")

stages = {"camera": test[0], **{name: result.spikes[name][0] for name in ("edges", *models)}}
codes = stages["columns"]
size = 4 * 64
shown = codes.units // size % 9 == 4  # every ninth column, or nothing could be told apart
units = codes.units[shown] // (9 * size) * size + codes.units[shown] % size
stages["columns"] = Spikes(codes.times[shown], units, 4 * size, codes.duration)
figure, axes = pyplot.subplots(len(stages), figsize=(8, 8), sharex=True, layout="constrained")
for ax, (name, played) in zip(axes, stages.items(), strict=True):
    plot.raster(played, ax=ax).set(title=f"{name}: {len(played):,} spikes", xlabel="")
axes[-1].set(xlabel="time (s)", xlim=(0, DURATION))
figure.savefig("columns.png")
print(f"drawn: columns.png, a {test.labels[0]} that is taken for a {answers[0]}")
