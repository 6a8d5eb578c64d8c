"""What attention kinds remember: recall against the number of pairs, parity with and without negative eigenvalues.

    python benchmarks/attention.py [recall] [parity] [--kinds deltanet gla ..] [--seeds 3] [--steps N] [--plot FILE]
                                   [--json]

Recall: a sequence of N pairs of a key and a value (of 256 keys and 32 values, drawn anew each time), each pair one
token, then the N keys in another order: say the value of each. One layer, one head, keys of 32 channels, trained on N
from 1 to 96 and tested at each N of the table; chance is .031. Parity: the parity of all bits so far, one layer of the
delta rule without convolution, trained on up to 40 bits and tested on 40 and 256.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import frame
import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from neurosim.language import Depth, LanguageConfig, LanguageModel, MixerSpec, build
from neurosim.language.attention.tasks import TASKS
from neurosim.language.attention.tasks.recall import RecallTask

KEYS = 256
VALUES = 32
WIDTH = 64
KEY = 32
PAIRS = (4, 8, 16, 24, 32, 48, 64, 96)
TASK = RecallTask(keys=KEYS, values=VALUES, sizes=PAIRS)
# silu on q and k where a kind leaves the choice: products of q and k as they are were not learned in as many steps.
ONE = {"num_heads": 1, "key_dim": KEY, "value_dim": WIDTH}
SILU = ONE | {"conv_size": 0, "feature_map": "silu"}
HEAD = {"num_heads": 1, "head_dim": KEY, "head_v_dim": WIDTH, "conv_size": 0}
RECALL: dict[str, tuple[str, dict[str, Any]]] = {
    "softmax, all tokens": ("window", {"num_heads": 2, "window_size": 0}),
    "linear, elu + 1": ("linear", ONE),
    "linear, hedgehog": ("linear", ONE | {"feature_map": "hedgehog"}),
    "linear, identity": ("linear", ONE | {"feature_map": "identity", "do_feature_map_norm": False}),
    "retention": ("retention", SILU | {"rotary": False}),
    "simple GLA": ("gla", SILU | {"decay": "head"}),
    "Mamba-2": ("mamba2", {"expand": 1, "head_dim": WIDTH, "state_size": KEY, "conv_kernel": 1}),
    "GLA": ("gla", SILU),
    "HGRN-2": ("hgrn2", {"expand_ratio": KEY}),
    "DeltaNet": ("deltanet", ONE | {"conv_size": 0}),
    "gated DeltaNet": ("gated_deltanet", HEAD),
    "DeltaProduct, 2": ("deltaproduct", HEAD | {"num_householder": 2}),
    "KDA": ("kda", HEAD),
    "RWKV-7": ("rwkv7", {"head_dim": KEY}),
    "MoM, 4 + 1": ("mom", HEAD),
    "SSE, 4 + 1": ("sse", {"num_heads": 1, "head_dim": KEY, "head_v_dim": WIDTH}),
    "S4D": ("ssm", {"state_size": KEY // 2}),
    "almost-linear": ("alrnn", {"units": KEY}),
}
PARITY = {"[0, 1]": {"allow_neg_eigval": False}, "[-1, 1]": {"allow_neg_eigval": True}}


class Recall(nn.Module):
    """Pairs and queries to values through one mixer."""

    def __init__(self, kind: str, options: dict[str, Any]) -> None:
        super().__init__()
        self.keys = nn.Embedding(KEYS, WIDTH)
        self.values = nn.Embedding(VALUES + 1, WIDTH)
        self.norm = nn.RMSNorm(2 * WIDTH)
        self.mixer = build(kind, WIDTH, Depth(), options)
        self.mix = nn.Linear(2 * WIDTH, WIDTH, bias=False)
        self.head = nn.Linear(WIDTH, VALUES)
        self.out = nn.RMSNorm(WIDTH)

    def forward(self, keys: Tensor, values: Tensor) -> Tensor:
        """Scores [B, T, VALUES] from keys [B, T] and values [B, T], VALUES standing for a query."""
        x = self.mix(self.norm(torch.cat([self.keys(keys), self.values(values)], -1)))
        return self.head(self.out(self.mixer(x)[0]))


def trained(model: nn.Module, loss_of: Callable[[torch.Generator], Tensor], steps: int, seed: int, rate: float) -> None:
    """AdamW, the rate down a half cosine, on losses of data drawn by `loss_of`."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01)
    draws = torch.Generator().manual_seed(seed + 1)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1, (step + 1) / 50) * (0.02 + 0.49 * (1 + np.cos(np.pi * step / steps)))
        optimizer.zero_grad(set_to_none=True)
        loss_of(draws).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()


