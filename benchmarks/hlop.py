"""Permuted MNIST, ten tasks, by Hebbian orthogonal projection: accuracy matrix, ACC, BWT and time, beside plain SGD.

    NEUROSIM_DATA=FOLDER python benchmarks/hlop.py [--training bptt online rate] [--spiking] [--plain] [--published]
        [--seeds 1] [--first-seed 0] [--threads 2] [--json] [--held-out] [--tasks 10] [--train 60000]

784-800-800-10 without biases, one head, batches of 64, one epoch a task, and lateral neurons as published by Xiao et
al., ICLR 2024 (recalled: ACC 95.2 and BWT -1.3 with BPTT, 70.6 and -28.9 for plain SGD). `--published` has their
constant learning rate too; otherwise the rate falls to 0 within each task, so that the subspaces see at the end what
the layers will go on doing. `--held-out` learns from the first 50,000 images and asks about the last 10,000 of the
training set: every choice was made there, with fewer images a task. The test set is asked by the run that is reported.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import frame
import numpy as np
import torch
from tqdm import tqdm

from neurosim.data import catalog
from neurosim.data.files.idx import Images
from neurosim.datasets import mnist
from neurosim.learning import HLOPNetwork
from neurosim.learning.continual.matrix import MEASURES, estimate
from neurosim.learning.hlop.trainings import TRAININGS

SIZES = (784, 800, 800, 10)
BATCH = 64
ASKED = 1000
# of MNIST's grey levels
MEAN = 0.1307
SD = 0.3081
SHOWN = ("acc", "bwt")
Labelled = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Recipe:
    """Learning rates at the start of the first task and of later ones, whether they fall to 0 within a task, and the
    lateral neurons of the tasks by layer."""

    rate: float
    later: float
    falls: bool
    first: tuple[int, int, int]
    more: tuple[int, ...]

    def rows(self, task: int) -> tuple[int, int, int]:
        return self.first if task == 0 else (self.more[task - 1],) * 3


ROWS = ((80, 200, 100), (70, 70, 50, 50, 50, 30, 30, 30, 10))
PUBLISHED = Recipe(0.1, 0.1, False, *ROWS)
OURS = Recipe(0.2, 0.1, True, *ROWS)


def data(held_out: bool) -> tuple[Labelled, Labelled]:
    root = catalog.find_root(mnist.INFO)
    x, y = tensors(mnist.images("train", root))
    if held_out:
        return (x[:50_000], y[:50_000]), (x[50_000:], y[50_000:])
    return (x, y), tensors(mnist.images("test", root))


def tensors(images: Images) -> Labelled:
    x = torch.tensor(images.pixels.reshape(len(images), -1), dtype=torch.float32).div_(255).sub_(MEAN).div_(SD)
    return x, torch.tensor(images.labels, dtype=torch.int64)


def drawn(number: int, seed: int, task: int, what: int) -> torch.Tensor:
    """A permutation: of the pixels (what 0), of the order of the images (1)."""
    return torch.randperm(number, generator=torch.Generator().manual_seed((seed * 1000 + task) * 2 + what))


def shown(x: torch.Tensor, seed: int, task: int) -> Iterator[torch.Tensor]:
    pixels = drawn(SIZES[0], seed, task, 0)
    for part in x.split(ASKED):
        yield part[:, pixels]


def learn(network: HLOPNetwork, train: Labelled, recipe: Recipe, task: int, seed: int, limit: int) -> None:
    x, y = train
    pixels = drawn(SIZES[0], seed, task, 0)
    batches = drawn(len(x), seed, task, 1)[:limit].split(BATCH)
    rate = recipe.later if task else recipe.rate
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=rate)
    for i, some in enumerate(tqdm(batches, desc=f"task {task + 1}", file=sys.stderr, mininterval=5)):
        optimizer.param_groups[0]["lr"] = rate * (1 - recipe.falls * i / len(batches))
        optimizer.zero_grad()
        network.gradients(x[some][:, pixels], y[some])
        optimizer.step()


@torch.no_grad()
def accuracies(network: HLOPNetwork, test: Labelled, learned: int, tasks: int, seed: int) -> list[float]:
    """On each task learned so far; no number for the others, which are not asked."""
    x, y = test
    found = [torch.cat([network(part).argmax(1) for part in shown(x, seed, task)]) for task in range(learned)]
    return [float((labels == y).float().mean()) for labels in found] + [math.nan] * (tasks - learned)


def run(training: str, projects: bool, options: argparse.Namespace, seed: int) -> dict[str, object]:
    """One seed: the accuracy matrix, its measures, and the seconds (and those of the CPU) that each task took."""
    train, test = data(options.held_out)
    recipe = PUBLISHED if options.published else OURS
    network = HLOPNetwork(SIZES, TRAININGS[training](), spiking=options.spiking, projects=projects, seed=seed)
    rows = [[math.nan] * options.tasks]
    seconds = []
    cpu = []
    for task in range(options.tasks):
        start = time.perf_counter()
        busy = time.process_time()
        network.begin_task(recipe.rows(task))
        learn(network, train, recipe, task, seed, options.train)
        network.end_task()
        seconds.append(time.perf_counter() - start)
        cpu.append(time.process_time() - busy)
        rows.append(accuracies(network, test, task + 1, options.tasks, seed))
        line = " ".join(f"{100 * a:6.2f}" for a in rows[-1][: task + 1])
        frame.say(f"after task {task + 1:2} ({seconds[-1]:.0f} s, CPU {cpu[-1]:.0f} s) {line}")
    matrix = np.array(rows)
    return {
        "seed": seed,
        "matrix": matrix[1:].tolist(),
        **{name: float(MEASURES[name].of(matrix).mean()) for name in SHOWN},
        "seconds": seconds,
        "cpu_seconds": cpu,
    }


def measured(training: str, projects: bool, options: argparse.Namespace) -> dict[str, object]:
    """One row of the table, over seeds."""
    runs = [
        run(training, projects, options, seed) for seed in range(options.first_seed, options.first_seed + options.seeds)
    ]
    over = {name: estimate([of[name] for of in runs]) for name in SHOWN}
    lateral = None
    if projects:
        lateral = "spiking" if options.spiking else "linear"
    return {
        "training": training,
        "method": "HLOP" if projects else "plain SGD",
        "recipe": "published" if options.published else "ours",
        "lateral": lateral,
        **{name: {"mean": e.mean, "sd": e.sd} for name, e in over.items()},
        "seconds": float(np.median([sum(of["seconds"]) for of in runs])),
        "cpu_seconds": float(np.median([sum(of["cpu_seconds"]) for of in runs])),
        "runs": runs,
    }


def percent(value: dict) -> str:
    if value["sd"] is None:
        spread = ""
    else:
        spread = f" +- {100 * value['sd']:.2f}"
    return f"{100 * value['mean']:.2f}{spread}"


def table(rows: list[dict]) -> Iterator[str]:
    """A line a method, the formulas, and the accuracy matrices of all seeds."""
    cells = []
    for row in rows:
        names = [row["method"], row["training"], row["lateral"] or "-", row["recipe"]]
        values = [percent(row[name]) for name in SHOWN]
        cells.append([*names, *values, f"{row['seconds']:.0f}", f"{row['cpu_seconds']:.0f}"])
    titles = [MEASURES[name].title for name in SHOWN]
    yield from frame.table(["", "training", "lateral", "recipe", *titles, "seconds", "CPU"], cells)
    yield from (f"{MEASURES[name].title} = {MEASURES[name].formula}" for name in SHOWN)
    for row in rows:
        for of in row["runs"]:
            yield f"{row['method']}, {row['training']}, seed {of['seed']}: accuracy on tasks 1, 2, ... after 1, 2, ..."
            lines = [line[: i + 1] for i, line in enumerate(of["matrix"])]
            yield from (" ".join(f"{100 * a:6.2f}" for a in line) for line in lines)


def main() -> None:
    parser = frame.arguments(__doc__, seeds=1, threads=2)
    parser.add_argument("--training", nargs="+", choices=sorted(TRAININGS), default=["bptt"])
    parser.add_argument("--spiking", action="store_true", help="spiking lateral neurons")
    parser.add_argument("--plain", action="store_true", help="plain SGD too")
    parser.add_argument("--published", action="store_true", help="learning rate and lateral neurons as published")
    parser.add_argument("--held-out", action="store_true", help="validation images in place of the test set")
    parser.add_argument("--tasks", type=int, default=10)
    parser.add_argument("--train", type=int, default=60_000, help="images a task")
    parser.add_argument("--first-seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    ways = (True, False) if options.plain else (True,)
    rows = [measured(training, projects, options) for training in options.training for projects in ways]
    frame.report(options, table(rows), {"rows": rows})


if __name__ == "__main__":
    main()
