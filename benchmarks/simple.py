"""Simple classifiers on the data of the tables in docs/figures/: what a network has to beat.

    NEUROSIM_DATA=FOLDER python benchmarks/simple.py [nmnist shd strangers mnist fashion] [--items 2000] [--json]

Recordings: logistic regression, nearest neighbour and an RBF SVM on counts in three windows, and naive Bayes on a
dictionary of patches, as `neurosim train` prints them. `strangers` leaves each training speaker of FSDD-SHD out in turn
and shows the mean. Images: `--items` of the training set, evenly over classes, pixels, all test images; no patches.
Nothing is chosen here. Behind each accuracy is half of its 95 % interval over test items (Wilson).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import frame
import numpy as np
from tqdm import tqdm

from neurosim import Recordings
from neurosim.app.runs.baselines import measure_baselines
from neurosim.app.runs.classifiers import NAMES, answers_of
from neurosim.app.runs.data import even
from neurosim.app.runs.score import wilson
from neurosim.data import catalog

PARTS = ("nmnist", "shd", "strangers", "mnist", "fashion")


def speech() -> tuple[Recordings, Recordings]:
    root = Path(os.environ.get("NEUROSIM_DATA", "")) / "FSDD-SHD"
    train, test = (catalog.load("shd", split, root if root.is_dir() else None) for split in ("train", "test"))
    return train, test


def strangers() -> tuple[Mapping[str, float], int]:
    train, _ = speech()
    speaker = np.asarray(train.groups["speaker"])
    every = [
        measure_baselines(train.select(speaker != who), train.select(speaker == who))
        for who in tqdm(np.unique(speaker), file=sys.stderr)
    ]
    return {name: float(np.mean([found[name] for found in every])) for name in NAMES}, len(train)


def images(name: str, items: int) -> tuple[Mapping[str, float], int]:
    module = catalog.module(name)
    train, test = (module.images(split, catalog.find_root(module.INFO)) for split in ("train", "test"))
    rows = even(train.labels, items)
    x, z = (part.pixels.reshape(len(part), -1).astype(np.float32) for part in (train, test))
    answers = answers_of(x[rows], train.labels[rows], z)
    return {n: float(np.mean(a == test.labels)) for n, a in zip(NAMES, answers, strict=False)}, len(test)


def measure(part: str, items: int) -> tuple[Mapping[str, float], int]:
    """Accuracy by classifier, and the number of test items."""
    if part in ("mnist", "fashion"):
        return images(part, items)
    if part == "strangers":
        return strangers()
    if part == "shd":
        train, test = speech()
    else:
        train = catalog.load(part, "train")
        test = catalog.load(part, "test")
    return measure_baselines(train, test), len(test)


def half_width(share: float, n: int) -> float:
    """Half of Wilson's 95 % interval of a share of n items."""
    low, high = wilson(round(share * n), n)
    return (high - low) / 2


def main() -> None:
    parser = frame.arguments(__doc__)
    parser.add_argument("parts", nargs="*", default=list(PARTS), metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--items", type=int, default=2000)
    options = parser.parse_args()
    rows = {}
    cells = []
    for part in options.parts:
        scores, n = measure(part, options.items)
        rows[part] = {"items": n, **scores}
        each = [f"{scores[m]:.3f} +- {half_width(scores[m], n):.3f}" if m in scores else "-" for m in NAMES]
        cells.append([part, f"{n:,}", *each])
    frame.report(options, frame.table(["data", "test items", *NAMES], cells), {"rows": rows})


if __name__ == "__main__":
    main()
