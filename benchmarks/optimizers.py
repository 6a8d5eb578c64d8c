"""Muon beside Adam: rare classes of an associative memory by its embeddings, and a byte model's rare bytes.

    python benchmarks/optimizers.py [memory] [bytes] [--seeds 3] [--steps 300] [--json]

Memory: the probability of the worst of 64 classes, half of them rarer, when the best is known at .99, of one-layer
memories whose embeddings are the axes or a random orthonormal basis, without and with correlation (the scalar product
of any two). Bytes: two gated delta rules of width 96 on the prose that ships with Python, nats a byte on its held-out
end: of all bytes, of the most frequent that make up half of the text, and of those of the rarest hundredth. The
learning rates (`RATES`) are the best of 1e-3 to 3.2e-2 on a part of the training text, seed 0, 200 updates (--rates).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import frame
import numpy as np
import torch
from torch.nn import functional as F
from tqdm import tqdm

from neurosim.language import LanguageConfig, LanguageModel, LanguageTraining, MixerSpec, python_text, train_bytes
from neurosim.language.attention.train import split_text, stream_windows
from neurosim.memory.associative.tail import tail_run

RATES = {"adamw": 4e-3, "muon": 8e-3}
TRIED = (1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2, 3.2e-2)


def memory(seeds: int) -> list[dict[str, Any]]:
    rows = []
    cases = [(r, way, c) for r in (0.1, 0.01) for way in ("gradient", "adam", "muon") for c in (0.0, 0.5)]
    for ratio, way, correlation in tqdm(cases, desc="memory", file=sys.stderr):
        row: dict[str, Any] = {"ratio": ratio, "optimizer": way, "correlation": correlation}
        for basis in ("axes", "random"):
            worst = [tail_run(way, ratio, seed=s, basis=basis, correlation=correlation).worst[-1] for s in range(seeds)]
            row[basis] = [min(worst), max(worst)]
        rows.append(row)
    return rows


def trained(text: bytes, optimizer: str, rate: float, steps: int, seed: int) -> LanguageModel:
    layer = MixerSpec("gated_deltanet", {"num_heads": 2, "head_dim": 32, "head_v_dim": 32})
    config = LanguageConfig((layer,) * 2, width=96, hidden=256)
    training = LanguageTraining(steps=steps, learning_rate=rate, optimizer=optimizer, every=0, seed=seed)
    return train_bytes(text, config, training)[0]


@torch.no_grad()
def losses(model: LanguageModel, text: bytes) -> dict[str, float]:
    """Nats a byte over the held-out end: of all, of frequent and of rare bytes, by how often the rest has them."""
    learn, held = split_text(text, 0.1)
    counts = torch.bincount(learn, minlength=256)
    order = counts.argsort(descending=True)
    share = counts[order].cumsum(0) / counts.sum()
    kinds = {"all": order, "frequent": order[share <= 0.5], "rare": order[share > 0.99]}
    each = []
    targets = []
    state = None
    for inputs, wanted in stream_windows(held, 128, 64):
        logits, state = model(inputs, state)
        each.append(F.cross_entropy(logits.flatten(0, 1), wanted.flatten(), reduction="none"))
        targets.append(wanted.flatten())
    found = torch.cat(each)
    seen = torch.cat(targets)
    return {name: float(found[torch.isin(seen, of)].mean()) for name, of in kinds.items()}


def bytes_rows(seeds: int, steps: int) -> list[dict[str, Any]]:
    text = python_text()
    rows = []
    for name, rate in RATES.items():
        each = []
        for seed in tqdm(range(seeds), desc=name, file=sys.stderr):
            each.append(losses(trained(text, name, rate, steps, seed), text))
        rows.append({"optimizer": name, "rate": rate} | {key: [one[key] for one in each] for key in each[0]})
    return rows


def rates(steps: int) -> None:
    """Losses by learning rate, on the end of the part that models learn from."""
    text = python_text()
    text = text[: int(len(text) * 0.9)]
    for name in RATES:
        for rate in TRIED:
            print(name, rate, f"{losses(trained(text, name, rate, steps, 0), text)['all']:.4f}", flush=True)


def show(found: dict[str, Any]) -> Iterator[str]:
    if "memory" in found:
        yield "worst class, lowest to highest over seeds, by optimiser, correlation and basis of the embeddings"
        cells = [
            [
                row["ratio"],
                row["optimizer"],
                row["correlation"],
                *(f"{row[basis][0]:.3f} {row[basis][1]:.3f}" for basis in ("axes", "random")),
            ]
            for row in found["memory"]
        ]
        yield from frame.table(["rare/frequent", "optimiser", "correlation", "axes", "random"], cells)
    for row in found.get("bytes", []):
        spans = ", ".join(f"{key} {np.mean(row[key]):.4f} ({min(row[key]):.4f} to {max(row[key]):.4f})" for key in KEYS)
        yield f"{row['optimizer']:6} at {row['rate']:g}: nats a byte {spans}"


KEYS = ("all", "frequent", "rare")


def main() -> None:
    parser = frame.arguments(__doc__, seeds=3, steps=300)
    parser.add_argument("parts", nargs="*", default=["memory", "bytes"])
    parser.add_argument("--rates", action="store_true", help="print the losses that learning rates were chosen by")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.rates:
        rates(options.steps)
        return
    found: dict[str, Any] = {"memory": memory(options.seeds)} if "memory" in options.parts else {}
    if "bytes" in options.parts:
        found["bytes"] = bytes_rows(options.seeds, options.steps)
    frame.report(options, show(found), {"seeds": options.seeds, **found})


if __name__ == "__main__":
    main()
