"""Patches that all places share, and readouts of columns: each item is stored once, then others are recognised.

    NEUROSIM_DATA=FOLDER python benchmarks/patches.py [--part fashion ...] [--methods patches-ridge ...] [--seeds 3]

Images: 200 of each class, drawn from the first 50,000 by the seed. "validation" are 2,000 of the last 10,000 training
images, on which settings were chosen with --choose; the test images are asked once. Recordings: all training
recordings are stored, and "validation" is a fifth of them that was left out. Behind a mean is its spread over seeds;
"half width" is half of the 95 % interval of the test accuracy over test items (Wilson). Methods:

    patches-ridge, patches-rates    400 patches, 8 winners a place, 3 x 3 regions
    patches-two                     a second dictionary of 400 on 10 x 10 regions of the first, both read, ridge
    columns-ridge, columns-rates    the columns of `neurosim memory recognise`, read after all items are stored
    columns-bayes                   the same with counts of classes
    svm                             RBF SVM on pixels, or on counts in three windows
"""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import frame
import numpy as np
from machine import describe
from numpy.typing import NDArray
from tqdm import tqdm

from neurosim import Recordings
from neurosim.app.runs.memory.items import Raw
from neurosim.app.runs.memory.recognise.config import RecogniseConfig
from neurosim.app.runs.memory.recognise.owners import Sight, open_owner
from neurosim.app.runs.score import wilson
from neurosim.base import CapacityWarning
from neurosim.data import catalog

THREADS = 1
KINDS = {"mnist": "image", "fashion": "image", "nmnist": "camera", "shd": "sound"}
# Settings that --choose compares on the validation part, one seed.
GRID = ({}, {"side": 7}, {"units": 800}, {"winners": 4}, {"winners": 16}, {"pool": 4}, {"stride": 2}, {"grey": 3})


class Method(NamedTuple):
    """A code and a readout, and settings of the code."""

    code: str
    readout: str
    settings: dict[str, object]


METHODS = {
    "patches-ridge": Method("patches", "ridge", {}),
    "patches-rates": Method("patches", "rates", {}),
    "patches-two": Method("patches", "ridge", {"second_units": 400}),
    "columns-ridge": Method("columns", "ridge", {}),
    "columns-rates": Method("columns", "rates", {}),
    "columns-bayes": Method("columns", "bayes", {}),
}


def raw(part: str, split: str) -> Raw:
    """Return all items of a split."""
    module = catalog.module(part)
    if KINDS[part] == "image":
        images = module.images(split, catalog.find_root(module.INFO))
        return Raw(images.pixels, images.labels.astype(np.int64), module.INFO.classes, split)
    root = None
    if part == "shd":
        root = Path(os.environ.get("NEUROSIM_DATA", "")) / "FSDD-SHD"
    recordings = catalog.load(part, split, root)
    return Raw(recordings, np.asarray(recordings.labels, np.int64), recordings.classes, split)


def parts_of(part: str, seed: int, train: Raw) -> tuple[Raw, Raw, Raw]:
    """Return what is stored for the validation, the validation part, and what is stored for the test."""
    chance = np.random.default_rng(seed)
    if KINDS[part] == "image":
        labels = train.labels[:50_000]
        drawn = [chance.permutation(np.flatnonzero(labels == c))[:200] for c in np.unique(labels)]
        stored = train.select(chance.permutation(np.concatenate(drawn)))
        return stored, train.select(50_000 + chance.permutation(10_000)[:2000]), stored
    order = chance.permutation(len(train))
    fifth = len(train) // 5
    return train.select(order[fifth:]), train.select(order[:fifth]), train.select(order)


def accuracy(config: RecogniseConfig, sight: Sight, stored: Raw, tests: list[Raw]) -> tuple[list[float], list[float]]:
    """Return accuracies on the tests; ms to store an item and to recognise one, and operations of one."""
    owner = open_owner(config, stored, sight, Path("/nowhere"))
    begun = time.process_time()
    owner.store(owner.view(stored), stored.labels, THREADS)
    times = [1e3 * (time.process_time() - begun) / len(stored)]
    scores = []
    for each in tests:
        begun = time.process_time()
        answers = owner.answer(owner.view(each), THREADS)
        scores.append(float((answers.labels == each.labels).mean()))
        cost = 1e3 * (time.process_time() - begun) / len(each)
        work = sum(layer.synaptic_operations or 0 for layer in answers.layers) / len(each)
    return scores, [*times, cost, work]


