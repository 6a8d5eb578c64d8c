"""Kinds with several memories, of which a token touches a few: mixture of memories and sparse state expansion."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import require
from . import chunks
from .base import Inputs, Mixer, Place, Shared, State, decayed, delta_step, read
from .parts import ACTIVATIONS, Norm, ShortConv, activation, heads, linear, low_rank, step_bias, unit
from .projected import log_decays


class Packing:
    """Which tokens go to which memory, and where they lie when each memory's tokens are put one behind the other.

    Args:
        index: [B, T, R] memories of each token, all different.
        count: of memories.
        loose: of the R, how many are in the order of `torch.argsort` instead of time, see `MoM`.

    Attributes:
        source: [B, count, L] position t R + r of each packed token, in order of time.
        valid: [B, count, L] false where a memory has fewer than L tokens.
    """

    def __init__(self, index: Tensor, count: int, loose: int = 0) -> None:
        self.slots = index.shape[2]
        rank = torch.arange(index[0].numel(), device=index.device).expand(len(index), -1)
        if loose:
            rank = rank.unflatten(1, index.shape[1:]).clone()
            rank[..., :loose] = _loose_rank(index[..., :loose])
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


def _loose_rank(index: Tensor) -> Tensor:
    """[B, T, R] places of tokens in an argsort by sequence and memory that is not stable."""
    spans = torch.arange(len(index), device=index.device)[:, None, None] * (index.max() + 1)
    order = (spans + index).flatten().argsort()
    return torch.empty_like(order).scatter(0, order, torch.arange(len(order), device=order.device)).view_as(index)


class MoM(Mixer):
    """Mixture of memories: gated delta rules, of which a token uses the `top` its router picks, and one shared (Du et
    al. 2025, arXiv 2502.13685).

    Outputs are summed with the routing weights (softmax over all, renormalised over those picked); that of the shared
    memory is added. A short convolution sees the tokens routed to its memory, as if they were the whole sequence.

    Args:
        width: D, channels of x.
        heads, head: of each memory, and channels of a key.
        value: channels of a value (default: `head`).
        memories, top: how many there are, and how many a token uses.
        shared: with a memory that sees every token.
        single: one projection of keys and values for all memories.
        library_order: when many tokens are given at once, put those of a memory in the order of `torch.argsort`, which
            keeps equal keys in no order, as flash-linear-attention 0.6.0 does: then a token may see later ones. For
            its numbers exactly; depends on torch and processor. Without it, and one token at a time, order is time.
        gate, conv, conv_bias, eps: as of `DeltaNet`.
    """

    alone = "its convolutions follow the tokens routed to each memory, which lie in other processes"

    def __init__(
        self,
        width: int,
        place: Place,
        heads: int = 2,
        head: int = 32,
        value: int | None = None,
        memories: int = 4,
        top: int = 2,
        shared: bool = True,
        single: bool = False,
        library_order: bool = False,
        gate: str | None = "swish",
        conv: int = 4,
        conv_bias: bool = False,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        require(0 < top <= memories, "MoM.top", f"must be > 0 and <= {memories} memories", top)
        self.heads, self.key, self.value = heads, head, value or head
        self.memories, self.top, self.shared, self.single = memories, top, shared, single
        self.scale, self.conv, self.gate = head**-0.5, conv, gate
        self.loose = top if library_order else 0
        sizes = {"k": heads * head, "v": heads * self.value, "b": heads, "a": heads}
        self.q_proj, self.gate_proj = linear(width, heads * head), linear(width, memories)
        for name, size in sizes.items():
            if not single:
                each = nn.ModuleList([linear(width, size) for _ in range(memories)])
                setattr(self, f"{name}_proj", each)
            if single or shared:
                setattr(self, f"shared_{name}", linear(width, size))
        self.A_log = nn.Parameter(torch.empty(heads).uniform_(1, 16).log())
        self.dt_bias = nn.Parameter(step_bias(heads))
        for name in "qkv" if conv else "":
            channels = heads * (self.value if name == "v" else head)
            setattr(self, f"{name}_conv1d", ShortConv(channels, conv, conv_bias))
        if gate is not None:
            activation(gate, "MoM.gate")
            self.g_proj = linear(width, heads * self.value)
        self.o_norm, self.o_proj = Norm(self.value, eps), linear(heads * self.value, width)

    def initial(self, x: Tensor) -> State:
        count = self.memories + self.shared
        state = {"memory": x.new_zeros(len(x), count, self.heads, self.key, self.value)}
        for name in "qkv" if self.conv else "":
            tail = getattr(self, f"{name}_conv1d").initial(x)
            state[f"{name}_tail"] = tail[:, None].repeat(1, count, 1, 1)
        return state

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        scores = self.gate_proj(x).softmax(-1)
        weight, index = scores.topk(self.top, -1)
        weight = weight / weight.sum(-1, keepdim=True)
        if self.shared:
            weight = torch.cat([weight, torch.ones_like(weight[..., :1])], -1)
            index = torch.cat([index, torch.full_like(index[..., :1], self.memories)], -1)
        packing = Packing(index, self.memories + self.shared, self.loose)
        packed = packing.pack(x[:, :, None].expand(-1, -1, index.shape[2], -1))
        values = {"q": self.q_proj(packed)} | {name: self._each(name, packed) for name in "kvba"}
        kept = {}
        for name in "qkv":
            if self.conv:
                values[name], kept[f"{name}_tail"] = self._convolved(name, values[name], state, packing)
            else:
                values[name] = F.silu(values[name])
        unpacked = {name: packing.unpack(value, x.shape[1]) for name, value in values.items()}
        inputs = {
            "q": unit(heads(unpacked["q"], self.key)),
            "k": unit(heads(unpacked["k"], self.key)),
            "v": heads(unpacked["v"], self.value),
            "beta": unpacked["b"].sigmoid(),
            "g": log_decays(unpacked["a"], self.A_log, self.dt_bias),
        }
        return inputs | {"index": index, "weight": weight}, kept

    def _each(self, name: str, packed: Tensor) -> Tensor:
        """[B, memories, L, ..]: every memory's own projection of its tokens."""
        shared = getattr(self, f"shared_{name}", None)
        own = getattr(self, f"{name}_proj", [shared] * self.memories)
        layers = [*own, shared] if self.shared else own
        return torch.stack([layer(packed[:, m]) for m, layer in enumerate(layers)], 1)

    def _convolved(self, name: str, value: Tensor, state: State, packing: Packing) -> tuple[Tensor, Tensor]:
        conv: ShortConv = getattr(self, f"{name}_conv1d")
        known = torch.cat([state[f"{name}_tail"], value], 2)
        out = conv.apply_to(known.flatten(0, 1), value.shape[2]).unflatten(0, value.shape[:2])
        # Behind each memory's last token: its tail, however many tokens it got.
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
        packing = Packing(inputs["index"], memory.shape[1], self.loose)
        q, k, v, beta, g = (packing.pack(inputs[n]).flatten(0, 1) for n in ("q", "k", "v", "beta", "g"))
        after, out = chunks.delta(q * self.scale, k, v, beta, memory.flatten(0, 1), g, self.chunk)
        out = packing.unpack(out.unflatten(0, memory.shape[:2]), inputs["q"].shape[1])
        return after.unflatten(0, memory.shape[:2]), (out * inputs["weight"][..., None, None]).sum(2)

    def finish(self, out: Tensor, x: Tensor, inputs: Inputs) -> Tensor:
        out = self.o_norm(out)
        if self.gate is not None:
            out = out * ACTIVATIONS[self.gate](heads(self.g_proj(x), self.value))
        return self.o_proj(out.flatten(-2))


