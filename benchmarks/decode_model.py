"""A real model as the compiled step and in llama.cpp: milliseconds a token beside the loss on the same tokens."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import frame
import torch
from llama import Llama, llamas
from stated_loss import increase, spread_windows
from torch import Tensor

from neurosim.language import Coding, Decoder, LanguageModel, convert, python_text, read_model, read_tokenizer
from neurosim.language.attention.tokenizer import read_tokens, tokenize
from neurosim.language.attention.train import split_tokens
from neurosim.language.conversion.comparison import WindowComparison

TIMED = 64  # tokens of one measurement
# The head is in spikes, too: on floats it takes longer than all other layers.
CODINGS = {
    "spikes, k = 8, int4 as in the file": Coding(k=8.0, weights="int4", head=True),
    "spikes, k = 8, int8": Coding(k=8.0, head=True),
    "spikes, k = 3, int4 as in the file": Coding(k=3.0, weights="int4", head=True),
    "dense float32": None,
}
TYPES = {"as in the file": None, "Q8_0": "Q8_0", "Q4_0": "Q4_0"}  # of llama.cpp


@dataclass
class ModelRow:
    """One line of the table.

    Attributes:
        ms: by threads, medians of the repeats, milliseconds a token, None where a program is absent; with their least
            and largest.
        nats: mean loss, nats a token.
        rise, error: of the perplexity over the dense model's, and its standard error over windows.
        active: share of active channels.
    """

    name: str
    ms: dict[int, tuple[float, float, float] | None]
    nats: float | None = None
    rise: float | None = None
    error: float | None = None
    active: float | None = None


class Stepped:
    """A decoder that reads a text, timed."""

    def __init__(self, model: LanguageModel, tokens: Sequence[int], threads: int) -> None:
        self.decoder = Decoder(model, 1, threads)
        self.tokens = tokens
        self.clock = time.thread_time if threads == 1 else time.perf_counter

    def once(self) -> float:
        """Return the median milliseconds of a token."""
        self.decoder.reset()
        seconds = []
        for token in self.tokens:
            start = self.clock()
            self.decoder.step([token])
            seconds.append(self.clock() - start)
        return 1e3 * statistics.median(seconds)


def windows_of(path: Path, vocabulary: int, options: argparse.Namespace) -> Tensor:
    """Return windows of the held-out ends of all texts."""
    tokenizer = read_tokenizer(path, vocabulary)
    texts = [tokenize(tokenizer, python_text()[:500_000], vocabulary, "python")]
    if options.text:
        texts = [read_tokens(file, tokenizer, vocabulary) for file in options.text]
    each = options.score // len(texts)
    return torch.cat([spread_windows(split_tokens(tokens, 0.1)[1], each) for tokens in texts])


def measure_model(path: Path, options: argparse.Namespace) -> list[ModelRow]:
    """Return the rows of a model: times of all forms in turn, and their losses."""
    dense = read_model(path)
    windows = windows_of(path, dense.config.vocabulary, options)
    text = windows[0, :TIMED].tolist()
    made = {name: None if coding is None else convert(dense, coding) for name, coding in CODINGS.items()}
    peers = {}
    for name, kind in TYPES.items():
        peers[f"llama.cpp, {name}"] = ["--model", str(path), *([] if kind is None else ["--type", kind])]
    rows = {name: ModelRow(name, {}) for name in (*made, *peers)}
    losses: dict[str, Tensor] = {}
    for threads in options.threads:
        torch.set_num_threads(threads)
        timed: dict[str, Stepped | Llama | None] = {}
        for name, converted in made.items():
            timed[name] = Stepped(dense if converted is None else converted.model, text, threads)
        processes = llamas(peers, threads)
        timed |= processes
        for name, all_ms in rounds(timed, options.repeats).items():
            rows[name].ms[threads] = (statistics.median(all_ms), min(all_ms), max(all_ms)) if all_ms else None
        for name, process in processes.items():
            if process is not None and name not in losses:
                losses[name] = torch.tensor(process.nats(windows.tolist()), dtype=torch.float64).mean(1)
                frame.say(f"{name}: {float(losses[name].mean()):.4f} nats a token")
            if process is not None:
                process.close()
    comparison = WindowComparison(dense, windows)
    for name, converted in made.items():
        losses[name] = comparison.losses
        if converted is not None:
            with converted.counting() as histograms:
                losses[name] = comparison.losses + comparison.read(converted.model)[0]
            entries = sum(histogram.entries for histogram in histograms.values())
            rows[name].active = 1 - sum(histogram.silent() for histogram in histograms.values()) / entries
    for name, own in losses.items():
        rows[name].nats = float(own.mean())
        rows[name].rise, rows[name].error = increase(own - comparison.losses)
    return list(rows.values())


class Form(Protocol):
    """A contestant; several are timed in turn."""

    def once(self) -> float:
        """Return milliseconds a token."""
        ...


def rounds(timed: Mapping[str, Form | None], repeats: int) -> dict[str, list[float]]:
    """Return the milliseconds a token of every form, timed in turn, so that neighbours slow all of them alike."""
    times: dict[str, list[float]] = {name: [] for name in timed}
    present = {name: each for name, each in timed.items() if each is not None}
    for each in present.values():
        each.once()  # warms up
    for _ in range(repeats):
        for name, each in present.items():
            times[name].append(each.once())
    return times


def shown_model(rows: Sequence[ModelRow]) -> list[str]:
    """Return the lines of the table."""
    threads = list(rows[0].ms)
    cells = []
    for row in rows:
        own: list[object] = [row.name]
        for count in threads:
            ms = row.ms[count]
            if ms is None:
                own += ["absent", "", ""]
            else:
                own += [f"{ms[0]:.2f}", f"{ms[1]:.2f}-{ms[2]:.2f}", f"{1e3 / ms[0]:.0f}"]
        own.append("" if row.nats is None else f"{row.nats:.4f}")
        own.append("" if row.rise is None or row.error is None else f"{row.rise:+.2%} ± {row.error:.2%}")
        own.append("" if row.active is None else f"{row.active:.2f}")
        cells.append(own)
    heads = [""]
    for count in threads:
        heads += [f"ms, {count} threads", "range", "tokens/s"]
    return frame.table([*heads, "nats a token", "perplexity", "active"], cells)
