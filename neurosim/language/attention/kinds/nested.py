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
    inner = {name.removeprefix(PREFIX): value for name, value in state.items() if name.startswith(PREFIX)}
    y, after = mixer(x, inner, shared)
    return y, {PREFIX + name: value for name, value in after.items()}


def best_so_far(scores: Tensor, ends: Tensor, count: int) -> Tensor:
    """Return [.., T, N], true where a token is among the `count` of highest score of the first `ends` [T] of N.

    Of equal scores the earlier counts more. A token that has left does not come back as `ends` grows.

    Args:
        scores: [.., N].
    """
    index = torch.arange(scores.shape[-1], device=scores.device)
    # above[.., i, j]: token i beats token j, by its score or, of equal scores, by being earlier.
    score = scores[..., None, :]
    rival = scores[..., :, None]
    above = (rival > score) | ((rival == score) & (index[:, None] < index))
    # [.., i, j]: of the first i + 1 tokens, the number above j.
    rank = above.to(torch.int32).cumsum(-2, dtype=torch.int32)
    # Row e: ranks among the first e tokens.
    rank = torch.cat([torch.zeros_like(rank[..., :1, :]), rank], -2)[..., ends, :]
    return (rank < count) & (index < ends[:, None])
