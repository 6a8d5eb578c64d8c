"""Five tasks of two digits each, one after the other, through a liquid, and a readout that learns in place.

`17_tasks.toml` is the same with a liquid in TOML. Before a task the readout freezes the directions that earlier tasks
have used, and changes its weights in the rest.
"""

import numpy as np
from matplotlib import pyplot

from neurosim import Link, Network, Population, Recordings, SpikeSource, Windowed, simulate
from neurosim.data import catalog
from neurosim.learning import LateralCircuit, Liquid, OnlineReadout, label_recordings

train = catalog.load("digits", "train").select(range(0, 1497, 4))
test = catalog.load("digits", "test").select(range(0, 300, 3))
# s: a recording, and the longest delays of the liquid
WINDOW = 0.14
DURATION = 0.42
TASKS = [(0, 1), (2, 3), (4, 5), (6, 7), (8, 9)]

liquid = Liquid(train.shape, neurons=400).adapt(train.select(range(0, len(train), 10))).network()


def pipeline(lateral: LateralCircuit | None) -> Network:
    readout = Windowed(OnlineReadout(400, 10, windows=3, lateral=lateral), WINDOW)
    sources = [Population("label", 10, SpikeSource()), Population("task", 1, SpikeSource())]
    links = [Link("liquid", "readout"), Link("label", "readout", "label")]
    links += [Link("task", "readout", "task")] if lateral else []
    answer = Population("readout", readout.model.outputs, readout)
    return Network([*liquid.populations, *sources, answer], liquid.projections, links=links)


def spikes(labels: np.ndarray, size: int, time: float = 0.0) -> Recordings:
    return label_recordings(labels, size, time, DURATION)


def accuracy(network: Network) -> list[float]:
    none = np.full(len(test), -1)
    played = {"input": test, "label": spikes(none, 10), "task": spikes(none, 1)}
    codes = simulate(network.with_learned({}, learn=False), played).spikes["readout"]
    right = np.array([code.units[-1] for code in codes]) == test.labels
    return [right[np.isin(test.labels, task)].mean() for task in TASKS]


tasks = range(1, 6)
pyplot.figure(figsize=(7, 4), layout="constrained")
for lateral, colour in ((LateralCircuit(rows=(60,) * 5), "C0"), (None, "C3")):
    network = pipeline(lateral)
    rows = []
    name = "projected" if lateral else "not projected"
    for task in TASKS:
        items = train.select(np.isin(train.labels, task))
        first = np.where(np.arange(len(items)) == 0, 0, -1)  # the first recording of a task announces it
        inputs = {"input": items, "label": spikes(items.labels, 10, 2 * WINDOW), "task": spikes(first, 1)}
        network = network.with_learned(simulate(network, inputs, record=[]).learned, learn=True)
        rows.append(accuracy(network))
    print(f"{name}: accuracy {np.mean(rows[-1]):.3f}, tasks {np.round(rows[-1], 2)}")
    pyplot.plot(tasks, [np.mean(row[: t + 1]) for t, row in enumerate(rows)], color=colour, label=f"{name}: so far")
    pyplot.plot(tasks, np.array(rows)[:, 0], "--", color=colour, label=f"{name}: the first")
pyplot.title("Task after task: only with projection the first is remembered")
pyplot.xlabel("tasks learned")
pyplot.xticks(tasks)
pyplot.ylabel("accuracy")
pyplot.legend()
pyplot.savefig("tasks.svg")
print("drawn: tasks.svg")
