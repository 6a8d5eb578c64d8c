"""What associative memories hold against theory: Hopfield, dense, from examples, multitasking, key-value pairs, tails.

    python benchmarks/associative.py [--seeds 10] [--json]
    NEUROSIM_DATA=FOLDER python benchmarks/associative.py --images [--seeds 3]

`neurosim memory associative` draws these curves, one experiment a page; here are more points, and phases.

With --images, memories of orders 2, 4 and 8 learn the classes of MNIST and Fashion-MNIST, 200 images of each, black and
white at the median of each pixel, and say the class of others with a third of their pixels flipped.

Every row has the figure of theory, what was simulated, and the standard error of that over seeds.
"""

from __future__ import annotations

import itertools
import sys
import warnings
from argparse import Namespace
from collections.abc import Callable, Iterator
from typing import NamedTuple

import frame
import numpy as np
from tqdm import tqdm

from neurosim.base import CapacityWarning
from neurosim.data import catalog
from neurosim.datasets import fashion, mnist
from neurosim.memory import DenseHebbian, FastWeights, Hopfield
from neurosim.memory.associative.dense import dense_bit_error
from neurosim.memory.associative.hopfield import (
    hopfield_capacity,
    hopfield_overlap,
)
from neurosim.memory.associative.multitasking import multitasking_overlaps, parallel_overlap
from neurosim.memory.associative.pairs import expected_error
from neurosim.memory.associative.simulations import (
    UNITS,
    dense_errors,
    diluted_overlap,
    errors_from_examples,
    hopfield_recall,
    pair_error,
    rarest_class,
)
from neurosim.memory.associative.tail import OPTIMIZERS, tail_expected

MEASURES = ("quality", "recalled", "nearest")


class Row(NamedTuple):
    """One line: what, its theory (None: none known), and a function of a seed that simulates it."""

    part: str
    what: str
    theory: float | None
    simulate: Callable[[int], float]


def phases(dilution: float, count: int, alike: bool, units: int = 4000) -> Callable[[int], float]:
    """Sum of the squared overlaps behind the state of one kind: twice the energy a unit, with its sign changed."""

    def simulate(seed: int) -> float:
        draws = np.random.default_rng(seed)
        half = (1 - dilution) / 2
        patterns = draws.choice([-1.0, 0.0, 1.0], (count, units), p=[half, dilution, half])
        cue = draws.choice([-1.0, 1.0], units)
        for pattern in (patterns.sum(0),) if alike else patterns[::-1]:
            cue = np.where(pattern != 0, np.sign(pattern), cue)
        return float((Hopfield.store(patterns).recall(cue, seed).overlap(patterns) ** 2).sum())

    return simulate


def phase_rows() -> Iterator[Row]:
    """Energies of the states of the two formulas, and of where the network ends that starts in them."""
    for count, dilution in itertools.product((3, 20), (0.3, 0.5, 0.7, 0.9)):
        for alike in (False, True):
            hierarchy = float((multitasking_overlaps(count, dilution) ** 2).sum())
            if alike:
                expected = count * parallel_overlap(count, dilution) ** 2
            else:
                expected = hierarchy
            what = f"K={count}, d={dilution}: sum of m^2, {'all alike' if alike else 'hierarchy'}"
            yield Row("phases", what, expected, phases(dilution, count, alike))


def rows() -> Iterator[Row]:
    for load in (0.05, 0.1, 0.12, 0.13, 0.135, 0.145, 0.16, 0.2):
        yield Row("Hopfield", f"overlap at K/N = {load}, N={UNITS}", hopfield_overlap(load), hopfield_recall(load))
    for units, order, count in ((100, 2, 20), (100, 3, 1000), (60, 4, 1500), (200, 3, 4000)):
        expected = dense_bit_error(units, order, count)
        yield Row("dense", f"bit error, N={units} P={order} K={count}", expected, dense_errors(units, order, count))
    for supervised in (True, False):
        for each in (5, 20, 80):
            expected = dense_bit_error(400, 2, 6, 0.4, each, supervised=supervised)
            how = "supervised" if supervised else "unsupervised"
            yield Row(
                "from examples",
                f"{how}, {each} each",
                expected,
                errors_from_examples(400, 6, each, 0.4, supervised=supervised),
            )
    for rank, expected in enumerate(multitasking_overlaps(3, 0.3)):
        yield Row("multitasking", f"overlap {rank + 1} of 3, d=.3", float(expected), diluted_overlap(rank, 0.3))
    yield from phase_rows()
    for quality in (0.3, 0.6):
        for each in (5, 20, 80):
            expected = dense_bit_error(60, 3, 100, quality, each, supervised=True)
            what = f"P=3, quality {quality}, {each} each"
            yield Row("from examples", what, expected, errors_from_examples(60, 100, each, quality, 3, supervised=True))
    rules = {
        "Hebbian": FastWeights(),
        "delta": FastWeights(delta=True),
        "Hebbian, forgetting .02": FastWeights(forgetting=0.02),
        "delta, momentum .5": FastWeights(delta=True, learning_rate=0.5, momentum=0.5),
    }
    for (name, rule), kind, count in itertools.product(rules.items(), ("random", "orthogonal"), (32, 64, 256)):
        expected = None
        if not (rule.delta and rule.momentum):
            expected = expected_error(rule, count, 64, kind)
        what = f"{name}, {count} {kind} keys of 64"
        yield Row("key-value pairs", what, expected, pair_error(rule, count, 64, kind))
    for ratio in (0.1, 0.01):
        for way in OPTIMIZERS:
            expected = tail_expected(ratio) if way == "gradient" else None
            yield Row("tail classes", f"{way}, r={ratio}", expected, rarest_class(way, ratio))


