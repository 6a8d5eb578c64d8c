"""Attention weights of whole texts [B, H, T, T], as logarithms, of kinds whose outputs are means of values."""

from __future__ import annotations

import torch
from torch import Tensor


def ages(x: Tensor) -> Tensor:
    """Return [T, T], by how many tokens j is older than i, of texts x [B, T, D]; negative for later tokens."""
    time = torch.arange(x.shape[1], device=x.device)
    return time[:, None] - time


def products(q: Tensor, k: Tensor) -> Tensor:
    """Return q_i . k_j [B, H, T, T] of q and k [B, T, H, C]."""
    return torch.einsum("bihc,bjhc->bhij", q, k)


def log_features(q: Tensor, k: Tensor) -> Tensor:
    """Return log (phi(q_i) . phi(k_j)) [B, H, T, T]; a product that underflows counts as the smallest number."""
    found = products(q, k)
    return found.clamp(min=torch.finfo(found.dtype).tiny).log()
