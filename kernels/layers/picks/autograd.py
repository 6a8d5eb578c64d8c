"""Attention to picked tokens with its gradients, of float32 and float64 tensors on a CPU."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from ...tools.threads import spread
from .cpu import attend, attend_back

GRAIN = 1 << 16  # channels times picks that are worth a thread


class PickedAttention(torch.autograd.Function):
    """The outputs [B, T, H, V] of (q [B, T, H, K], rows [B, N, heads, >= K + V], picks [B, T, H or 1, M], V)."""

    @staticmethod
    def forward(ctx, q, rows, picks, v_size):
        q, rows, picks = (x.contiguous() for x in (q, rows, picks))
        ctx.save_for_backward(q, rows, picks)
        out = q.new_empty(*q.shape[:3], v_size)
        arrays = [x.detach().numpy() for x in (q, rows, picks)]
        written = out.numpy()
        _each_head(q, rows, picks, lambda begin, end: attend(*arrays, _scale(q), written, begin, end))
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        q, rows, picks = ctx.saved_tensors
        gradients = [torch.zeros_like(x) for x in (q, rows)]
        arrays = [x.numpy() for x in (q, rows, picks)]
        pull = grad.contiguous().numpy()
        written = [x.numpy() for x in gradients]
        _each_head(q, rows, picks, lambda begin, end: attend_back(*arrays, _scale(q), pull, *written, begin, end))
        return *gradients, None, None


def _scale(q):
    """Return 1 / sqrt(K) in the type of q [B, T, H, K]."""
    return np.dtype(str(q.dtype).removeprefix("torch.")).type(q.shape[-1] ** -0.5)


def _each_head(q: torch.Tensor, rows: torch.Tensor, picks: torch.Tensor, work: Callable[[int, int], None]) -> None:
    """Call `work(begin, end)` on ranges of the heads of keys of all sequences: no two share a gradient."""
    items = len(rows) * rows.shape[2]
    per_item = q[0].numel() // rows.shape[2] * picks.shape[-1]
    spread(work, np.arange(items + 1) * per_item, torch.get_num_threads(), GRAIN)
