"""Whole pipelines in one network, against what each part does alone.

    NEUROSIM_DATA=FOLDER python benchmarks/pipelines.py incremental [--seeds 5] [--choose] [--json]

`incremental`: new digits, two at a time, for a liquid with a readout that learns in the network. Events of N-MNIST go
to a fixed liquid (its input gains are set on recordings of the first two digits, without labels), and its spikes to an
`OnlineReadout` with a `LateralCircuit`. Each recording is played once, with its label as a spike in the last window;
nothing is stored or replayed, and a spike announces every new pair of digits. After each pair the readout, frozen,
names all recordings to be asked. Beside it, on the same spikes of the liquid:

    unprojected     the same readout without the circuit
    mixed           the same without the circuit, all digits mixed
    joint           ridge regression on the same features, anew after each pair on all digits so far
    joint, default  the readout that `neurosim simulate nmnist` trains, on all digits

ACC, BWT: `neurosim.continual.matrix`. The BWT of "joint" is what more digits cost with nothing forgotten. Settings were
chosen on every fifth training recording, as --choose compares those of `GRID` on liquids of other seeds; the test
recordings are asked once, without it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from machine import describe
from numpy.typing import NDArray
from tqdm import tqdm

from neurosim import Network, Population, Recordings, SpikeSource, catalog, simulate
from neurosim.continual.matrix import Matrix, estimate, measures
from neurosim.engine import Result
from neurosim.liquid import Liquid, Readout
from neurosim.network import Link
from neurosim.readouts import LateralCircuit, OnlineReadout, label_recordings
from neurosim.windowed import Windowed

TASKS = tuple((2 * t, 2 * t + 1) for t in range(5))
# Every recording of N-MNIST ends before.
DURATION = 0.32
ADAPT = 90
CHOSEN = OnlineReadout(1000, 10, windows=8, learning_rate=1.0, lateral=LateralCircuit((30,) * 5))
GRID: dict[str, tuple[Any, ...]] = {"windows": (4, 8, 16), "learning_rate": (0.5, 0.8, 1.0), "rows": (30, 60)}


@dataclass(frozen=True)
class Heard:
    """A liquid's spikes for the recordings that are learned and those that are asked, with their digits."""

    learned: Recordings
    asked: Recordings

    @classmethod
    def of(cls, seed: int, validate: bool) -> Heard:
        train = catalog.load("nmnist", "train")
        held = np.arange(len(train)) % 5 == 4
        learned, asked = (
            (train.select(~held), train.select(held)) if validate else (train, catalog.load("nmnist", "test"))
        )
        first = np.flatnonzero(np.isin(np.asarray(learned.labels), TASKS[0]))
        liquid = Liquid(train.shape, seed=seed).adapt(learned.select(first[:: max(1, len(first) // ADAPT)]))
        return cls(*(liquid.run(each).spikes["liquid"] for each in (learned, asked)))  # type: ignore[arg-type]

    def order(self, seed: int) -> NDArray[np.int64]:
        """Places of the learned recordings, pair of digits after pair, shuffled within each."""
        shuffled = np.random.default_rng(seed).permutation(len(self.learned))
        labels = np.asarray(self.learned.labels)[shuffled]
        return np.concatenate([shuffled[np.isin(labels, task)] for task in TASKS])


Learned = Mapping[str, NDArray[Any]]


def network(model: OnlineReadout, learn: bool, learned: Learned | None) -> Network:
    sources = [Population(name, (size,), SpikeSource()) for name, size in model.receptors.items()]
    readout = Population("readout", (model.outputs,), Windowed(model, DURATION / model.windows, learn, learned))
    return Network([*sources, readout], links=[Link(name, "readout", name) for name in model.receptors])


def play(
    model: OnlineReadout, spikes: Recordings, learned: Learned | None, *, learn: bool, task: bool = False
) -> Result:
    """Run the readout on a liquid's spikes; `task` announces a task with the first recording."""
    labels = np.asarray(spikes.labels)
    taught = {"label": labels if learn else np.full(len(labels), -1), "task": np.full(len(labels), -1)}
    taught["task"][:1] = 0 if task else -1
    last = DURATION * (1 - 0.5 / model.windows)
    inputs = {
        name: label_recordings(taught[name], size, 0.0 if name == "task" else last, DURATION)
        for name, size in model.receptors.items()
        if name != "input"
    }
    return simulate(network(model, learn, learned), {"input": spikes, **inputs}, duration=DURATION)


def answers(model: OnlineReadout, spikes: Recordings, learned: Learned | None) -> NDArray[np.int64]:
    """The digit whose unit spikes at the end of each recording."""
    found = play(model, spikes, learned, learn=False).spikes["readout"]
    assert isinstance(found, Recordings)
    return np.array([item.units[-1] for item in found])


def learn_in_order(model: OnlineReadout, heard: Heard, seed: int, passes: int) -> tuple[Matrix, Result]:
    """Learn pair after pair, each in `passes` passes; return the matrix of accuracies, and the last run."""
    order, learned = heard.order(seed), None
    digits, asked = np.asarray(heard.learned.labels)[order], np.asarray(heard.asked.labels)
    rows: NDArray[np.float64] = np.zeros((len(TASKS) + 1, len(TASKS)))
    for t, task in enumerate(TASKS):
        items = heard.learned.select(order[np.isin(digits, task)])
        for k in range(passes):
            result = play(model, items, learned, learn=True, task=t > 0 and k == 0)
            learned = result.learned["readout"]
        right = answers(model, heard.asked, learned) == asked
        rows[t + 1] = [right[np.isin(asked, other)].mean() for other in TASKS]
    return Matrix(rows), result


def incremental(model: OnlineReadout, heard: Heard, seed: int, passes: int = 1) -> dict[str, float]:
    """The measures of a readout that learns pair after pair, and of its circuit."""
    matrix, result = learn_in_order(model, heard, seed, passes)
    row = shown(matrix)
    if model.lateral is not None:
        readings = np.array([item[-1] for item in result.readings["readout"]])
        row |= {"captured": float(readings[:, -2].mean()), "lateral_bytes": float(model.lateral_bytes)}
    return row


def joint(heard: Heard) -> dict[str, float]:
    """The measures of `incremental` for ridge regression on all recordings of the digits so far."""
    readout = Readout(windows=CHOSEN.windows, timing="duration", penalty=0.01)
    labels, asked = np.asarray(heard.learned.labels), np.asarray(heard.asked.labels)
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


def arms(heard: Heard, seed: int) -> dict[str, dict[str, float]]:
    """Return the measures of every pipeline on one liquid."""
    plain = replace(CHOSEN, lateral=None)
    labels, asked = np.asarray(heard.learned.labels), np.asarray(heard.asked.labels)
    mixed = heard.learned.select(np.random.default_rng(seed).permutation(len(labels)))
    once = play(plain, mixed, None, learn=True).learned["readout"]
    found = {"projected": incremental(CHOSEN, heard, seed), "unprojected": incremental(plain, heard, seed)}
    found["mixed"] = {"accuracy": float((answers(plain, heard.asked, once) == asked).mean())}
    found["joint"] = joint(heard)
    default = Readout(**catalog.datasets()["nmnist"].defaults.get("readout", {}))
    found["joint, default"] = {
        "accuracy": float((default.fit(heard.learned, labels).predict(heard.asked) == asked).mean())
    }
    return found


def candidates() -> Iterator[tuple[dict[str, Any], OnlineReadout]]:
    for values in itertools.product(*GRID.values()):
        chosen = dict(zip(GRID, values, strict=True))
        circuit = LateralCircuit((chosen["rows"],) * len(TASKS))
        named = {name: value for name, value in chosen.items() if name != "rows"}
        yield chosen, replace(CHOSEN, **named, lateral=circuit)


def choose(seeds: int) -> dict[str, Any]:
    """Accuracy and BWT on validation recordings, by settings, with the joint readouts of the same liquids."""
    heard = [Heard.of(100 + seed, validate=True) for seed in range(seeds)]
    rows: list[dict[str, Any]] = []
    for settings, model in tqdm(list(candidates()), file=sys.stderr):
        found = [incremental(model, each, seed) for seed, each in enumerate(heard)]
        means = {name: round(float(np.mean([row[name] for row in found])), 4) for name in ("accuracy", "bwt")}
        rows.append({**settings, **means})
        print(rows[-1], file=sys.stderr)
    return {"validation": rows, "chosen": table([arms(each, seed) for seed, each in enumerate(heard)])}


def table(rows: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, dict[str, float]]]:
    """Mean over seeds with Student's 95 % interval, by arm and measure."""
    return {arm: {name: vars(estimate([row[arm][name] for row in rows])) for name in rows[0][arm]} for arm in rows[0]}


def run_incremental(options: argparse.Namespace) -> dict[str, Any]:
    if options.choose:
        return choose(options.seeds)
    started = time.perf_counter()
    rows = [arms(Heard.of(seed, validate=False), seed) for seed in tqdm(range(options.seeds), file=sys.stderr)]
    return {"seeds": options.seeds, "test": table(rows), "seconds": time.perf_counter() - started}


PIPELINES: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {"incremental": run_incremental}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pipeline", choices=list(PIPELINES))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--choose", action="store_true", help="only compare settings, on validation recordings")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found, about = PIPELINES[options.pipeline](options), describe(os.cpu_count() or 1)
    if options.json:
        print(json.dumps({"machine": about, **found}))
        return
    print(json.dumps(about))
    for arm, row in found.get("test", found.get("chosen", {})).items():
        cells = [
            f"{name} {value['mean']:.4g} ({value['low'] or 0:.4g} to {value['high'] or 0:.4g})"
            for name, value in row.items()
        ]
        print(f"{arm:16}{', '.join(cells)}")


if __name__ == "__main__":
    main()
