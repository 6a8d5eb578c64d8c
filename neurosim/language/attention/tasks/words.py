"""Words of groups: parity, modular counting, products of permutations."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from ....base.errors import require
from .base import SequenceTask, TaskBatch


@cache
def group_table(name: str) -> Tensor:
    """Return [n, n] the products of a group's elements: row, then column.

    Args:
        name: "Z5", integers modulo 5; "S3", permutations of three; "A5", even permutations of five; any such number.

    Raises:
        NeurosimInputError: another name, or more than 720 elements.
    """
    kind = name[:1]
    number = name[1:]
    rule = "must be Z2 to Z720, S2 to S6 or A3 to A6"
    size = int(number) if number.isdecimal() else 0
    allowed = {"Z": range(2, 721), "S": range(2, 7), "A": range(3, 7)}
    require(kind in allowed and size in allowed[kind], "Words.group", rule, name)
    if kind == "Z":
        element = torch.arange(size)
        return (element[:, None] + element) % size
    elements = [p for p in itertools.permutations(range(size)) if kind == "S" or _is_even(p)]
    number_of = {p: i for i, p in enumerate(elements)}
    products = torch.empty((len(elements), len(elements)), dtype=torch.int64)
    for row, first in enumerate(elements):
        for column, second in enumerate(elements):
            # First the row's permutation, then the column's.
            products[row, column] = number_of[tuple(second[i] for i in first)]
    return products


def _is_even(permutation: tuple[int, ...]) -> bool:
    """Return whether the number of inversions is even."""
    return sum(a > b for a, b in itertools.combinations(permutation, 2)) % 2 == 0


@dataclass(frozen=True, kw_only=True)
class Words(SequenceTask):
    """Elements of a group: say the product of all so far (Merrill et al. 2024, arXiv 2404.08819).

    Parity is the group Z2 and modular counting Z5; S5 is the least group of permutations whose words a constant number
    of layers with diagonal transitions cannot track.

    Args:
        group: see `group_table`.
    """

    trained: tuple[int, int] = (3, 32)
    sizes: tuple[int, ...] = (32, 64, 128)
    group: str = "S3"

    def __post_init__(self) -> None:
        super().__post_init__()
        group_table(self.group)

    @property
    def fields(self) -> tuple[int, ...]:
        return (len(group_table(self.group)),)

    @property
    def outputs(self) -> int:
        return len(group_table(self.group))

    def length(self, size: int) -> int:
        return size

    def draw(self, size: int, batch: int, generator: torch.Generator) -> TaskBatch:
        table = group_table(self.group)
        elements = torch.randint(len(table), (batch, size), generator=generator)
        # The answer at each token is the product of all so far.
        products = [elements[:, 0]]
        for t in range(1, size):
            products.append(table[products[-1], elements[:, t]])
        return TaskBatch(elements[..., None], torch.stack(products, 1), torch.ones(batch, size, dtype=torch.bool))