def svm(stored: Raw, tests: list[Raw]) -> tuple[list[float], list[float]]:
    """Return accuracies of an RBF SVM on roots of counts or on pixels, and 0 for each cost: none is measured."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    def vectors(each: Raw) -> NDArray:
        if isinstance(each.source, Recordings):
            return np.sqrt(each.counts(3)).reshape(len(each), -1)
        return each.source.reshape(len(each), -1) / np.float32(255)

    if isinstance(stored.source, Recordings):
        model = make_pipeline(StandardScaler(), SVC(C=10))
    else:
        model = SVC(C=10)
    model.fit(vectors(stored), stored.labels)
    accuracies = [float((model.predict(vectors(each)) == each.labels).mean()) for each in tests]
    return accuracies, [0.0, 0.0, 0.0]


def config_of(part: str, method: Method, seed: int, settings: Mapping[str, object]) -> RecogniseConfig:
    """Return the settings of a run: those that suit the data, and those of the method."""
    values: dict[str, object] = {
        "data.name": part,
        "seed": seed,
        "code.kind": method.code,
        "readout.kind": method.readout,
        **{f"code.{name}": value for name, value in {**method.settings, **settings}.items()},
    }
    return RecogniseConfig.configure(values=values)


def measure(part: str, names: list[str], seeds: int) -> Iterator[dict[str, object]]:
    """Yield a row for each method."""
    train = raw(part, "train")
    test = raw(part, "test")
    sight = Sight(KINDS[part], 0.315)
    for name in names:
        runs = []
        for seed in tqdm(range(seeds), f"{part}, {name}", leave=False, file=sys.stderr):
            first, held_out, stored = parts_of(part, seed, train)
            if name == "svm":
                measured = svm
            else:
                measured = partial(accuracy, config_of(part, METHODS[name], seed, {}), sight)
            if first is stored:
                accuracies, costs = measured(stored, [held_out, test])
            else:
                validation, _ = measured(first, [held_out])
                tested, costs = measured(stored, [test])
                accuracies = [*validation, *tested]
            runs.append(accuracies)
            frame.say(f"{part} {name} seed {seed}: {accuracies}")
        yield row(part, name, np.array(runs), costs, len(test))


def row(part: str, name: str, runs: NDArray, costs: list[float], tested: int) -> dict[str, object]:
    mean = runs.mean(axis=0)
    spread = runs.std(axis=0, ddof=1) if len(runs) > 1 else np.zeros(2)
    low, high = wilson(round(mean[1] * tested), tested)
    return {
        "data": part,
        "method": name,
        "validation": float(mean[0]),
        "validation sd": float(spread[0]),
        "test": float(mean[1]),
        "test sd": float(spread[1]),
        "half width": (high - low) / 2,
        "ms to store": costs[0],
        "ms to recognise": costs[1],
        "M operations": costs[2] / 1e6,
    }


def choose(part: str) -> Iterator[dict[str, object]]:
    """Yield the validation accuracy of each setting of `GRID`, and of penalties, of one seed."""
    train = raw(part, "train")
    first, held, _ = parts_of(part, 100, train)
    for settings in tqdm(GRID, part, leave=False, file=sys.stderr):
        config = config_of(part, METHODS["patches-ridge"], 100, settings)
        found, _ = accuracy(config, Sight(KINDS[part], 0.315), first, [held])
        yield {"data": part, "settings": str(settings or "as they are"), "validation": found[0]}


def main() -> None:
    parser = frame.arguments(__doc__, seeds=3)
    names = [*METHODS, "svm"]
    parser.add_argument("--part", nargs="*", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--methods", nargs="*", choices=names, default=names)
    parser.add_argument("--choose", action="store_true", help="compare settings on validation parts instead")
    options = parser.parse_args()
    warnings.simplefilter("ignore", CapacityWarning)
    rows: list[dict[str, object]] = []
    run: Callable[[str], Iterator[dict[str, object]]] = choose
    if not options.choose:
        run = lambda part: measure(part, options.methods, options.seeds)  # noqa: E731
    for part in options.part:
        rows.extend(run(part))
    frame.report(options, frame.records(rows), {"rows": rows}, describe(THREADS))


if __name__ == "__main__":
    main()
