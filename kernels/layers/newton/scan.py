"""Linear recurrences over all steps at once, in torch on any device."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def linear_scan(factors: Tensor, x: Tensor) -> Tensor:
    """Return y_t = J_t y_{t-1} + x_t, y_0 = x_0, in about 2 sqrt(T) steps: parts at once, then their ends.

    On a CPU this is several times as fast as doubling, which does log2(T) times the work.

    Args:
        factors: J [T, .., n, n].
        x: [T, .., n].
    """
    length = len(x)
    size = math.isqrt(max(length - 1, 0)) + 1
    # Filled up at the end, where nothing follows: what the padding computes is cut off.
    missing = -length % size
    if missing:
        factors = torch.cat([factors, factors.new_zeros(missing, *factors.shape[1:])])
        x = torch.cat([x, x.new_zeros(missing, *x.shape[1:])])
    factors = factors.unflatten(0, (-1, size))
    x = x.unflatten(0, (-1, size))
    # All parts at once, each as if it began with zeros; `flows` is what it does to the state before it.
    sums = [x[:, 0]]
    flows = [factors[:, 0]]
    for i in range(1, size):
        sums.append(_apply(factors[:, i], sums[-1]) + x[:, i])
        flows.append(_product(factors[:, i], flows[-1]))
    # The states before the parts, one after the other, from the ends of the parts.
    before = [torch.zeros_like(x[0, 0])]
    for end, flow in zip(sums[-1][:-1], flows[-1][:-1], strict=True):
        before.append(_apply(flow, before[-1]) + end)
    y = torch.stack(sums, 1) + _apply(torch.stack(flows, 1), torch.stack(before)[:, None])
    return y.flatten(0, 1)[:length]


def _apply(matrix: Tensor, x: Tensor) -> Tensor:
    return (matrix * x[..., None, :]).sum(-1)


def _product(a: Tensor, b: Tensor) -> Tensor:
    """Return a b of small matrices, many: as sums, which a CPU does faster than a call for each."""
    return (a[..., :, :, None] * b[..., None, :, :]).sum(-2)
