"""A converted model beside the dense one, on text: losses, agreement, and what each layer costs alone."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ..attention import LanguageModel
from ..errors import require
from .model import Converted
from .state import record_traffic, recorded_traffic

LENGTH, STREAMS = 128, 32


@dataclass(frozen=True)
class Comparison:
    """Two models on the same text.

    Attributes:
        tokens: predicted.
        dense, spiking: mean loss, nats a token.
        agreement: share of tokens for which both find the same next token likeliest.
    """

    tokens: int
    dense: float
    spiking: float
    agreement: float

    @property
    def perplexity_increase(self) -> float:
        """e^(difference of losses) - 1."""
        return math.expm1(self.spiking - self.dense)


@torch.no_grad()
def compare(
    dense: LanguageModel,
    spiking: LanguageModel,
    tokens: Tensor,
    length: int = LENGTH,
    streams: int = STREAMS,
    report: Callable[[int, int], None] | None = None,
) -> Comparison:
    """Both models on tokens [n], cut into streams read from their starts in windows of `length`, states carried on.

    Raises:
        NeurosimInputError: fewer than 2 tokens.
    """
    require(len(tokens) > 1, "compare.tokens", "must be at least 2", len(tokens))
    streams = max(min(streams, (len(tokens) - 1) // length), 1)
    span = (len(tokens) - 1) // streams
    inputs = tokens[: span * streams].view(streams, span)
    targets = tokens[1 : span * streams + 1].view(streams, span)
    states: list[list[dict[str, Tensor]] | None] = [None, None]
    losses, same = [0.0, 0.0], 0
    for start in range(0, span, length):
        part, wanted = inputs[:, start : start + length], targets[:, start : start + length].flatten()
        choices = []
        for i, model in enumerate((dense, spiking)):
            logits, states[i] = model(part, states[i])
            losses[i] += float(F.cross_entropy(logits.flatten(0, 1), wanted, reduction="sum"))
            choices.append(logits.argmax(-1))
        same += int((choices[0] == choices[1]).sum())
        if report is not None:
            report(start + part.shape[1], span)
    n = targets.numel()
    return Comparison(n, losses[0] / n, losses[1] / n, same / n)


@contextmanager
def only(converted: Converted, name: str) -> Iterator[None]:
    """While the block runs, nothing but the coder `name` codes."""
    coders = converted.coders()
    for other, coder in coders.items():
        coder.bypassed = other != name
    try:
        yield
    finally:
        for coder in coders.values():
            coder.bypassed = False


def alone(dense: LanguageModel, converted: Converted, tokens: Tensor) -> dict[str, Comparison]:
    """By coder, of layers and of q, k and the state: the model with this one alone in spikes, beside the dense one."""
    found = {}
    for name in converted.coders():
        with only(converted, name):
            found[name] = compare(dense, converted.model, tokens)
    return found


@dataclass(frozen=True)
class Execution:
    """A converted model executed beside its simulated form, on the same tokens.

    Attributes:
        tokens: run.
        largest: difference between their logits, over the largest logit.
        agreement: share of tokens with the same likeliest next token.
        executed_seconds, simulated_seconds: for all tokens, many at once.
        state: by mixer whose state was updated lazily, a token: rows, bytes and operations, lazily and densely.
    """

    tokens: int
    largest: float
    agreement: float
    executed_seconds: float
    simulated_seconds: float
    state: Mapping[str, Mapping[str, float]]


@torch.no_grad()
def check_execution(converted: Converted, tokens: Tensor, threads: int = 1) -> Execution:
    """Run tokens [B, T] both ways. The model is left simulated."""
    found, seconds = [], []
    for on in (False, True):
        converted.execute(on, threads)
        converted.model(tokens[:1, :8])  # compiles
        start = time.perf_counter()
        found.append(converted.model(tokens)[0])
        seconds.append(time.perf_counter() - start)
    record_traffic(converted.model)
    converted.model(tokens)
    moved = recorded_traffic(converted.model)
    state = {name: {k: v / tokens.numel() for k, v in each._asdict().items()} for name, each in moved.items()}
    converted.execute(False)
    a, b = found
    same = float((a.argmax(-1) == b.argmax(-1)).double().mean())
    largest = float((a - b).abs().max() / a.abs().max())
    return Execution(tokens.numel(), largest, same, seconds[1], seconds[0], state)