def measure(seeds: int) -> list[dict]:
    found = []
    for row in tqdm(list(rows()), file=sys.stderr):
        values = [row.simulate(seed) for seed in range(seeds)]
        if seeds > 1:
            error = float(np.std(values, ddof=1) / np.sqrt(seeds))
        else:
            error = None
        found.append(
            {
                "part": row.part,
                "what": row.what,
                "theory": row.theory,
                "simulated": float(np.mean(values)),
                "standard_error": error,
                "seeds": seeds,
            }
        )
    return found


def class_scores(seeds: int) -> list[dict]:
    """Accuracy of the class nearest to what is recalled from flipped images, and of the mean nearest to them."""
    found = []
    for dataset in (mnist, fashion):
        root = catalog.find_root(dataset.INFO)
        train = dataset.images("train", root)
        test = dataset.images("test", root)
        for seed in tqdm(range(seeds), dataset.INFO.name, file=sys.stderr):
            draws = np.random.default_rng(seed)
            chosen = np.concatenate([draws.permutation(np.flatnonzero(train.labels == c))[:200] for c in range(10)])
            asked = draws.permutation(len(test.labels))[:500]
            level = np.median(train.pixels[chosen], axis=0)
            examples = np.where(train.pixels[chosen] > level, 1.0, -1.0).reshape(len(chosen), -1)
            cues = np.where(test.pixels[asked] > level, 1.0, -1.0).reshape(len(asked), -1)
            cues = np.where(draws.random(cues.shape) < 1 / 3, -cues, cues)
            for order in (2, 4, 8):
                memory = DenseHebbian.supervised(examples, train.labels[chosen], order)
                ends = memory.recall_many(cues).states
                means = memory.vectors / np.linalg.norm(memory.vectors, axis=1, keepdims=True)
                quality = float(np.mean(np.abs(memory.vectors)))
                found.append(
                    {
                        "data": dataset.INFO.name,
                        "order": order,
                        "seed": seed,
                        "quality": quality,
                        "recalled": float(np.mean((ends @ means.T).argmax(1) == test.labels[asked])),
                        "nearest": float(np.mean((cues @ means.T).argmax(1) == test.labels[asked])),
                    }
                )
    return found


def _spread(values: list[float]) -> str:
    return f"{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def report_images(options: Namespace) -> None:
    rows = class_scores(options.seeds)
    cells = []
    for name, order in dict.fromkeys((row["data"], row["order"]) for row in rows):
        runs = [row for row in rows if (row["data"], row["order"]) == (name, order)]
        cells.append([name, str(order), *(_spread([run[key] for run in runs]) for key in MEASURES)])
    frame.report(options, frame.table(["data", "order", *MEASURES], cells), {"rows": rows})


def shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.5f}"


def main() -> None:
    parser = frame.arguments(__doc__, seeds=10)
    parser.add_argument("--images", action="store_true", help="classes of images in place of random patterns")
    options = parser.parse_args()
    if options.images:
        report_images(options)
        return
    warnings.simplefilter("ignore", CapacityWarning)
    alpha, overlap = hopfield_capacity()
    rows = measure(options.seeds)
    cells = [
        [row["part"], row["what"], shown(row["theory"]), shown(row["simulated"]), shown(row["standard_error"])]
        for row in rows
    ]
    lines = [
        f"alpha_c = {alpha:.6f}, overlap there {overlap:.4f}, {(1 - overlap) / 2:.2%} of the bits wrong",
        *frame.table(["part", "", "theory", "simulated", "+-"], cells),
    ]
    frame.report(options, lines, {"alpha_c": alpha, "overlap_at_alpha_c": overlap, "rows": rows})


if __name__ == "__main__":
    main()
