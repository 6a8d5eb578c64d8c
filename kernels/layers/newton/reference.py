"""Recurrences step by step: the specification of `scan` and of `solve`, which compute all steps at once."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def linear_scan_reference(factors: Tensor, x: Tensor) -> Tensor:
    """Return y_t = J_t y_{t-1} + x_t [T, .., n], y_0 = x_0, of J [T, .., n, n] and x [T, .., n]."""
    y = torch.zeros_like(x[0])
    out = []
    for factor, new in zip(factors, x, strict=True):
        y = (factor @ y[..., None])[..., 0] + new
        out.append(y)
    return torch.stack(out)


def newton_scan_reference(step: Callable[[Tensor, Tensor], Tensor], first: Tensor, inputs: Tensor) -> Tensor:
    """Return h_t = step(h_{t-1}, inputs_t) [T, .., n] for inputs [T, ..], h before the first step being `first`."""
    h = first
    out = []
    for now in inputs:
        h = step(h, now)
        out.append(h)
    return torch.stack(out)
