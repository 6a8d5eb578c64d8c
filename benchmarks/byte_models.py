"""Loss of byte models on held-out text: the same model with one kind of layer after another, at equal weights.

    python benchmarks/byte_models.py FILE [--rows gla,transnormer] [--seeds 3] [--steps 200] [--json]

FILE is a text. Models have two layers of width 64 and two heads; feed-forward layers are as wide as makes the number of
weights that of `gla`. They learn from the first 90 % by `train_bytes`, --steps updates of 16 windows of 128 bytes, and
losses are of the last 10 %, in nats a byte.

transnormer: its blocks with fixed angles; transnormer angles: with trained angles.
elu, hedgehog, norm_aware 1 to 3, norm_aware trained: `linear` with these maps, the last with powers of the norms of 1,
    2 or 3, or trained from 3.
scout, tcnca, sea, window, softmax: the kinds, `window` of 32 tokens, `sea` with 32 keys; scout on window: `scout`,
    which reads every tenth token, above `window`, which gathers those between; two windows beside it: window.
gla*6, gla*5+softmax, gla*2+softmax, softmax*6: six layers, with no softmax layer, one, two, and these alone; as many
    weights as `gla*6`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import frame
import numpy as np
import torch

from neurosim.language import LanguageConfig, LanguageModel, LanguageTraining, MixerSpec, train_bytes
from neurosim.language.attention.transnormer import transnormer_config

WIDTH = 64
LAYERS = 2
HIDDEN = 128
TRAINING = LanguageTraining(length=128, every=0)


def _of(*layers: tuple[str, dict[str, Any]]) -> LanguageConfig:
    return LanguageConfig(tuple(MixerSpec(*layer) for layer in layers), width=WIDTH, hidden=HIDDEN)


def _layers(kind: str, **options: Any) -> LanguageConfig:
    return _of(*[(kind, options)] * LAYERS)


def _hybrid(*kinds: str) -> LanguageConfig:
    return _of(*((kind, {"num_heads": 2}) for kind in kinds))


def _linear(feature_map: str, **options: Any) -> LanguageConfig:
    return _layers("linear", num_heads=2, feature_map=feature_map, **options)


ROWS: dict[str, LanguageConfig] = {
    "gla": _layers("gla", num_heads=2),
    "transnormer": transnormer_config(LAYERS, 2, WIDTH, hidden=HIDDEN),
    "transnormer angles": transnormer_config(LAYERS, 2, WIDTH, hidden=HIDDEN, trained_angles=True),
    "elu": _linear("elu"),
    "hedgehog": _linear("hedgehog"),
    **{f"norm_aware {power}": _linear("norm_aware", norm_power=float(power)) for power in (1, 2, 3)},
    "norm_aware trained": _linear("norm_aware", train_norm_power=True),
    "scout": _layers("scout", num_heads=2),
    "scout on window": _of(("window", {"num_heads": 2, "window_size": 32}), ("scout", {"num_heads": 2})),
    "tcnca": _layers("tcnca", layers=2),
    "tcnca simple": _layers("tcnca", layers=2, simple=True),
    "sea": _layers("sea", num_heads=2, topk=32),
    "window": _layers("window", num_heads=2, window_size=32),
    "softmax": _layers("softmax", num_heads=2),
    "gla*6": _hybrid(*["gla"] * 6),
    "gla*5+softmax": _hybrid(*["gla"] * 5, "softmax"),
    "gla*2+softmax": _hybrid("gla", "gla", "softmax", "gla", "gla", "softmax"),
    "softmax*6": _hybrid(*["softmax"] * 6),
}


def weights(config: LanguageConfig) -> int:
    """Number of weights of a model."""
    return sum(p.numel() for p in LanguageModel(config).parameters())


def fitted(config: LanguageConfig, count: int) -> LanguageConfig:
    """The config with feed-forward layers of the width that brings the model nearest to `count` weights."""
    few = weights(replace(config, hidden=HIDDEN))
    more = weights(replace(config, hidden=HIDDEN + 1))
    return replace(config, hidden=HIDDEN + round((count - few) / (more - few)))


def measure(text: bytes, name: str, seeds: int, steps: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Losses by seed, weights, and processor time of an update."""
    layers = ROWS[name].layers
    config = fitted(ROWS[name], weights(ROWS["gla" if len(layers) == LAYERS else "gla*6"]))
    losses = []
    began = time.process_time()
    for seed in range(seeds):
        training = replace(TRAINING, steps=steps, seed=seed)
        losses.append(train_bytes(text, config, training)[1])
        say(f"{name} {losses}")
    seconds = (time.process_time() - began) / (seeds * steps)
    return {"row": name, "weights": weights(config), "loss": losses, "ms": 1e3 * seconds}


def show(rows: list[dict[str, Any]]) -> Iterator[str]:
    cells = []
    for row in rows:
        loss = np.array(row["loss"])
        spread = f"{loss.mean():.3f} ({loss.min():.3f} to {loss.max():.3f})"
        cells.append([row["row"], f"{row['weights']:,}", spread, f"{row['ms']:.0f}"])
    yield from frame.table(["layers", "weights", "nats a byte", "ms an update"], cells)


def main() -> None:
    parser = frame.arguments(__doc__, seeds=3, steps=200)
    parser.add_argument("text", type=Path)
    parser.add_argument("--rows", default=",".join(ROWS), help="rows of the table, with commas")
    options = parser.parse_args()
    torch.set_num_threads(1)
    text = options.text.read_bytes()
    rows = [measure(text, name, options.seeds, options.steps, frame.say) for name in options.rows.split(",")]
    frame.report(options, show(rows), {"rows": rows})


if __name__ == "__main__":
    main()
