"""Recall of models of the next byte and of Birdie's mixture of objectives, trained on the same number of bytes.

    python benchmarks/phone_book.py [--seeds 3] [--steps 600] [--batch 16] [--length 96] [--tuned 200] [--asked 12]
        [--arms A,B] [--json] [--keep DIR]

The text is phone books of 2 to 12 lines, a letter and its number of one digit, and behind each so many of its lines
again (--asked). A model of two delta rules, width 64, learns from it by `train_bytes`, --steps updates of --batch
windows of --length bytes, for each objective alike. Then each is tuned by --tuned updates of the next byte, for the
mixtures saw questions in this form only in their share of it. Scored is the share of 500 new books of 4, 8 and 12 lines
whose asked number is the likeliest next byte: as plain text, and, where the objective is a mixture, as its objective
`prefix`, what is given before a separator. 'bidirectional' reads what is given by half of the heads backwards. --keep
saves each result. Guessing is right in a tenth.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import frame
import numpy as np
import torch
from torch.nn import functional as F

from neurosim.language import LanguageConfig, LanguageModel, LanguageTraining, MixerSpec, train_bytes
from neurosim.language.attention.objectives import OBJECTIVES, SEPARATOR
from neurosim.language.attention.optimizers import optimizers_of
from neurosim.language.attention.train import draw_windows, split_text

NAMES = (2, 12)
DIGITS = 1
SIZES = (4, 8, 12)
TESTED = 500
TEXT = 1_000_000
CONFIG = LanguageConfig((MixerSpec("deltanet", {"num_heads": 2}),) * 2, width=64, hidden=128)
ARMS: dict[str, dict[str, Any]] = {
    "next byte": {},
    "mixture": {"objective": "mixture"},
    "birdie": {"objective": "birdie"},
    "birdie bidirectional": {"objective": "birdie", "bidirectional": True},
}


class Sizes(NamedTuple):
    """Updates of a training, windows and bytes of each, updates that tune, and questions behind a book."""

    steps: int
    batch: int
    length: int
    tuned: int
    asked: int


def book(names: int, draws: np.random.Generator) -> list[str]:
    """Lines of a letter and a number, no letter twice."""
    letters = draws.permutation(26)[:names]
    numbers = draws.integers(10**DIGITS, size=names)
    return [f"{chr(65 + letter)}{number:0{DIGITS}}\n" for letter, number in zip(letters, numbers, strict=True)]


def text_of_books(size: int, asked: int, seed: int) -> bytes:
    draws = np.random.default_rng(seed)
    parts = []
    count = 0
    while count < size:
        lines = book(int(draws.integers(NAMES[0], NAMES[1] + 1)), draws)
        answers = [lines[i] for i in draws.integers(len(lines), size=asked)]
        parts.append("".join([*lines, "?\n", *answers, "\n"]))
        count += len(parts[-1])
    return "".join(parts).encode()[:size]


@torch.no_grad()
def recalled(model: LanguageModel, names: int, *, given: bool, backwards: bool, seed: int = 1 << 40) -> float:
    """Share of books whose asked number is the likeliest continuation."""
    draws = np.random.default_rng(seed + names)
    rows = []
    for _ in range(TESTED):
        lines = book(names, draws)
        asked = lines[int(draws.integers(names))]
        before = "".join([*lines, "?\n", asked[0]]).encode()
        if given:
            before = bytes([OBJECTIVES["prefix"][0]]) + before + bytes([SEPARATOR])
        rows.append(np.frombuffer(before + asked[1 : 1 + DIGITS].encode(), np.uint8))
    tokens = torch.from_numpy(np.array(rows)).long()
    if given and backwards:
        prefix = torch.full((TESTED,), tokens.shape[1] - DIGITS)
    else:
        prefix = None
    logits = model(tokens[:, :-1], prefix=prefix)[0][:, -DIGITS:]
    return float(logits.argmax(-1).eq(tokens[:, -DIGITS:]).all(1).float().mean())


def tune(model: LanguageModel, text: bytes, training: LanguageTraining, updates: int) -> None:
    """Train on next bytes, at a rate that falls from half the highest to 0."""
    learn, _ = split_text(text, training.held_out)
    optimizers = optimizers_of(training.optimizer, model, training.learning_rate, training.decay)
    for step in range(updates):
        for group in (group for optimizer in optimizers for group in optimizer.param_groups):
            group["lr"] = 0.5 * training.learning_rate * min(1.0, (step + 1) / 20) * (1 - step / updates)
        windows = draw_windows(learn, training.batch, training.length, (1 << 61) + (training.seed << 32) + step)
        loss = F.cross_entropy(model(windows[:, :-1])[0].flatten(0, 1), windows[:, 1:].flatten())
        model.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), training.clip)
        for optimizer in optimizers:
            optimizer.step()


def measure(arm: str, seed: int, sizes: Sizes) -> dict[str, list[float]]:
    """Scores by size: as plain text, as what is given (mixtures), and as plain text after tuning."""
    options = ARMS[arm]
    text = text_of_books(TEXT, sizes.asked, 17)
    training = LanguageTraining(
        steps=sizes.steps, batch=sizes.batch, length=sizes.length, held_out=0.02, every=0, seed=seed, **options
    )
    model, loss = train_bytes(text, CONFIG, training)
    backwards = training.bidirectional

    def scores(given: bool) -> list[float]:
        return [recalled(model, size, given=given, backwards=backwards) for size in SIZES]

    found = {"loss": [loss], "plain": scores(False)}
    if options:
        found["given"] = scores(True)
    tune(model, text, training, sizes.tuned)
    return found | {"tuned": scores(False)}


def kept(folder: Path | None, arm: str, seed: int, sizes: Sizes) -> dict[str, list[float]]:
    """Return a result from `folder`, or compute it and put it there."""
    if folder is None:
        path = None
    else:
        path = folder / ("-".join(map(str, (arm, *sizes, seed))) + ".json")
    if path is not None and path.is_file():
        return json.loads(path.read_text())
    found = measure(arm, seed, sizes)
    frame.say(f"{arm} {seed} {found}")
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found))
    return found


def main() -> None:
    parser = frame.arguments(__doc__, seeds=3, steps=600)
    parser.add_argument("--batch", type=int, default=16, help="windows of an update")
    parser.add_argument("--length", type=int, default=96, help="bytes of a window")
    parser.add_argument("--tuned", type=int, default=200)
    parser.add_argument("--asked", type=int, default=12, help="questions behind a book")
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    sizes = Sizes(options.steps, options.batch, options.length, options.tuned, options.asked)
    seeds = range(options.seeds)
    rows = {arm: [kept(options.keep, arm, seed, sizes) for seed in seeds] for arm in options.arms.split(",")}
    lines = []
    for arm, found in rows.items():
        for reading in ("plain", "given", "tuned"):
            if reading in found[0]:
                scores = np.array([each[reading] for each in found])
                spread = (f"{s.mean():.3f} ({s.min():.3f} to {s.max():.3f})" for s in scores.T)
                lines.append(f"{arm:22}{reading:8}" + "  ".join(spread))
    frame.report(options, lines, {"rows": rows})


if __name__ == "__main__":
    main()
