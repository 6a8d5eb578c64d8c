"""A softmax language model made linear, then spiking: the loss after each stage, for several students, in one table.

    python benchmarks/linearise.py MODEL --text FILE [--students window hedgehog-weights] [--updates 120] [--json]
    python benchmarks/linearise.py MODEL --text FILE --out runs/students    again: goes on where it was stopped

MODEL is the folder of a softmax model, or a GGUF file; docs/figures/conversion.md has SmolLM2-135M, and a byte model of
four layers:

    neurosim convert lm-train --text FILE --kind window --steps 600 --set model.options.window_size=256
        --set model.options.num_heads=4 --set training.length=256 --set training.batch=12

Students learn from the first 90 % of the text, losses are of the last 10 %. In `match` the new parameters of the layers
learn their outputs, in `layer` all parameters of the layers (students without softmax inside only), in `tune` low-rank
changes of the whole model learn the predictions; `mmmamba` has the stages and rates of its source, and tunes all
weights. A student is named by a row of the table; `KIND` or "KIND,KIND,.." of `neurosim convert linearise --pattern`
is one, too.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

import frame

from neurosim.app import RunOptions, open_run, read_metrics, resume, start
from neurosim.app.runs.convert.linearise import LineariseKind
from neurosim.app.runs.convert.linearise.config import LineariseConfig
from neurosim.app.runs.convert.linearise.result import LinearisationResult, LinearisationStage

STAGES = ("match", "layer", "tune")
LAYER = "stages.layer.steps={updates}"
SOURCE = (
    LAYER,
    *(f"stages.{stage}.schedule=wsd" for stage in STAGES),
    "stages.match.learning_rate=1e-3",
    "stages.layer.learning_rate=5e-4",
    "stages.tune.learning_rate=5e-5",
    "stages.tune.full=true",
)
# One matrix of the map for all heads, as flash-linear-attention has it; by default each head has its own.
COMMON_MAP = "student.options.linear.feature_map=hedgehog"
# Pattern and settings of each student.
STUDENTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "window": ("window_linear", ()),
    "window-weights": ("window_linear", ("stages.match.attention=1",)),
    "window-ungated": ("window_linear", ("student.options.window_linear.use_gate=false",)),
    "window-meta": ("window_linear", ("student.options.window_linear.meta_tokens=4",)),
    "hedgehog": ("linear", (COMMON_MAP,)),
    "hedgehog-weights": ("linear", (COMMON_MAP, "stages.match.attention=1")),
    "hedgehog-layer": ("linear", (COMMON_MAP, "stages.match.attention=1", LAYER)),
    "hedgehog-by-head": ("linear", ("stages.match.attention=1", LAYER)),
    "gla": ("gla", (LAYER,)),
    "mamba2": ("mamba2", (LAYER,)),
    "mmmamba": ("mmmamba", SOURCE),
    "sea": ("sea", ("student.options.sea.topk=32",)),
    **{f"sea-{keys}": ("sea", (f"student.options.sea.topk={keys}",)) for keys in (8, 16, 64)},
    "window-keep": ("window_linear*3,keep", ()),
    "gla-keep": ("gla*3,keep", (LAYER,)),
}


def configured(options: argparse.Namespace, student: str, seed: int) -> LineariseConfig:
    """Return the settings of a student's run."""
    pattern, more = STUDENTS.get(student, (student, ()))
    sets = [
        f"student.pattern={pattern}",
        f"student.options.window_linear.window_size={options.window}",
        f"stages.length={options.length}",
        f"stages.match.steps={options.updates}",
        f"stages.tune.steps={options.updates if options.tune is None else options.tune}",
        *(f"stages.{stage}.batch={options.batch}" for stage in STAGES),
        f"coding.k={options.k}",
        *(line.format(updates=options.updates) for line in more),
    ]
    values = {"text.file": options.text, "text.tokens": options.tokens, "seed": seed}
    return LineariseConfig.configure(None, sets, values)


