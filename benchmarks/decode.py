"""Milliseconds a token of the compiled step: a GLA of random weights in spikes and dense, beside torch and llama.cpp.

    python benchmarks/decode.py [--sizes 32M 127M] [--densities 0.15 0.3 0.4 0.8] [--repeats 5] [--threads 1 2] [--json]
    python benchmarks/decode.py --sizes --model FILE.gguf [--text FILE ..] [--score 2304]

Every layer has thresholds of its channels, as calibrated models do, set so that the asked share of channels is active
on the tokens that are then timed. One thread is timed in CPU time, which neighbours on the machine disturb least, and
several in wall time. A prompt is read by `Decoder.read`, and its times are those of one token. llama.cpp is a llama of
the same number of weights (`make peers`), in a process of its own. The products of torch are those of the linear layers
alone: a floor for a dense model. Each repeat goes round all of a table's rows of one batch and number of threads, so
that neighbours slow them alike.

A last table is of a real model (--model; SmolLM2 after `make models`): times beside the losses on the same held-out
windows of 256 tokens, of llama.cpp too, which reads the same file as it is and written again in other types. Where
llama.cpp is not installed its rows say "absent".
"""

from __future__ import annotations

import argparse
import copy
import os
import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import frame
import numba
import numpy as np
import torch
from decode_model import Form, measure_model, rounds, shown_model
from harness import NO_PEERS, PEERS_PYTHON
from llama import Llama, llamas
from machine import describe
from real_models import NO_MODELS, smollm2
from torch import Tensor, nn
from torch.nn import functional as F

from neurosim.language import (
    Coder,
    Coding,
    Converted,
    Decoder,
    LanguageConfig,
    LanguageModel,
    MixerSpec,
    SpikedLinear,
    convert,
)
from neurosim.language.conversion.calibrate import PRICE
from neurosim.language.conversion.decoder.decoder import CHUNK
from neurosim.language.conversion.int4 import round_layers, type_of
from neurosim.language.conversion.roundings import levels_of

SIZES = {"32M": (512, 10), "127M": (1024, 10)}  # width, layers
STEPS = 24  # tokens of one measurement
PROMPT = 16 * CHUNK + 1  # tokens of a prompt
DENSE_K = 32.0  # counts that a mean |x| is worth where all channels speak: 8 bits of activations


@dataclass(frozen=True)
class Row:
    """One line of the table: median, least and largest of the repeats, milliseconds a step; None of an absent peer."""

    name: str
    batch: int
    threads: int
    ms: float | None
    low: float | None
    high: float | None
    density: float | None = None
    row_bytes: float | None = None  # of weights read for a token


def model_of(size: str) -> LanguageModel:
    width, layers = SIZES[size]
    return LanguageModel(LanguageConfig((MixerSpec("gla"),) * layers, width=width), 1).eval()


def tokens(batch: int) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (STEPS, batch))


@torch.no_grad()
def at_density(dense: LanguageModel, density: float) -> tuple[Converted, float, float]:
    """Return the model in spikes, the share of active channels, and the bytes of rows that a token selects."""
    made = convert(dense, Coding("ternary"))
    first = float(levels_of(PRICE).edges[0])
    text = torch.from_numpy(tokens(16).T)

    def calibrate(layer: nn.Module, given: tuple[Tensor]) -> None:
        assert isinstance(layer, SpikedLinear)
        threshold = torch.quantile(given[0].abs().flatten()[:100_000], 1 - density) / first
        layer.coder = Coder("calibrated", threshold.expand(layer.in_features).clamp(min=1e-9), price=PRICE)

    hooks = [layer.register_forward_pre_hook(calibrate) for layer in made.layers.values()]
    made.model(text)
    for hook in hooks:
        hook.remove()
    with made.counting() as histograms:
        made.model(text)
    active = {name: 1 - histograms[name].silent() / histograms[name].entries for name in made.layers}
    weights = {name: layer.in_features * layer.out_features for name, layer in made.layers.items()}
    read = sum(active[name] * weights[name] for name in weights)
    return made, read / sum(weights.values()), read


def in_int4(made: Converted) -> Converted:
    """Return the same model with weights of 4 bits, rounded to the nearest."""
    again = Converted(copy.deepcopy(made.model), replace(made.coding, weights="int4"), {})
    for name, layer in made.layers.items():
        other = again.model.get_submodule(name)
        assert isinstance(other, SpikedLinear)
        other.weight_type = type_of("int4", name, layer.in_features)
        again.layers[name] = other
    round_layers(again.model, again.layers, None)
    return again


