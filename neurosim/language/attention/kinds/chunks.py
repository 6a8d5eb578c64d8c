"""Linear recurrences over a matrix state, many tokens at a time.

Every function takes q, k [B, T, H, K], v [B, T, H, V], log decays g (None, [B, T, H] or [B, T, H, K]) and a state
S [B, H, K, V], and returns (S after T tokens, o [B, T, H, V]). Tokens are processed in chunks: products inside a chunk
are dense matrices, only the state at the border of chunks is sequential.

With G_i the sum of log decays from the start of a chunk to token i, the weight between two tokens is exp(G_i - G_j),
j <= i, which is at most 1. It is computed as such, never as exp(G_i) exp(-G_j), which overflows for strong decays.

Sources: Yang et al. 2024, arXiv 2312.06635 (gated linear attention) and 2406.06484 (delta rule, the WY form);
Yang et al. 2025, arXiv 2412.06464 (gated delta rule).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .tracing import leaf


@leaf
def additive(
    q: Tensor, k: Tensor, v: Tensor, state: Tensor, g: Tensor | None = None, chunk: int = 64
) -> tuple[Tensor, Tensor]:
    """S = e^g S + k v^T;  o = S^T q."""
    length = q.shape[1]
    q, k, v = (_cut(x, chunk) for x in (q, k, v))
    decay = _Decay.of(g, chunk)
    # Sum over a chunk of e^{G_end - G_j} k_j v_j^T: what it adds to the state at its end.
    new = decay.to_end(k).mT @ v
    states = []
    for added, kept in zip(new.unbind(2), decay.by_chunk(new.shape[2]), strict=True):
        states.append(state)
        state = kept * state + added
    # o_i = S_start^T (e^{G_i} q_i) + sum_{j <= i} e^{G_i - G_j} (q_i . k_j) v_j
    o = decay.from_start(q) @ torch.stack(states, 2) + decay.pairs(q, k) @ v
    return state, _join(o, length)


def additive_rows(q: Tensor, k: Tensor, v: Tensor, state: Tensor, g: Tensor, chunk: int = 64) -> tuple[Tensor, Tensor]:
    """S = e^g S + k v^T;  o = S q: the rows of S are compared with q [B, T, H, V]; g is [B, T, H, K]."""
    length = q.shape[1]
    q, k, v = (_cut(x, chunk) for x in (q, k, v))
    total, weights = _summed(g, chunk)
    decay = _Decay(total, weights)
    new = decay.to_end(k).mT @ v
    states = []
    for added, kept in zip(new.unbind(2), decay.by_chunk(new.shape[2]), strict=True):
        states.append(state)
        state = kept * state + added
    # o_i = S_start (row decays) q_i + sum_{j <= i} e^{G_i - G_j} k_j (v_j . q_i): k and v change roles.
    within = torch.einsum("...ijk,...jk->...ik", (q @ v.mT)[..., None] * weights, k)
    return state, _join(decay.from_start(q @ torch.stack(states, 2).mT) + within, length)


def delta(
    q: Tensor, k: Tensor, v: Tensor, beta: Tensor, state: Tensor, g: Tensor | None = None, chunk: int = 64,
    p: Tensor | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """S = e^g S;  u = beta (v - S^T k);  S += k u^T;  o = S^T q; or, with p, u = beta (v - S^T p) before the decay.

    Args:
        beta: [B, T, H].
        p: [B, T, H, K].
    """
    length = q.shape[1]
    q, k, v, beta = (_cut(x, chunk) for x in (q, k, v, beta[..., None]))
    decay = _Decay.of(g, chunk)
    # With p the value is predicted from the state before the decay of the token, so its own g is left out.
    if p is None:
        reader = k
        read_decay = decay
    else:
        reader = _cut(p, chunk)
        read_decay = _Decay.of(g, chunk, before=True)
    # u_i = beta_i (v_i - S_start^T e^{G_i} k_i - sum_{j < i} e^{G_i - G_j} (k_i . k_j) u_j): linear in all u.
    system = beta * read_decay.pairs(reader, k, strict=True)
    # u of a chunk is (I + system)^-1 beta (v - decayed k S): solved for both parts, as S is known only in the loop.
    solved = _solve(system, beta * torch.cat([v, -read_decay.from_start(reader)], -1))
    state, states, updates = _corrected(state, decay, solved, v.shape[-1], decay.to_end(k).mT)
    o = decay.from_start(q) @ states + decay.pairs(q, k) @ updates
    return state, _join(o, length)


def rank_one(
    q: Tensor, k: Tensor, v: Tensor, a: Tensor, b: Tensor, state: Tensor, g: Tensor | None = None, chunk: int = 16
) -> tuple[Tensor, Tensor]:
    """S = e^g S;  S += b (S^T a)^T + k v^T;  o = S^T q: decay, then any change of rank one.

    Args:
        a, b: [B, T, H, K].
    """
    length = q.shape[1]
    q, k, v, a, b = (_cut(x, chunk) for x in (q, k, v, a, b))
    decay = _Decay.of(g, chunk)
    # r_i = S_i^T a_i with the state after the decay: from k v^T of earlier tokens, from S_start, and from b r^T.
    target = torch.cat([decay.pairs(a, k, strict=True) @ v, decay.from_start(a)], -1)
    solved = _solve(-decay.pairs(a, b, strict=True), target)
    new = decay.to_end(k).mT @ v
    state, states, read = _corrected(state, decay, solved, v.shape[-1], decay.to_end(b).mT, new)
    o = decay.from_start(q) @ states + decay.pairs(q, k) @ v + decay.pairs(q, b) @ read
    return state, _join(o, length)


@dataclass(frozen=True)
class _Decay:
    """Decays inside chunks of C tokens; None without decay.

    Attributes:
        total: G [B, H, N, C, 1 or K], log decays summed from the start of each chunk.
        weights: e^{G_i - G_j} [B, H, N, C, C, 1 or K], 0 for j > i.
    """

    total: Tensor | None
    weights: Tensor | None

    @staticmethod
    def of(g: Tensor | None, chunk: int, *, before: bool = False) -> _Decay:
        """Return the decays up to each token, its own among them or, `before` it, not."""
        if g is None:
            return _Decay(None, None)
        return _Decay(*_summed(g, chunk, before=before))

    def pairs(self, x: Tensor, y: Tensor, *, strict: bool = False) -> Tensor:
        """Return [.., C, C] x_i . y_j weighted by the decay from j to i; 0 for j > i, and for j = i if `strict`."""
        # A decay of each channel weighs the terms of the product one by one, [.., C, C, K]; one of heads the product.
        if self.weights is None:
            products = x @ y.mT
        elif self.weights.shape[-1] == 1:
            products = (x @ y.mT) * self.weights[..., 0]
        else:
            products = torch.einsum("...ik,...ijk->...ij", x, self.weights * y[..., None, :, :])
        return products.tril(-1 if strict else 0)

    def from_start(self, x: Tensor) -> Tensor:
        """Return x_i weighted by the decay from the start of the chunk to i."""
        return x if self.total is None else x * self.total.exp()

    def to_end(self, x: Tensor) -> Tensor:
        """Return x_i weighted by the decay from i to the end of the chunk."""
        if self.total is None:
            return x
        return x * (self.total[..., -1:, :] - self.total).exp()

    def by_chunk(self, count: int) -> Sequence[Tensor | float]:
        """Return the decay of the state over each of the chunks, [B, H, 1 or K, 1] or 1."""
        if self.total is None:
            return [1.0] * count
        return self.total[..., -1, :].exp()[..., None].unbind(2)


def _summed(g: Tensor, chunk: int, *, before: bool = False) -> tuple[Tensor, Tensor]:
    """Return `total` and `weights` of `_Decay`."""
    # g [B, T, H] gets one channel, which then decays all rows of S.
    by_row = g if g.dim() == 4 else g[..., None]
    decays = _cut(by_row, chunk)
    total = decays.cumsum(-2)
    until = total - decays if before else total
    # G_i - G_j for all pairs; -inf above the diagonal, so that no future token has a weight.
    apart = until[..., :, None, :] - total[..., None, :, :]
    future = torch.ones(chunk, chunk, dtype=torch.bool, device=g.device).triu(0 if before else 1)
    return until, apart.masked_fill(future[..., None], -torch.inf).exp()


def _corrected(
    state: Tensor, decay: _Decay, solved: Tensor, width: int, out: Tensor, new: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return S after the chunks, S before each [B, H, N, K, V], and u = free + correction S of each; S += new + out u.

    Args:
        solved: free, of `width` columns, and correction, side by side.
        out: [B, H, N, K, C], the keys with which u is written, decayed to the end of their chunk.
    """
    # Chunks are taken apart at once: the gradient of an index would be a tensor of all of them, for each.
    count = solved.shape[2]
    free = solved[..., :width].unbind(2)
    corrections = solved[..., width:].unbind(2)
    added: Sequence[Tensor | float] = [0.0] * count if new is None else new.unbind(2)
    states = []
    updates = []
    parts = zip(free, corrections, decay.by_chunk(count), added, out.unbind(2), strict=True)
    for alone, correction, kept, more, keys in parts:
        states.append(state)
        # The only sequential part: the state at the border of chunks.
        updates.append(alone + correction @ state)
        state = kept * state + more + keys @ updates[-1]
    return state, torch.stack(states, 2), torch.stack(updates, 2)


