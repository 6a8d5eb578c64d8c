"""State tracking: words of groups by products of n reflections a token, with and without negative eigenvalues.

    python benchmarks/words.py [--groups S3] [--seeds 3] [--steps 600] [--json]

One layer of DeltaProduct (2 heads, keys and values of 16 channels, no gates, no convolutions) and a feed-forward layer,
width 64, trained on words of 3 to 32 elements and tested on 32, 64 and 128: the share of products so far that are
right. Guessing is right in one of the group's elements.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import frame
import torch
from tqdm import tqdm

from neurosim.language import MixerSpec
from neurosim.language.attention.probe import ProbeModel, ProbeRun, ProbeTraining, scores_by_size
from neurosim.language.attention.tasks.words import Words

HEAD = {"num_heads": 2, "head_dim": 16, "head_v_dim": 16, "conv_size": 0, "use_forget_gate": False, "gate_fn": None}
CASES = {"1 step, [0, 1]": (1, False), "1 step, [-1, 1]": (1, True), "2 steps, [0, 1]": (2, False)}
CASES |= {"2 steps, [-1, 1]": (2, True)}


def measure(group: str, steps: int, negative: bool, updates: int, seed: int) -> tuple[float, ...]:
    task = replace(Words(), group=group)
    layer = MixerSpec("deltaproduct", HEAD | {"num_householder": steps, "allow_neg_eigval": negative})
    model = ProbeModel(task, (layer,), 64, 128, seed)
    ProbeRun(task, model, ProbeTraining(steps=updates), seed).run()
    return scores_by_size(task, model, seed)


def main() -> None:
    parser = frame.arguments(__doc__, seeds=3, steps=600)
    parser.add_argument("--groups", nargs="+", default=["S3"])
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    cells = []
    for group in options.groups:
        for name in options.cases:
            seeds = tqdm(range(options.seeds), desc=f"{group}, {name}", file=sys.stderr)
            scores = [measure(group, *CASES[name], options.steps, seed) for seed in seeds]
            rows.append({"group": group, "case": name, "scores": scores})
            by_size = zip(*scores, strict=True)
            cells.append([group, name, *(f"{sum(s) / len(s):.3f} ({min(s):.3f} to {max(s):.3f})" for s in by_size)])
    lines = frame.table(["group", "eigenvalues", *map(str, Words().sizes)], cells)
    frame.report(options, lines, {"steps": options.steps, "rows": rows})


if __name__ == "__main__":
    main()