class Timed:
    """Steps of a program, timed."""

    def __init__(self, step: Callable[[np.ndarray], object], batch: int, threads: int) -> None:
        self.step = step
        self.batch = batch
        if threads == 1:
            self.clock = time.thread_time
        else:
            self.clock = time.perf_counter

    def once(self) -> float:
        """Return the median of the steps, in milliseconds."""
        seconds = []
        for each in tokens(self.batch):
            start = self.clock()
            self.step(each)
            seconds.append(self.clock() - start)
        return 1e3 * statistics.median(seconds)


class Prompt:
    """A prompt that a decoder reads, timed."""

    def __init__(self, decoder: Decoder, threads: int) -> None:
        self.decoder = decoder
        self.tokens = np.random.default_rng(6).integers(0, 256, PROMPT)
        self.clock = time.thread_time if threads == 1 else time.perf_counter

    def once(self) -> float:
        """Return milliseconds a token."""
        self.decoder.reset()
        start = self.clock()
        self.decoder.read(self.tokens)
        return 1e3 * (self.clock() - start) / PROMPT


class TorchStep:
    """A dense model stepped by torch."""

    def __init__(self, model: LanguageModel) -> None:
        self.model = model
        self.state: list[dict[str, Tensor]] | None = None

    @torch.no_grad()
    def __call__(self, each: np.ndarray) -> None:
        _, self.state = self.model.step(torch.from_numpy(each), self.state)


class Products:
    """The products of all linear layers of a model, and nothing else, in a type of torch."""

    def __init__(self, model: LanguageModel, batch: int, dtype: torch.dtype) -> None:
        layers = [m for m in model.modules() if isinstance(m, nn.Linear)]
        self.inputs = [torch.randn(batch, layer.in_features).to(dtype) for layer in layers]
        weights = [layer.weight.detach().to(dtype) for layer in layers]
        self.products: list[Callable[[Tensor], Tensor]] = [partial(F.linear, weight=weight) for weight in weights]

    @torch.no_grad()
    def __call__(self, each: np.ndarray) -> None:
        for x, product in zip(self.inputs, self.products, strict=True):
            product(x)


