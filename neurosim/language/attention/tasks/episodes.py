"""Episodes: classes of a sequence's own, told from few examples of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch.nn import functional as F

from ....base.rules import Count, Rule
from .base import SequenceTask, TaskBatch


@dataclass(frozen=True, kw_only=True)
class EpisodeTask(SequenceTask):
    """Classification from a few examples in one sequence: examples with their labels, then queries without.

    A sequence draws its own classes, each a normal mean, and their labels: nothing of one sequence helps in another
    (Santoro et al. 2016, arXiv 1605.06065, there with drawn characters). The size is the number of examples of a class.
    Examples and queries come in any order of their classes; a token is x, its label as one of `ways`, and the mark of a
    query.

    Args:
        ways: number of classes.
        queries: number of queries.
        dimension: channels of x, whose classes have means of variance 1.
        noise: standard deviation of an example around the mean of its class.
    """

    size_name = "shots"

    trained: tuple[int, int] = (1, 5)
    sizes: tuple[int, ...] = (1, 2, 5)
    ways: Annotated[int, Rule(">= 2")] = 5
    queries: Count = 10
    dimension: Count = 12
    noise: Annotated[float, Rule("finite and >= 0")] = 0.7

    @property
    def bounds(self) -> tuple[int, int]:
        return 1, 1000

    @property
    def fields(self) -> tuple[int, ...]:
        return ()

    @property
    def channels(self) -> int:
        return self.dimension + self.ways + 1

    @property
    def outputs(self) -> int:
        return self.ways

    def length(self, size: int) -> int:
        return self.ways * size + self.queries

    def draw(self, size: int, batch: int, generator: torch.Generator) -> TaskBatch:
        means = torch.randn(batch, self.ways, self.dimension, generator=generator)
        order = torch.rand(batch, self.ways * size, generator=generator).argsort(-1)
        asked = torch.randint(self.ways, (batch, self.queries), generator=generator)
        # Label l is that of class l: means are drawn anew, and so is what a label stands for.
        labels = torch.cat([order % self.ways, asked], 1)
        x = means.gather(1, labels[..., None].expand(-1, -1, self.dimension))
        x = x + self.noise * torch.randn(x.shape, generator=generator)
        is_query = (torch.arange(labels.shape[1]) >= self.ways * size).expand(batch, -1)
        shown = F.one_hot(labels, self.ways).masked_fill(is_query[..., None], 0).to(x.dtype)
        return TaskBatch(torch.cat([x, shown, is_query[..., None].to(x.dtype)], -1), labels, is_query)

    def references(self, batch: TaskBatch, size: int) -> dict[str, float]:
        """Return the accuracies of the nearest mean of the examples of a class, and of the nearest example."""
        count = self.ways * size
        x = batch.inputs[..., : self.dimension].double()
        examples = x[:, :count]
        queries = x[:, count:]
        labels = batch.targets[:, :count]
        answers = batch.targets[:, count:]
        shown = F.one_hot(labels, self.ways).double()
        means = torch.einsum("bnl,bnd->bld", shown, examples) / size
        nearest_mean = torch.cdist(queries, means).argmin(-1)
        nearest_example = labels.gather(1, torch.cdist(queries, examples).argmin(-1))
        guesses = {"nearest mean": nearest_mean, "nearest example": nearest_example}
        return {name: float((guess == answers).double().mean()) for name, guess in guesses.items()}
