"""Plain classifiers on streams of tasks that keep sums and no item: what a learner has to beat.

    NEUROSIM_DATA=FOLDER python benchmarks/streaming_baselines.py [split nmnist rotated permuted spoken]
        [--seeds 3] [--first-seed 0] [--validate] [--train-limit N] [--json]

The streams, their items and the measures are those of benchmarks/continual.py. Each item is met once, in the order of
the tasks. Rows:

    features   2,000 random ReLU features of all windows of an item, ridge regression
    filters    100 random filters of 7 x 7 places on the picture, rectified, means of 4 x 4 places, ridge regression;
               not for speech, nor for permuted pixels, which have no neighbours
    lda        linear discriminants of the sum over windows: class means, one covariance (Hayes & Kanan 2020)

Ridge regression keeps the sums of z z^T and of z y^T over items with features z and targets y, and solves for its
weights after each task. `PENALTY` and `SHRINKAGE` were chosen with --validate on validation items of seeds 10 to 12 of
split MNIST and N-MNIST; test items are answered without it.
"""

from __future__ import annotations

import argparse
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path

import frame
import numpy as np
from continual import SMALL, text
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from neurosim.app.runs.continual.config import configure
from neurosim.learning import Problem, Stream
from neurosim.learning.continual.matrix import Estimate, Matrix, estimate, measures
from neurosim.learning.continual.streams import STREAMS
from neurosim.learning.continual.tasks import FULL

EXAMPLES = Path(__file__).parent.parent / "examples" / "continual"
NAMES = ("split", "nmnist", "rotated", "permuted", "spoken")
# Planes, rows and columns of the items of streams of pictures.
PICTURES = {"split": (1, 28, 28), "rotated": (1, 28, 28), "nmnist": (2, 17, 17)}
FEATURES = 2000
FILTERS = 100
SIDE = 7
POOL = 4
PENALTY = 1e-2  # of a weight, times the mean square of the features, times the number of items
SHRINKAGE = 1e-1  # share of the mean variance in every variance
Features = Callable[[NDArray[np.uint8]], NDArray[np.float64]]


