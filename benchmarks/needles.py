"""Needles: four names with a value each at random places among filler, asked for at the end.

    python benchmarks/needles.py [--trained 64] [--seeds 3] [--steps 600] [--layers titans "window, gla"] [--json]

Trained on 4 to --trained tokens, 32 sequences an update; the share of right answers among as many tokens, 4 and 16
times as many, one of 16 by guessing. Windows, segments and spans of 16 tokens; the memories of Titans are one matrix a
head with steps of up to 1. Each result is printed as soon as it is there.
"""

from __future__ import annotations

from typing import Any

import frame
import torch
from attention import trained
from torch import Tensor, nn
from torch.nn import functional

from neurosim.language import Depth, build

NAMES = 16
FILLERS = 32
NEEDLES = 4
HIDDEN = 32
TESTED = 64
AT_ONCE = 16
MEMORY = {"num_heads": 2, "memory_depth": 1, "max_step": 1.0}
WINDOW = {"num_heads": 2, "window_size": 16}
STACKS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "window": [("window", WINDOW)],
    "window, gla": [("window", WINDOW), ("gla", {"num_heads": 2})],
    "titans": [("titans", MEMORY)],
    "titans_gate": [("titans_gate", MEMORY | {"window_size": 16})],
    "titans_layer": [("titans_layer", WINDOW | {"memory": MEMORY})],
    "titans_context": [("titans_context", MEMORY | {"span": 16})],
}


class Finder(nn.Module):
    """Mixers in a row with residuals, between embeddings of names and values and scores of values."""

    def __init__(self, stack: list[tuple[str, dict[str, Any]]]) -> None:
        super().__init__()
        self.names = nn.Embedding(NAMES + FILLERS, HIDDEN)
        self.values = nn.Embedding(NAMES + 2, HIDDEN)
        self.mixers = nn.ModuleList(build(kind, HIDDEN, Depth(), options) for kind, options in stack)
        self.norms = nn.ModuleList(nn.RMSNorm(HIDDEN) for _ in range(len(stack) + 1))
        self.head = nn.Linear(HIDDEN, NAMES)

    def forward(self, names: Tensor, values: Tensor) -> Tensor:
        """Return scores [B, NEEDLES, NAMES] of the last tokens, which ask."""
        x = self.names(names) + self.values(values)
        for norm, mixer in zip(self.norms[:-1], self.mixers, strict=True):
            x = x + mixer(norm(x))[0]
        scores: Tensor = self.head(self.norms[-1](x[:, -NEEDLES:]))
        return scores


def hidden(batch: int, length: int, draws: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Names and values [B, length + NEEDLES], the answers [B, NEEDLES]."""
    names = NAMES + torch.randint(FILLERS, (batch, length + NEEDLES), generator=draws)
    # Value NAMES is none, NAMES + 1 the question.
    values = torch.full_like(names, NAMES)
    own = torch.rand(batch, NAMES, generator=draws).argsort(1)[:, :NEEDLES]
    answers = torch.randint(NAMES, own.shape, generator=draws)
    places = torch.rand(batch, length, generator=draws).argsort(1)[:, :NEEDLES]
    names.scatter_(1, places, own)
    values.scatter_(1, places, answers)
    order = torch.rand(own.shape, generator=draws).argsort(1)
    names[:, -NEEDLES:] = own.gather(1, order)
    values[:, -NEEDLES:] = NAMES + 1
    return names, values, answers.gather(1, order)


def right(model: Finder, length: int, draws: torch.Generator) -> float:
    """Share of right answers among `length` tokens."""
    tests = [tensor.split(AT_ONCE) for tensor in hidden(TESTED, length, draws)]
    found = [model(names, values).argmax(-1) == answers for names, values, answers in zip(*tests, strict=True)]
    return float(torch.cat(found).double().mean())


def measure(name: str, longest: int, seed: int, steps: int) -> list[float]:
    """Share of right answers among as many tokens as in training, 4 and 16 times as many."""
    torch.manual_seed(seed)
    model = Finder(STACKS[name])

    def loss_of(draws: torch.Generator) -> Tensor:
        length = int(torch.randint(NEEDLES, longest + 1, (), generator=draws))
        names, values, answers = hidden(32, length, draws)
        return functional.cross_entropy(model(names, values).flatten(0, 1), answers.flatten())

    trained(model, loss_of, steps, seed, 5e-3)
    draws = torch.Generator().manual_seed(10**6)
    with torch.no_grad():
        return [right(model, times * longest, draws) for times in (1, 4, 16)]


def main() -> None:
    parser = frame.arguments(__doc__, seeds=3, steps=600)
    parser.add_argument("--trained", type=int, default=64, help="tokens of the longest text in training (default 64)")
    parser.add_argument("--layers", nargs="+", choices=STACKS, default=list(STACKS), help="default: all")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    cells = []
    for name in options.layers:
        scores = []
        for seed in range(options.seeds):
            scores.append(measure(name, options.trained, seed, options.steps))
            frame.say(f"{name}, seed {seed}: {scores[-1]}")
        rows.append({"layers": name, "right": scores})
        columns = [torch.tensor(column) for column in zip(*scores, strict=True)]
        cells.append([name, *(f"{c.mean():.3f} ({c.min():.3f} to {c.max():.3f})" for c in columns)])
    heads = ["needles", *(f"{times * options.trained:,}" for times in (1, 4, 16))]
    frame.report(options, frame.table(heads, cells), {"needles": rows})


if __name__ == "__main__":
    main()
