"""Sparse state expansion: partitions of the state, each token writing and reading a few."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ....base.errors import lookup, require
from . import chunks
from .base import Inputs, Mixer, Shared, State
from .compiled import Routed, Routing, Step
from .linear_system import LinearSystem, additive_system, delta_system
from .matrix_memory import decayed, delta_step
from .modules import (
    ShortConv,
    divide,
    initial_a_log,
    initial_dt_bias,
    l2_normalise,
    linear,
    log_decays,
    low_rank,
    repeat_heads,
    split_heads,
)
from .routed_memories import RoutedMixer

UPDATES = ("gla", "gdn")


@dataclass(eq=False, repr=False, kw_only=True)
class SSE(RoutedMixer):
    """Sparse state expansion: partitions of the state, and one that every token uses (Pan et al. 2025, 2507.16577).

    A token writes the `topk` partitions of highest score softmax(W_e x), and reads the `readers` of highest score.
    Partitions not written neither decay nor change. q and k of the common partition may pass a short convolution;
    those of the others have low-rank additions instead.

    With 'gla' the update is that of `GLA`: keys are softmaxes, queries silu, and a partition's score scales both. With
    'gdn' it is that of `GatedDeltaNet`: q and k are silu and normalised, and the score scales q and beta, so that a
    step stays a correction. Decays and beta of the common partition have projections of their own.

    Args:
        linear_attn_type: 'gla' or 'gdn'.
        num_sparse_partition: number of partitions beside the common one.
        readers: partitions that a token reads (default: `topk`).
        num_v_heads: heads of v and of the state, a multiple of num_heads (default: num_heads).
        conv_size: tokens of the convolutions, 0 for none.
        gate_low_rank_dim: rank of the low-rank maps of the decays of 'gla'; `gate_logit_normalizer`: see `GLA`.
        allow_neg_eigval: of 'gdn', see `DeltaNet`.
    """

    linear_attn_type: str = "gla"
    num_sparse_partition: int = 4
    readers: int | None = None
    num_v_heads: int | None = None
    conv_size: int = 0
    gate_low_rank_dim: int = 16
    gate_logit_normalizer: float = 16.0
    allow_neg_eigval: bool = False

    def build(self) -> None:
        lookup(dict.fromkeys(UPDATES), self.linear_attn_type, self.name("linear_attn_type"))
        self.group(self.num_sparse_partition, "partitions", True)
        partitions = self.num_sparse_partition
        # A token may read other partitions than it writes; their number may differ.
        read = self.topk if self.readers is None else self.readers
        require(0 < read <= partitions, self.name("readers"), f"must be > 0 and <= {partitions} partitions", read)
        require(self.conv_size >= 0, self.name("conv_size"), "must be >= 0 tokens", self.conv_size)
        self.reads = read
        self.heads = self.num_v_heads or self.num_heads
        # A head of q and k serves a group of the heads of v and of the state.
        self.groups = divide(self.heads, self.num_heads, self.name("num_v_heads"))
        width = self.width
        rank = self.v_size
        keys = self.num_heads * self.head_dim
        values = self.heads * self.v_size
        self.q_proj = linear(width, keys)
        self.k_proj = linear(width, keys)
        self.v_proj = linear(width, values)
        self.e_proj = linear(width, partitions)
        self.lora_q_proj, self.lora_k_proj = (low_rank(width, rank, keys) for _ in range(2))
        if self.conv_size:
            self.q_conv1d, self.k_conv1d = (ShortConv(keys, self.conv_size, activation=None) for _ in range(2))
        if self.linear_attn_type == "gla":
            self.chunk = 16
            rank = self.gate_low_rank_dim
            self.gk_proj = nn.ModuleList([low_rank(width, rank, keys, bias=True) for _ in range(2)])
        else:
            self.chunk = Mixer.chunk
            self.a_proj = linear(width, 2 * self.heads)
            self.b_proj = linear(width, 2 * self.heads)
            self.A_log = initial_a_log(2 * self.heads)
            self.dt_bias = initial_dt_bias(2 * self.heads)
        if self.gate_fn is None:
            gate = None
        else:
            gate = low_rank(width, self.v_size, values)
        self.output(gate)

    def initial(self, x: Tensor) -> State:
        state = super().initial(x)
        if self.conv_size:
            state |= {"q_tail": self.q_conv1d.initial(x), "k_tail": self.k_conv1d.initial(x)}
        return state

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

    def queries_keys(self, x: Tensor, state: State) -> tuple[list[Tensor], State]:
        """Return q and k of the common partition, then of the others, [B, T, H K], and the tails behind them."""
        values = []
        tails = {}
        for name in "qk":
            common = getattr(self, f"{name}_proj")(x)
            own = common + getattr(self, f"lora_{name}_proj")(x)
            if self.conv_size:
                tail = f"{name}_tail"
                common, tails[tail] = getattr(self, f"{name}_conv1d")(common, state[tail])
            values += [common, own]
        return values, tails

    def activated(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        """Return q and k [.., heads of q, K] of a partition as its recurrence takes them, without its score."""
        q, k = (split_heads(value, self.head_dim) for value in (q, k))
        if self.linear_attn_type == "gla":
            return F.silu(q), k.softmax(-1)
        return l2_normalise(F.silu(q)), l2_normalise(F.silu(k))

    def gates(self, x: Tensor) -> list[dict[str, Tensor]]:
        """Return g [B, T, H, K] of GLA, or g and beta [B, T, H], of the common partition and of the others."""
        if self.linear_attn_type == "gla":
            logits = (split_heads(layer(x), self.head_dim) for layer in self.gk_proj)
            return [
                {"g": repeat_heads(F.logsigmoid(each) / self.gate_logit_normalizer, self.groups)} for each in logits
            ]
        # beta up to 2 lets I - beta k k^T have an eigenvalue down to -1.
        max_beta = 2 if self.allow_neg_eigval else 1
        beta = self.b_proj(x).sigmoid() * max_beta
        g = log_decays(self.a_proj(x), self.A_log, self.dt_bias)
        parts = (slice(0, self.heads), slice(self.heads, 2 * self.heads))
        return [{"g": g[..., part], "beta": beta[..., part]} for part in parts]

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        index, score, reads, writes = self.route(x)
        slots = index.shape[2]
        (common_q, own_q, common_k, own_k), tails = self.queries_keys(x, state)
        common = [repeat_heads(value, self.groups) for value in self.activated(common_q, common_k)]
        own = [repeat_heads(value, self.groups) for value in self.activated(own_q, own_k)]
        q, k = (_in_slots(a, b, slots) for a, b in zip(common, own, strict=True))
        v = F.silu(split_heads(self.v_proj(x), self.v_size))[:, :, None].expand(-1, -1, slots, -1, -1)
        first, rest = self.gates(x)
        gates = {name: _in_slots(first[name], rest[name], slots) for name in first}
        score = score[..., None]
        inputs = {"q": q * score[..., None] * reads, "v": v, "index": index}
        # g, and k or beta, are 0 where nothing is written: such a partition neither decays nor changes.
        if self.linear_attn_type == "gla":
            inputs |= {"k": k * score[..., None] * writes, "g": gates["g"] * writes}
        else:
            writes = writes[..., 0]
            inputs |= {"k": k, "beta": gates["beta"] * score * writes, "g": gates["g"] * writes}
        return inputs, tails

    def compiled_layer(self, step: Step, x: Tensor, state: State, shared: Shared) -> Tensor | None:
        scores = self.e_proj(x)
        step.evaluate(scores)
        (common_q, own_q, common_k, own_k), _ = self.queries_keys(x, state)
        v = F.silu(self.v_proj(x))
        common_gates, own_gates = self.gates(x)
        step.evaluate(common_q, own_q, common_k, own_k, v, *common_gates.values(), *own_gates.values())
        # Partitions that are read and those that are written are the first by score: the fewer are among the more.
        more = max(self.topk, self.reads)
        fewer = min(self.topk, self.reads)
        choice = Routing(more, fewer=None if fewer == more else fewer, all_take_one_more=True)
        v = split_heads(v, self.v_size)
        scaled = "k" if self.linear_attn_type == "gla" else "beta"

        def inputs_of(number: int, route: Routed) -> Inputs:
            # The last partition takes every token, without the low-rank additions of the others.
            is_common = number == self.count - 1
            q, k = self.activated(common_q, common_k) if is_common else self.activated(own_q, own_k)
            token = {"q": q, "k": k, "v": v} | (common_gates if is_common else own_gates)
            # 1 where the partition is read, and where it is written: as in `project`, what is not is 0.
            reads = route.among if self.reads < self.topk else None
            writes = route.among if self.topk < self.reads else None
            token["q"] = _times(token["q"], route.weight, reads)
            token[scaled] = _times(token[scaled], route.weight, writes)
            token["g"] = _times(token["g"], writes)
            return token | {name: repeat_heads(token[name], self.groups) for name in "qk"}

        return self.finish(self.summed(step, step.route(scores, choice), inputs_of), x, {})

    def compiled(self, step: Step, memory: Tensor, inputs: Inputs) -> Tensor | None:
        if self.linear_attn_type == "gla":
            return step.additive(memory, inputs, self.scale)
        return step.delta(memory, inputs, self.scale)

    def write(self, memory: Tensor, inputs: Inputs) -> Tensor:
        if self.linear_attn_type == "gla":
            return decayed(memory, inputs["g"]) + inputs["k"][..., None] * inputs["v"][..., None, :]
        return delta_step(memory, inputs["k"], inputs["v"], inputs["beta"], inputs["g"])

    def memory_system(self, inputs: Inputs) -> LinearSystem:
        if self.linear_attn_type == "gla":
            return additive_system(inputs, self.scale)
        return delta_system(inputs, self.scale)

    def run(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        q, k, v, g = (inputs[name] for name in ("q", "k", "v", "g"))
        q = q * self.scale
        if self.linear_attn_type == "gla":
            return chunks.additive(q, k, v, memory, g, self.chunk)
        return chunks.delta(q, k, v, inputs["beta"], memory, g, self.chunk)


def _times(x: Tensor, *factors: Tensor | None) -> Tensor:
    """Return x [B, 1, ..] times factors [B, 1] of each token, which may be None."""
    for factor in factors:
        if factor is not None:
            x = x * factor.reshape(-1, *[1] * (x.dim() - 1))
    return x


def _in_slots(common: Tensor, own: Tensor, slots: int) -> Tensor:
    """Return [B, T, slots, ..]: `own` [B, T, ..] in all but the last, which is the common partition."""
    shape = [-1, -1, slots - 1] + [-1] * (own.dim() - 2)
    return torch.cat([own[:, :, None].expand(shape), common[:, :, None]], 2)