class Streaming(ABC):
    """A classifier that adds to sums, item by item."""

    def __init__(self, features: Features, problem: Problem) -> None:
        self.features = features
        self.problem = problem

    @abstractmethod
    def learn(self, x: NDArray[np.uint8], y: NDArray[np.int64]) -> None:
        """Add items [n, steps, units] and their classes [n] to the sums."""

    @abstractmethod
    def scores(self, x: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return [n, classes]."""

    @property
    @abstractmethod
    def memory_bytes(self) -> int:
        """Bytes of the sums."""


class Ridge(Streaming):
    """Ridge regression on one-hot targets; the constant feature is penalised as the others."""

    def __init__(self, features: Features, problem: Problem) -> None:
        super().__init__(features, problem)
        size = features(np.zeros((1, problem.steps, problem.units), np.uint8)).shape[1] + 1
        self.pairs = np.zeros((size, size))
        self.targets = np.zeros((size, problem.classes))
        self.count = 0

    def learn(self, x: NDArray[np.uint8], y: NDArray[np.int64]) -> None:
        z = with_constant(self.features(x))
        self.pairs += z.T @ z
        self.targets += z.T @ np.eye(self.problem.classes)[y]
        self.count += len(y)
        penalty = PENALTY * np.trace(self.pairs) / len(self.pairs)
        self.weights = np.linalg.solve(self.pairs + penalty * np.eye(len(self.pairs)), self.targets)

    def scores(self, x: NDArray[np.uint8]) -> NDArray[np.float64]:
        return with_constant(self.features(x)) @ self.weights

    @property
    def memory_bytes(self) -> int:
        return self.pairs.nbytes + self.targets.nbytes


class Discriminants(Streaming):
    """Linear discriminants: the class whose mean is the nearest by the covariance that all classes share."""

    def __init__(self, features: Features, problem: Problem) -> None:
        super().__init__(features, problem)
        size = features(np.zeros((1, problem.steps, problem.units), np.uint8)).shape[1]
        self.pairs = np.zeros((size, size))
        self.sums = np.zeros((problem.classes, size))
        self.counts = np.zeros(problem.classes)

    def learn(self, x: NDArray[np.uint8], y: NDArray[np.int64]) -> None:
        z = self.features(x)
        self.pairs += z.T @ z
        np.add.at(self.sums, y, z)
        self.counts += np.bincount(y, minlength=len(self.counts))
        means = self.sums / np.maximum(self.counts, 1)[:, None]
        within = (self.pairs - means.T @ self.sums) / self.counts.sum()
        size = len(within)
        shrunk = (1 - SHRINKAGE) * within + SHRINKAGE * np.trace(within) / size * np.eye(size)
        self.weights = np.linalg.solve(shrunk, means.T)
        self.offsets = -0.5 * (means.T * self.weights).sum(axis=0)

    def scores(self, x: NDArray[np.uint8]) -> NDArray[np.float64]:
        return self.features(x) @ self.weights + self.offsets

    @property
    def memory_bytes(self) -> int:
        return self.pairs.nbytes + self.sums.nbytes + self.counts.nbytes


def with_constant(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return z [n, features] with a feature that is always 1."""
    return np.concatenate([z, np.ones((len(z), 1))], axis=1)


def summed(x: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return [n, units] drives, summed over the windows of each item."""
    return x.sum(axis=1) / FULL


def random_features(problem: Problem, seed: int) -> Features:
    """Return max(0, W x + b) of all windows of an item, W and b normal."""
    draws = np.random.default_rng(seed)
    inputs = problem.steps * problem.units
    weights = draws.normal(size=(inputs, FEATURES)).astype(np.float32) / np.sqrt(np.float32(inputs))
    offsets = 0.1 * draws.normal(size=FEATURES)

    def features(x: NDArray[np.uint8]) -> NDArray[np.float64]:
        driven = x.reshape(len(x), -1).astype(np.float32) / FULL
        return np.maximum(driven @ weights + offsets, 0).astype(np.float64)

    return features


def random_filters(shape: tuple[int, int, int], seed: int) -> Features:
    """Return rectified responses of normal filters of zero mean to the picture, averaged over squares of places."""
    draws = np.random.default_rng(seed)
    filters = draws.normal(size=(shape[0] * SIDE * SIDE, FILTERS))
    filters = (filters - filters.mean(axis=0)).astype(np.float32)

    def responses(pictures: NDArray[np.float64]) -> NDArray[np.float64]:
        patches = sliding_window_view(pictures.astype(np.float32), (SIDE, SIDE), axis=(2, 3))
        rows = patches.transpose(0, 2, 3, 1, 4, 5)
        maps = np.maximum(rows.reshape(*rows.shape[:3], -1) @ filters, 0)
        edges = [np.arange(0, size, POOL) for size in maps.shape[1:3]]
        pooled = np.add.reduceat(np.add.reduceat(maps, edges[0], axis=1), edges[1], axis=2)
        return pooled.reshape(len(pictures), -1) / POOL**2

    def features(x: NDArray[np.uint8]) -> NDArray[np.float64]:
        pictures = summed(x).reshape(len(x), *shape)
        parts = [responses(pictures[k : k + 100]) for k in range(0, len(x), 100)]
        return np.concatenate(parts).astype(np.float64)

    return features


def classifiers(name: str, problem: Problem) -> dict[str, Streaming]:
    """Return the classifiers of a stream before its first task."""
    found: dict[str, Streaming] = {"features": Ridge(random_features(problem, problem.seed), problem)}
    if name in PICTURES:
        found["filters"] = Ridge(random_filters(PICTURES[name], problem.seed), problem)
    found["lda"] = Discriminants(summed, problem)
    return found


def build(name: str, seed: int, train_limit: int | None) -> Stream:
    """Return a stream of benchmarks/continual.py."""
    if train_limit is None:
        more = ()
    else:
        more = (f"stream.train_limit={train_limit}",)
    stream = dict(configure(EXAMPLES / f"{name}.toml", (*SMALL[name], *more), {}, ("plain",)).stream)
    recipe = STREAMS[stream.pop("kind")]
    return recipe(**stream).build(seed)


def run(name: str, seed: int, split: str, train_limit: int | None) -> dict[str, dict[str, float]]:
    """Return ACC, BWT and the bytes of the sums of every classifier on a stream."""
    stream = build(name, seed, train_limit)
    tasks = list(stream)
    found = {}
    for row, classifier in classifiers(name, stream.problem).items():
        values = np.full((len(tasks) + 1, len(tasks)), np.nan)
        for task in tasks:
            classifier.learn(task.train.x, task.train.y)
            allowed = stream.problem.allowed(None, task.index + 1)
            for j, other in enumerate(tasks):
                items = getattr(other, split)
                answers = np.where(allowed, classifier.scores(items.x), -np.inf).argmax(axis=1)
                values[task.index + 1, j] = (answers == items.y).mean()
        values[0] = 0.0  # nothing is learned; no measure that is printed needs it
        of_seed = measures(Matrix(values, seed))
        acc = of_seed["acc"]
        bwt = of_seed["bwt"]
        assert acc is not None and bwt is not None  # a stream has several tasks
        found[row] = {"acc": acc, "bwt": bwt, "bytes": float(classifier.memory_bytes)}
        frame.say(f"  {name}, seed {seed}, {row}: {acc:.4f}")
    return found


def gathered(name: str, options: argparse.Namespace) -> Mapping[str, Mapping[str, Estimate | None]]:
    """Return mean and interval over seeds of ACC and BWT by classifier."""
    split = "validation" if options.validate else "test"
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    runs = [run(name, seed, split, options.train_limit) for seed in seeds]
    return {row: {key: estimate([r[row][key] for r in runs]) for key in ("acc", "bwt", "bytes")} for row in runs[0]}


def megabytes(size: Estimate | None) -> str:
    return "" if size is None else f"{size.mean / 1e6:.1f}"


def main() -> None:
    parser = frame.arguments(__doc__, seeds=3)
    parser.add_argument("streams", nargs="*", default=list(NAMES), metavar="STREAM", help=", ".join(NAMES))
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--validate", action="store_true", help="answer validation items")
    parser.add_argument("--train-limit", type=int, help="training items of a task")
    options = parser.parse_args()
    results = {name: gathered(name, options) for name in options.streams}
    plain = {
        name: {row: {key: value and value.mean for key, value in found.items()} for row, found in rows.items()}
        for name, rows in results.items()
    }
    lines = []
    for name, rows in results.items():
        cells = [
            [row, text(found["acc"]), text(found["bwt"]), megabytes(found["bytes"])] for row, found in rows.items()
        ]
        lines += ["", f"{name}: {options.seeds} seeds, half of Student's 95 % interval"]
        lines += frame.table(["", "ACC", "BWT", "sums, MB"], cells)
    frame.report(options, lines, {"results": plain})


if __name__ == "__main__":
    main()
