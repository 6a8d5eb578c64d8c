"""Text written token by token, with memory that does not grow (but for softmax attention over all tokens)."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from ...base.errors import require
from ...base.rules import Natural, Rule, check_rules
from ..attention.model import LanguageModel
from .decoder.decoder import Decoder

FEW = 256  # tokens that are sorted first to find the likeliest


@dataclass(frozen=True)
class Sampling:
    """Settings of `generate_tokens`.

    Attributes:
        tokens: number of tokens to write.
        temperature: 0 takes the likeliest token.
        top: number of likeliest tokens to draw from; 0 for all.
        seed: key of the draws; each is a function of seed and position alone.
        top_p: probability of the likeliest tokens to draw from; 1 for all.
        repetition_penalty: logits of tokens that the text has, those of the prompt among them, are divided by it where
            they are above 0 and multiplied by it elsewhere (Keskar et al. 2019, arXiv 1909.05858); 1 for none.

    Raises:
        NeurosimInputError: a value breaks its rule.
    """

    tokens: Natural = 200
    temperature: Annotated[float, Rule(">= 0")] = 0.8
    top: Natural = 0
    seed: int = 0
    top_p: Annotated[float, Rule("> 0 and <= 1")] = 1.0
    repetition_penalty: Annotated[float, Rule(">= 1")] = 1.0

    def __post_init__(self) -> None:
        check_rules(self)
        require(0 <= self.seed < 2**63, "Sampling.seed", "must be >= 0 and < 2^63", self.seed)


@torch.no_grad()
def generate_tokens(
    model: LanguageModel | Decoder, prompt: Sequence[int], sampling: Sampling, ends: Collection[int] = ()
) -> Iterator[tuple[int, int]]:
    """Yield (token, bytes of state after it): the prompt is read, then continued.

    Args:
        model: a decoder of one sequence, whose state is reset first, or a model that is stepped from its state.
        ends: tokens that end a text; the first of them that is drawn ends it, and is not yielded.

    Raises:
        NeurosimInputError: an empty prompt, or a token that the model does not have.
    """
    require(len(prompt) > 0, "prompt", "must have at least one byte or token", 0)
    words = model.vocabulary if isinstance(model, Decoder) else model.config.vocabulary
    require(min(prompt) >= 0 and max(prompt) < words, "prompt", f"must have tokens of 0 to {words - 1}", max(prompt))
    if isinstance(model, Decoder):
        step = _compiled(model)
        logits = torch.from_numpy(model.read(prompt))
    else:
        step = _stepped(model)
        logits = torch.empty(0)
        for token in prompt:
            logits, _ = step(token)
    # Tokens that were in the text, prompt included: `repetition_penalty` lowers them.
    in_text = torch.zeros(words, dtype=torch.bool)
    in_text[list(prompt)] = True
    for position in range(sampling.tokens):
        token = draw_token(_penalised(logits, in_text, sampling.repetition_penalty), sampling, position)
        if token in ends:
            return
        in_text[token] = True
        logits, size = step(token)
        yield token, size


Step = Callable[[int], tuple[Tensor, int]]
"""From a token to the logits [vocabulary] behind it and the bytes of state."""


def _compiled(decoder: Decoder) -> Step:
    """Return the step of a decoder, which holds its state."""
    decoder.reset()
    return lambda token: (torch.from_numpy(decoder.step([token])[0]), decoder.state_bytes)


def _stepped(model: LanguageModel) -> Step:
    """Return the step of a model, with its state from call to call."""
    state: list[dict[str, Tensor]] | None = None

    def step(token: int) -> tuple[Tensor, int]:
        nonlocal state
        logits, state = model.step(torch.tensor([token], device=model.device), state)
        return logits[0].cpu(), state_bytes(state)

    return step


def draw_token(logits: Tensor, sampling: Sampling, position: int) -> int:
    """Draw the next token from logits [vocabulary] on the CPU.

    Raises:
        NeurosimInputError: they are not finite.
    """
    is_finite = bool(torch.isfinite(logits).all())
    require(is_finite, "logits", "must be finite: look for NaN or infinity in the model's weights", "NaN or infinity")
    if sampling.temperature == 0:
        return int(logits.argmax())
    values = logits / sampling.temperature
    # Of equal logits at the limit all stay: which tokens are drawn from does not depend on a sort.
    if 0 < sampling.top < len(values):
        values = values.masked_fill(values < values.topk(sampling.top).values[-1], -math.inf)
    # A key for each position: earlier draws, and the way the text is cut, change nothing.
    generator = torch.Generator().manual_seed((sampling.seed * 0x9E3779B97F4A7C15 + position) % 2**63)
    shares = values.double().softmax(-1)
    if sampling.top_p < 1:
        shares = _likeliest(shares, sampling.top_p)
    return int(torch.multinomial(shares, 1, generator=generator))


def _penalised(logits: Tensor, in_text: Tensor, penalty: float) -> Tensor:
    """Return logits [vocabulary] with less for the tokens that are in the text."""
    if penalty == 1:
        return logits
    return torch.where(in_text, torch.where(logits > 0, logits / penalty, logits * penalty), logits)


def _likeliest(shares: Tensor, top_p: float) -> Tensor:
    """Return shares [vocabulary] of the likeliest tokens whose sum reaches top_p, the others 0."""
    count = min(FEW, len(shares))
    # Few tokens reach it as a rule, and to sort them is five times faster than all of 50,000.
    while float(shares.topk(count).values.sum()) < top_p and count < len(shares):
        count = min(8 * count, len(shares))
    ordered, places = shares.topk(count)
    inside = ordered.cumsum(-1) - ordered < top_p
    chosen = torch.zeros_like(shares)
    chosen[places[inside]] = ordered[inside]
    return chosen


def state_bytes(state: list[dict[str, Tensor]]) -> int:
    """Return the bytes of state that a model carries from token to token."""
    return sum(value.numel() * value.element_size() for layer in state for value in layer.values())
