"""Roundings of z to counts, as torch computes them: to the nearest, or to counts that are worth their spikes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import torch
from torch import Tensor

from ...kernels.spikes.encode import reference as spec
from ...kernels.spikes.encode.reference import FINE, MAX_COUNT, PRICED_COUNTS, SEARCH, priced_edges

INT8 = 127.0
PRICED = "priced"  # rounding of schemes with a price whose thresholds follow tokens


def _even(z: Tensor, price: float) -> Tensor:
    """Round to the nearest, ties to even."""
    return z.round()


def _away(z: Tensor, price: float) -> Tensor:
    """Round to the nearest, ties away from 0."""
    return z.sign() * (z.abs() + 0.5).floor()


def _up(z: Tensor, price: float) -> Tensor:
    """Round to the nearest, ties up."""
    return (z + 0.5).floor()


def _sparing(z: Tensor, price: float) -> Tensor:
    """Round to the count of least (z - s)^2 + price * ones(|s|): counts with few ones are preferred."""
    return z.sign() * levels_of(price).nearest(z.abs())


def _priced(z: Tensor, price: float) -> Tensor:
    """Round to the count of least (z - s)^2 + price * canonical digits(|s|), beyond 128 to the nearest."""
    # From MAX_COUNT on float32 has no fractions that decide.
    size = z.abs().clamp(max=float(MAX_COUNT))
    low = size.floor()
    # A value that is NaN has no count: any edge passes it on.
    index = low.clamp(max=PRICED_COUNTS).nan_to_num().to(torch.int32)
    edges = _edges_of(price).to(z).index_select(0, index.flatten()).view(z.shape)
    return z.sign() * torch.where(size - low >= edges, low + 1, low)


@cache
def _edges_of(price: float) -> Tensor:
    """Return `priced_edges` as a tensor."""
    return torch.from_numpy(priced_edges(price))


# By name: the rounding in torch, and the kind of `kernels.spikes.encode` that gives the same bits.
ROUNDINGS: Mapping[str, tuple[Callable[[Tensor, float], Tensor], int]] = {
    "even": (_even, spec.EVEN),
    "away": (_away, spec.AWAY),
    "up": (_up, spec.UP),
    "sparing": (_sparing, SEARCH),
    PRICED: (_priced, spec.PRICED),
}


@dataclass(frozen=True, eq=False)
class Levels:
    """Counts that are worth their spikes.

    Attributes:
        edges: [n - 1] |z| at which one count follows the other.
        counts: [n] of 0 .. 127.
        fine: [128 * FINE] index of the count for every |z| in steps of 1 / FINE, if all edges lie on such steps, else
            None: in torch a look-up is 20 times faster than a search.
    """

    edges: Tensor
    counts: Tensor
    fine: Tensor | None

    def index(self, sizes: Tensor) -> Tensor:
        """Return the index of the count of each |z|, of any shape."""
        if self.fine is None:
            return torch.bucketize(sizes, self.edges.to(sizes), right=True)
        step = (sizes * FINE).clamp(max=len(self.fine) - 1).to(torch.int32)
        return self.fine.to(sizes.device).index_select(0, step.flatten()).view(sizes.shape)

    def nearest(self, sizes: Tensor) -> Tensor:
        """Return the count of each |z|, in its type."""
        index = self.index(sizes).flatten()
        return self.counts.to(sizes).index_select(0, index).view(sizes.shape)


@cache
def levels_of(price: float) -> Levels:
    """Return the counts 0 .. 127 that are worth their spikes at this price.

    The differences of (z - s)^2 + price ones(s) between counts are linear in z: this is their lower envelope, from
    lines sorted by slope.
    """
    envelope = [0]

    def edge(a: int, b: int) -> float:
        """Return z at which the counts a and b cost the same."""
        return (a + b) / 2 + price * (b.bit_count() - a.bit_count()) / (2 * (b - a))

    for count in range(1, int(INT8) + 1):
        # A count whose line is above the lines of both neighbours is never the least: it leaves.
        while len(envelope) > 1 and edge(envelope[-1], count) <= edge(envelope[-2], envelope[-1]):
            envelope.pop()
        envelope.append(count)
    edges = torch.tensor([edge(a, b) for a, b in pairwise(envelope)], dtype=torch.float64)
    # Thresholds of most prices lie on steps of 1 / FINE: then a table answers without a search.
    fine = None
    if bool((edges * FINE == (edges * FINE).round()).all()):
        steps = torch.arange((int(INT8) + 1) * FINE, dtype=torch.float64) / FINE
        fine = torch.bucketize(steps, edges, right=True).to(torch.int32)
    return Levels(edges, torch.tensor(envelope), fine)
