"""Tasks whose tokens are vectors: linear regression in context, and classification among outliers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch

from ....base.errors import require
from ....base.rules import Count, Natural, Rule
from .base import SequenceTask, TaskBatch

# Rates of four steps of gradient descent, in rates of one.
RATES = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5)


@dataclass(frozen=True, kw_only=True)
class Regression(SequenceTask):
    """Linear regression in context: x_i is shown, y_i = W x_i + noise is the answer, then shown (Garg et al. 2022).

    W is drawn anew every `period` pairs; the size is the number of pairs. The error of saying 0 is 1.

    Args:
        dimension: dimension of x, which is normal.
        responses: dimension of y, whose power without noise is 1.
        noise: standard deviation.
        period: pairs of one W; 0 for all.
    """

    size_name = "pairs"
    measure = "error"

    trained: tuple[int, int] = (16, 64)
    sizes: tuple[int, ...] = (32, 64, 128)
    dimension: Count = 8
    responses: Count = 1
    noise: Annotated[float, Rule("finite and >= 0")] = 0.1
    period: Natural = 0

    @property
    def fields(self) -> tuple[int, ...]:
        return ()

    @property
    def channels(self) -> int:
        return self.dimension + self.responses + 1

    @property
    def outputs(self) -> int:
        return self.responses

    def length(self, size: int) -> int:
        return 2 * size

    def draw(self, size: int, batch: int, generator: torch.Generator) -> TaskBatch:
        period = self.period or size
        segments = -(-size // period)
        x = torch.randn(batch, size, self.dimension, generator=generator)
        # x has power 1 in each dimension: so has W x.
        w = torch.randn(batch, segments, self.responses, self.dimension, generator=generator) * self.dimension**-0.5
        w = w.repeat_interleave(period, 1)[:, :size]
        y = torch.einsum("btrd,btd->btr", w, x)
        y = y + self.noise * torch.randn(y.shape, generator=generator)
        # A token is x, y and a mark: a query shows no y, and the pair behind it does.
        query = torch.cat([x, torch.zeros_like(y), torch.ones_like(y[..., :1])], -1)
        pair = torch.cat([x, y, torch.zeros_like(y[..., :1])], -1)
        is_query = (torch.arange(2 * size) % 2 == 0).expand(batch, -1)
        return TaskBatch(torch.stack([query, pair], 2).flatten(1, 2), y.repeat_interleave(2, 1), is_query)

    def references(self, batch: TaskBatch, size: int) -> dict[str, float]:
        """Return the errors of fits to the pairs that were shown since W was drawn: what a model could do in context.

        "least squares" is the smallest W of the least error, "ridge" the mean of W by Bayes' rule, with the penalty
        noise^2 dimension. "one step" is a step of gradient descent from 0 at its best rate, "four steps" are four at
        the best of the multiples `RATES` of that rate.
        """
        x = batch.inputs[:, ::2, : self.dimension].double()
        y = batch.targets[:, ::2].double()
        period = self.period or size
        names = ("least squares", "ridge", "one step", *(f"four steps, {rate}" for rate in RATES))
        answers = {name: torch.zeros_like(y) for name in names}
        eye = torch.eye(self.dimension, dtype=x.dtype)
        for i in range(size):
            # The first query after a new W has seen nothing of it: the answer is 0.
            shown = i % period
            if not shown:
                continue
            keys = x[:, i - shown : i]
            values = y[:, i - shown : i]
            query = x[:, i]
            gram = keys.mT @ keys
            products = keys.mT @ values
            fits = {"least squares": torch.linalg.pinv(keys) @ values}
            fits["ridge"] = torch.linalg.solve(gram + (self.noise**2 * self.dimension + 1e-12) * eye, products)
            # Best rate of one step: the power of W over the power of X^T X W / i and of its noise.
            rate = 1 / (1 + (self.dimension + 1 + self.noise**2 * self.dimension) / shown)
            fits["one step"] = rate * products / shown
            for multiple in RATES:
                w = torch.zeros_like(products)
                for _ in range(4):
                    w = w + multiple * rate / shown * (products - gram @ w)
                fits[f"four steps, {multiple}"] = w
            for name, w in fits.items():
                answers[name][:, i] = torch.einsum("bd,bdr->br", query, w)
        power = y.square().mean()
        errors = {name: float((answer - y).square().mean() / power) for name, answer in answers.items()}
        steps = [errors.pop(f"four steps, {rate}") for rate in RATES]
        # A rate that is too large makes the steps grow without bound.
        return errors | {"four steps": min(error for error in steps if math.isfinite(error))}


@dataclass(frozen=True, kw_only=True)
class Outliers(SequenceTask):
    """Binary classification in context where a part of the examples is false and marked (Li et al. 2025).

    Examples are s m + a distractor with label s z, where m is a pattern and z a sign of the sequence, both drawn anew,
    and s = 1 or -1; the label of the last is the answer. A part of the examples has the label -s z, and a direction,
    the same in all sequences, is added to them. The size is that part in per cent: a vote of all examples fails beyond
    50.

    Args:
        dimension: dimension of patterns.
        patterns: number of orthonormal patterns; m and the distractors are drawn from one half each.
        examples: number of examples before the query.
        strength: strength of the direction of outliers.
    """

    size_name = "per cent of outliers"

    trained: tuple[int, int] = (0, 40)
    sizes: tuple[int, ...] = (0, 20, 40, 60, 80)
    dimension: int = 17
    patterns: Annotated[int, Rule(">= 2")] = 16
    examples: Count = 40
    strength: Annotated[float, Rule("finite and > 0")] = 1.0

    @property
    def bounds(self) -> tuple[int, int]:
        return 0, 100

    def __post_init__(self) -> None:
        super().__post_init__()
        rule = f"must be > {self.patterns}, the patterns, for the direction of outliers"
        require(self.dimension > self.patterns, "Outliers.dimension", rule, self.dimension)

    @property
    def fields(self) -> tuple[int, ...]:
        return ()

    @property
    def channels(self) -> int:
        return self.dimension + 2

    @property
    def outputs(self) -> int:
        return 2

    def length(self, size: int) -> int:
        return self.examples + 1

    def draw(self, size: int, batch: int, generator: torch.Generator) -> TaskBatch:
        shape = (batch, self.examples + 1)
        half = self.patterns // 2
        basis = torch.linalg.qr(torch.randn(self.dimension, self.dimension, generator=_fixed())).Q
        m = basis[torch.randint(half, (batch, 1), generator=generator)]
        other = basis[torch.randint(half, self.patterns, shape, generator=generator)]
        sign, z = (2.0 * torch.randint(2, s, generator=generator) - 1 for s in (shape, (batch, 1)))
        count = round(self.examples * size / 100)
        false = torch.rand(batch, self.examples, generator=generator).argsort(-1) < count
        false = torch.cat([false, torch.zeros(batch, 1, dtype=torch.bool)], 1)
        # The mark of outliers is one more direction, orthogonal to all patterns.
        x = sign[..., None] * m + other + self.strength * false[..., None] * basis[self.patterns]
        label = sign * z
        is_query = (torch.arange(self.examples + 1) == self.examples).expand(batch, -1)
        # The query shows no label, outliers the wrong one.
        shown = torch.where(is_query, torch.zeros_like(label), torch.where(false, -label, label))
        inputs = torch.cat([x, shown[..., None], is_query[..., None].to(x.dtype)], -1)
        return TaskBatch(inputs, (label > 0).long(), is_query)


def _fixed() -> torch.Generator:
    """Return the generator of patterns that all sequences share."""
    return torch.Generator().manual_seed(0)
