"""HAX: a state-space layer, and softmax attention over few tokens of the past, found by hashing and by a score."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...errors import check_fields
from .base import Inputs, Mixer, Shared, State
from .mamba import Mamba2
from .modules import linear
from .nested import best_so_far, initial_inside, run_inside

PLANES = 8  # random hyperplanes: 256 buckets
RANKING = 0.1  # weight of the loss of the scores


@dataclass(eq=False, repr=False, kw_only=True)
class HAX(Mixer):
    """y = SSM(x) + E softmax(q k^T / sqrt(K)) v over few tokens (Zhan et al. 2025, hybrid sparse attention).

    A token sees itself, the last `chosen` tokens whose key falls into its query's bucket (locality-sensitive hashing:
    the signs of 8 random projections), and the `chosen` tokens of highest score so far. The score of a token is an MLP
    of its key and of the direction of the sum of queries up to it; it is trained by `auxiliary`, to rank tokens as
    their attention by sigmoids ranks them, for the choice itself has no gradient. E is a vector. The state-space layer
    is Mamba-2.

    Args:
        chosen: tokens of each of the two choices.
        key_dim: K.
        hashed, scored: use the one and the other choice.
        mamba: options of the state-space layer.

    The memory is [B, tokens, K + D + 2]: key, value, bucket, score; it grows with the sequence.
    """

    why_not_parallel = "its keys of earlier tokens lie in other processes"

    chosen: int = 32
    key_dim: int = 64
    hashed: bool = True
    scored: bool = True
    mamba: Mapping[str, object] | None = None

    def build(self) -> None:
        check_fields(self, {"chosen": ">= 1 tokens", "key_dim": "> 0"})
        options: Mapping[str, object] = self.mamba or {}
        self.ssm: Mixer = Mamba2(self.width, self.depth, **options)  # type: ignore[arg-type]
        self.q_proj, self.k_proj = (linear(self.width, self.key_dim) for _ in range(2))
        self.v_proj = linear(self.width, self.width)
        self.gain = nn.Parameter(torch.ones(self.width))
        if self.scored:
            self.score = nn.Sequential(linear(2 * self.key_dim, self.key_dim, True), nn.SiLU(), linear(self.key_dim, 1))

    def initial(self, x: Tensor) -> State:
        memory = x.new_zeros(len(x), 0, self.key_dim + self.width + 2)
        return {"memory": memory, "queries": x.new_zeros(len(x), self.key_dim)} | initial_inside(self.ssm, x)

    def planes(self) -> Tensor:
        """Return the normals [K, PLANES] of the hyperplanes: the same in every model, neither trained nor saved."""
        return torch.randn(self.key_dim, PLANES, generator=torch.Generator().manual_seed(self.depth.layer))

    def _bucket(self, x: Tensor) -> Tensor:
        """Return the bucket [.., 1] of q or k [.., K], centred."""
        bits = (x - x.mean(-1, keepdim=True)) @ self.planes().to(x) > 0
        return (bits * 2 ** torch.arange(PLANES, device=x.device)).sum(-1, keepdim=True).to(x.dtype)

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        out, after = run_inside(self.ssm, x, state, shared)
        q, k = self.q_proj(x), self.k_proj(x)
        sums = state["queries"][:, None] + q.cumsum(1)
        scores = torch.zeros_like(k[..., :1])
        if self.scored:
            scores = self.score(torch.cat([k, F.normalize(sums, dim=-1)], -1))
            if self.training and torch.is_grad_enabled():
                self.auxiliary = RANKING * self._ranking_loss(q.detach(), k.detach(), scores[..., 0])
        row = torch.cat([k, self.v_proj(x), self._bucket(k), scores.detach()], -1)
        return {"q": q, "bucket": self._bucket(q), "row": row, "out": out}, after | {"queries": sums[:, -1]}

    def _ranking_loss(self, q: Tensor, k: Tensor, scores: Tensor) -> Tensor:
        """Cross entropy of the order of every two scores [B, T] against that of the mean attention of later queries."""
        weights = (q @ k.mT * self.key_dim**-0.5).sigmoid().tril()
        wanted = weights.sum(1) / torch.arange(q.shape[1], 0, -1, device=q.device)
        above = (wanted[:, :, None] > wanted[:, None]).to(q.dtype)
        return F.binary_cross_entropy_with_logits(scores[:, :, None] - scores[:, None], above)

    def recur(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        after, out = self.chunked(memory, {name: value[:, None] for name, value in inputs.items()})
        return after, out[:, 0]

    def chunked(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        known, q = torch.cat([memory, inputs["row"]], 1), inputs["q"]
        keys, values, buckets, scores = known.split([self.key_dim, self.width, 1, 1], -1)
        now = torch.arange(memory.shape[1], known.shape[1], device=q.device)
        then = torch.arange(known.shape[1], device=q.device)
        past = then <= now[:, None]
        seen = (then == now[:, None]).expand(len(q), -1, -1)
        if self.hashed:
            same = (inputs["bucket"] == buckets.mT) & past
            later = same.to(torch.int32).flip(-1).cumsum(-1).flip(-1)  # of the bucket, from each on, itself among them
            seen = seen | (same & (later <= self.chosen))
        if self.scored:
            seen = seen | best_so_far(scores[..., 0], now + 1, self.chosen)
        weights = (q @ keys.mT * self.key_dim**-0.5).masked_fill(~seen, -torch.inf).softmax(-1)
        return known, weights @ values

    def finish(self, out: Tensor, x: Tensor, inputs: Inputs) -> Tensor:
        return inputs["out"] + self.gain * out
