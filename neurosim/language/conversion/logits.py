"""Likelihoods of next tokens from the inputs of the head, without the logits of all tokens and words at once.

The logits of 1,280 tokens over 49,152 words take 250 MB, and the widened weights of their head 110 MB. A dense head is
therefore read some words at a time, whose logits exist only while they are added up. A head in spikes is read some
tokens at a time, for all words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..attention.model import LanguageModel
from .linear import SpikedLinear

LOGITS = 2**22  # that exist at a time: 16 MB
WORDS = 2**11  # of a dense head that are read at a time


class LogitHead(NamedTuple):
    """The output layer of a model.

    Attributes:
        layer: the layer, dense or in spikes.
        finish: function that turns its outputs into logits, `LanguageConfig.logits`.
    """

    layer: nn.Linear | SpikedLinear
    finish: Callable[[Tensor], Tensor]


class Likelihoods(NamedTuple):
    """Predictions for tokens [n].

    Attributes:
        losses: [n] negative log likelihood of the token that follows, nats.
        log_sums: [n] log sum e^a over the logits a.
        likeliest: [n] tokens.
    """

    losses: Tensor
    log_sums: Tensor
    likeliest: Tensor


class LogitPart(NamedTuple):
    """Logits of some tokens and words, by one head or several.

    Attributes:
        rows, words: which tokens and words.
        logits: [rows, words] by each head.
    """

    rows: slice
    words: slice
    logits: list[Tensor]


def head_of(model: LanguageModel) -> LogitHead:
    """Return the output layer of a model."""
    return LogitHead(cast(nn.Linear | SpikedLinear, model.lm_head), model.config.logits)


def likelihoods(head: LogitHead, hidden: Tensor, following: Tensor) -> Likelihoods:
    """Return the predictions of a head from its inputs [n, D], and the losses of the tokens [n] that follow."""
    log_sums = hidden.new_full((len(hidden),), -torch.inf)
    largest = log_sums.clone()
    targets = log_sums.clone()
    likeliest = torch.zeros_like(following)
    for rows, words, (logits,) in logit_parts([head], [hidden]):
        top, word = logits.max(1)
        # Strictly larger: of equal logits the first word is the answer, however the vocabulary is cut.
        is_larger = top > largest[rows]
        largest[rows] = torch.where(is_larger, top, largest[rows])
        likeliest[rows] = torch.where(is_larger, word + words.start, likeliest[rows])
        log_sums[rows] = torch.logaddexp(log_sums[rows], logits.logsumexp(1))
        # Clamped to be a valid place in every part; only the part that holds the token uses it.
        place = following[rows] - words.start
        is_here = (place >= 0) & (place < logits.shape[1])
        own = logits.gather(1, place.clamp(0, logits.shape[1] - 1)[:, None])[:, 0]
        targets[rows] = torch.where(is_here, own, targets[rows])
    return Likelihoods(log_sums - targets, log_sums, likeliest)


def logit_parts(heads: Sequence[LogitHead], hidden: Sequence[Tensor]) -> Iterator[LogitPart]:
    """Yield the logits by heads of one vocabulary, each from inputs [n, D] of its own, part by part."""
    vocabulary = heads[0].layer.out_features
    if all(isinstance(head.layer, nn.Linear) for head in heads):
        at_once = min(vocabulary, WORDS)
    else:
        # A head in spikes codes its whole input for every product.
        at_once = vocabulary
    step = max(1, LOGITS // at_once)
    for begin in range(0, len(hidden[0]), step):
        rows = slice(begin, begin + step)
        for first in range(0, vocabulary, at_once):
            words = slice(first, first + at_once)
            logits = [_logits(head, inputs[rows], words) for head, inputs in zip(heads, hidden, strict=True)]
            yield LogitPart(rows, words, logits)


def _logits(head: LogitHead, inputs: Tensor, words: slice) -> Tensor:
    """Return the logits of some words; those of all words by a head in spikes."""
    layer = head.layer
    if isinstance(layer, SpikedLinear):
        return head.finish(layer(inputs))
    # Weights in 16 bits or blocks are widened here, `WORDS` of them.
    weight = layer.weight.detach()[words].to(inputs.dtype)
    bias = None if layer.bias is None else layer.bias.detach()[words]
    return head.finish(F.linear(inputs, weight, bias))
