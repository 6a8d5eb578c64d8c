"""A mixer inside another, with its state among the other's; and tokens at equal distances, on which a loss is taken."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from .base import Mixer, Shared, State

PREFIX = "inner_"


def initial_inside(mixer: Mixer, x: Tensor) -> State:
    """Return the state of a mixer before x under names of its own."""
    return {PREFIX + name: value for name, value in mixer.initial(x).items()}


def run_inside(mixer: Mixer, x: Tensor, state: Mapping[str, Tensor], shared: Shared) -> tuple[Tensor, State]:
    """Return (y [B, T, D], the state after it under names of its own)."""
    inner = {name.removeprefix(PREFIX): value for name, value in state.items() if name.startswith(PREFIX)}
    y, after = mixer(x, inner, shared)
    return y, {PREFIX + name: value for name, value in after.items()}


def spread_over(count: int, limit: int, device: torch.device) -> Tensor:
    """Return at most `limit` of the first `count` integers, at equal distances, the last one among them."""
    if count <= limit:
        return torch.arange(count, device=device)
    return torch.arange(1, limit + 1, device=device) * count // limit - 1
