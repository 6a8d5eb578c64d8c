"""Recall tasks: recall of pairs, recall by context, selective copying."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ....base.errors import require
from .base import SequenceTask, TaskBatch, batch_of

CONTEXTS = 64  # largest size of `JointRecall`


@dataclass(frozen=True, kw_only=True)
class RecallTask(SequenceTask):
    """Pairs of a key and a value, each one token, then the keys in another order: say the value of each.

    Args:
        keys, values: number of keys and of values to draw from, anew for each sequence. Sizes are numbers of pairs.
    """

    size_name = "pairs"

    trained: tuple[int, int] = (1, 96)
    sizes: tuple[int, ...] = (4, 8, 16, 24, 32, 48, 64, 96)
    keys: int = 256
    values: int = 32

    @property
    def bounds(self) -> tuple[int, int]:
        return 1, self.keys

    @property
    def fields(self) -> tuple[int, ...]:
        return self.keys, self.values + 1

    @property
    def outputs(self) -> int:
        return self.values

    def length(self, size: int) -> int:
        return 2 * size

    def draw(self, size: int, batch: int, generator: torch.Generator) -> TaskBatch:
        # Keys of a sequence are all different: a random order, and the first of it.
        keys = torch.rand(batch, self.keys, generator=generator).argsort(-1)[:, :size]
        values = torch.randint(self.values, (batch, size), generator=generator)
        order = torch.rand(batch, size, generator=generator).argsort(-1)
        query = torch.full_like(values, self.values)  # stands for the value of a query
        answers = torch.cat([torch.zeros_like(values), values.gather(1, order)], 1)
        inputs = torch.stack([torch.cat([keys, keys.gather(1, order)], 1), torch.cat([values, query], 1)], -1)
        return TaskBatch(inputs, answers, (torch.arange(2 * size) >= size).expand(batch, -1))


@dataclass(frozen=True, kw_only=True)
class JointRecall(SequenceTask):
    """Recall where a key has another value in each context (Zhan et al. 2025, hybrid sparse attention, HAX).

    Each context is a token, then its keys and values in turn; then every pair of context and key in another order, and
    the value of each is the answer. The size is the number of contexts: as published they and the keys are the same
    tokens in every sequence, in another order, and only the values are new.

    Args:
        keys: number of keys of each context, the same in all.
        values: number of values to draw from, for each context and key.
        min_keys: a training sequence has `min_keys` to `keys` keys of each context, drawn at random. With all
            keys in every sequence, models needed thousands of updates to recall contexts beyond their convolution.
    """

    size_name = "contexts"

    trained: tuple[int, int] = (1, 5)
    sizes: tuple[int, ...] = (2, 3, 5)
    keys: int = 5
    values: int = 16
    min_keys: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        rule = f"must be 1 to {self.keys} keys"
        require(1 <= self.min_keys <= self.keys, "JointRecall.min_keys", rule, self.min_keys)

    @property
    def bounds(self) -> tuple[int, int]:
        return 1, CONTEXTS

    @property
    def fields(self) -> tuple[int, ...]:
        return (CONTEXTS + self.keys + self.values,)

    @property
    def outputs(self) -> int:
        return self.values

    def length(self, size: int) -> int:
        return size * (1 + 4 * self.keys)

    def draw(self, size: int, batch: int, generator: torch.Generator) -> TaskBatch:
        return self._draw(size, self.keys, batch, generator)

    def training_batch(self, generator: torch.Generator, tokens: int = 1024) -> TaskBatch:
        low, high = self.trained
        size = int(torch.randint(low, high + 1, (), generator=generator))
        keys = int(torch.randint(self.min_keys, self.keys + 1, (), generator=generator))
        return self._draw(size, keys, batch_of(size * (1 + 4 * keys), tokens), generator)

    def _draw(self, size: int, keys: int, batch: int, generator: torch.Generator) -> TaskBatch:
        contexts = torch.rand(batch, size, generator=generator).argsort(-1)
        order = torch.rand(batch, size, self.keys, generator=generator).argsort(-1)[..., :keys]
        values = torch.randint(self.values, (batch, size, keys), generator=generator)
        # Key order[c, i] has the value values[c, i].
        first = CONTEXTS
        pairs = torch.stack([order, values + self.keys], -1).flatten(2)
        pairs_shown = torch.cat([contexts[..., None], first + pairs], -1).flatten(1)
        # Every pair of context and key, in another order: pair p belongs to context p // keys.
        picks = torch.rand(batch, size * keys, generator=generator).argsort(-1)
        context_of_pair = picks // keys
        key = order.flatten(1).gather(1, picks)
        queries = torch.stack([contexts.gather(1, context_of_pair), first + key], -1).flatten(1)
        answers = values.flatten(1).gather(1, picks)
        targets = torch.cat([torch.zeros_like(pairs_shown), answers.repeat_interleave(2, 1)], 1)
        place = torch.arange(targets.shape[1])
        # A query is a context and a key; the answer belongs to the key.
        is_key = (place >= pairs_shown.shape[1]) & ((place - pairs_shown.shape[1]) % 2 == 1)
        return TaskBatch(torch.cat([pairs_shown, queries], 1)[..., None], targets, is_key.expand(batch, -1))


@dataclass(frozen=True, kw_only=True)
class SelectiveCopying(SequenceTask):
    """Tokens at drawn places among blanks, then as many markers: say the tokens in order (Gu & Dao 2023).

    The size is the number of tokens and blanks.

    Args:
        tokens: number of tokens to copy.
        values: number of values to draw them from.
    """

    trained: tuple[int, int] = (64, 64)
    sizes: tuple[int, ...] = (64, 128, 256)
    tokens: int = 8
    values: int = 14

    @property
    def bounds(self) -> tuple[int, int]:
        return self.tokens, 100_000

    @property
    def fields(self) -> tuple[int, ...]:
        return (self.values + 2,)

    @property
    def outputs(self) -> int:
        return self.values

    def length(self, size: int) -> int:
        return size + self.tokens

    def draw(self, size: int, batch: int, generator: torch.Generator) -> TaskBatch:
        places = torch.rand(batch, size, generator=generator).argsort(-1)[:, : self.tokens].sort(-1).values
        values = torch.randint(self.values, (batch, self.tokens), generator=generator)
        blank = torch.full((batch, size), self.values).scatter(1, places, values)
        inputs = torch.cat([blank, torch.full_like(values, self.values + 1)], 1)
        is_marker = (torch.arange(size + self.tokens) >= size).expand(batch, -1)
        return TaskBatch(inputs[..., None], torch.cat([torch.zeros_like(blank), values], 1), is_marker)
