"""Mixture of memories: gated delta rules, each for the tokens that a router sends to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ....base.errors import require
from . import chunks
from .base import Inputs, Shared, State
from .compiled import Routed, Routing, Step
from .linear_system import LinearSystem, delta_system
from .matrix_memory import delta_step
from .modules import (
    ShortConv,
    initial_a_log,
    initial_dt_bias,
    l2_normalise,
    linear,
    log_decays,
    split_heads,
)
from .routed_memories import Packing, RoutedMixer
from .slices import Slices


@dataclass(eq=False, repr=False, kw_only=True)
class MoM(RoutedMixer):
    """Mixture of memories: gated delta rules; a router picks `topk` of them for each token, one more is shared (Du et
    al. 2025, arXiv 2502.13685).

    Outputs are summed with the routing weights (softmax over all, renormalised over the memories picked); the output
    of the shared memory is added. A short convolution sees the tokens routed to its memory as the whole sequence.

    Args:
        num_memories: number of memories beside the shared one.
        shared_mem: add a memory that sees every token.
        single_kv_proj: one projection of keys and values for all memories.
        library_order: where many tokens come at once, order the tokens of a memory by unstable `torch.argsort`,
            as flash-linear-attention 0.6.0 does: a token may then see later ones. Gives its numbers exactly, but
            depends on torch and processor. Without it, and for one token at a time, tokens stay in order of time.
        conv_size, conv_bias: see `ConvolvedMixer`.
    """

    topk: int = 2
    num_memories: int = 4
    shared_mem: bool = True
    single_kv_proj: bool = False
    library_order: bool = False
    conv_size: int = 4
    conv_bias: bool = False

    def build(self) -> None:
        require(self.num_memories <= 4096, "MoM.num_memories", "must be at most 4096", self.num_memories)
        self.group(self.num_memories, "memories", self.shared_mem)
        self.unordered = self.topk if self.library_order else 0
        if self.library_order:
            self.why_not_parallel = "the order of the tokens of a memory depends on all slices together"
        width = self.width
        heads = self.num_heads
        keys = heads * self.head_dim
        values = heads * self.v_size
        self.q_proj = linear(width, keys)
        self.gate_proj = linear(width, self.num_memories)
        for name, size in {"k": keys, "v": values, "b": heads, "a": heads}.items():
            if not self.single_kv_proj:
                each = nn.ModuleList([linear(width, size) for _ in range(self.num_memories)])
                setattr(self, f"{name}_proj", each)
            if self.single_kv_proj or self.shared_mem:
                setattr(self, f"shared_{name}", linear(width, size))
        self.A_log = initial_a_log(heads)
        self.dt_bias = initial_dt_bias(heads)
        for name in "qkv" if self.conv_size else "":
            channels = values if name == "v" else keys
            setattr(self, f"{name}_conv1d", ShortConv(channels, self.conv_size, self.conv_bias))
        self.output()

    def initial(self, x: Tensor) -> State:
        state = super().initial(x)
        for name in "qkv" if self.conv_size else "":
            tail = getattr(self, f"{name}_conv1d").initial(x)
            state[f"{name}_tail"] = tail[:, None].repeat(1, self.count, 1, 1)
        return state

    def state_before(self, x: Tensor, shared: Shared, slices: Slices) -> State:
        """Return the state of `Mixer.state_before`: a tail is of the tokens that were routed to its memory."""
        state = self.initial(x)
        inputs, tails = self.project(x, state, shared)
        if not tails:
            return state
        memories = torch.arange(self.count, device=x.device)
        routed = (inputs["index"].flatten(1)[:, None] == memories[:, None]).sum(-1)  # [B, memories]
        tail = torch.cat(list(tails.values()), -1)
        # Tails of all memories, and in a further channel the number of tokens that were routed to each in the slice.
        counts = routed[..., None, None].to(tail.dtype).expand(-1, -1, tail.shape[2], 1)
        both = slices.gather(torch.cat([tail, counts], -1))
        known = torch.cat([state[name] for name in tails], -1) + 0 * both[0][..., :-1]
        length = tail.shape[2]
        place = torch.arange(length, device=x.device)[:, None]
        for each in both[: slices.rank]:
            # n tokens of that slice push n of the tail out; what remains moves to the front.
            pushed = each[..., -1:].clamp(max=length).long()
            index = torch.where(place < length - pushed, place + pushed, place + length)
            known = torch.cat([known, each[..., :-1]], 2).gather(2, index.expand_as(known))
        return state | dict(zip(tails, known.split([value.shape[-1] for value in tails.values()], -1), strict=True))

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        scores = self.gate_proj(x).softmax(-1)
        weight, index = scores.topk(self.topk, -1)
        self.balance(scores, index)
        # The weights of the memories picked sum to 1; the shared memory comes with weight 1 beside them.
        weight = weight / weight.sum(-1, keepdim=True)
        if self.shared_mem:
            weight = torch.cat([weight, torch.ones_like(weight[..., :1])], -1)
            index = torch.cat([index, torch.full_like(index[..., :1], self.num_memories)], -1)
        # Convolutions see the tokens of a memory as neighbours, so that projections are made of packed tokens.
        packing = Packing(index, self.count, self.unordered)
        packed = packing.pack(x[:, :, None].expand(-1, -1, index.shape[2], -1))
        values = {"q": self.q_proj(packed)} | {name: self._each(name, packed) for name in "kvba"}
        tails = {}
        for name in "qkv":
            if self.conv_size:
                values[name], tails[f"{name}_tail"] = self._convolved(name, values[name], state, packing)
            else:
                values[name] = F.silu(values[name])
        unpacked = {name: packing.unpack(value, x.shape[1]) for name, value in values.items()}
        return self.delta_inputs(unpacked) | {"index": index, "weight": weight}, tails

    def delta_inputs(self, projected: Mapping[str, Tensor]) -> Inputs:
        """Return the inputs of the gated delta rule from the projections q, k, v, b and a."""
        return {
            "q": l2_normalise(split_heads(projected["q"], self.head_dim)),
            "k": l2_normalise(split_heads(projected["k"], self.head_dim)),
            "v": split_heads(projected["v"], self.v_size),
            "beta": projected["b"].sigmoid(),
            "g": log_decays(projected["a"], self.A_log, self.dt_bias),
        }

    def _layers(self, name: str) -> Sequence[nn.Module]:
        """Return the projection k, v, b or a of each memory."""
        shared: nn.Module | None = getattr(self, f"shared_{name}", None)
        own = getattr(self, f"{name}_proj", [shared] * self.num_memories)
        return own if shared is None or not self.shared_mem else [*own, shared]

    def _each(self, name: str, packed: Tensor) -> Tensor:
        """Return [B, memories, L, ..]: the tokens of every memory through its own projection."""
        return torch.stack([layer(packed[:, m]) for m, layer in enumerate(self._layers(name))], 1)

    def _convolved(self, name: str, value: Tensor, state: State, packing: Packing) -> tuple[Tensor, Tensor]:
        """Return the short convolution of packed values [B, memories, L, C], and the new tails."""
        conv: ShortConv = getattr(self, f"{name}_conv1d")
        known = torch.cat([state[f"{name}_tail"], value], 2)
        out = conv.apply_to(known.flatten(0, 1), value.shape[2]).unflatten(0, value.shape[:2])
        # The tail of a memory lies behind its last token.
        last = packing.sizes[..., None] + torch.arange(conv.size - 1, device=value.device)
        return out, known.gather(2, last[..., None].expand(-1, -1, -1, value.shape[-1]))

    def compiled_layer(self, step: Step, x: Tensor, state: State, shared: Shared) -> Tensor | None:
        scores = self.gate_proj(x)
        q = self.q_proj(x)
        step.evaluate(scores, q)
        routes = step.route(scores, Routing(self.topk, sum_to_one=True, all_take_one_more=self.shared_mem))

        def inputs_of(number: int, route: Routed) -> Inputs:
            values = {"q": q} | {name: self._layers(name)[number](x) for name in "kvba"}
            for name in "qkv":
                if self.conv_size:
                    conv: ShortConv = getattr(self, f"{name}_conv1d")
                    tail = step.state(self.conv_size - 1, values[name].shape[-1])
                    values[name], _ = conv(values[name], tail)
                else:
                    values[name] = F.silu(values[name])
            return self.delta_inputs(values) | {"weight": route.weight}

        return self.finish(self.summed(step, routes, inputs_of), x, {})

    def compiled(self, step: Step, memory: Tensor, inputs: Inputs) -> Tensor | None:
        return step.delta(memory, inputs, self.scale)

    def write(self, memory: Tensor, inputs: Inputs) -> Tensor:
        return delta_step(memory, inputs["k"], inputs["v"], inputs["beta"], inputs["g"])

    def memory_system(self, inputs: Inputs) -> LinearSystem:
        return delta_system(inputs, self.scale)

    def run(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        q, k, v, beta, g = (inputs[name] for name in ("q", "k", "v", "beta", "g"))
        return chunks.delta(q * self.scale, k, v, beta, memory, g, self.chunk)
