"""A softmax language model made linear, then spiking: what each stage costs, for several students.

    python benchmarks/linearise.py MODEL --text FILE [--students window_linear gla,keep] [--updates 120] [--json]

MODEL is the folder of a softmax model; docs/figures/conversion.md is about a byte model of four such layers:

    neurosim convert lm-train --text FILE --kind window --steps 1500 --set model.options.window_size=256
        --set model.options.num_heads=4 --set training.length=256 --set training.batch=12

Stages learn from the first 90 % of the text, losses are of the last 10 %. A student of seeded kinds without softmax
trains all parameters of its layers in the first stage, which takes twice the updates.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import frame

from neurosim.app import RunOptions
from neurosim.app.runs.convert.linearise import LineariseKind
from neurosim.app.runs.convert.linearise.config import LineariseConfig
from neurosim.app.runs.convert.linearise.result import LinearisationResult
from neurosim.app.runs.frame.lifecycle import start

STUDENTS = ("window_linear", "gla,keep")


def run(options: argparse.Namespace, pattern: str, folder: Path) -> LinearisationResult:
    windowed = pattern.startswith("window_linear")
    sets = [
        f"student.pattern={pattern}",
        f"student.options.window_linear.window_size={options.window}",
        f"stages.match.steps={options.updates if windowed else 2 * options.updates}",
        f"stages.match.whole={str(not windowed).lower()}",
        f"stages.tune.steps={options.updates}",
    ]
    config = LineariseConfig.configure(
        None, sets, {"text.file": options.text, "text.tokens": options.tokens, "seed": options.seed}
    )
    chosen = RunOptions(out=folder / pattern, threads=options.threads)
    return start(LineariseKind(Path(options.model)), config, chosen)


def row(pattern: str, result: LinearisationResult) -> list[str]:
    by = {stage.name: stage for stage in result.stages}
    state = by["tune"].state_bytes or 0
    return [
        pattern,
        f"{by['match'].perplexity_increase:+.2%}",
        f"{by['tune'].perplexity_increase:+.2%}",
        f"{result.conversion_increase:+.2%}",
        f"{by['spikes'].perplexity_increase:+.2%}",
        f"{by['spikes'].agreement:.1%}",
        f"{result.spikes:.3f}",
        f"{state / 1e3:.0f}",
        f"{by['match'].seconds:.0f}",
        f"{by['tune'].seconds:.0f}",
    ]


def main() -> None:
    parser = frame.arguments(__doc__, threads=1)
    parser.add_argument("model")
    parser.add_argument("--text", help="default: the prose that ships with Python")
    parser.add_argument("--students", nargs="+", default=STUDENTS, help="patterns of kinds")
    parser.add_argument("--window", type=int, default=32, help="tokens that softmax of window_linear sees")
    parser.add_argument("--updates", type=int, default=120, help="of each stage")
    parser.add_argument("--tokens", type=int, default=16384, help="held-out tokens to compare on")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for pattern in options.students:
            results[pattern] = run(options, pattern, Path(folder))
            frame.say(f"{pattern} done")
    first = next(iter(results.values()))
    softmax = first.stages[0]
    title = (
        f"{first.parameters:,} weights, softmax loss {softmax.loss:.4f} nats on {first.tokens:,} tokens in windows of "
        f"{first.length}, its state {(softmax.state_bytes or 0) / 1e3:.0f} kB; perplexity against it:"
    )
    heads = ("student", "matched", "tuned", "spikes+", "spikes", "same", "sp/ch", "state kB", "match s", "tune s")
    lines = [title, *frame.table(heads, (row(pattern, result) for pattern, result in results.items()))]
    frame.report(options, lines, {"runs": {pattern: result.to_dict() for pattern, result in results.items()}})


if __name__ == "__main__":
    main()
