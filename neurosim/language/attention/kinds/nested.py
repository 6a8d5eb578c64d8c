"""A mixer inside another, with its state among the other's; and masks of the best tokens so far."""

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
    own = {name.removeprefix(PREFIX): value for name, value in state.items() if name.startswith(PREFIX)}
    y, after = mixer(x, own, shared)
    return y, {PREFIX + name: value for name, value in after.items()}


def best_so_far(scores: Tensor, ends: Tensor, count: int) -> Tensor:
    """Return [.., T, N], true where a token is among the `count` of highest score of the first `ends` [T] of N.

    Of equal scores the earlier counts more. A token that has left does not come back as `ends` grows.

    Args:
        scores: [.., N].
    """
    index = torch.arange(scores.shape[-1], device=scores.device)
    mine = scores[..., None, :]
    others = scores[..., :, None]
    above = (others > mine) | ((others == mine) & (index[:, None] < index))
    # [.., i, j]: of the first i + 1 tokens, the number above j.
    rank = above.to(torch.int32).cumsum(-2, dtype=torch.int32)
    rank = torch.cat([torch.zeros_like(rank[..., :1, :]), rank], -2)[..., ends, :]
    return (rank < count) & (index < ends[:, None])
