"""Macrocolumns: single-trial classification, order of sequences, noise, capacity, and what an item costs.

    NEUROSIM_DATA=FOLDER python benchmarks/macrocolumn.py [--part mnist ...] [--seeds 3] [--json]

Every item is stored once. Parameters were chosen on parts of the training sets (the last 10,000 of MNIST, fifths of
the others); each run here scores such a part again ("validation") and then the test set once. Times are those of the
whole process on as many threads as the machine has cores, with everything compiled before.
"""

from __future__ import annotations

import itertools
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import frame
import numpy as np
from machine import describe
from numpy.typing import NDArray
from sklearn.neighbors import KNeighborsClassifier
from tqdm import tqdm

from neurosim.base import CapacityWarning
from neurosim.data import catalog
from neurosim.datasets import fashion, mnist
from neurosim.memory import SDR, Macrocolumn, Selection, build_recogniser, on_off_pixels
from neurosim.memory.macrocolumn.encoders import on_off_spectrum, on_off_windows
from neurosim.memory.macrocolumn.theory import crosstalk, expected_recall

THREADS = os.cpu_count() or 1
RANDOM = Selection(chi=0.0)
SHARP = Selection(exponents=(3.0, 1.0, 1.0), hypothesis=0.9)
SHADES = (10, 45, 85, 125, 165, 205)
Row = dict[str, object]


def score(
    name: str, seed: int, train: tuple, *tests: tuple, shape: tuple[int, ...] | None = None
) -> tuple[list[float], float, float]:
    """Accuracy on each test; seconds to store and seconds to recognise the last."""
    owner = build_recogniser(name, seed, shape)
    memory = owner.memory()
    # Compiled before the clock starts.
    stored_items, stored_labels = train
    owner.store(owner.memory(), stored_items[:2], stored_labels[:2], THREADS)
    owner.recognise(memory, stored_items[:2], THREADS)
    start = time.perf_counter()
    owner.store(memory, stored_items, stored_labels, THREADS)
    stored = time.perf_counter() - start
    accuracies = []
    begun = 0.0
    for items, labels in tests:
        begun = time.perf_counter()
        accuracies.append(float((owner.recognise(memory, items, THREADS).labels == labels).mean()))
    return accuracies, stored, time.perf_counter() - begun


def draw(labels: NDArray, each: int, seed: int) -> NDArray[np.int64]:
    """`each` indices of every class, in random order."""
    chance = np.random.default_rng(seed)
    found = [chance.permutation(np.flatnonzero(labels == c))[:each] for c in np.unique(labels)]
    return chance.permutation(np.concatenate(found))


def images() -> tuple[tuple, tuple]:
    train, test = (mnist.images(split, catalog.find_root(mnist.INFO)) for split in ("train", "test"))
    return (on_off_pixels(train.pixels), train.labels), (on_off_pixels(test.pixels), test.labels)


def few_images(seeds: int) -> list[Row]:
    (x, y), test = images()
    runs = []
    for seed in each(seeds, "MNIST, 200 a class"):
        chosen = draw(y[:50_000], 200, seed)
        runs.append(score("mnist", seed, (x[chosen], y[chosen]), (x[50_000:], y[50_000:]), test))
    return [summary("MNIST, 200 items a class", 2000, len(test[1]), runs)]


def few_clothes(seeds: int) -> list[Row]:
    """Fashion-MNIST, with and without shades, and the nearest neighbour among the same stored images."""
    root = catalog.find_root(fashion.INFO)
    train, test = (fashion.images(split, root) for split in ("train", "test"))
    x = train.pixels
    y = train.labels
    runs = {"one threshold": [], "six thresholds": [], "nearest neighbour": []}
    held = slice(50_000, None)
    for seed in each(seeds, "Fashion-MNIST, 200 a class"):
        chosen = draw(y[:50_000], 200, seed)
        for name, levels in (("one threshold", (100,)), ("six thresholds", SHADES)):
            parts = [
                (on_off_pixels(images, levels), labels)
                for images, labels in ((x[chosen], y[chosen]), (x[held], y[held]), (test.pixels, test.labels))
            ]
            runs[name].append(score("mnist", seed, *parts, shape=(len(levels), *x.shape[1:])))
        near = KNeighborsClassifier(1).fit(x[chosen].reshape(2000, -1).astype(np.float32), y[chosen])
        tests = ((x[held], y[held]), (test.pixels, test.labels))
        found = [near.score(images.reshape(len(images), -1).astype(np.float32), labels) for images, labels in tests]
        runs["nearest neighbour"].append((found, 0.0, 0.0))
    return [summary(f"Fashion-MNIST, 200 items a class, {name}", 2000, 10_000, found) for name, found in runs.items()]