class IntegerProducts(Products):
    """The same in int8, activations quantised token by token."""

    def __init__(self, model: LanguageModel, batch: int) -> None:
        super().__init__(model, batch, torch.float32)
        plain = [nn.Linear(m.in_features, m.out_features) for m in model.modules() if isinstance(m, nn.Linear)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch.ao is deprecated
            made = torch.ao.quantization.quantize_dynamic(nn.ModuleList(plain), {nn.Linear})
        self.products = list(made)


class Coded(NamedTuple):
    """A model in spikes, the share of its active channels, and the bytes of weights that a token reads."""

    name: str
    converted: Converted
    density: float
    read: float | None


class Step(NamedTuple):
    """A step of one token for each sequence.

    Attributes:
        call: runs it.
        density: share of active channels; None where it is not known.
        read: bytes of weights that it reads; None where it is not known.
    """

    name: str
    call: Callable[[np.ndarray], object]
    density: float | None
    read: float | None


def measure(size: str, options: argparse.Namespace) -> list[Row]:
    dense = model_of(size)
    spiking = [Coded(f"spikes {density:g}", *at_density(dense, density)) for density in options.densities]
    fours = [Coded(f"{each.name}, int4", in_int4(each.converted), each.density, None) for each in spiking]
    every = convert(dense, Coding("ternary", k=DENSE_K))
    rows = []
    for threads in options.threads:
        torch.set_num_threads(threads)
        for batch in options.batches:
            steps = [*decoders([*spiking, *fours], every, dense, batch, threads), *steps_of_torch(dense, batch)]
            timed: dict[str, Form | None] = {step.name: Timed(step.call, batch, threads) for step in steps}
            peers: dict[str, Llama | None] = {}
            if batch == 1:
                timed |= prompts(spiking, threads)
                peers = llamas_of(size, threads)
            times = rounds({**timed, **peers}, options.repeats)
            for peer in peers.values():
                if peer is not None:
                    peer.close()
            costs = {step.name: (step.density, step.read) for step in steps}
            for name, all_ms in times.items():
                rows.append(row_of(name, batch, threads, all_ms, *costs.get(name, (None, None))))
    return rows


def decoders(
    coded: Sequence[Coded], every: Converted, dense: LanguageModel, batch: int, threads: int
) -> Iterator[Step]:
    """Yield the compiled steps of models in spikes, of one whose channels are all active, and of the dense model."""
    weights = sum(m.weight.numel() for m in dense.modules() if isinstance(m, nn.Linear))
    for name, converted, density, read in coded:
        yield Step(name, Decoder(converted.model, batch, threads).step, density, read)
    yield Step("dense int8", Decoder(every.model, batch, threads).step, 1.0, float(weights))
    yield Step("dense float32", Decoder(dense, batch, threads).step, 1.0, 4.0 * weights)


def steps_of_torch(dense: LanguageModel, batch: int) -> Iterator[Step]:
    yield Step("torch float32", TorchStep(dense), None, None)
    for dtype in (torch.float32, torch.bfloat16):
        name = f"torch products {str(dtype).removeprefix('torch.')}"
        yield Step(name, Products(dense, batch, dtype), None, None)
    yield Step("torch products int8", IntegerProducts(dense, batch), None, None)


def prompts(spiking: Sequence[Coded], threads: int) -> dict[str, Prompt]:
    """Return the reading of a prompt by each model in spikes."""
    return {
        f"prompt, {each.name}": Prompt(Decoder(each.converted.model, 1, threads, chunk=CHUNK), threads)
        for each in spiking
    }


def llamas_of(size: str, threads: int) -> dict[str, Llama | None]:
    """Return llama.cpp on models of the size."""
    width, layers = SIZES[size]
    shape = ["--width", str(width), "--layers", str(layers)]
    return llamas({f"llama.cpp {kind}": [*shape, "--type", kind] for kind in ("Q8_0", "Q4_0", "Q4_1")}, threads)


def row_of(name: str, batch: int, threads: int, times: list[float], density: float | None, read: float | None) -> Row:
    """Return the row of a form from its milliseconds a token."""
    row = Row(name, batch, threads, None, None, None, density, read)
    if not times:
        return row
    return replace(row, ms=statistics.median(times), low=min(times), high=max(times))


@numba.njit(cache=True, nogil=True, fastmath=True)
def _sum(values: np.ndarray) -> float:
    total = np.float32(0)
    for i in range(values.size):
        total += values[i]
    return total


def stream_gigabytes() -> float:
    """Return the GB/s at which one thread reads 512 MB in order, the best of several passes."""
    values = np.ones(1 << 27, np.float32)
    best = np.inf
    for _ in range(8):
        best = min(best, frame.seconds(lambda: _sum(values), time.thread_time))
    return values.nbytes / best / 1e9


def shown(rows: list[Row], stream: float) -> list[str]:
    cells = []
    for row in rows:
        if row.ms is None:
            cells.append([row.name, row.batch, row.threads, "absent", *[""] * 6])
            continue
        has_bytes = row.row_bytes is not None and row.batch == 1
        speed = (row.row_bytes or 0) / row.ms / 1e6
        if has_bytes:
            read = [f"{(row.row_bytes or 0) / 1e6:.1f}", f"{speed:.1f}", f"{speed / stream:.0%}"]
        else:
            read = [""] * 3
        times = [f"{row.ms:.2f}", f"{row.low:.2f}-{row.high:.2f}", f"{1e3 * row.batch / row.ms:.0f}"]
        cells.append([row.name, row.batch, row.threads, *times, f"{row.density:.2f}" if row.density else "", *read])
    heads = ["", "batch", "threads", "ms", "range", "tokens/s", "density", "MB read", "GB/s", "stream"]
    return frame.table(heads, cells)


def main() -> None:
    parser = frame.arguments(__doc__, repeats=5)
    parser.add_argument("--sizes", nargs="*", choices=SIZES, default=list(SIZES))
    parser.add_argument("--densities", nargs="+", type=float, default=[0.15, 0.3, 0.4, 0.8])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 16])
    about = "a real model; default: SmolLM2, if installed; without a file: none"
    parser.add_argument("--model", type=Path, nargs="?", default=smollm2(), help=about)
    parser.add_argument("--text", nargs="+", help="texts of the losses; default: the prose that ships with Python")
    parser.add_argument("--score", type=int, default=2304, help="tokens that are scored, of all texts together")
    options = parser.parse_args()
    load = os.getloadavg()
    stream = stream_gigabytes()
    tables = {size: measure(size, options) for size in options.sizes}
    if not PEERS_PYTHON.exists():
        frame.say(NO_PEERS)
    lines = [f"load {load[0]:.1f}; one thread streams {stream:.1f} GB/s. One thread: CPU time; several: wall time."]
    for size, rows in tables.items():
        lines += ["", f"GLA of {size} weights", *shown(rows, stream)]
    of_model = []
    if smollm2() is None:
        frame.say(NO_MODELS)
    if options.model is not None:
        of_model = measure_model(options.model, options)
        lines += ["", options.model.name, *shown_model(of_model)]
    result = {
        "load": load,
        "stream": stream,
        "sizes": {k: [asdict(row) for row in rows] for k, rows in tables.items()},
        "model": [asdict(row) for row in of_model],
    }
    frame.report(options, lines, result, describe(max(options.threads)))


if __name__ == "__main__":
    main()
