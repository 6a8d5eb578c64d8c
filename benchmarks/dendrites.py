"""Permuted MNIST with active dendrites: many tasks learned one after the other, without going back to any.

Each task shuffles the pixels of all images in its own way; training passes through the tasks in order, and in the end
all are tested. The context of a task is its mean training image; at the end it is given ("known"), or that of the
nearest prototype of each image ("inferred"). The setting is that of Iyer et al. 2022 (784-2048-2048-10, 5 % of the
units win, half of the weights, as many segments as tasks, Adam anew for each task, batches of 256).

Usage: python benchmarks/dendrites.py DATA [--tasks 2] [--seeds 1] [--train 60000] [--units 2048] [--json]
DATA is the folder with MNIST's four files. `--tasks 10` is the published experiment; on 2 cores it takes half an hour.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import frame
import numpy as np
import torch

from neurosim import __version__
from neurosim.datasets import mnist
from neurosim.memory import DendriteNetwork, Prototypes

# By number of tasks, as published: accuracy with known and with inferred contexts, learning rate, passes over a task.
PUBLISHED = {2: 0.975, 5: 0.964, 10: 0.9455, 25: 0.921, 50: 0.871, 100: 0.8142}
PUBLISHED_INFERRED = {2: 0.976, 5: 0.960, 10: 0.943, 25: 0.886, 50: 0.853, 100: 0.769}
SETTINGS = {10: (5e-4, 3), 25: (3e-4, 5), 50: (3e-4, 3), 100: (1e-4, 3)}
BATCH = 256
MEAN = 0.13066
SPREAD = 0.30811
Split = tuple[torch.Tensor, torch.Tensor]


def load(root: Path, split: str, most: int | None = None) -> Split:
    """([n, 784] standardised pixels, [n] labels)."""
    images = mnist.images(split, root)
    pixels = np.asarray(images.pixels[:most], np.float32).reshape(-1, 784) / 255
    return torch.from_numpy((pixels - MEAN) / SPREAD), torch.from_numpy(np.asarray(images.labels[:most], np.int64))


def permutations(tasks: int, seed: int) -> list[torch.Tensor]:
    draws = torch.Generator().manual_seed(10_000 + seed)
    return [torch.randperm(784, generator=draws) for _ in range(tasks)]


def train(network: DendriteNetwork, data: Split, context: torch.Tensor, rate: float, epochs: int, seed: int) -> None:
    x, labels = data
    draws = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(network.parameters(), lr=rate, fused=True)
    network.train()
    for _ in range(epochs):
        for batch in torch.randperm(len(x), generator=draws).split(BATCH):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(x[batch], context), labels[batch]).backward()
            optimizer.step()
            network.rezero()


@torch.no_grad()
def right(network: DendriteNetwork, data: Split, contexts: torch.Tensor, task: np.ndarray) -> float:
    """Fraction of the test images told right, each under the context of its entry in `task`."""
    network.eval()
    x, labels = data
    hits = 0
    # Image by task: one context serves a whole batch, whose dendrites are then computed once.
    for t in np.unique(task):
        for rows in torch.from_numpy(np.flatnonzero(task == t)).split(2000):
            hits += int((network(x[rows], contexts[t]).argmax(dim=1) == labels[rows]).sum())
    return hits / len(x)


def run(tasks: int, seed: int, training: Split, test: Split, units: int) -> dict[str, object]:
    near = min(SETTINGS, key=lambda n: abs(n - tasks))
    rate, epochs = SETTINGS[near]
    orders = permutations(tasks, seed)
    prototypes = Prototypes.of([training[0][:, order].numpy() for order in orders])
    contexts = torch.from_numpy(prototypes.means)
    network = DendriteNetwork(784, 10, contexts=784, segments=tasks, units=units, seed=seed)
    start = time.perf_counter()
    first = 0.0
    for t, order in enumerate(orders):
        train(network, (training[0][:, order], training[1]), contexts[t], rate, epochs, seed * tasks + t)
        if t == 0:
            first = right(network, (test[0][:, order], test[1]), contexts, np.zeros(len(test[0]), int))
        frame.say(f"  seed {seed}: task {t + 1} of {tasks} learned, {time.perf_counter() - start:.0f} s")
    known = []
    inferred = []
    found = []
    for t, order in enumerate(orders):
        shuffled = (test[0][:, order], test[1])
        guess = prototypes.infer(shuffled[0].numpy())
        known.append(right(network, shuffled, contexts, np.full(len(guess), t)))
        inferred.append(right(network, shuffled, contexts, guess))
        found.append(float((guess == t).mean()))
    return {
        "tasks": tasks,
        "seed": seed,
        "known": statistics.fmean(known),
        "inferred": statistics.fmean(inferred),
        "context_found": statistics.fmean(found),
        "first_task_then": first,
        "first_task_now": known[0],
        "each": known,
        "seconds": time.perf_counter() - start,
        "rate": rate,
        "epochs": epochs,
    }


def show(tasks: int, published: dict[str, float | None], rows: list[dict], images: int) -> Iterator[str]:
    yield f"{tasks} tasks, {images} training images each, {len(rows)} seeds"
    for name, figure in published.items():
        values = [float(str(r[name])) for r in rows]
        if len(values) > 1:
            spread = f" +- {statistics.stdev(values):.4f}"
        else:
            spread = ""
        yield f"accuracy, contexts {name}: {statistics.fmean(values):.4f}{spread} (published {figure or 'for others'})"
    for r in rows:
        yield "  " + ", ".join(f"{k} {v:.4g}" for k, v in r.items() if isinstance(v, (int, float)))


def main(argv: list[str] | None = None) -> None:
    parser = frame.arguments(__doc__, seeds=1)
    parser.add_argument("data", type=Path)
    parser.add_argument("--tasks", type=int, default=2)
    parser.add_argument("--train", type=int, default=60_000, help="training images of a task")
    parser.add_argument("--units", type=int, default=2048)
    options = parser.parse_args(argv)
    training = load(options.data, "train", options.train)
    test = load(options.data, "test")
    rows = [run(options.tasks, seed, training, test, options.units) for seed in range(options.seeds)]
    images = len(training[0])
    about = {"images": images, "units": options.units, "torch": torch.__version__, "neurosim": __version__}
    published = {"known": PUBLISHED.get(options.tasks), "inferred": PUBLISHED_INFERRED.get(options.tasks)}
    result = {"about": about, "published": published, "rows": rows}
    frame.report(options, show(options.tasks, published, rows, images), result)


if __name__ == "__main__":
    main()
