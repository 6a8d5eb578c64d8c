"""Recall of hybrids: a stack of linear attention with 0, 1, 2, 4 or 8 layers of softmax attention for 24 of it.

    python benchmarks/hybrids.py [--kind gla] [--width 32] [--seeds 3] [--steps 300] [--ratios 0 24 12 6 3]
        [--keys 64] [--sizes 8 16 32] [--plot FILE] [--out FOLDER]

The model of `neurosim attention recall`, --width channels, without feed-forward layers: 24 linear layers of --kind,
with keys of 4 channels and a state of 4 numbers a channel, and softmax layers of two heads spread evenly (24:1, 12:1,
6:1, 3:1). Trained on 1 to 32 pairs of --keys keys, tested on --sizes, of which some may be larger. A run of each ratio
lies in FOLDER and is continued or read from there if it was begun before.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import frame
import numpy as np

from neurosim.app import RunOptions, open_run, read_metrics
from neurosim.app.report.charts import PALETTE, Curve, curves, write_picture
from neurosim.app.runs.attention import KIND
from neurosim.app.runs.attention.result import AttentionResult
from neurosim.app.runs.frame.folder import METRICS
from neurosim.app.runs.frame.lifecycle import resume, start

LINEAR = 24
TRAINED = 32
SOFTMAX = {"num_heads": 2, "rotary_dim": 0}
KINDS = ("gla", "deltanet", "gated_deltanet", "hgrn2", "mamba2", "retention")


def options_of(kind: str, width: int) -> dict[str, Any]:
    """Options of a kind for a state of 4 numbers a channel, which holds about four pairs."""
    options: dict[str, dict[str, Any]] = {
        "gla": {"num_heads": 1, "key_dim": 4, "feature_map": "silu"},
        # Without a gate (None) nothing is learned.
        "deltanet": {"num_heads": 1, "key_dim": 4, "conv_size": 0, "gate_fn": "swish"},
        "gated_deltanet": {"num_heads": 1, "head_dim": 4, "head_v_dim": width, "conv_size": 0},
        "hgrn2": {"expand_ratio": 4},
        "mamba2": {"state_size": 4, "head_dim": 32, "expand": 1, "conv_kernel": 1},
        "retention": {"num_heads": 1, "key_dim": 4, "rotary": False},
    }
    return options[kind]


def pattern(kind: str, ratio: int) -> str:
    """The stack with a softmax layer behind every `ratio` linear ones; 0 for none."""
    return f"{kind}*{ratio}+softmax" if ratio else f"{kind}*{LINEAR}"


def measure(settings: argparse.Namespace, ratio: int) -> AttentionResult:
    """The result of a ratio: read, continued or run."""
    kind = settings.kind
    numbers = (settings.width, settings.seeds, settings.steps, settings.keys, *settings.sizes)
    out = settings.out / "-".join(map(str, (kind, LINEAR, ratio, *numbers)))
    options = RunOptions(out=out, threads=1)
    if (out / METRICS).is_file():
        return AttentionResult.from_dict(read_metrics(open_run(out)))
    if out.is_dir():
        return resume(KIND, out, RunOptions(threads=1))
    softmax = LINEAR // ratio if ratio else 0
    values = {
        "seeds": settings.seeds,
        "task.name": "recall",
        "task.options": {"trained": [1, TRAINED], "sizes": settings.sizes, "keys": settings.keys, "values": 16},
        "model.kinds": [pattern(kind, ratio)],
        "model.options": {kind: options_of(kind, settings.width)} | ({"softmax": SOFTMAX} if ratio else {}),
        "model.layers": LINEAR + softmax,
        "model.width": settings.width,
        "training.steps": settings.steps,
        "training.tokens": 512,
    }
    return start(KIND, KIND.configure(values=values), options)


def main() -> None:
    parser = frame.arguments(__doc__, seeds=3, steps=300)
    parser.add_argument("--kind", choices=KINDS, default="gla", help="the linear layers")
    parser.add_argument("--width", type=int, default=32, help="channels, in multiples of 32")
    parser.add_argument("--ratios", type=int, nargs="+", default=[0, 24, 12, 6, 3])
    parser.add_argument("--keys", type=int, default=64, help="keys that pairs are drawn from")
    parser.add_argument("--sizes", type=int, nargs="+", default=[8, 16, 32], help="pairs that are asked for")
    parser.add_argument("--plot", help="SVG or PNG of recall against the share of softmax layers")
    parser.add_argument("--out", type=Path, default=Path("runs/hybrids"))
    options = parser.parse_args()
    rows = []
    cells = []
    for ratio in options.ratios:
        found = measure(options, ratio)
        (row,) = found.kinds
        share = 1 / ratio if ratio else 0.0
        rows.append({"ratio": ratio, "share": share, "means": row.means, "state_bytes": row.state_bytes})
        cells.append([f"{ratio} : 1" if ratio else "none", *row.cells, f"{row.state_bytes:,}"])
    lines = frame.table(["linear : softmax", *(f"{size} pairs" for size in options.sizes), "state, bytes"], cells)
    frame.report(options, lines, {"rows": rows})
    if options.plot:
        shares = np.array([row["share"] for row in rows])
        drawn = [
            Curve(f"{size} pairs", shares, np.array([row["means"][i] for row in rows]), PALETTE[i])
            for i, size in enumerate(options.sizes)
        ]
        words = "Recall against the share of softmax layers"
        write_picture(options.plot, curves(drawn, "softmax layers for each linear one", "recalled", words, y=(0, 1.02)))


if __name__ == "__main__":
    main()
