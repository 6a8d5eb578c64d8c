"""Sparse state expansion: partitions of the state, each token writing and reading a few."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ....base.errors import require
from . import chunks
from .base import Inputs, Shared, State, decayed, delta_step
from .mixture_of_memories import RoutedMixer
from .modules import (
    initial_a_log,
    initial_dt_bias,
    l2_normalise,
    linear,
    log_decays,
    low_rank,
    split_heads,
)


@dataclass(eq=False, repr=False, kw_only=True)
class ExpandedMixer(RoutedMixer):
    """Kinds of sparse state expansion: partitions of the state, and one that every token uses.

    A token writes the `topk` partitions of highest score softmax(W_e x), and reads the `readers` of highest score.
    Partitions not written neither decay nor change.

    Args:
        num_sparse_partition: number of partitions beside the one of every token.
        readers: partitions that a token reads (default: `topk`).
    """

    num_sparse_partition: int = 4
    readers: int | None = None

    def expand(self) -> None:
        """Set the sizes, and make the projections of queries, keys, values and scores."""
        self.group(self.num_sparse_partition, "partitions", True)
        partitions = self.num_sparse_partition
        # A token may read other partitions than it writes; their number may differ.
        read = self.topk if self.readers is None else self.readers
        require(0 < read <= partitions, self.name("readers"), f"must be > 0 and <= {partitions} partitions", read)
        self.reads = read
        width = self.width
        rank = self.v_size
        keys = self.heads * self.head_dim
        values = self.heads * self.v_size
        self.q_proj = linear(width, keys)
        self.k_proj = linear(width, keys)
        self.v_proj = linear(width, values)
        self.e_proj = linear(width, partitions)
        self.lora_q_proj, self.lora_k_proj = (low_rank(width, rank, keys) for _ in range(2))

    def output_low_rank(self) -> None:
        """Make norm, gate and output projection."""
        if self.gate_fn is None:
            gate = None
        else:
            gate = low_rank(self.width, self.v_size, self.heads * self.v_size)
        self.output(gate)

    def route(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return partitions and scores [B, T, R], and 1 where a token reads, and where it writes, [R, 1, 1] with 1s.

        The last partition takes every token, with score 1.
        """
        scores = self.e_proj(x).softmax(-1)
        score, index = scores.topk(max(self.topk, self.reads), -1)
        self.balance(scores, index[..., : self.topk])
        # The first places have the highest scores: `reads` and `writes` are masks over places.
        place = torch.arange(index.shape[2] + 1, device=x.device)[:, None, None]
        every = place == index.shape[2]
        index = torch.cat([index, torch.full_like(index[..., :1], self.num_sparse_partition)], -1)
        score = torch.cat([score, torch.ones_like(score[..., :1])], -1)
        return index, score, ((place < self.reads) | every).to(x.dtype), ((place < self.topk) | every).to(x.dtype)

    def queries_keys(self, x: Tensor, slots: int) -> list[Tensor]:
        """Return q and k [B, T, R, H, K] before their activations; the last partition takes every token."""
        # Partitions of tokens have low-rank additions to the projections; the partition of every token has none.
        pairs = []
        for common, own in ((self.q_proj(x), self.lora_q_proj), (self.k_proj(x), self.lora_k_proj)):
            alone, every = (split_heads(value, self.head_dim)[:, :, None] for value in (common + own(x), common))
            pairs.append(torch.cat([alone.expand(-1, -1, slots - 1, -1, -1), every], 2))
        return pairs

    def values(self, x: Tensor, slots: int) -> Tensor:
        """Return v [B, T, R, H, V]."""
        return F.silu(split_heads(self.v_proj(x), self.v_size))[:, :, None].expand(-1, -1, slots, -1, -1)


@dataclass(eq=False, repr=False, kw_only=True)
class SSE(ExpandedMixer):
    """Sparse state expansion: gated linear attention over partitions of the state (Pan et al. 2025, arXiv 2507.16577).

    Keys are softmaxes, queries silu; both are scaled by the partition's score.

    Args:
        gate_low_rank_dim: rank of the low-rank maps of the decays; `gate_logit_normalizer`: see `GLA`.
    """

    chunk = 16

    gate_low_rank_dim: int = 16
    gate_logit_normalizer: float = 16.0

    def build(self) -> None:
        self.expand()
        keys = self.heads * self.head_dim
        self.gk_proj = nn.ModuleList([low_rank(self.width, self.gate_low_rank_dim, keys, True) for _ in range(2)])
        self.output_low_rank()

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        index, score, reads, writes = self.route(x)
        slots = index.shape[2]
        score = score[..., None, None]
        q, k = self.queries_keys(x, slots)
        common_g, own_g = (
            F.logsigmoid(split_heads(layer(x), self.head_dim)) / self.gate_logit_normalizer for layer in self.gk_proj
        )
        g = torch.cat([own_g[:, :, None].expand(-1, -1, slots - 1, -1, -1), common_g[:, :, None]], 2)
        # k and g are 0 where nothing is written: such a partition neither decays nor changes.
        inputs = {"q": F.silu(q) * score * reads, "k": k.softmax(-1) * score * writes, "v": self.values(x, slots)}
        return inputs | {"g": g * writes, "index": index}, {}

    def write(self, memory: Tensor, inputs: Inputs) -> Tensor:
        return decayed(memory, inputs["g"]) + inputs["k"][..., None] * inputs["v"][..., None, :]

    def run(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        q, k, v, g = (inputs[name] for name in ("q", "k", "v", "g"))
        return chunks.additive(q * self.scale, k, v, memory, g, self.chunk)


@dataclass(eq=False, repr=False, kw_only=True)
class SSEDelta(ExpandedMixer):
    """Sparse state expansion of the gated delta rule: each partition is corrected as in `GatedDeltaNet`.

    q and k are silu and normalised; a partition's score scales q and beta, so that a step stays a correction.

    Args:
        allow_neg_eigval: see `DeltaNet`.
    """

    allow_neg_eigval: bool = False

    def build(self) -> None:
        self.expand()
        self.a_proj = linear(self.width, self.heads)
        self.b_proj = linear(self.width, self.heads)
        self.A_log = initial_a_log(self.heads)
        self.dt_bias = initial_dt_bias(self.heads)
        self.output_low_rank()

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        index, score, reads, writes = self.route(x)
        slots = index.shape[2]
        writes = writes[..., 0]
        q, k = (l2_normalise(F.silu(value)) for value in self.queries_keys(x, slots))
        # beta up to 2 lets I - beta k k^T have an eigenvalue down to -1.
        max_beta = 2 if self.allow_neg_eigval else 1
        beta = self.b_proj(x).sigmoid() * max_beta
        inputs = {
            "q": q * score[..., None, None] * reads,
            "k": k,
            "v": self.values(x, slots),
            "beta": beta[:, :, None] * score[..., None] * writes,
            "g": log_decays(self.a_proj(x), self.A_log, self.dt_bias)[:, :, None] * writes,
        }
        return inputs | {"index": index}, {}

    def write(self, memory: Tensor, inputs: Inputs) -> Tensor:
        return delta_step(memory, inputs["k"], inputs["v"], inputs["beta"], inputs["g"])

    def run(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        q, k, v, beta, g = (inputs[name] for name in ("q", "k", "v", "beta", "g"))
        return chunks.delta(q * self.scale, k, v, beta, memory, g, self.chunk)
