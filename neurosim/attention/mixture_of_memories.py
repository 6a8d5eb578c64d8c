"""Kinds with several memories, each token touching a few: mixture of memories and sparse state expansion."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import require
from . import chunks
from .base import Depth, Inputs, Shared, State, decayed, delta_step, read
from .modules import (
    ShortConv,
    initial_a_log,
    initial_dt_bias,
    l2_normalise,
    linear,
    log_decays,
    low_rank,
    split_heads,
)
from .qkv import GatedMixer


class Packing:
    """The tokens of each memory packed one behind the other.

    Args:
        index: [B, T, R] memories of each token, all different.
        count: number of memories.
        unordered: of the R, the number whose tokens are in the order of `torch.argsort` instead of time, see `MoM`.

    Attributes:
        source: [B, count, L] position t R + r of each packed token, in order of time.
        valid: [B, count, L] false where a memory has fewer than L tokens.
    """

    def __init__(self, index: Tensor, count: int, unordered: int = 0) -> None:
        self.slots = index.shape[2]
        rank = torch.arange(index[0].numel(), device=index.device).expand(len(index), -1)
        if unordered:
            rank = rank.unflatten(1, index.shape[1:]).clone()
            rank[..., :unordered] = _unordered_rank(index[..., :unordered])
            rank = rank.flatten(1)
        chosen = index.flatten(1)[:, None] == torch.arange(count, device=index.device)[:, None]
        self.sizes = chosen.sum(-1)
        length = int(self.sizes.max())
        last = rank.max() + 1
        self.source = torch.where(chosen, rank[:, None], last).argsort(dim=-1, stable=True)[..., :length]
        self.valid = torch.arange(length, device=index.device) < self.sizes[..., None]

    def pack(self, x: Tensor) -> Tensor:
        """[B, T, R, ..] to [B, count, L, ..], zero where not valid."""
        flat = x.flatten(1, 2)
        where = self.source.flatten(1)
        packed = flat[torch.arange(len(x), device=x.device)[:, None], where].unflatten(1, self.source.shape[1:])
        return packed * self.valid.reshape(*self.valid.shape, *[1] * (packed.dim() - 3)).to(x.dtype)

    def unpack(self, y: Tensor, length: int) -> Tensor:
        """[B, count, L, ..] to [B, T, R, ..]."""
        out = y.new_zeros(len(y), length * self.slots, *y.shape[3:])
        batch = torch.arange(len(y), device=y.device)[:, None, None].expand_as(self.source)
        return out.index_put((batch[self.valid], self.source[self.valid]), y[self.valid]).unflatten(
            1, (length, self.slots)
        )


def _unordered_rank(index: Tensor) -> Tensor:
    """[B, T, R] positions of tokens in an argsort by sequence and memory that is not stable."""
    spans = torch.arange(len(index), device=index.device)[:, None, None] * (index.max() + 1)
    order = (spans + index).flatten().argsort()
    return torch.empty_like(order).scatter(0, order, torch.arange(len(order), device=order.device)).view_as(index)


class MoM(GatedMixer):
    """Mixture of memories: gated delta rules; a router picks `topk` of them for each token, one more is shared (Du et
    al. 2025, arXiv 2502.13685).

    Outputs are summed with the routing weights (softmax over all, renormalised over the memories picked); the output
    of the shared memory is added. A short convolution sees the tokens routed to its memory as the whole sequence.

    Args:
        width: D, channels of x.
        num_heads, head_dim: heads of each memory, and channels of a key.
        head_v_dim: channels of a value (default: `head_dim`).
        num_memories, topk: number of memories, and of those that a token uses.
        shared_mem: add a memory that sees every token.
        single_kv_proj: one projection of keys and values for all memories.
        library_order: where many tokens come at once, order those of a memory by `torch.argsort`, which is not stable,
            as flash-linear-attention 0.6.0 does: a token may then see later ones. Gives its numbers exactly, but
            depends on torch and processor. Without it, and for one token at a time, the order is that of time.
        gate_fn, conv_size, conv_bias, norm_eps: see `DeltaNet`.
    """

    why_not_parallel = "its convolutions follow the tokens routed to each memory, which lie in other processes"

    def __init__(
        self,
        width: int,
        depth: Depth,
        num_heads: int = 2,
        head_dim: int = 32,
        head_v_dim: int | None = None,
        num_memories: int = 4,
        topk: int = 2,
        shared_mem: bool = True,
        single_kv_proj: bool = False,
        library_order: bool = False,
        gate_fn: str | None = "swish",
        conv_size: int = 4,
        conv_bias: bool = False,
        norm_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        require(0 < topk <= num_memories, "MoM.topk", f"must be > 0 and <= {num_memories} memories", topk)
        self.memory_heads, self.head_k_dim, self.head_v_dim = num_heads, head_dim, head_v_dim or head_dim
        self.num_memories, self.topk, self.shared_mem = num_memories, topk, shared_mem
        self.scale, self.conv_size = head_dim**-0.5, conv_size
        self.unordered = topk if library_order else 0
        keys, values = num_heads * head_dim, num_heads * self.head_v_dim
        self.q_proj, self.gate_proj = linear(width, keys), linear(width, num_memories)
        for name, size in {"k": keys, "v": values, "b": num_heads, "a": num_heads}.items():
            if not single_kv_proj:
                each = nn.ModuleList([linear(width, size) for _ in range(num_memories)])
                setattr(self, f"{name}_proj", each)
            if single_kv_proj or shared_mem:
                setattr(self, f"shared_{name}", linear(width, size))
        self.A_log, self.dt_bias = initial_a_log(num_heads), initial_dt_bias(num_heads)
        for name in "qkv" if conv_size else "":
            setattr(self, f"{name}_conv1d", ShortConv(values if name == "v" else keys, conv_size, conv_bias))
        self.output(width, gate_fn, norm_eps)

    def initial(self, x: Tensor) -> State:
        count = self.num_memories + self.shared_mem
        state = {"memory": x.new_zeros(len(x), count, self.memory_heads, self.head_k_dim, self.head_v_dim)}
        for name in "qkv" if self.conv_size else "":
            tail = getattr(self, f"{name}_conv1d").initial(x)
            state[f"{name}_tail"] = tail[:, None].repeat(1, count, 1, 1)
        return state

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        scores = self.gate_proj(x).softmax(-1)
        weight, index = scores.topk(self.topk, -1)
        weight = weight / weight.sum(-1, keepdim=True)
        if self.shared_mem:
            weight = torch.cat([weight, torch.ones_like(weight[..., :1])], -1)
            index = torch.cat([index, torch.full_like(index[..., :1], self.num_memories)], -1)
        packing = Packing(index, self.num_memories + self.shared_mem, self.unordered)
        packed = packing.pack(x[:, :, None].expand(-1, -1, index.shape[2], -1))
        values = {"q": self.q_proj(packed)} | {name: self._each(name, packed) for name in "kvba"}
        tails = {}
        for name in "qkv":
            if self.conv_size:
                values[name], tails[f"{name}_tail"] = self._convolved(name, values[name], state, packing)
            else:
                values[name] = F.silu(values[name])
        unpacked = {name: packing.unpack(value, x.shape[1]) for name, value in values.items()}
        inputs = {
            "q": l2_normalise(split_heads(unpacked["q"], self.head_k_dim)),
            "k": l2_normalise(split_heads(unpacked["k"], self.head_k_dim)),
            "v": split_heads(unpacked["v"], self.head_v_dim),
            "beta": unpacked["b"].sigmoid(),
            "g": log_decays(unpacked["a"], self.A_log, self.dt_bias),
        }
        return inputs | {"index": index, "weight": weight}, tails

    def _each(self, name: str, packed: Tensor) -> Tensor:
        """[B, memories, L, ..]: the tokens of every memory through its own projection."""
        shared = getattr(self, f"shared_{name}", None)
        own = getattr(self, f"{name}_proj", [shared] * self.num_memories)
        layers = [*own, shared] if self.shared_mem else own
        return torch.stack([layer(packed[:, m]) for m, layer in enumerate(layers)], 1)

    def _convolved(self, name: str, value: Tensor, state: State, packing: Packing) -> tuple[Tensor, Tensor]:
        conv: ShortConv = getattr(self, f"{name}_conv1d")
        known = torch.cat([state[f"{name}_tail"], value], 2)
        out = conv.apply_to(known.flatten(0, 1), value.shape[2]).unflatten(0, value.shape[:2])
        # The tail of a memory lies behind its last token.
        last = packing.sizes[..., None] + torch.arange(conv.size - 1, device=value.device)
        return out, known.gather(2, last[..., None].expand(-1, -1, -1, value.shape[-1]))

    def recur(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """memory [B, M, H, K, V]; inputs q, k, v, beta, g [B, R, H, ..], index and weight [B, R]."""
        rows = torch.arange(len(memory), device=memory.device)[:, None]
        new = delta_step(memory[rows, inputs["index"]], inputs["k"], inputs["v"], inputs["beta"], inputs["g"])
        out = read(new, inputs["q"]) * self.scale
        memory = memory.index_put((rows.expand_as(inputs["index"]), inputs["index"]), new)
        return memory, (out * inputs["weight"][..., None, None]).sum(1)

    def chunked(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        packing = Packing(inputs["index"], memory.shape[1], self.unordered)
        q, k, v, beta, g = (packing.pack(inputs[n]).flatten(0, 1) for n in ("q", "k", "v", "beta", "g"))
        after, out = chunks.delta(q * self.scale, k, v, beta, memory.flatten(0, 1), g, self.chunk)
        out = packing.unpack(out.unflatten(0, memory.shape[:2]), inputs["q"].shape[1])
        return after.unflatten(0, memory.shape[:2]), (out * inputs["weight"][..., None, None]).sum(2)


class SSE(GatedMixer):
    """Sparse state expansion: gated linear attention over partitions of the state; a token writes and reads the `topk`
    partitions of highest score, and one that every token uses (Pan et al. 2025, arXiv 2507.16577).

    Keys are softmaxes, queries silu; both are scaled by the partition's score softmax(W_e x). Partitions not picked
    neither decay nor change.

    Args:
        width: D, channels of x.
        num_heads, head_dim, head_v_dim: see `MoM`.
        num_sparse_partition, topk: number of partitions, and of those that a token uses.
        gate_low_rank_dim: of the low-rank maps of the decays; `gate_logit_normalizer`: see `GLA`.
        gate_fn, norm_eps: see `DeltaNet`.
    """

    chunk = 16

    def __init__(
        self,
        width: int,
        depth: Depth,
        num_heads: int = 2,
        head_dim: int = 32,
        head_v_dim: int | None = None,
        num_sparse_partition: int = 4,
        topk: int = 1,
        gate_low_rank_dim: int = 16,
        gate_logit_normalizer: float = 16.0,
        gate_fn: str | None = "swish",
        norm_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        in_range = 0 < topk <= num_sparse_partition
        require(in_range, "SSE.topk", f"must be > 0 and <= {num_sparse_partition} partitions", topk)
        self.memory_heads, self.head_k_dim, self.head_v_dim = num_heads, head_dim, head_v_dim or head_dim
        self.partitions, self.topk, self.scale = num_sparse_partition, topk, head_dim**-0.5
        self.gate_logit_normalizer = gate_logit_normalizer
        keys, values, rank = num_heads * head_dim, num_heads * self.head_v_dim, self.head_v_dim
        self.q_proj, self.k_proj = linear(width, keys), linear(width, keys)
        self.v_proj, self.e_proj = linear(width, values), linear(width, num_sparse_partition)
        self.lora_q_proj, self.lora_k_proj = (low_rank(width, rank, keys) for _ in range(2))
        self.gk_proj = nn.ModuleList([low_rank(width, gate_low_rank_dim, keys, True) for _ in range(2)])
        self.output(width, gate_fn, norm_eps, g_proj=None if gate_fn is None else low_rank(width, rank, values))

    def initial(self, x: Tensor) -> State:
        shape = self.partitions + 1, self.memory_heads, self.head_k_dim, self.head_v_dim
        return {"memory": x.new_zeros(len(x), *shape)}

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        score, index = self.e_proj(x).softmax(-1).topk(self.topk, -1)
        q, k = self.q_proj(x), self.k_proj(x)
        both = []
        for common, own, act in ((q, self.lora_q_proj, F.silu), (k, self.lora_k_proj, lambda y: y.softmax(-1))):
            alone, every = (act(split_heads(value, self.head_k_dim)) for value in (common + own(x), common))
            both.append(torch.cat([alone[:, :, None] * score[..., None, None], every[:, :, None]], 2))
        common_g, own_g = (
            F.logsigmoid(split_heads(layer(x), self.head_k_dim)) / self.gate_logit_normalizer for layer in self.gk_proj
        )
        slots = index.shape[2]
        g = torch.cat([own_g[:, :, None].expand(-1, -1, slots, -1, -1), common_g[:, :, None]], 2)
        v = F.silu(split_heads(self.v_proj(x), self.head_v_dim))[:, :, None].expand(-1, -1, slots + 1, -1, -1)
        index = torch.cat([index, torch.full_like(index[..., :1], self.partitions)], -1)
        return {"q": both[0], "k": both[1], "v": v, "g": g, "index": index}, {}

    def recur(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """memory [B, P + 1, H, K, V]; inputs q, k, v, g [B, R, H, ..], index [B, R]."""
        rows = torch.arange(len(memory), device=memory.device)[:, None]
        new = decayed(memory[rows, inputs["index"]], inputs["g"])
        new = new + inputs["k"][..., None] * inputs["v"][..., None, :]
        memory = memory.index_put((rows.expand_as(inputs["index"]), inputs["index"]), new)
        return memory, read(new, inputs["q"]).sum(1) * self.scale

    def chunked(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        packing = Packing(inputs["index"], memory.shape[1])
        q, k, v, g = (packing.pack(inputs[n]).flatten(0, 1) for n in ("q", "k", "v", "g"))
        after, out = chunks.additive(q * self.scale, k, v, memory.flatten(0, 1), g, self.chunk)
        out = packing.unpack(out.unflatten(0, memory.shape[:2]), inputs["q"].shape[1])
        return after.unflatten(0, memory.shape[:2]), out.sum(2)
