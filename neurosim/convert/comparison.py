"""Comparison of a converted model with the dense one on text: losses, agreement, and the cost of each layer alone."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from ..attention import LanguageModel
from ..attention.train import stream_windows
from ..errors import require
from .model import Converted
from .records import Comparison, ExecutionCheck
from .spiked_mixer import record_traffic, recorded_traffic

LENGTH, STREAMS = 128, 32


@torch.no_grad()
def compare_models(
    dense: LanguageModel,
    spiking: LanguageModel,
    tokens: Tensor,
    length: int = LENGTH,
    streams: int = STREAMS,
    on_progress: Callable[[int, int], None] | None = None,
) -> Comparison:
    """Compare both models on tokens [n].

    Args:
        length: tokens of a window; windows follow each other and carry their states on.
        streams: number of equal parts of the text, each read from its start.
        on_progress: called with (tokens read, tokens in all) of a stream.

    Raises:
        NeurosimInputError: fewer than 2 tokens.
    """
    require(len(tokens) > 1, "compare_models.tokens", "must be at least 2", len(tokens))
    windows = list(stream_windows(tokens.to(dense.device), length, streams))
    states: list[list[dict[str, Tensor]] | None] = [None, None]
    losses, same, done, span = [0.0, 0.0], 0, 0, sum(part.shape[1] for part, _ in windows)
    for part, after in windows:
        choices, wanted = [], after.flatten()
        for i, model in enumerate((dense, spiking)):
            logits, states[i] = model(part, states[i])
            losses[i] += float(F.cross_entropy(logits.flatten(0, 1), wanted, reduction="sum"))
            choices.append(logits.argmax(-1))
        same += int((choices[0] == choices[1]).sum())
        done += part.shape[1]
        if on_progress is not None:
            on_progress(done, span)
    n = span * len(windows[0][0])
    return Comparison(n, losses[0] / n, losses[1] / n, same / n)


def compare_windows(
    dense: LanguageModel,
    spiking: LanguageModel,
    tokens: Tensor,
    length: int,
    batch: int = 16,
    on_progress: Callable[[int, int], None] | None = None,
) -> Comparison:
    """Compare both models on windows of tokens [n] that begin without context, `batch` of them at a time.

    Args:
        length: tokens of a window; what is left at the end is not read.
        on_progress: called with (tokens read, tokens in all).

    Raises:
        NeurosimInputError: fewer tokens than a window and the one after it.
    """
    count = (len(tokens) - 1) // length
    require(count > 0, "compare_windows.tokens", f"must be at least {length + 1}", len(tokens))
    sums, agreed = [0.0, 0.0], 0.0
    for first in range(0, count, batch):
        streams = min(batch, count - first)
        part = tokens[first * length : (first + streams) * length + 1]
        found = compare_models(dense, spiking, part, length, streams)
        sums = [total + mean * found.tokens for total, mean in zip(sums, (found.dense, found.spiking), strict=True)]
        agreed += found.agreement * found.tokens
        if on_progress is not None:
            on_progress((first + streams) * length, count * length)
    return Comparison(count * length, sums[0] / (count * length), sums[1] / (count * length), agreed / (count * length))


def each_layer_alone(dense: LanguageModel, converted: Converted, tokens: Tensor) -> dict[str, Comparison]:
    """Compare the dense model with the model in which one coder alone is in use, for each coder by its name."""
    found, coders = {}, converted.coders()
    try:
        for name in coders:
            for other, coder in coders.items():
                coder.bypassed = other != name
            found[name] = compare_models(dense, converted.model, tokens)
    finally:
        for coder in coders.values():
            coder.bypassed = False
    return found


@torch.no_grad()
def check_execution(converted: Converted, tokens: Tensor, threads: int = 1) -> ExecutionCheck:
    """Run tokens [B, T] in both forms. The model is left simulated."""
    logits, seconds, tokens = [], [], tokens.to(converted.model.device)
    for on in (False, True):
        converted.execute(on, threads=threads)
        converted.model(tokens[:1, :8])  # compiles
        start = time.perf_counter()
        logits.append(converted.model(tokens)[0].cpu())
        seconds.append(time.perf_counter() - start)
    record_traffic(converted.model)
    converted.model(tokens)
    moved = recorded_traffic(converted.model)
    converted.execute(False)
    a, b = logits
    return ExecutionCheck(
        tokens=tokens.numel(),
        largest=float((a - b).abs().max() / a.abs().max()),
        agreement=float((a.argmax(-1) == b.argmax(-1)).double().mean()),
        executed_seconds=seconds[1],
        simulated_seconds=seconds[0],
        state={name: {k: v / tokens.numel() for k, v in each._asdict().items()} for name, each in moved.items()},
    )
