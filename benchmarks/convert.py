"""A trained language model in spikes: loss, spikes a channel and energy, by published rule, calibrated, fine-tuned.

    python benchmarks/convert.py MODEL [--text FILE] [--seeds 3] [--fine-tune 150] [--json] [--svg curve.svg]

Everything is chosen on the first 90 % of the text: thresholds and fine-tuning on all of that but its last 50 kB, the
fewest spikes at which perplexity rises by at most 1 % on those 50 kB. Figures are of the last 10 %, looked at once.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from dataclasses import replace

import frame
import numpy as np
import torch
from torch import Tensor

from neurosim.app.report.charts import PALETTE, Curve, curves, write_picture
from neurosim.language import (
    Calibration,
    Coding,
    Converted,
    LanguageModel,
    Tuning,
    calibrate_channels,
    convert,
    python_text,
    read_model,
    read_text,
    tune,
)
from neurosim.language.attention.train import split_text
from neurosim.language.conversion.comparison import check_execution, compare_models
from neurosim.language.conversion.costs import coding_counts, energy_comparison, layer_counts, spike_totals
from neurosim.language.conversion.state_work import state_counts

CHOOSING = 50_000  # bytes that strengths are chosen on
ALLOWED = 0.01  # of perplexity
CALIBRATED = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.45, 0.4, 0.35)
TUNED = (0.6, 0.5, 0.45, 0.4, 0.35)
KS = (0.75, 1.0, 1.5, 2.0, 3.0, 4.0)
LEVELS = (3, 7, 15, 31, 63)
PROFILE = "horowitz45"


def measured(dense: LanguageModel, made: Converted, tokens: Tensor) -> dict:
    with made.counting() as histograms:
        found = compare_models(dense, made.model, tokens)
    layers = layer_counts(made, histograms)
    whole = spike_totals(made, histograms)
    besides = [*coding_counts(made, histograms), *state_counts(made, histograms)]
    spent = energy_comparison([*layers, *besides], found.tokens, PROFILE).to_dict()
    return {
        "tokens": found.tokens,
        "dense_loss": found.dense,
        "loss": found.spiking,
        "increase": found.perplexity_increase,
        "agreement": found.agreement,
        "spikes": whole.spikes,
        "silent": whole.silent,
        "density": 1 - whole.silent,
        "by_expansion": whole.by_expansion,
        "operations": sum(layer.synaptic_operations or 0 for layer in layers) / found.tokens,
        "dense_operations": sum(layer.dense_operations or 0 for layer in layers) / found.tokens,
        "energy": spent,
    }


class Bench:
    """One model, one text, one seed."""

    def __init__(self, dense: LanguageModel, learn: Tensor, held: Tensor, options: argparse.Namespace, seed: int):
        self.dense = dense
        self.held = held
        self.seed = seed
        self.options = options
        self.learn = learn[:-CHOOSING]
        self.choose = learn[-CHOOSING:][: options.tokens]
        self.known: Calibration = calibrate_channels(dense, Coding("calibrated"), self.learn, seed, options.windows)

    def made(self, coding: Coding, updates: int = 0) -> Converted:
        made = convert(self.dense, coding, self.learn, self.seed, self.options.windows, calibration=self.known)
        if updates:
            tuning = Tuning(updates, batch=12, price=made.price, seed=self.seed)
            tune(made.model, made.layers, self.learn, tuning, spikes=coding.spikes, teacher=self.dense)
            made.model.eval()
        return made

    def fewest(self, targets: tuple[float, ...], updates: int = 0) -> Converted:
        """The conversion of fewest spikes that the text for choosing allows."""
        best = None
        for spikes in targets:
            made = self.made(Coding("calibrated", spikes=spikes), updates)
            if compare_models(self.dense, made.model, self.choose).perplexity_increase > ALLOWED:
                break
            best = made
        return best or made

    def rows(self) -> dict[str, dict]:
        plain = Coding("ternary", k=3.0)
        chosen = {
            "k = 3 rule": self.made(plain),
            "k = 3 rule, float32 weights": self.made(replace(plain, weights="float32")),
            "calibrated, 0.9 asked for": self.made(Coding("calibrated", spikes=0.9)),
            "calibrated, 0.6 asked for": self.made(Coding("calibrated", spikes=0.6)),
            "calibrated, fewest within 1 %": self.fewest(CALIBRATED),
        }
        if self.options.fine_tune:
            chosen["fine-tuned, fewest within 1 %"] = self.fewest(self.options.tuned, self.options.fine_tune)
        return {name: measured(self.dense, made, self.held) for name, made in chosen.items()}

    def curve(self) -> dict[str, list[dict]]:
        codings = {
            "k rule": [Coding("ternary", k=k) for k in KS],
            "qcfs": [Coding("qcfs", levels=n) for n in LEVELS],
            "stbif": [Coding("stbif", levels=n) for n in LEVELS],
            "calibrated": [Coding("calibrated", spikes=s) for s in CALIBRATED],
        }
        held = self.held[: self.options.tokens]
        updates = self.options.fine_tune
        found = {name: [measured(self.dense, self.made(c), held) for c in each] for name, each in codings.items()}
        if updates:
            asked = [Coding("calibrated", spikes=s) for s in self.options.tuned]
            found["fine-tuned"] = [measured(self.dense, self.made(c, updates), held) for c in asked]
        return found


def execution(bench: Bench) -> dict:
    """Rows of weights added, against floats: equality, and bytes of text a second one by one."""
    made = bench.made(Coding("calibrated", spikes=0.6))
    found = check_execution(made, bench.held[:1024].view(8, 128), bench.options.threads)
    speeds = {}
    for name, model in (("dense", bench.dense), ("executed", made.execute(True, threads=bench.options.threads).model)):
        state = None
        start = time.perf_counter()
        with torch.no_grad():
            for token in bench.held[:200]:
                _, state = model.step(token[None], state)
        speeds[name] = 200 / (time.perf_counter() - start)
    return {"largest_difference": found.largest, "agreement": found.agreement, "tokens_per_second": speeds}


def summary(runs: list[dict[str, dict]], name: str) -> list[str]:
    """One row of the table: means over seeds, and the spread of what is claimed."""
    each = [run[name] for run in runs]
    keys = ("loss", "increase", "agreement", "spikes", "density")
    mean = {key: float(np.mean([row[key] for row in each])) for key in keys}
    spread = float(np.ptp([row["increase"] for row in each]))
    saved = [
        float(np.mean([row["energy"][kind]["saving"][part] for row in each]))
        for kind in ("fp16", "int8")
        for part in ESTIMATES
    ]
    losses = [f"{mean['loss']:.4f}", f"{mean['increase']:+.2%}", f"{spread:.2%}", f"{mean['agreement']:.1%}"]
    return [name, f"{mean['spikes']:.3f}", f"{mean['density']:.3f}", *losses, *(f"{100 * part:+.0f}" for part in saved)]


ESTIMATES = ("compute_only", "memory_aware", "in_registers")
HEADS = ("", "spikes", "active", "loss", "ppl", "range", "same", *(f"{k} {p}" for k in ("fp16", "int8") for p in "cmr"))


def draw(path: str, found: dict[str, list[dict]], axis: str, words: str) -> None:
    series = []
    for colour, (name, points) in zip(PALETTE, found.items(), strict=False):
        rows = sorted(points, key=lambda row: row[axis])
        x, y = (np.array([row[key] for row in rows]) for key in (axis, "increase"))
        series += [Curve(name, x, 100 * y, colour), Curve("", x, 100 * y, colour, "dots")]
    title = f"Perplexity more than the dense model's, against {words}"
    write_picture(path, curves(series, words, "perplexity more, %", title))


def show(result: dict, seeds: int) -> Iterator[str]:
    yield (
        f"{result['parameters']:,} weights, dense loss {result['dense_loss']:.4f}, {seeds} seeds; c: arithmetic alone, "
        "m: with memory,"
    )
    yield "r: the same with sums in registers; % of energy saved against a dense network of that precision, coders and"
    yield "states included (estimates, Horowitz 2014)"
    yield from frame.table(HEADS, (summary(result["runs"], name) for name in result["runs"][0]))
    yield f"executed: {result['execution']}"
    for axis, words in (("spikes", "spikes a channel"), ("density", "active channels")):
        yield f"perplexity against {words}"
        for name, rows in result["curve"].items():
            yield f"{name:12}" + "  ".join(f"{row[axis]:.2f}:{row['increase']:+.2%}" for row in rows)


def main() -> None:
    parser = frame.arguments(__doc__, seeds=3, threads=os.cpu_count() or 1)
    parser.add_argument("model")
    parser.add_argument("--text", help="default: the prose that ships with Python")
    parser.add_argument("--windows", type=int, default=64, help="of 128 bytes that thresholds are calibrated on")
    parser.add_argument("--tokens", type=int, default=16384, help="for choosing, and at each point of the curve")
    parser.add_argument("--fine-tune", type=int, default=150, help="updates; 0 leaves that row out")
    parser.add_argument("--tuned", type=float, nargs="+", default=TUNED, help="spikes a channel to try, descending")
    parser.add_argument("--no-curve", action="store_true")
    parser.add_argument("--svg", help="picture of the curve against spikes a channel")
    parser.add_argument("--density-svg", help="the same against the share of active channels")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    dense = read_model(options.model)
    learn, held = split_text(python_text() if options.text is None else read_text(options.text), 0.1)
    runs = []
    last = None
    for seed in range(options.seeds):
        last = Bench(dense, learn, held, options, seed)
        runs.append(last.rows())
        frame.say(f"seed {seed} done")
    assert last is not None
    result = {
        "parameters": dense.parameter_count(),
        "layers": [layer.kind for layer in dense.config.layers],
        "dense_loss": runs[0]["k = 3 rule"]["dense_loss"],
        "runs": runs,
        "execution": execution(last),
        "curve": {} if options.no_curve else last.curve(),
    }
    if options.svg:
        draw(options.svg, result["curve"], "spikes", "spikes a channel")
    if options.density_svg:
        draw(options.density_svg, result["curve"], "density", "share of active channels")
    frame.report(options, show(result, options.seeds), result)


if __name__ == "__main__":
    main()