def _solve(lower: Tensor, target: Tensor) -> Tensor:
    """Return (I + lower)^-1 target, `lower` strictly lower triangular."""
    return torch.linalg.solve_triangular(lower, target, upper=False, unitriangular=True)


def _cut(x: Tensor, chunk: int) -> Tensor:
    """Return [B, T, H, ..] to [B, H, N, C, ..], padded with zeros: tokens without key and decay change nothing."""
    batch, length = x.shape[:2]
    count = -(-length // chunk)
    if count * chunk > length:
        x = torch.cat([x, x.new_zeros(batch, count * chunk - length, *x.shape[2:])], 1)
    return x.unflatten(1, (count, chunk)).movedim(3, 1)


def _join(o: Tensor, length: int) -> Tensor:
    """Return [B, H, N, C, ..] to [B, T, H, ..], without the padding."""
    return o.movedim(1, 3).flatten(1, 2)[:, :length]


def decays_between(g: Tensor) -> Tensor:
    """Return e^{G_t - G_j} [B, H, T, T] for j <= t, else 0, with the sums G of logarithms of decays g [B, T, H]."""
    total = g.movedim(1, 2).cumsum(-1)
    future = torch.ones(g.shape[1], g.shape[1], dtype=torch.bool, device=g.device).triu(1)
    return (total[..., :, None] - total[..., None, :]).masked_fill(future, -torch.inf).exp()


def descent(
    q: Tensor, k: Tensor, changes: Tensor, memory: Tensor, step: Tensor, anchor: Tensor, g: Tensor, m: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return S and P after tokens and o of P = e^m P + k c^T, S = e^g S + P, o = (S - A)^T q, in one piece.

    Args:
        q, k, changes: [B, T, H, K], and c [B, T, H, V].
        memory, step, anchor: S, P and A [B, H, K, V].
        g, m: [B, T, H]; without m, P is k c^T, and `step` is returned as it is.
    """
    keeps = decays_between(g)
    total = g.movedim(1, 2).cumsum(-1)[..., None]
    since = total.exp()
    q, k, changes = (value.movedim(1, 2) for value in (q, k, changes))
    # S_t = sum_j W_tj k_j c_j^T + e^{G_t} S_0; with momentum each change goes on in P, and S sums these.
    weights = keeps
    # e^G S_0 - A as e^G (S_0 - A) + (e^G - 1) A: changes are small beside A.
    out = since * (q @ (memory - anchor)) + total.expm1() * (q @ anchor)
    after = since[..., -1:, :] * memory
    if m is not None:
        goes_on = decays_between(m)
        of_step = m.movedim(1, 2).cumsum(-1).exp()[..., None]
        weights = keeps @ goes_on
        shares = keeps @ of_step
        out = out + shares * (q @ step)
        after = after + shares[..., -1:, :] * step
        step = of_step[..., -1:, :] * step + (goes_on[..., -1:, :].mT * k).mT @ changes
    out = out + (weights * (q @ k.mT)) @ changes
    after = after + (weights[..., -1:, :].mT * k).mT @ changes
    return after, step, out.movedim(1, 2)
