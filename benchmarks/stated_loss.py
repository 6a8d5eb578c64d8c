"""The strength of a coding for a stated loss, chosen on the first 90 % of each text and measured on the rest.

    python benchmarks/stated_loss.py MODEL --text FILE FILE FILE [--loss .01] [--tokens 5376] [--also 3] [--json]
    python benchmarks/stated_loss.py MODEL --text FILE --calibrated .6 --no-choice

MODEL is what `neurosim convert` takes; without --text, the prose that ships with Python. Each text is split as by
`neurosim convert --loss`: trials read windows of the fifth before the held-out tenth. Windows of 256 tokens, spread
evenly over the held-out tenth and read without context, give the losses; errors are standard errors over windows.

--calibrated measures thresholds of channels for a mean number of spikes a channel, from 16 windows of 128 tokens of the
first 90 %; --no-choice leaves the coding for the stated loss out.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import frame
import torch
from torch import Tensor

from neurosim.app.runs.convert.config import PRICE
from neurosim.language import (
    EXPANSIONS,
    Coding,
    LanguageModel,
    convert,
    layer_counts,
    python_text,
    read_model,
    read_tokenizer,
    spike_totals,
)
from neurosim.language.attention.tokenizer import read_tokens, tokenize
from neurosim.language.attention.train import split_tokens
from neurosim.language.conversion.choice import LENGTH, choose_coding, split_for_choice
from neurosim.language.conversion.comparison import WindowComparison
from neurosim.language.conversion.costs import coding_counts, energy_comparison, other_processes
from neurosim.language.conversion.state_work import state_counts

HEADS = (
    "text",
    "coding",
    "tokens",
    "dense",
    "perplexity",
    "error",
    "divergence",
    "spikes",
    "canonical",
    "active",
    "ms",
)
PROFILE = "horowitz45"
CALIBRATED = 16  # windows of 128 tokens that thresholds of channels come from


def spread_windows(tokens: Tensor, count: int) -> Tensor:
    """Return [n, LENGTH + 1] windows of at most `count` tokens in all, evenly spread over tokens."""
    windows = max(1, min(count, len(tokens) - 1) // LENGTH)
    starts = torch.linspace(0, len(tokens) - LENGTH - 1, windows).long()
    return tokens[starts[:, None] + torch.arange(LENGTH + 1)]


def increase(rise: Tensor) -> tuple[float, float]:
    """Return the increase of perplexity and its standard error, from differences of the losses of windows."""
    mean = float(rise.mean())
    return math.expm1(mean), math.exp(mean) * float(rise.std()) / math.sqrt(len(rise))


def measure(model: LanguageModel, coding: Coding, comparison: WindowComparison, learn: Tensor) -> tuple[dict, Tensor]:
    """Convert, read the windows, and return the row of it and the rise of the loss of each window."""
    made = convert(model, coding, learn, windows=CALIBRATED)
    with made.counting() as histograms:
        rise, divergence = comparison.read(made.model)
    totals = spike_totals(made, histograms)
    layers = layer_counts(made, histograms)
    counts = [*layers, *coding_counts(made, histograms), *state_counts(made, histograms)]
    tokens = comparison.windows[:, 1:].numel()
    energies = [energy_comparison(counts, tokens, PROFILE), *other_processes(counts, tokens, PROFILE)]
    loss, error = increase(rise)
    row = {
        "coding": f"k = {coding.k:.3g}" if coding.scheme == "ternary" else f"{coding.scheme}, {coding.spikes:g}",
        "tokens": tokens,
        "dense": float(comparison.losses.mean()),
        "divergence": float(divergence.mean()),
        "perplexity": loss,
        "error": error,
        "spikes": totals.spikes,
        "canonical": totals.by_expansion["canonical"],
        "by_expansion": {name: totals.by_expansion[name] for name in EXPANSIONS if name in totals.by_expansion},
        "active": 1 - totals.silent,
        "escaped": totals.escaped,
        "operations": sum(layer.synaptic_operations or 0 for layer in layers) / tokens,
        "dense_operations": sum(layer.dense_operations or 0 for layer in layers) / tokens,
        "energies": [each.to_dict() for each in energies],
    }
    return row, rise


def of_text(model: LanguageModel, name: str, tokens: Tensor, options: argparse.Namespace) -> dict:
    """Choose k on a text and measure it on the held-out end."""
    learn, held = split_tokens(tokens, 0.1)
    windows = spread_windows(held, options.tokens)
    text = split_for_choice(learn, options.choose)

    def tell(trial: object) -> None:
        frame.say(f"{name}: {trial}")

    codings = {f"k={k:g}": Coding(k=k) for k in options.also}
    codings |= {f"calibrated={spikes:g}": Coding("calibrated", spikes=spikes) for spikes in options.calibrated}
    choice = None
    if options.choice:
        coding = Coding(k=options.k)
        if not options.one_k:
            coding = replace(coding, expansion="canonical", price=PRICE, balance=True)
        chosen, choice = choose_coding(model, coding, text, options.loss, on_trial=tell)
        codings = {"chosen": chosen, **codings}
    comparison = WindowComparison(model, windows)
    rows = []
    rises = {}
    times = {} if choice is None else {trial.strength: trial.seconds for trial in choice.trials}
    for title, each in codings.items():
        row, rises[title] = measure(model, each, comparison, text.learn)
        seconds = times.get(each.k) if each.scheme == "ternary" else None
        rows.append({"text": name, "title": title, "ms": None if seconds is None else 1e3 * seconds} | row)
        frame.say(f"{name}: {row['coding']} {row['perplexity']:+.2%} +- {row['error']:.2%}")
    about = None if choice is None else choice.to_dict()
    return {"choice": about, "rows": rows, "rises": {title: rise.tolist() for title, rise in rises.items()}}


def show(found: Sequence[dict], pooled: Sequence[dict]) -> Iterator[str]:
    rows = [*(row for each in found for row in each["rows"]), *pooled]
    yield from frame.records([{head: row.get(head) for head in HEADS} for row in rows])


def main() -> None:
    parser = frame.arguments(__doc__, threads=1)
    parser.add_argument("model", type=Path)
    parser.add_argument("--text", nargs="+", help="default: the prose that ships with Python")
    parser.add_argument("--loss", type=float, default=0.01, help="largest increase of perplexity")
    parser.add_argument("--tokens", type=int, default=5376, help="that are scored, of each text")
    parser.add_argument("--choose", type=int, default=2048, help="that each trial reads")
    parser.add_argument("--bytes", type=int, default=500_000, help="of each text that are read")
    parser.add_argument("--k", type=float, default=8.0, help="first trial")
    parser.add_argument("--one-k", action="store_true", help="for all layers, and counts rounded to the nearest")
    parser.add_argument("--also", type=float, nargs="*", default=(), help="further k to measure")
    parser.add_argument("--calibrated", type=float, nargs="*", default=(), help="spikes a channel, calibrated")
    parser.add_argument("--choice", action=argparse.BooleanOptionalAction, default=True, help="for the stated loss")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = read_model(options.model)
    vocabulary = model.config.vocabulary
    tokenizer = read_tokenizer(options.model, vocabulary)
    texts = {"python": tokenize(tokenizer, python_text()[: options.bytes], vocabulary, "python")}
    if options.text:
        texts = {Path(file).stem: read_tokens(file, tokenizer, vocabulary) for file in options.text}
    found = [of_text(model, name, tokens, options) for name, tokens in texts.items()]
    pooled = []
    for title in found[0]["rises"]:
        rises = torch.cat([torch.tensor(each["rises"][title]) for each in found])
        rows = [row for each in found for row in each["rows"] if row["title"] == title]
        loss, error = increase(rises)
        means = {key: sum(row[key] for row in rows) / len(rows) for key in ("spikes", "canonical", "active")}
        counted = {"text": "all", "coding": title, "tokens": sum(row["tokens"] for row in rows)}
        pooled.append({**counted, "perplexity": loss, "error": error, **means})
    frame.report(options, show(found, pooled), {"texts": found, "pooled": pooled})


if __name__ == "__main__":
    main()