def all_images(seeds: int) -> list[Row]:
    (x, y), test = images()
    runs = []
    rows = []
    for seed in each(seeds, "MNIST, all"):
        order = np.random.default_rng(seed).permutation(50_000)
        part = score("mnist", seed, (x[order], y[order]), (x[50_000:], y[50_000:]))
        order = np.random.default_rng(seed).permutation(60_000)
        whole = score("mnist", seed, (x[order], y[order]), test)
        runs.append(([part[0][0], whole[0][0]], whole[1], whole[2]))
    rows.append(summary("MNIST, all 60,000 once (validation: 50,000)", 60_000, len(test[1]), runs))
    return rows + growing_images(x, y)


def growing_images(x: NDArray, y: NDArray) -> list[Row]:
    """Operations and processor time of an item against items already stored."""
    block = 5000
    owner = build_recogniser("mnist")
    memory = owner.memory()
    rows = []
    for start in each(60_000 // block, "MNIST, cost of an item", block):
        part = slice(start, start + block)
        began = time.process_time()
        operations = owner.store(memory, x[part], y[part])
        spent = (time.process_time() - began) / block
        rows.append(cost("MNIST, one thread", start, operations, spent))
    return rows


def recordings(name: str, view: Callable, seeds: int, root: Path | None = None) -> list[Row]:
    train, test = (catalog.load(name, split, root) for split in ("train", "test"))
    if name == "shd":
        title = "FSDD-SHD"
    else:
        title = f"N-MNIST-{len(train)}/{len(test)}"
    x = view(train)
    y = np.asarray(train.labels)
    other = (view(test), np.asarray(test.labels))
    runs = []
    for seed in each(seeds, title):
        order = np.random.default_rng(seed).permutation(len(y))
        known = order[len(y) // 5 :]
        held = order[: len(y) // 5]
        part = score(name, seed, (x[known], y[known]), (x[held], y[held]))
        whole = score(name, seed, (x[order], y[order]), other)
        runs.append(([part[0][0], whole[0][0]], whole[1], whole[2]))
    return [summary(f"{title}, once (validation: 4 of 5)", len(y), len(other[1]), runs)]


def summary(title: str, stored: int, tested: int, runs: list) -> Row:
    values = np.array([run[0] for run in runs])
    if len(runs) > 1:
        spread = values.std(axis=0, ddof=1)
    else:
        spread = np.zeros(values.shape[1])
    return {
        "figure": title,
        "stored": stored,
        "tested": tested,
        "seeds": len(runs),
        **{
            f"{name}{end}": float(part[i])
            for i, name in enumerate(("validation", "test"))
            for end, part in (("", values.mean(axis=0)), (" sd", spread))
        },
        "store s": float(np.median([run[1] for run in runs])),
        "recognise s": float(np.median([run[2] for run in runs])),
    }


def items(n: int, size: int, active: int, seed: int) -> list[SDR]:
    return [SDR.random(size, active, seed, i) for i in range(n)]


def order(seeds: int, sequences: int = 25, frames: int = 8) -> list[Row]:
    """Compare a stored sequence with its frames in another order: which is the more familiar? Ties are half right."""
    rows = []
    for lateral in (True, False):
        trials = [
            trial
            for seed in each(seeds, "sequences")
            for trial in order_trials(seed, sequences, frames, lateral=lateral)
        ]
        generated = [trial.generated for trial in trials if trial.generated is not None]
        rows.append(
            {
                "figure": "order told apart, " + ("with H" if lateral else "without H"),
                "sequences": len(trials),
                "right": float(np.mean([trial.right for trial in trials])),
                "winners recalled": float(np.mean([trial.recalled for trial in trials])),
                "generated from the first frame": float(np.mean(generated)) if generated else None,
            }
        )
    return rows


class OrderTrial(NamedTuple):
    """Recall of a stored sequence.

    Attributes:
        right: 1 if the sequence is more familiar than its frames in another order, .5 if as familiar.
        recalled, generated: share of winners that are those of storage; generated ones need lateral synapses.
    """

    right: float
    recalled: float
    generated: float | None


def order_trials(seed: int, sequences: int, frames: int, *, lateral: bool) -> Iterator[OrderTrial]:
    """Store sequences, and yield a trial of each."""
    column = Macrocolumn(256, 24, 16, lateral=lateral, selection=SHARP, seed=seed)
    memory = column.memory()
    known = [items(frames, 256, 16, 1000 * seed + s) for s in range(sequences)]
    stored = [column.store_sequence(memory, s) for s in known]
    chance = np.random.default_rng(seed)
    for s, batch in zip(known, stored, strict=True):
        same = column.recall_sequence(memory, s)
        other = column.recall_sequence(memory, [s[i] for i in chance.permutation(frames)])
        a = same.familiarity.mean()
        b = other.familiarity.mean()
        generated = None
        if lateral:
            generated = float((column.generate(memory, s[0], frames).codes == batch.codes).mean())
        yield OrderTrial(1.0 * (a > b) + 0.5 * (a == b), float((same.codes == batch.codes).mean()), generated)


def noise(seeds: int, stored: int = 100) -> list[Row]:
    """Noisy items: is the code nearest to theirs that of the item?"""
    rows = []
    for fraction in (0.0, 0.2, 0.4, 0.6, 0.8):
        right = []
        familiar = []
        for seed in each(seeds, f"noise {fraction}"):
            column = Macrocolumn(1024, 32, 32, lateral=False, selection=RANDOM, seed=seed)
            memory = column.memory()
            known = items(stored, 1024, 40, seed)
            codes = column.store_many(memory, known).codes
            heard = column.recall_many(memory, [item.noise(fraction, seed, i) for i, item in enumerate(known)])
            nearest = (heard.codes[:, None] == codes[None]).sum(axis=2).argmax(axis=1)
            right.append((nearest == np.arange(stored)).mean())
            familiar.append(heard.familiarity.mean())
        rows.append(
            {"figure": f"noise {fraction}", "stored": stored, "accuracy": mean(right), "familiarity": mean(familiar)}
        )
    return rows


def capacity(seeds: int) -> list[Row]:
    """Q = 12, K = 16, 256 inputs of which 24 are active; and what storing costs up to 100,000 items."""
    rows = []
    for count in (100, 200, 250, 300, 400):
        found = {}
        for name, selection in (("random codes", RANDOM), ("codes by similarity", SHARP)):
            recalled = []
            for seed in each(max(seeds, 5), f"capacity {count}"):
                column = Macrocolumn(256, 12, 16, lateral=False, selection=selection, seed=seed)
                memory = column.memory()
                known = items(count, 256, 24, seed)
                stored = column.store_many(memory, known)
                recalled.append((stored.codes == column.recall_many(memory, known).codes).mean())
            found[name] = mean(recalled)
        expected = {
            "theory": expected_recall(count, 24, 256, 16),
            "theory, by similarity": expected_recall(count, 24, 256, 16, SHARP, 12),
        }
        noise = crosstalk(count, 24, 256, 16)
        rows.append({"figure": f"recall of {count} items", **found, **expected, "crosstalk": noise})
    return rows + growing_column()


def growing_column() -> list[Row]:
    block = 10_000
    column = Macrocolumn(256, 12, 16, lateral=False, selection=RANDOM)
    memory = column.memory()
    rows = []
    for start in each(100_000 // block, "cost of an item", block):
        part = items(block, 256, 24, 5 + start)
        began = time.process_time()
        batch = column.store_many(memory, part)
        rows.append(cost("one column", start, batch.operations, (time.process_time() - began) / block))
    return rows


def cost(title: str, already: int, operations: NDArray, seconds: float) -> Row:
    low = int(operations.min())
    high = int(operations.max())
    return {
        "figure": f"{title}, already stored {already:,}",
        "operations, fewest": low,
        "operations, most": high,
        "us an item": 1e6 * seconds,
    }


def mean(values: list) -> float:
    return float(np.mean(values))


def each(n: int, title: str, step: int = 1) -> Iterable[int]:
    return tqdm(range(0, n * step, step), title, leave=False, file=sys.stderr)


def nmnist(seeds: int) -> list[Row]:
    return recordings("nmnist", on_off_windows, seeds)


def shd(seeds: int) -> list[Row]:
    return recordings("shd", on_off_spectrum, seeds, Path(os.environ.get("NEUROSIM_DATA", "")) / "FSDD-SHD")


PARTS: dict[str, Callable[[int], list[Row]]] = {
    "mnist": few_images,
    "fashion": few_clothes,
    "mnist-all": all_images,
    "nmnist": nmnist,
    "shd": shd,
    "sequences": order,
    "noise": noise,
    "capacity": capacity,
}


def show(rows: list[Row]) -> Iterator[str]:
    """Rows with the same keys as one table."""
    for _, each in itertools.groupby(rows, key=tuple):
        yield ""
        yield from frame.records(list(each))


def main() -> None:
    parser = frame.arguments(__doc__, seeds=3)
    parser.add_argument("--part", nargs="*", choices=list(PARTS), default=list(PARTS))
    options = parser.parse_args()
    warnings.simplefilter("ignore", CapacityWarning)
    found = {part: PARTS[part](options.seeds) for part in options.part}
    lines = (line for rows in found.values() for line in show(rows))
    frame.report(options, lines, {"parts": found}, describe(THREADS))


if __name__ == "__main__":
    main()
