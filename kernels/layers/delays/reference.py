"""A linear layer with a delay for every synapse: y[t] = sum over k of W_k x[t - k], W_k the weights of delay k."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor


def delayed_reference(past: Tensor, weight: Tensor, delays: Tensor, max_delay: int) -> Tensor:
    """Return [T, B, O] from past [max_delay + T, B, I], weight and delays [O, I]."""
    steps = len(past) - max_delay
    total = past.new_zeros(steps, past.shape[1], len(weight))
    for k, part in by_delay(weight, delays):
        total = total + past[max_delay - k : max_delay - k + steps] @ part.t()
    return total


def by_delay(weight: Tensor, delays: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Yield each delay k and W_k."""
    for k in torch.unique(delays).tolist():
        yield k, torch.where(delays == k, weight, 0.0)
