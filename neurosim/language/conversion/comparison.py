"""Comparison of a converted model with the dense one on text: losses, agreement, and the cost of each layer alone."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from ...base.errors import require
from ..attention.model import LanguageModel
from ..attention.train import stream_windows
from .model import Converted
from .records import Comparison, ExecutionCheck
from .spiked_mixer import record_traffic, recorded_traffic

LENGTH = 128
STREAMS = 32


class _Reader:
    """A model that reads windows, carries its state on, and sums its loss, nats."""

    def __init__(self, model: LanguageModel) -> None:
        self.model = model
        self.loss = 0.0
        self.state: list[dict[str, Tensor]] | None = None

    @torch.no_grad()
    def read(self, part: Tensor, after: Tensor) -> Tensor:
        """Return the likeliest next tokens of a window; `after` are the following tokens."""
        logits, self.state = self.model(part, self.state)
        self.loss += float(F.cross_entropy(logits.flatten(0, 1), after.flatten(), reduction="sum"))
        return logits.argmax(-1)


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
    first = _Reader(dense)
    second = _Reader(spiking)
    same = 0
    done = 0
    span = sum(part.shape[1] for part, _ in windows)
    for part, after in windows:
        # Both models read the same windows, and carry their own states.
        same += int((first.read(part, after) == second.read(part, after)).sum())
        done += part.shape[1]
        if on_progress is not None:
            on_progress(done, span)
    n = span * len(windows[0][0])
    return Comparison(n, first.loss / n, second.loss / n, same / n)


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
        length: tokens of a window; a shorter rest at the end is not read.
        on_progress: called with (tokens read, tokens in all).

    Raises:
        NeurosimInputError: fewer tokens than a window and the one after it.
    """
    count = (len(tokens) - 1) // length
    require(count > 0, "compare_windows.tokens", f"must be at least {length + 1}", len(tokens))
    sums = [0.0, 0.0]
    agreed = 0.0
    for first in range(0, count, batch):
        streams = min(batch, count - first)
        part = tokens[first * length : (first + streams) * length + 1]
        comparison = compare_models(dense, spiking, part, length, streams)
        sums = [
            total + mean * comparison.tokens
            for total, mean in zip(sums, (comparison.dense, comparison.spiking), strict=True)
        ]
        agreed += comparison.agreement * comparison.tokens
        if on_progress is not None:
            on_progress((first + streams) * length, count * length)
    return Comparison(count * length, sums[0] / (count * length), sums[1] / (count * length), agreed / (count * length))


def each_layer_alone(
    dense: LanguageModel,
    converted: Converted,
    tokens: Tensor,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, Comparison]:
    """Compare the dense model with the model in which one coder alone is in use, for each coder by its name.

    Args:
        on_progress: called with (coders done, coders in all).
    """
    windows = list(stream_windows(tokens.to(dense.device), LENGTH, STREAMS))
    n = sum(part.numel() for part, _ in windows)
    reader = _Reader(dense)
    choices = [reader.read(part, after) for part, after in windows]
    losses = {}
    coders = converted.coders()
    try:
        for name in coders:
            for other, coder in coders.items():
                # All coders but one pass floats on: the loss is that of this one coder.
                coder.bypassed = other != name
            alone = _Reader(converted.model)
            readings = [alone.read(part, after) for part, after in windows]
            same = sum(int((a == b).sum()) for a, b in zip(choices, readings, strict=True))
            losses[name] = Comparison(n, reader.loss / n, alone.loss / n, same / n)
            if on_progress is not None:
                on_progress(len(losses), len(coders))
    finally:
        for coder in coders.values():
            coder.bypassed = False
    return losses


@torch.no_grad()
def check_execution(converted: Converted, tokens: Tensor, threads: int = 1) -> ExecutionCheck:
    """Run tokens [B, T] in both forms. The model is left simulated."""
    logits = []
    seconds = []
    tokens = tokens.to(converted.model.device)
    for on in (False, True):
        converted.execute(on, threads=threads)
        converted.model(tokens[:1, :8])  # compiles
        start = time.perf_counter()
        logits.append(converted.model(tokens)[0].cpu())
        seconds.append(time.perf_counter() - start)
    # A third pass, not timed: to count the traffic of states takes time itself.
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
