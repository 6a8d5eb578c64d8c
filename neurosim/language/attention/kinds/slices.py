"""A text cut into equal slices over processes, as a layer sees it from one of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from ....base.errors import require


@dataclass(frozen=True)
class Slices:
    """The slices of all processes, of which this one has a slice of its own.

    Attributes:
        rank: number of the slice of this process, from 0.
        gather: function that returns the tensors of all processes [processes, ..] from that of this one. Every process
            must use what it returns, or it would not take part in the exchange of gradients.
    """

    rank: int
    gather: Callable[[Tensor], Tensor]

    def before(self, x: Tensor, count: int) -> Tensor:
        """Return [B, count, D] the tokens before this slice x [B, T, D], zeros before the first slice."""
        require(x.shape[1] >= count, "tokens", f"must be at least {count} a slice, for the convolutions", x.shape[1])
        ends = self.gather(x[:, x.shape[1] - count :])
        return ends[self.rank - 1] if self.rank else 0 * ends[0]

    def earlier(self, x: Tensor) -> Tensor:
        """Return [B, rank T, ..]: the tokens of all slices before this one, of tokens x [B, T, ..]."""
        return self.gather(x)[: self.rank].movedim(0, 1).flatten(1, 2)
