"""Choices of tokens and attention to them, on tensors: compiled on a CPU, torch's own operations on other devices."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from . import cpu
from .autograd import PickedAttention
from .reference import PICK_NONE

GATHERED = 1 << 24  # numbers that are gathered at once, where keys and values of picks are copied


def best_so_far(scores: Tensor, ends: Tensor, count: int) -> Tensor:
    """Return picks [B, T, count], the tokens of highest score among the first `ends` [T] of N, PICK_NONE behind fewer.

    Of equal scores the earlier counts more. A token that has left does not come back as `ends` grows.

    Args:
        scores: [B, N], of float types.
        ends: ascending.
    """
    picks = torch.empty(len(scores), len(ends), count, dtype=torch.int64)
    if count:
        exact = scores.detach().cpu().to(torch.promote_types(scores.dtype, torch.float32))
        cpu.best_so_far(exact.contiguous().numpy(), ends.cpu().numpy(), picks.numpy())
    return picks.to(scores.device)


def last_of_bucket(asked: Tensor, buckets: Tensor, count: int) -> Tensor:
    """Return picks [B, T, count], the last tokens in the bucket asked [B, T] for, latest first, themselves among them.

    Args:
        buckets: [B, N] integers in 0 .. 255; the queries are the last T of these tokens.
    """
    picks = torch.empty(*asked.shape, count, dtype=torch.int64)
    integers = [x.detach().cpu().to(torch.int64).contiguous().numpy() for x in (asked, buckets)]
    cpu.last_of_bucket(*integers, picks.numpy())
    return picks.to(asked.device)


def attend_to_picks(q: Tensor, rows: Tensor, picks: Tensor, v_size: int) -> Tensor:
    """Return softmax(q K^T / sqrt(K)) V [B, T, H, V], for each query over the tokens that it picks, at least one.

    Args:
        q: [B, T, H, K].
        rows: [B, N, heads, C], key, value and what else a token has; groups of H / heads queries share them.
        picks: [B, T, H, M], or [B, T, 1, M] for all heads: tokens, PICK_NONE where a query has fewer.
        v_size: V.
    """
    if q.device.type != "cpu":
        return attend_gathered(q, rows, picks, v_size)
    if not torch.is_grad_enabled():
        rows = _with_room(rows)
    exact = [x.to(torch.promote_types(q.dtype, torch.float32)) for x in (q, rows)]
    out: Tensor = PickedAttention.apply(*exact, picks, v_size)
    return out.to(q.dtype)


def _with_room(rows: Tensor) -> Tensor:
    """Return rows [B, N, ..], and those behind them where these make all rows lie side by side, as kernels read them.

    Rows of a memory with room behind it, of several sequences, would be copied otherwise; no pick points at the room.
    """
    if rows.is_contiguous() or rows.shape[1] == 0 or rows.stride(1) == 0:
        return rows
    capacity = rows.stride(0) // rows.stride(1)
    numbers = rows.untyped_storage().nbytes() // rows.element_size()
    is_inside = rows.storage_offset() + len(rows) * rows.stride(0) <= numbers
    if capacity < rows.shape[1] or not is_inside:
        return rows
    wide = rows.as_strided((len(rows), capacity, *rows.shape[2:]), rows.stride())
    if not wide.is_contiguous():
        return rows
    return wide


def attend_gathered(q: Tensor, rows: Tensor, picks: Tensor, v_size: int) -> Tensor:
    """Return what `attend_to_picks` does by copies of the picked rows, made again for the gradients."""
    _, known, heads, _ = rows.shape
    group = q.shape[2] // heads
    # Rows of all sequences and heads one below the other: row (b heads + h) N + token.
    stacked = rows[..., : q.shape[-1] + v_size].movedim(2, 1).flatten(0, 2)
    sequences = torch.arange(len(q), device=q.device)[:, None] * heads
    first = (sequences + torch.arange(q.shape[2], device=q.device) // group)[:, None, :, None] * known
    numbers = len(q) * q.shape[2] * picks.shape[-1] * stacked.shape[-1]
    size = max(GATHERED // max(numbers, 1), 1)
    parts = zip(q.split(size, 1), picks.split(size, 1), strict=True)
    outputs = [checkpoint(_gathered, part, stacked, first, own, use_reentrant=False) for part, own in parts]
    return torch.cat(outputs, 1)


def _gathered(q: Tensor, rows: Tensor, first: Tensor, picks: Tensor) -> Tensor:
    """Return [B, T, H, V] of rows [.., K + V]; `first` [B, 1, H, 1] are the rows of the first tokens."""
    picked = F.embedding(first + picks.clamp(min=0), rows)  # [B, T, H, M, K + V]
    keys, values = picked.tensor_split([q.shape[-1]], -1)
    scores = (keys @ q[..., None])[..., 0] * q.shape[-1] ** -0.5
    weights = scores.masked_fill(picks == PICK_NONE, -torch.inf).softmax(-1)
    return (weights[..., None, :] @ values)[..., 0, :]
