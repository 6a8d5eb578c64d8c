"""Whole pipelines in one network, against what each part does alone.

    NEUROSIM_DATA=FOLDER python benchmarks/pipelines.py incremental [--seeds 5] [--choose] [--json]

`incremental`: new digits, two at a time, for a liquid with a readout that learns in the network. Events of N-MNIST go
to a convolution of LIF neurons, edges (those of `pipeline_columns.py`), their spikes to a fixed liquid, whose input
gains are set on recordings of the first two digits without labels, and its spikes in three windows to an
`OnlineReadout`. All of it is one network. Each recording is played once, with its label as a spike in the last window;
nothing is stored or replayed. After each pair of digits the readout, frozen, names all recordings to be asked:

    least squares   recursive least squares: changes are projected by the synapses P between inputs
    lateral         changes are projected by a `LateralCircuit`; a spike announces every new pair of digits

Beside them, on the same spikes of the liquid:

    unprojected     the readout of "lateral" without the circuit
    mixed           the same without the circuit, all digits mixed
    refitted        ridge regression, anew after each pair on all recordings of the digits so far
    joint           the readout that `neurosim simulate nmnist` trains, on all digits
    edges           the same on the edges, without a liquid
    camera          the same on a liquid of that size without edges, as `neurosim simulate nmnist` has it

ACC, BWT: `neurosim.learning.continual.matrix`. The BWT of "refitted" is what more digits cost with nothing forgotten.
Settings were chosen on folds of the training recordings, as --choose compares those of `GRID` on liquids of other
seeds; the test recordings are asked once, without it.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import frame
import numpy as np
from machine import describe
from numpy.typing import NDArray
from pipeline_columns import Chosen, edges, fold
from tqdm import tqdm

from neurosim import Link, Network, Population, Recordings, SpikeSource, Windowed, simulate
from neurosim.app.runs.data import Splits
from neurosim.data import catalog
from neurosim.engine import Result
from neurosim.learning import LateralCircuit, Liquid, OnlineReadout, Readout, label_recordings
from neurosim.learning.continual.matrix import Matrix, estimate, measures

TASKS = tuple((2 * t, 2 * t + 1) for t in range(5))
# Three saccades of 105 ms, and some ms for the last spikes of edges and liquid.
WINDOW = 0.107
WINDOWS = 3
NEURONS = 1000
DURATION = WINDOW * WINDOWS
ADAPT = 90
# Of a liquid on edges: delays beyond a few ms and small patches are for a liquid that sees the camera itself.
LIQUID = {"max_input_delay": 0.005, "patch_radius": 0.05, "patch_synapses": 64, "tau_mem": 0.03}
SQUARES = OnlineReadout(NEURONS, 10, windows=WINDOWS, penalty=100.0)
LATERAL = OnlineReadout(NEURONS, 10, windows=WINDOWS, learning_rate=0.7, lateral=LateralCircuit((50,) * 5))
GRID: dict[str, tuple[OnlineReadout, ...]] = {
    "penalty": tuple(replace(SQUARES, penalty=penalty) for penalty in (30.0, 100.0, 300.0)),
    "rows": tuple(replace(LATERAL, lateral=LateralCircuit((rows,) * 5)) for rows in (30, 50, 80)),
    "learning_rate": tuple(replace(LATERAL, learning_rate=rate) for rate in (0.5, 0.7, 1.0)),
}


@dataclass(frozen=True)
class Heard:
    """Recordings to learn from and recordings to ask, with their digits.

    Attributes:
        front: the network that they are played to: a `SpikeSource`, and its population "liquid" that is read out.
    """

    learned: Recordings
    asked: Recordings
    front: Network

    @classmethod
    def spikes(cls, learned: Recordings, asked: Recordings) -> Heard:
        """Return spikes that are played as those of the liquid."""
        return cls(learned, asked, Network([Population("liquid", (learned.size,), SpikeSource())]))

    @property
    def source(self) -> str:
        return next(each.name for each in self.front.populations if isinstance(each.model, SpikeSource))

    def order(self, seed: int) -> NDArray[np.int64]:
        """Places of the learned recordings, pair of digits after pair, shuffled within each."""
        shuffled = np.random.default_rng(seed).permutation(len(self.learned))
        labels = np.asarray(self.learned.labels)[shuffled]
        return np.concatenate([shuffled[np.isin(labels, task)] for task in TASKS])

    def of(self, name: str) -> Heard:
        """Return the spikes of a population of the front for all recordings."""
        found = []
        for each in (self.learned, self.asked):
            spikes = simulate(self.front, each, duration=DURATION, record=[name]).spikes[name]
            assert isinstance(spikes, Recordings)
            found.append(replace(spikes, shape=(spikes.size,)))
        return Heard.spikes(*found)


def events(seed: int, validate: bool) -> tuple[Recordings, Recordings]:
    """Return the recordings to learn and to ask: with `validate`, a fold of the training recordings is asked."""
    train = catalog.load("nmnist", "train")
    if validate:
        splits = fold(train, seed)
    else:
        splits = Splits(train, catalog.load("nmnist", "test"), "test")
    return splits.train, splits.test


def adapted(liquid: Liquid, learned: Recordings) -> Liquid:
    """Return the liquid with gains set on recordings of the first two digits."""
    first = np.flatnonzero(np.isin(np.asarray(learned.labels), TASKS[0]))
    return liquid.adapt(learned.select(first[:: max(1, len(first) // ADAPT)]))


def on_edges(seed: int, learned: Recordings, asked: Recordings) -> Heard:
    """Return recordings of the camera, played to edges and a liquid of a seed."""
    populations, projection = edges(Chosen(), learned.shape)
    found = simulate(Network(populations, [projection]), learned, duration=DURATION).spikes["edges"]
    assert isinstance(found, Recordings)
    shape = populations[1].shape
    liquid = adapted(Liquid(shape, NEURONS, seed=seed, **LIQUID), found).network()
    wires = [replace(each, source="edges") if each.source == "input" else each for each in liquid.projections]
    return Heard(learned, asked, Network([*populations, liquid.population("liquid")], [projection, *wires]))


def on_camera(seed: int, learned: Recordings, asked: Recordings) -> Heard:
    """Return recordings of the camera, played to a liquid of a seed."""
    return Heard(learned, asked, adapted(Liquid(learned.shape, NEURONS, seed=seed), learned).network())


Learned = Mapping[str, NDArray[Any]]


def network(model: OnlineReadout, front: Network, learn: bool, learned: Learned | None) -> Network:
    teachers = [Population(name, (size,), SpikeSource()) for name, size in model.receptors.items() if name != "input"]
    readout = Population("readout", (model.outputs,), Windowed(model, WINDOW, learn, learned))
    links = [Link("liquid", "readout"), *(Link(each.name, "readout", each.name) for each in teachers)]
    return Network([*front.populations, *teachers, readout], front.projections, links=links)


def play(
    model: OnlineReadout, heard: Heard, items: Recordings, learned: Learned | None, *, learn: bool, task: bool = False
) -> Result:
    """Run the readout on recordings; `task` announces a task with the first."""
    labels = np.asarray(items.labels)
    taught = {"label": labels if learn else np.full(len(labels), -1), "task": np.full(len(labels), -1)}
    taught["task"][:1] = 0 if task else -1
    inputs = {
        name: label_recordings(taught[name], size, 0.0 if name == "task" else DURATION - 0.5 * WINDOW, DURATION)
        for name, size in model.receptors.items()
        if name != "input"
    }
    inputs[heard.source] = items
    return simulate(network(model, heard.front, learn, learned), inputs, duration=DURATION, record=[])


def answers(model: OnlineReadout, heard: Heard, learned: Learned | None) -> NDArray[np.int64]:
    """Return the digit with the largest score at the end of each recording asked, of those seen so far."""
    readings = play(model, heard, heard.asked, learned, learn=False).readings["readout"]
    scores = np.array([item[-1, :10] for item in readings])
    return np.where(np.ones(10, bool) if learned is None else learned["seen"], scores, -np.inf).argmax(axis=1)


def learn_in_order(model: OnlineReadout, heard: Heard, seed: int) -> tuple[Matrix, Result]:
    """Learn pair after pair; return the matrix of accuracies, and the last run."""
    order = heard.order(seed)
    learned = None
    digits = np.asarray(heard.learned.labels)[order]
    asked = np.asarray(heard.asked.labels)
    rows: NDArray[np.float64] = np.zeros((len(TASKS) + 1, len(TASKS)))
    for t, task in enumerate(TASKS):
        items = heard.learned.select(order[np.isin(digits, task)])
        result = play(model, heard, items, learned, learn=True, task=t > 0)
        learned = result.learned["readout"]
        right = answers(model, heard, learned) == asked
        rows[t + 1] = [right[np.isin(asked, other)].mean() for other in TASKS]
    return Matrix(rows), result


def incremental(model: OnlineReadout, heard: Heard, seed: int) -> dict[str, float]:
    """The measures of a readout that learns pair after pair, and of its circuit."""
    matrix, result = learn_in_order(model, heard, seed)
    row = shown(matrix)
    if model.lateral is not None:
        readings = np.array([item[-1] for item in result.readings["readout"]])
        row |= {"captured": float(readings[:, -2].mean()), "lateral_bytes": float(model.lateral_bytes)}
    return row


def refitted(heard: Heard) -> dict[str, float]:
    """The measures of `incremental` for ridge regression on all recordings of the digits so far."""
    readout = Readout(windows=WINDOWS, timing="duration")
    labels = np.asarray(heard.learned.labels)
    asked = np.asarray(heard.asked.labels)
    rows: NDArray[np.float64] = np.zeros((len(TASKS) + 1, len(TASKS)))
    for t in range(len(TASKS)):
        known = np.isin(labels, TASKS[: t + 1])
        right = readout.fit(heard.learned.select(known), labels[known]).predict(heard.asked) == asked
        rows[t + 1] = [right[np.isin(asked, other)].mean() for other in TASKS]
    return shown(Matrix(rows))


def shown(matrix: Matrix) -> dict[str, float]:
    """ACC, BWT, and the mean accuracy on a pair of digits right after it was learned."""
    found = measures(matrix, forward=False)
    right_after = float(np.diag(matrix.values[1:]).mean())
    return {"accuracy": float(found["acc"] or 0.0), "bwt": float(found["bwt"] or 0.0), "learned": right_after}


def arms(seed: int, validate: bool) -> dict[str, dict[str, float]]:
    """Return the measures of every readout on one liquid."""
    recordings = events(seed, validate)
    whole = on_edges(100 + seed if validate else seed, *recordings)
    heard = whole.of("liquid")
    plain = replace(LATERAL, lateral=None)
    labels = np.asarray(heard.learned.labels)
    asked = np.asarray(heard.asked.labels)
    mixed = heard.learned.select(np.random.default_rng(seed).permutation(len(labels)))
    once = play(plain, heard, mixed, None, learn=True).learned["readout"]
    found = {"least squares": incremental(SQUARES, whole, seed), "lateral": incremental(LATERAL, whole, seed)}
    found["unprojected"] = incremental(plain, heard, seed)
    found["mixed"] = {"accuracy": float((answers(plain, heard, once) == asked).mean())}
    found["refitted"] = refitted(heard)
    default = Readout(**catalog.datasets()["nmnist"].defaults.get("readout", {}))
    right = default.fit(heard.learned, labels).predict(heard.asked) == asked
    found["joint"] = {"accuracy": float(right.mean())}
    found["edges"] = refitted(whole.of("edges"))
    found["camera"] = refitted(on_camera(100 + seed if validate else seed, *recordings).of("liquid"))
    return found


def choose(seeds: int) -> dict[str, Any]:
    """Accuracy and BWT on folds of the training recordings, by settings; and the table of `arms` there."""
    heard = [on_edges(100 + seed, *events(seed, validate=True)).of("liquid") for seed in range(seeds)]
    rows: list[dict[str, Any]] = []
    for name, models in GRID.items():
        for model in tqdm(models, name, file=sys.stderr):
            found = [incremental(model, each, seed) for seed, each in enumerate(heard)]
            if name == "rows" and model.lateral:
                value = model.lateral.rows[0]
            else:
                value = getattr(model, name)
            means = {key: round(float(np.mean([row[key] for row in found])), 4) for key in ("accuracy", "bwt")}
            rows.append({name: value, **means})
            frame.say(str(rows[-1]))
    return {"validation": rows, "chosen": table([arms(seed, validate=True) for seed in range(seeds)])}


def table(rows: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, dict[str, float]]]:
    """Mean over seeds with Student's 95 % interval, by arm and measure."""
    return {arm: {name: vars(estimate([row[arm][name] for row in rows])) for name in rows[0][arm]} for arm in rows[0]}


def run_incremental(options: argparse.Namespace) -> dict[str, Any]:
    if options.choose:
        return choose(options.seeds)
    started = time.perf_counter()
    rows = [arms(seed, validate=False) for seed in tqdm(range(options.seeds), file=sys.stderr)]
    return {"seeds": options.seeds, "test": table(rows), "seconds": time.perf_counter() - started}


PIPELINES: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {"incremental": run_incremental}


def main() -> None:
    parser = frame.arguments(__doc__, seeds=5)
    parser.add_argument("pipeline", choices=list(PIPELINES))
    parser.add_argument("--choose", action="store_true", help="only compare settings, on validation recordings")
    options = parser.parse_args()
    found = PIPELINES[options.pipeline](options)
    lines = []
    for arm, row in found.get("test", found.get("chosen", {})).items():
        cells = [
            f"{name} {value['mean']:.4g} ({value['low'] or 0:.4g} to {value['high'] or 0:.4g})"
            for name, value in row.items()
        ]
        lines.append(f"{arm:16}{', '.join(cells)}")
    frame.report(options, lines, found, describe(os.cpu_count() or 1))


if __name__ == "__main__":
    main()
