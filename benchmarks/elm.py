"""The ELM neuron on spoken digits and on the sum of two of them: validation and test accuracy over seeds.

    NEUROSIM_DATA=FOLDER python benchmarks/elm.py [--seeds 3] [--json] [speech adding]

Bins of 10 ms, d_m = 100, time constants of 1 to 500 ms, inputs dropped out at .5, Adamax at .005 with a cosine, batches
of 8: as Spieler et al. published for SHD (validation .93, test .86 there). The recordings are FSDD-SHD where that
exists, else SHD. Validation is every fifth training recording (of `adding`, pairs of those); the epoch is chosen on it,
and the test set is looked at once. `adding` draws new pairs for every epoch.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from machine import describe
from tqdm import tqdm

from neurosim import Recordings, catalog
from neurosim.datasets.shd_adding import add_digits
from neurosim.layers.elm import ELM, ELMClassifier
from neurosim.training.augment import Augment
from neurosim.training.binning import Binning

TASKS = ["speech", "adding"]
BIN, TAU_MAX, BATCH, RATE, EVERY = 0.01, 0.5, 8, 5e-3, 5
# Of pairs: their validation and test sets are keyed apart from the epochs.
VALIDATION, TEST = 1_000_001, 1_000_002


def data() -> tuple[str, Recordings, Recordings]:
    root = Path(os.environ.get("NEUROSIM_DATA", "")) / "FSDD-SHD"
    fsdd = root.is_dir()
    train, test = (catalog.load("shd", split, root if fsdd else None) for split in ("train", "test"))
    return "FSDD-SHD" if fsdd else "SHD", train, test


class Task:
    """Recordings of each epoch, and those that do not change."""

    def __init__(self, name: str, train: Recordings, test: Recordings, pairs: int, seed: int) -> None:
        held = np.arange(len(train)) % EVERY == EVERY - 1
        self.pairs = pairs if name == "adding" else 0
        self.learned, self.validation, self.test, self.seed = train.select(~held), train.select(held), test, seed
        if self.pairs:
            self.validation = add_digits(self.validation, len(self.validation), VALIDATION)
            self.test = add_digits(test, 10 * len(test), TEST)

    def epoch(self, number: int) -> Recordings:
        return add_digits(self.learned, self.pairs, 1000 * self.seed + number) if self.pairs else self.learned


def batches(
    recordings: Recordings, binning: Binning, order: np.ndarray, augment: Augment | None, seed: int, epoch: int
) -> Iterator[Iterator[torch.Tensor]]:
    for first in range(0, len(order), BATCH):
        batch = binning.batch(recordings, order[first : first + BATCH], augment, seed, epoch)
        yield (torch.from_numpy(values) for values in (batch.x, batch.lengths, batch.labels))


def accuracy(model: ELMClassifier, recordings: Recordings, binning: Binning) -> float:
    model.eval()
    # Of like length together: shorter tensors.
    order, right = np.argsort(recordings.durations, kind="stable"), 0
    with torch.no_grad():
        for x, lengths, labels in batches(recordings, binning, order, None, 0, 0):
            right += int((model(x, lengths).argmax(dim=1) == labels).sum())
    return right / len(recordings)


def once(task: Task, binning: Binning, options: argparse.Namespace, seed: int) -> dict[str, float]:
    start = time.perf_counter()
    classes = len(task.test.classes)
    elm = ELM(binning.units, classes, options.memory, dt=BIN, tau_max=TAU_MAX, seed=seed)
    model = ELMClassifier(elm, dropout=options.dropout, seed=seed)
    optimizer = torch.optim.Adamax(model.parameters(), lr=RATE)
    steps = -(-len(task.epoch(0)) // BATCH) * options.epochs
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
    augment = Augment(shift=options.shift) if options.shift else None
    best, kept = -1.0, copy.deepcopy(model.state_dict())
    for epoch in tqdm(range(options.epochs), desc=f"seed {seed}", file=sys.stderr):
        recordings = task.epoch(epoch)
        order = np.random.Generator(np.random.Philox(key=[seed, epoch])).permutation(len(recordings))
        model.train()
        for x, lengths, labels in batches(recordings, binning, order, augment, seed, epoch):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(x, lengths), labels).backward()
            optimizer.step()
            schedule.step()
        found = accuracy(model, task.validation, binning)
        tqdm.write(f"epoch {epoch}: validation {found:.4f}", file=sys.stderr)
        if found > best:
            best, kept = found, copy.deepcopy(model.state_dict())
    model.load_state_dict(kept)
    row = {"validation": best, "seconds": time.perf_counter() - start}
    return row if options.no_test else {**row, "test": accuracy(model, task.test, binning)}


def measure(name: str, options: argparse.Namespace) -> dict:
    title, train, test = data()
    longest = 2.0 if name == "adding" else 1.0
    binning = Binning(train.shape, dt=BIN, duration=longest, pool=options.pool, max_count=0)
    runs = [once(Task(name, train, test, options.pairs, seed), binning, options, seed) for seed in range(options.seeds)]
    row = {"task": name, "recordings": title, "memory": options.memory, "epochs": options.epochs, "seeds": len(runs)}
    for key in runs[0]:
        values = [run[key] for run in runs]
        row[key] = {"mean": float(np.mean(values)), "sd": float(np.std(values, ddof=1)) if len(runs) > 1 else 0.0}
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    # Without `choices`: argparse before Python 3.12 wants the list of defaults to be one of them.
    parser.add_argument("tasks", nargs="*", default=TASKS, metavar="TASK", help=", ".join(TASKS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--memory", type=int, default=100)
    parser.add_argument("--pairs", type=int, default=4000, help="of an epoch of `adding`")
    parser.add_argument("--pool", type=int, default=1, help="channels summed into one input")
    parser.add_argument("--dropout", type=float, default=0.5)
    parser.add_argument("--shift", type=float, default=0.0, help="of the channels, at random, in training")
    parser.add_argument("--no-test", action="store_true", help="to choose settings: the test set stays unseen")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if unknown := set(options.tasks) - set(TASKS):
        parser.error(f"no such task: {', '.join(sorted(unknown))}; choose from {', '.join(TASKS)}")
    rows = [measure(name, options) for name in options.tasks]
    about = describe(os.cpu_count() or 1)
    if options.json:
        print(json.dumps({"machine": about, "rows": rows}))
        return
    print(json.dumps(about))
    for row in rows:
        scores = ", ".join(
            f"{k} {row[k]['mean']:.3f} +- {row[k]['sd']:.3f}" for k in ("validation", "test") if k in row
        )
        print(f"{row['task']} on {row['recordings']}: {scores}; {row['seconds']['mean']:.0f} s a seed")


if __name__ == "__main__":
    main()
