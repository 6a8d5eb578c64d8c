"""A product of which only the winners are read, and of whose inputs only the winners of the layer before are not 0.

Of 2,048 units, 5 % of which win on both sides, a quarter of a per cent of the pairs meet.
"""

from __future__ import annotations

from torch import Tensor, nn


def product_reference(x: Tensor, weight: Tensor, bias: Tensor, winners: Tensor) -> Tensor:
    """Return [B, n] of x [B, inputs] times weight [outputs, inputs] plus bias [outputs]; gradients are autograd's.

    Args:
        winners: [B, n] the outputs that are read.
    """
    return nn.functional.linear(x, weight, bias).gather(1, winners)
