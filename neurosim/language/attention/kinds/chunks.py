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

from dataclasses import dataclass

import torch
from torch import Tensor

from .leaf import leaf


@leaf
def additive(
    q: Tensor, k: Tensor, v: Tensor, state: Tensor, g: Tensor | None = None, chunk: int = 64
) -> tuple[Tensor, Tensor]:
    """S = e^g S + k v^T;  o = S^T q."""
    length = q.shape[1]
    q, k, v = (_cut(x, chunk) for x in (q, k, v))
    decay = _Decay.of(g, chunk)
    new = decay.to_end(k).mT @ v
    states = []
    for n in range(q.shape[2]):
        states.append(state)
        state = decay.apply(state, n) + new[:, :, n]
    o = decay.from_start(q) @ torch.stack(states, 2) + decay.pairs(q, k) @ v
    return state, _join(o, length)


def additive_rows(q: Tensor, k: Tensor, v: Tensor, state: Tensor, g: Tensor, chunk: int = 64) -> tuple[Tensor, Tensor]:
    """S = e^g S + k v^T;  o = S q: the rows of S are compared with q [B, T, H, V]; g is [B, T, H, K]."""
    length = q.shape[1]
    q, k, v = (_cut(x, chunk) for x in (q, k, v))
    decay = _Decay.of(g, chunk)
    assert decay.weights is not None
    new = decay.to_end(k).mT @ v
    states = []
    for n in range(q.shape[2]):
        states.append(state)
        state = decay.apply(state, n) + new[:, :, n]
    within = torch.einsum("...ijk,...jk->...ik", (q @ v.mT)[..., None] * decay.weights, k)
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
    read_decay, reader = (decay, k) if p is None else (_Decay.of(g, chunk, before=True), _cut(p, chunk))
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
    target = torch.cat([decay.pairs(a, k, strict=True) @ v, decay.from_start(a)], -1)
    solved = _solve(-decay.pairs(a, b, strict=True), target)
    new = decay.to_end(k).mT @ v
    state, states, read = _corrected(state, decay, solved, v.shape[-1], decay.to_end(b).mT, new)
    o = decay.from_start(q) @ states + decay.pairs(q, k) @ v + decay.pairs(q, b) @ read
    return state, _join(o, length)


@dataclass(frozen=True)
class _Decay:
    """Decays inside chunks: `total` [B, H, N, C, 1 or K] is summed from the start of each chunk; None without decay."""

    total: Tensor | None
    weights: Tensor | None

    @staticmethod
    def of(g: Tensor | None, chunk: int, *, before: bool = False) -> _Decay:
        """Return the decays up to each token, its own among them or, `before` it, not."""
        if g is None:
            return _Decay(None, None)
        own = _cut(g if g.dim() == 4 else g[..., None], chunk)
        total = own.cumsum(-2)
        until = total - own if before else total
        apart = until[..., :, None, :] - total[..., None, :, :]
        future = torch.ones(chunk, chunk, dtype=torch.bool, device=g.device).triu(0 if before else 1)
        return _Decay(until, apart.masked_fill(future[..., None], -torch.inf).exp())

    def pairs(self, x: Tensor, y: Tensor, *, strict: bool = False) -> Tensor:
        """Return [.., C, C] x_i . y_j weighted by the decay from j to i; 0 for j > i, and for j = i if `strict`."""
        if self.weights is None:
            products = x @ y.mT
        elif self.weights.shape[-1] == 1:
            products = (x @ y.mT) * self.weights[..., 0]
        else:
            products = torch.einsum("...ik,...ijk->...ij", x, self.weights * y[..., None, :, :])
        return products.tril(-1 if strict else 0)

    def from_start(self, x: Tensor) -> Tensor:
        """x_i weighted by the decay from the start of the chunk to i."""
        return x if self.total is None else x * self.total.exp()

    def to_end(self, x: Tensor) -> Tensor:
        """x_i weighted by the decay from i to the end of the chunk."""
        if self.total is None:
            return x
        return x * (self.total[..., -1:, :] - self.total).exp()

    def apply(self, state: Tensor, n: int) -> Tensor:
        """Return the state after the decay of chunk n."""
        if self.total is None:
            return state
        return state * self.total[:, :, n, -1].exp()[..., None]


def _corrected(
    state: Tensor, decay: _Decay, solved: Tensor, width: int, out: Tensor, new: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return S after the chunks, S before each [B, H, N, K, V], and u = free + seen S of each, S += new + out u.

    Args:
        solved: free, of `width` columns, and seen, side by side.
    """
    free = solved[..., :width]
    correction = solved[..., width:]
    states = []
    updates = []
    for n in range(free.shape[2]):
        states.append(state)
        updates.append(free[:, :, n] + correction[:, :, n] @ state)
        state = decay.apply(state, n)
        state = (state if new is None else state + new[:, :, n]) + out[:, :, n] @ updates[-1]
    return state, torch.stack(states, 2), torch.stack(updates, 2)


def _solve(lower: Tensor, target: Tensor) -> Tensor:
    """(I + lower)^-1 target, `lower` strictly lower triangular."""
    return torch.linalg.solve_triangular(lower, target, upper=False, unitriangular=True)


def _cut(x: Tensor, chunk: int) -> Tensor:
    """Return [B, T, H, ..] to [B, H, N, C, ..], padded with zeros: tokens without key and decay change nothing."""
    batch, length = x.shape[:2]
    count = -(-length // chunk)
    if count * chunk > length:
        x = torch.cat([x, x.new_zeros(batch, count * chunk - length, *x.shape[2:])], 1)
    return x.unflatten(1, (count, chunk)).movedim(3, 1)


def _join(o: Tensor, length: int) -> Tensor:
    return o.movedim(1, 3).flatten(1, 2)[:, :length]