def run(options: argparse.Namespace, student: str, seed: int, folder: Path) -> LinearisationResult:
    """Return the results of a student, of a run that is done, goes on or begins."""
    kind = LineariseKind(Path(options.model))
    own = folder / f"{student}-{seed}"
    chosen = RunOptions(out=own, threads=options.threads, quiet=False)
    if (own / "metrics.json").is_file():
        return LinearisationResult.from_dict(read_metrics(open_run(own)))
    if (own / "manifest.json").is_file():
        return resume(kind, own, RunOptions(threads=options.threads, quiet=False))
    return start(kind, configured(options, student, seed), chosen)


def shown(values: Sequence[float | None], form: str) -> str:
    """Return the mean of the seeds, and the smallest and largest where they are several; "" without a value."""
    numbers = [value for value in values if value is not None]
    if not numbers:
        return ""
    text = format(mean(numbers), form)
    if len(numbers) == 1:
        return text
    return f"{text} ({format(min(numbers), form)} to {format(max(numbers), form)})"


def row(student: str, results: Sequence[LinearisationResult]) -> list[str]:
    """Return a line of the table."""
    stages = [{stage.name: stage for stage in result.stages} for result in results]
    absent = LinearisationStage()

    def increases(name: str) -> str:
        return shown([by.get(name, absent).perplexity_increase for by in stages], "+.2%")

    last = [[stage for stage in result.stages if stage.name in STAGES][-1] for result in results]
    return [
        student,
        *map(increases, STAGES),
        shown([result.conversion_increase for result in results], "+.2%"),
        increases("spikes"),
        shown([by["spikes"].agreement for by in stages], ".1%"),
        shown([result.spikes for result in results], ".3f"),
        shown([(stage.state_bytes or 0) / 1e3 for stage in last], ".0f"),
        shown([sum(stage.seconds or 0 for stage in by.values() if stage.name in STAGES) for by in stages], ".0f"),
    ]


def main() -> None:
    parser = frame.arguments(__doc__, threads=1, seeds=1)
    parser.add_argument("model")
    parser.add_argument("--text", help="default: the prose that ships with Python")
    parser.add_argument("--students", nargs="+", default=list(STUDENTS), help="default: all of the table")
    parser.add_argument("--window", type=int, default=32, help="tokens that softmax of window_linear sees (default 32)")
    parser.add_argument("--length", type=int, default=256, help="tokens of a window of text (default 256)")
    parser.add_argument("--batch", type=int, default=8, help="windows of an update (default 8)")
    parser.add_argument("--updates", type=int, default=120, help="of each stage (default 120)")
    parser.add_argument("--tune", type=int, help="updates of the last stage, where they differ")
    parser.add_argument("--k", type=float, default=3.0, help="of the spikes (default 3)")
    parser.add_argument("--tokens", type=int, default=16384, help="held-out tokens to compare on (default 16,384)")
    parser.add_argument("--out", type=Path, help="folder of the runs, to go on from; default: they are not kept")
    options = parser.parse_args()
    results: dict[str, list[LinearisationResult]] = {student: [] for student in options.students}
    with tempfile.TemporaryDirectory() as own:
        folder = options.out or Path(own)
        folder.mkdir(parents=True, exist_ok=True)
        for seed in range(options.seeds):
            for student, of_student in results.items():
                of_student.append(run(options, student, seed, folder))
                frame.say(f"{student}, seed {seed}: {'; '.join(row(student, of_student)[1:])}")
    first = results[options.students[0]][0]
    softmax = first.stages[0]
    learnt = options.batch * options.length * options.updates
    title = (
        f"{first.parameters:,} weights, softmax loss {softmax.loss:.4f} nats on {first.tokens:,} tokens in windows of "
        f"{first.length}, its state {(softmax.state_bytes or 0) / 1e3:.0f} kB; a stage of {options.updates} updates "
        f"reads {learnt:,} tokens. Perplexity {math.exp(softmax.loss or 0):.3f}; its rise:"
    )
    heads = ("student", "match", "layer", "tune", "spikes alone", "spikes", "same", "sp/ch", "state kB", "stages s")
    lines = [title, *frame.table(heads, (row(student, of_student) for student, of_student in results.items()))]
    runs = {student: [result.to_dict() for result in of_student] for student, of_student in results.items()}
    frame.report(options, lines, {"runs": runs})


if __name__ == "__main__":
    main()
