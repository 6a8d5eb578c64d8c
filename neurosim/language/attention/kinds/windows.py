"""Attention over the last tokens, in blocks of queries: time and memory grow with the tokens times the window."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

# Queries of a block, at least. A window of 16 takes equally long in blocks of 16 and 32, in blocks of 128 half as long
# again (CPU, forward and back); a wider window takes least in blocks of its own size.
MIN_BLOCK = 32


@dataclass(frozen=True)
class Blocks:
    """Queries in blocks, and for each block the tokens that one of its queries sees.

    Query i is token known - length + i; without `skip` it sees the last `window` tokens, itself among them, with it
    those that are `skip` tokens older.

    Args:
        window: w, number of tokens seen.
        length: T, number of queries.
        known: N >= T, number of tokens; the queries are the last T of them.
    """

    window: int
    length: int
    known: int

    @property
    def size(self) -> int:
        """Number of queries in a block."""
        return min(max(self.window, MIN_BLOCK), self.length)

    @property
    def _more(self) -> int:
        # Queries that fill up the last block; their outputs are dropped.
        return -self.length % self.size

    def _absent(self, skip: int) -> int:
        # Tokens before the first that the first query would see; negative if tokens are older than that.
        return self.window - 1 + skip - (self.known - self.length)

    def queries(self, x: Tensor) -> Tensor:
        """Return [B, blocks, size, heads, C] of x [B, T, heads, C]."""
        return F.pad(x, (0, 0, 0, 0, 0, self._more)).unflatten(1, (-1, self.size))

    def tokens(self, x: Tensor, skip: int = 0) -> Tensor:
        """Return [B, blocks, heads, w - 1 + size, C] of x [B, N, heads, C], tokens that the queries of a block see."""
        span = self.window - 1 + self.size
        # A block ends `skip` tokens before its last query: those at the end belong to no block.
        padded = F.pad(x, (0, 0, 0, 0, self._absent(skip), self._more - skip))
        # In rows side by side products of a batch take half as long as on the view.
        return padded.unfold(1, span, self.size).mT.contiguous()

    def visible(self, device: torch.device, skip: int = 0) -> Tensor:
        """Return [blocks, size, w - 1 + size], true where a query sees a token of its block's."""
        query = torch.arange(self.size, device=device)[:, None]
        token = torch.arange(self.window - 1 + self.size, device=device)
        first = torch.arange(0, self.length, self.size, device=device)[:, None, None]
        in_window = (token >= query) & (token < query + self.window)
        # Before the first token there is none.
        return in_window & (first + token >= self._absent(skip))

    def join(self, out: Tensor) -> Tensor:
        """Return [B, T, heads, C] of the outputs [B, blocks, size, heads, C]."""
        return out.flatten(1, 2)[:, : self.length]


def bounded(scores: Tensor, cap: float | None) -> Tensor:
    """Return c tanh(s / c) of scores s, or the scores without a cap c."""
    if cap is None:
        return scores
    return torch.tanh(scores / cap) * cap


def attend_to_last(
    q: Tensor,
    keys: Tensor,
    values: Tensor,
    window: int = 0,
    learnt: tuple[Tensor, Tensor, Tensor] | None = None,
    cap: float | None = None,
) -> Tensor:
    """Return softmax(q K^T / sqrt(K)) V [B, T, H, V] over the tokens up to each query, or the last `window` of them.

    Args:
        q: [B, T, H, K], of the last T tokens.
        keys: [B, N, heads, K]; groups of H / heads queries share them.
        values: [B, N, heads, V].
        window: number of tokens seen, the present one among them; 0 for all.
        learnt: queries [B, T, H, K], keys and values [B, n, heads, K or V] of tokens that every query sees, too.
        cap: c: scores s become c tanh(s / c).
    """
    scale = q.shape[-1] ** -0.5
    fixed = None
    if learnt is not None and learnt[1].shape[1]:
        # One softmax over both: [q, q'] . [k, 0] = q . k, and [q, q'] . [0, k'] = q' . k'.
        channels = q.shape[-1]
        q = torch.cat([q, learnt[0]], -1)
        keys = F.pad(keys, (0, channels))
        fixed = (F.pad(learnt[1], (channels, 0)).movedim(1, 2), learnt[2].movedim(1, 2))
    # Few tokens have fewer pairs in all than in blocks, which reach beyond both ends.
    if not window or keys.shape[1] <= 2 * max(window, MIN_BLOCK):
        now = torch.arange(keys.shape[1] - q.shape[1], keys.shape[1], device=q.device)[:, None]
        then = torch.arange(keys.shape[1], device=q.device)
        visible = then <= now
        if window:
            visible = visible & (then > now - window)
        q, keys, values = (x.movedim(1, 2) for x in (q, keys, values))
        return _softmax(q, keys, values, visible, scale, fixed, cap).movedim(2, 1)
    blocks = Blocks(window, q.shape[1], keys.shape[1])
    # Blocks are further sequences of a batch: [B blocks, heads, tokens, C].
    queries = blocks.queries(q).flatten(0, 1).movedim(1, 2)
    seen_keys = blocks.tokens(keys).flatten(0, 1)
    seen_values = blocks.tokens(values).flatten(0, 1)
    visible = blocks.visible(q.device).repeat(len(q), 1, 1)[:, None]
    if fixed is not None:
        each = len(queries) // len(q)
        fixed = (fixed[0].repeat_interleave(each, 0), fixed[1].repeat_interleave(each, 0))
    out = _softmax(queries, keys=seen_keys, values=seen_values, visible=visible, scale=scale, fixed=fixed, cap=cap)
    return blocks.join(out.movedim(2, 1).unflatten(0, (len(q), -1)))


def _softmax(
    q: Tensor,
    keys: Tensor,
    values: Tensor,
    visible: Tensor,
    scale: float,
    fixed: tuple[Tensor, Tensor] | None,
    cap: float | None,
) -> Tensor:
    """Return attention [B, H, T, V] over the visible of keys and values [B, heads, N, ..], and over all of `fixed`."""
    grouped = q.shape[1] > keys.shape[1]
    if fixed is not None:
        keys = torch.cat([keys, fixed[0]], 2)
        values = torch.cat([values, fixed[1]], 2)
        visible = F.pad(visible, (0, fixed[0].shape[2]), value=True)
    if cap is not None:
        # torch's function has no bound of scores: [B, heads, groups, T, K] times [B, heads, 1, K, N].
        groups = q.unflatten(1, (keys.shape[1], -1))
        scores = bounded(groups @ keys[:, :, None].mT * scale, cap)
        weights = scores.masked_fill(~visible[..., None, :, :], -torch.inf).softmax(-1)
        return (weights @ values[:, :, None]).flatten(1, 2)
    # Groups of queries share keys without copies.
    return F.scaled_dot_product_attention(q, keys, values, attn_mask=visible, scale=scale, enable_gqa=grouped)