def recall(kind: str, options: dict[str, Any], steps: int, seed: int) -> list[float]:
    """Accuracy at each number of `PAIRS`."""
    torch.manual_seed(seed)
    model = Recall(kind, options)

    def loss_of(draws: torch.Generator) -> Tensor:
        # Few pairs first, then any number: with many from the start some kinds learn nothing for long.
        most = PAIRS[-1]
        pairs = int(torch.randint(1, most + 1, (), generator=draws))
        batch = TASK.draw(pairs, max(8, 512 // pairs), draws)
        return TASK.loss(model(*batch.inputs.unbind(-1)), batch)

    trained(model, loss_of, steps, seed, 5e-3)
    draws = torch.Generator().manual_seed(10**6)
    scores = []
    with torch.no_grad():
        for pairs in PAIRS:
            batch = TASK.draw(pairs, 64, draws)
            scores.append(TASK.score(model(*batch.inputs.unbind(-1)), batch))
    return scores


def memory_size(kind: str, options: dict[str, Any]) -> int:
    """Numbers a layer remembers after 2 x 96 tokens."""
    mixer = build(kind, WIDTH, Depth(), options)
    _, state = mixer(torch.zeros(1, 2 * PAIRS[-1], WIDTH))
    return state["memory"].numel()


def parity(options: dict[str, Any], steps: int, seed: int) -> tuple[float, float]:
    """Accuracy over sequences of 40 and of 256 bits."""
    layer = MixerSpec("deltanet", {"num_heads": 4, "conv_size": 0} | options)
    model = LanguageModel(LanguageConfig((layer,), 2, 32, hidden=64), seed)

    task = TASKS["parity"]

    def loss_of(draws: torch.Generator) -> Tensor:
        batch = task.draw(int(torch.randint(3, 41, (), generator=draws)), 64, draws)
        return task.loss(model(batch.inputs[..., 0])[0], batch)

    trained(model, loss_of, steps, seed, 5e-3)
    draws = torch.Generator().manual_seed(10**6)
    found = []
    with torch.no_grad():
        for length in (40, 256):
            batch = task.draw(length, 128, draws)
            found.append(task.score(model(batch.inputs[..., 0])[0], batch))
    return found[0], found[1]


def recall_rows(names: list[str], seeds: int, steps: int) -> list[dict[str, Any]]:
    rows = []
    for name in tqdm(names, desc="recall", file=sys.stderr):
        start = time.perf_counter()
        scores = np.array([recall(*RECALL[name], steps, seed) for seed in range(seeds)])
        seconds = (time.perf_counter() - start) / seeds
        row = {"kind": name, "memory": memory_size(*RECALL[name]), "pairs": PAIRS, "seconds": seconds}
        rows.append(
            row | {"mean": scores.mean(0).tolist(), "low": scores.min(0).tolist(), "high": scores.max(0).tolist()}
        )
        # Each as it comes: the whole takes a while.
        tqdm.write(line(rows[-1]), file=sys.stderr)
    return rows


def parity_rows(seeds: int, steps: int) -> list[dict[str, Any]]:
    rows = []
    for name, options in tqdm(PARITY.items(), desc="parity", file=sys.stderr):
        scores = np.array([parity(options, steps, seed) for seed in range(seeds)])
        rows.append({"eigenvalues": name, "short": scores[:, 0].tolist(), "long": scores[:, 1].tolist()})
    return rows


def draw(rows: list[dict[str, Any]], path: str) -> None:
    """Recall against pairs, a curve a kind."""
    from neurosim.app.report.charts import PALETTE, Curve, curves, write_picture

    drawn = []
    for i, row in enumerate(rows):
        kind = ("line", "dashed", "dots")[i // len(PALETTE) % 3]
        drawn.append(Curve(row["kind"], np.array(PAIRS, float), np.array(row["mean"]), PALETTE[i % len(PALETTE)], kind))
    write_picture(path, curves(drawn, "pairs", "recalled", "Recall against the number of pairs", y=(0.0, 1.0)))


def line(row: dict[str, Any]) -> str:
    scores = "".join(f"{score:7.2f}" for score in row["mean"])
    return f"{row['kind']:22}{row['memory']:8}{scores}{row['seconds']:9.0f}"


def show(found: dict[str, Any], seeds: int) -> Iterator[str]:
    if "recall" in found:
        yield f"recall, keys of {KEY} channels, mean over {seeds} seeds, by number of pairs"
        rows = [
            [row["kind"], row["memory"], *(f"{score:.2f}" for score in row["mean"]), f"{row['seconds']:.0f}"]
            for row in found["recall"]
        ]
        yield from frame.table(["kind", "memory", *map(str, PAIRS), "s each"], rows)
    if "parity" in found:
        yield f"parity, worst to best of {seeds} seeds"
        rows = [
            [row["eigenvalues"], *(f"{min(row[name]):.3f} to {max(row[name]):.3f}" for name in ("short", "long"))]
            for row in found["parity"]
        ]
        yield from frame.table(["eigenvalues", "40 bits", "256 bits"], rows)


def main() -> None:
    parser = frame.arguments(__doc__, seeds=3, steps=1000)
    parser.add_argument("tasks", nargs="*", default=["recall", "parity"])
    parser.add_argument("--kinds", nargs="+", default=list(RECALL), choices=list(RECALL))
    parser.add_argument("--plot", help="SVG or PNG of the recall curves")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, Any] = {}
    if "recall" in options.tasks:
        found["recall"] = recall_rows(options.kinds, options.seeds, options.steps)
        if options.plot:
            draw(found["recall"], options.plot)
    if "parity" in options.tasks:
        found["parity"] = parity_rows(options.seeds, options.steps)
    frame.report(options, show(found, options.seeds), found)


if __name__ == "__main__":
    main()