class SSE(Mixer):
    """Sparse state expansion: gated linear attention over partitions of the state, of which a token writes and reads
    the `top` of its scores, beside one that every token uses (Pan et al. 2025, arXiv 2507.16577).

    Keys are softmaxes, queries silu; both are scaled by the partition's score softmax(W_e x). Partitions not picked
    neither decay nor change.

    Args:
        width: D, channels of x.
        heads, head, value: as of `MoM`.
        partitions, top: how many there are, and how many a token uses.
        rank: of the decays' low-rank maps; `normaliser` as of `GLA`.
        gate, eps: as of `DeltaNet`.
    """

    chunk = 16

    def __init__(
        self,
        width: int,
        place: Place,
        heads: int = 2,
        head: int = 32,
        value: int | None = None,
        partitions: int = 4,
        top: int = 1,
        rank: int = 16,
        normaliser: float = 16.0,
        gate: str | None = "swish",
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        require(0 < top <= partitions, "SSE.top", f"must be > 0 and <= {partitions} partitions", top)
        self.heads, self.key, self.value = heads, head, value or head
        self.partitions, self.top, self.normaliser, self.scale = partitions, top, normaliser, head**-0.5
        keys, self.gate = heads * head, gate
        self.q_proj, self.k_proj = linear(width, keys), linear(width, keys)
        self.v_proj, self.e_proj = linear(width, heads * self.value), linear(width, partitions)
        self.lora_q_proj, self.lora_k_proj = (low_rank(width, self.value, keys) for _ in range(2))
        self.gk_proj = nn.ModuleList([low_rank(width, rank, keys, True) for _ in range(2)])
        if gate is not None:
            activation(gate, "SSE.gate")
            self.g_proj = low_rank(width, self.value, heads * self.value)
        self.o_norm, self.o_proj = Norm(self.value, eps), linear(heads * self.value, width)

    def initial(self, x: Tensor) -> State:
        return {"memory": x.new_zeros(len(x), self.partitions + 1, self.heads, self.key, self.value)}

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        score, index = self.e_proj(x).softmax(-1).topk(self.top, -1)
        q, k = self.q_proj(x), self.k_proj(x)
        both = []
        for common, own, act in ((q, self.lora_q_proj, F.silu), (k, self.lora_k_proj, lambda y: y.softmax(-1))):
            alone, every = (act(heads(value, self.key)) for value in (common + own(x), common))
            both.append(torch.cat([alone[:, :, None] * score[..., None, None], every[:, :, None]], 2))
        common_g, own_g = (F.logsigmoid(heads(layer(x), self.key)) / self.normaliser for layer in self.gk_proj)
        slots = index.shape[2]
        g = torch.cat([own_g[:, :, None].expand(-1, -1, slots, -1, -1), common_g[:, :, None]], 2)
        v = F.silu(heads(self.v_proj(x), self.value))[:, :, None].expand(-1, -1, slots + 1, -1, -1)
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

    def finish(self, out: Tensor, x: Tensor, inputs: Inputs) -> Tensor:
        out = self.o_norm(out)
        if self.gate is not None:
            out = out * ACTIVATIONS[self.gate](heads(self.g_proj(x), self.value))
        return self.o_proj(out.flatten(-2))
