"""Learners on streams of tasks: accuracy and forgetting over seeds, for every stream of `examples/continual`.

    NEUROSIM_DATA=FOLDER python benchmarks/continual.py [permuted rotated split mixed spoken nmnist]
        [--learner NAME ...] [--seeds 3] [--workers 2] [--whole] [--embedded] [--engine] [--json]
    NEUROSIM_DATA=FOLDER python benchmarks/continual.py --dendrites [--train 54000] [--seeds 1] [--threads 2]

The examples are run as they are but smaller (`SMALL`): all learners, three seeds, in about a quarter of an hour on two
cores; `--whole` leaves the examples' own sizes, `--embedded` takes the digits that need no download, and `--engine`
lets the engine answer where a learner has that setting. A row is a learner: mean and half of Student's 95 % interval
over seeds. Settings were chosen on validation items; the test items are asked here.

`--dendrites` is the experiment of Iyer et al. 2022: permuted MNIST, ten tasks, 784-2048-2048-10 with active dendrites,
batches of 256, three passes over a task; they report .9455 with known and .943 with inferred contexts. A tenth of the
training images are held out. Only the segments of the context at hand are trained, and the rate falls to 0 in a task.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import frame
import numpy as np

from neurosim.app import RunOptions
from neurosim.app.runs.continual import ContinualKind
from neurosim.app.runs.continual.config import configure
from neurosim.app.runs.continual.result import ContinualResult
from neurosim.app.runs.frame import lifecycle
from neurosim.learning.continual.matrix import Estimate, estimate

EXAMPLES = Path(__file__).parent.parent / "examples" / "continual"
STREAMS = ("permuted", "rotated", "split", "mixed", "spoken", "nmnist")
SHOWN = {"acc": "ACC", "bwt": "BWT", "fwt": "FWT", "forgetting_best": "forgetting"}
FEW = ("stream.train_limit=1000", "stream.validation_limit=50", "stream.test_limit=300")
NETS = ("learners.hlop.hidden=[200]", "learners.dendrites.units=512")
COLUMNS = ("learners.macrocolumn.columns=48", "learners.macrocolumn.units=256")
SMALL = {
    "permuted": (*FEW, *NETS, *COLUMNS, "stream.tasks=5"),
    "rotated": (*FEW, *NETS),
    "split": (*FEW, *NETS),
    "mixed": (*FEW, *NETS, *COLUMNS, "learners.macrocolumn.columns=24", "learners.liquid.neurons=200"),
    "spoken": (*NETS, *COLUMNS, "learners.macrocolumn.columns=24"),
    "nmnist": (),
}
SQUARES = ("learners.macrocolumn.shape=[8, 8]", "learners.macrocolumn.side=3")
EMBEDDED = {
    "split": ("stream.source=digits", "learners.projected.shape=[8, 8]", "learners.liquid.shape=[8, 8]", *SQUARES),
    "rotated": ("stream.source=digits", *SQUARES),
    "mixed": ('stream.sources=["digits", "digits-events"]',),
    "spoken": ("stream.source=digits-events", "stream.windows=10"),
    "nmnist": ("stream.source=digits-events",),
}
ENGINE = tuple(f"learners.{name}.engine=true" for name in ("hlop", "dendrites", "macrocolumn"))
PUBLISHED = {"known": 0.9455, "inferred": 0.943}
TASKS = 10


def measure(name: str, options: argparse.Namespace) -> ContinualResult:
    """The results of one example."""
    sets = () if options.whole else SMALL[name]
    if options.embedded:
        sets = (*sets, *EMBEDDED.get(name, ("stream.source=digits",)))
    if options.engine:
        sets = (*sets, *ENGINE)
    config = configure(EXAMPLES / f"{name}.toml", sets, {"seeds": options.seeds}, tuple(options.learner))
    with tempfile.TemporaryDirectory() as folder:
        return lifecycle.start(
            ContinualKind(options.workers), config, RunOptions(out=Path(folder) / "run", quiet=False)
        )


def table(name: str, result: ContinualResult) -> Iterator[str]:
    first = result.rows[0]
    yield f"\n{name}: {len(first.tasks)} tasks, scenario {first.scenario}, {len(first.seeds)} seeds"
    rows = [
        [row.name, *(text(row.measures[key]) for key in SHOWN), f"{np.mean(row.seconds):.1f}"] for row in result.rows
    ]
    yield from frame.table(["learner", *SHOWN.values(), "seconds"], rows)
    for failure in result.failures:
        yield f"{failure.row}, seed {failure.seed}: {failure.reason}"


def text(found: Estimate | None) -> str:
    if found is None:
        return "-"
    return f"{found.mean:.3f}" + ("" if found.low is None else f" +- {(found.high - found.low) / 2:.3f}")


def dendrites(seed: int, train: int) -> dict:
    """Permuted MNIST with active dendrites: the accuracy on each task in the end, and right after it was learned."""
    from neurosim.learning.continual.learners import kind
    from neurosim.learning.continual.streams import Permuted

    stream = Permuted(source="mnist", tasks=TASKS, train_limit=train, validation_limit=1).build(seed)
    owner = kind("dendrites")
    learner = owner(stream.problem, owner.SETTINGS(units=2048, epochs=3, batch=256, learning_rate=1e-3))
    start = time.perf_counter()
    then = []
    for task in stream:
        learner.begin(task)
        learner.learn(task)
        then.append(accuracy(learner, task.test, task.index))
        spent = time.perf_counter() - start
        frame.say(f"  seed {seed}, task {task.index + 1}: {then[-1]:.4f}, {spent:.0f} s")
    tests = [task.test for task in stream]
    known = [accuracy(learner, items, index) for index, items in enumerate(tests)]
    inferred = [accuracy(learner, items, None) for items in tests]
    return {
        "seed": seed,
        "train": train,
        "known": float(np.mean(known)),
        "inferred": float(np.mean(inferred)),
        "bwt": float(np.mean(np.subtract(known, then)[:-1])),
        "each": known,
        "seconds": time.perf_counter() - start,
    }


def accuracy(learner, items, task: int | None) -> float:
    """Of items, under the context of their task or, without one, the nearest."""
    return float((learner.predict(items.x, task) == items.y).mean())


def spread(values: list[float]) -> str:
    found = estimate(values)
    return f"{found.mean:.4f}" + ("" if found.sd is None else f" +- {found.sd:.4f} (sd)")


def dendrites_lines(options: argparse.Namespace, rows: list[dict]) -> Iterator[str]:
    yield f"permuted MNIST, {TASKS} tasks, {options.train} images each, active dendrites, {options.seeds} seeds"
    for key, published in PUBLISHED.items():
        yield f"  accuracy, contexts {key}: {spread([r[key] for r in rows])} (published {published})"
    yield f"  BWT, contexts known: {spread([r['bwt'] for r in rows])}"
    yield f"  seconds: {np.mean([r['seconds'] for r in rows]):.0f}"


def main() -> None:
    parser = frame.arguments(__doc__, threads=2)
    parser.add_argument("streams", nargs="*", default=list(STREAMS), metavar="STREAM", help=", ".join(STREAMS))
    parser.add_argument("--learner", action="append", default=[])
    parser.add_argument("--seeds", type=int, help="3, or 1 with --dendrites")
    parser.add_argument("--workers", type=int, default=2, help="processes, without --dendrites")
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--embedded", action="store_true")
    parser.add_argument("--engine", action="store_true")
    parser.add_argument("--dendrites", action="store_true")
    parser.add_argument("--train", type=int, default=54_000, help="images of a task, with --dendrites")
    options = parser.parse_args()
    options.seeds = options.seeds or (1 if options.dendrites else 3)
    if options.dendrites:
        import torch

        torch.set_num_threads(options.threads)
        rows = [dendrites(seed, options.train) for seed in range(options.seeds)]
        frame.report(options, dendrites_lines(options, rows), {"results": rows})
        return
    results = {name: measure(name, options) for name in options.streams}
    lines = (line for name, result in results.items() for line in table(name, result))
    frame.report(options, lines, {"results": {name: result.to_dict() for name, result in results.items()}})


if __name__ == "__main__":
    main()
