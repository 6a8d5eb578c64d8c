"""Several memories, each token touching a few: the common part of such kinds, and mixture of memories."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ....base.errors import require
from . import chunks
from .base import Inputs, Shared, State
from .compiled import Routed, Routing, Step
from .linear_system import LinearSystem, delta_system
from .matrix_memory import delta_step, read
from .modules import (
    ShortConv,
    initial_a_log,
    initial_dt_bias,
    l2_normalise,
    linear,
    log_decays,
    split_heads,
)
from .qkv import GatedMixer
from .slices import Slices


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
        # [B, count, T R]: true where a position belongs to the memory.
        routed = index.flatten(1)[:, None] == torch.arange(count, device=index.device)[:, None]
        self.sizes = routed.sum(-1)
        length = int(self.sizes.max())
        last = rank.max() + 1
        # Sorting by rank puts the tokens of a memory first, in order; the rest is padding behind them.
        self.source = torch.where(routed, rank[:, None], last).argsort(dim=-1, stable=True)[..., :length]
        self.valid = torch.arange(length, device=index.device) < self.sizes[..., None]

    def pack(self, x: Tensor) -> Tensor:
        """Return [B, T, R, ..] to [B, count, L, ..], zero where not valid."""
        flat = x.flatten(1, 2)
        positions = self.source.flatten(1)
        batch = torch.arange(len(x), device=x.device)[:, None]
        packed = flat[batch, positions].unflatten(1, self.source.shape[1:])
        # Zero keys and zero decays: padding leaves a memory as it is.
        return packed * self.valid.reshape(*self.valid.shape, *[1] * (packed.dim() - 3)).to(x.dtype)

    def unpack(self, y: Tensor, length: int) -> Tensor:
        """Return [B, count, L, ..] to [B, T, R, ..]."""
        out = y.new_zeros(len(y), length * self.slots, *y.shape[3:])
        batch = torch.arange(len(y), device=y.device)[:, None, None].expand_as(self.source)
        return out.index_put((batch[self.valid], self.source[self.valid]), y[self.valid]).unflatten(
            1, (length, self.slots)
        )


def _unordered_rank(index: Tensor) -> Tensor:
    """Return [B, T, R] positions of tokens in an argsort by sequence and memory that is not stable."""
    spans = torch.arange(len(index), device=index.device)[:, None, None] * (index.max() + 1)
    order = (spans + index).flatten().argsort()
    return torch.empty_like(order).scatter(0, order, torch.arange(len(order), device=order.device)).view_as(index)


@dataclass(eq=False, repr=False, kw_only=True)
class RoutedMixer(GatedMixer):
    """Kinds with several memories [B, M, H, K, V], each of which sees the tokens that are routed to it.

    Inputs of the recurrence have an axis of the R memories of a token: q, k, v, g and beta [B, T, R, H, ..], `index`
    [B, T, R] and `weight`, of each output in their sum, [B, T, R] or absent.

    Args:
        num_heads, head_dim: heads of each memory, and channels of a key.
        head_v_dim: channels of a value (default: `head_dim`).
        topk: memories that a token uses.
        gate_fn: activation of the output gate; None for no gate.
        aux_loss_coef: weight of the loss that balances the memories in training; 0 for none.
    """

    has_qk = True
    unordered = 0

    num_heads: int = 2
    head_dim: int = 32
    head_v_dim: int | None = None
    topk: int = 1
    gate_fn: str | None = "swish"
    aux_loss_coef: float = 0.01

    def group(self, memories: int, kind: str, common: bool) -> None:
        """Set the sizes of the state.

        Args:
            memories: number of memories, of which a token uses `topk`; called `kind` in errors.
            common: one more is used by every token.
        """
        in_range = 0 < self.topk <= memories
        require(in_range, self.name("topk"), f"must be > 0 and <= {memories} {kind}", self.topk)
        self.count = memories + common
        self.heads = self.num_heads
        self.v_size = self.head_v_dim or self.head_dim
        self.scale = self.head_dim**-0.5

    def balance(self, scores: Tensor, index: Tensor) -> None:
        """Set `auxiliary`, which is least where all memories are used alike (Fedus et al. 2021, arXiv 2101.03961).

        coefficient N / R sum_n p_n f_n of N memories, p the mean score and f the share of tokens that use one of R.

        Args:
            scores: [B, T, N], their sum 1.
            index: [B, T, R] memories that a token uses.
        """
        if self.training and torch.is_grad_enabled() and self.aux_loss_coef:
            count = scores.shape[-1]
            # The shares f have no gradient; p carries it, and memories of large share lose score.
            share = F.one_hot(index, count).sum(2).to(scores.dtype).mean((0, 1))
            mean = scores.mean((0, 1))
            self.auxiliary = self.aux_loss_coef * count / index.shape[2] * (mean * share).sum()

    def initial(self, x: Tensor) -> State:
        return {"memory": x.new_zeros(len(x), self.count, self.heads, self.head_dim, self.v_size)}

    @abstractmethod
    def write(self, memory: Tensor, inputs: Inputs) -> Tensor:
        """Return the memories [B, R, H, K, V] of a token after it."""

    @abstractmethod
    def run(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """Return memories [B, H, K, V] after many tokens [B, L, H, ..] and the outputs, by the chunked form."""

    def recur(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        index = inputs["index"]
        weight = inputs.get("weight")
        rows = torch.arange(len(memory), device=memory.device)[:, None]
        # Only the R memories of a token are read and written; the others wait, without decay.
        new = self.write(memory[rows, index], inputs)
        memory = memory.index_put((rows.expand_as(index), index), new)
        out = read(new, inputs["q"])
        if weight is None:
            return memory, out.sum(1) * self.scale
        return memory, (out * self.scale * weight[..., None, None]).sum(1)

    def chunked(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        # Each memory is a sequence of its own: the chunked form runs all of them as one batch.
        packing = Packing(inputs["index"], memory.shape[1], self.unordered)
        tokens = {name: value for name, value in inputs.items() if name not in ("index", "weight")}
        packed = {name: packing.pack(value).flatten(0, 1) for name, value in tokens.items()}
        after, out = self.run(memory.flatten(0, 1), packed)
        out = packing.unpack(out.unflatten(0, memory.shape[:2]), inputs["q"].shape[1])
        if "weight" in inputs:
            out = out * inputs["weight"][..., None, None]
        return after.unflatten(0, memory.shape[:2]), out.sum(2)

    @abstractmethod
    def memory_system(self, inputs: Inputs) -> LinearSystem:
        """Return the system [B, T, R, H, ..] of the memories of a token."""

    def system(self, inputs: Inputs, memory: Tensor) -> LinearSystem:
        """Return the systems of all memories; those that a token is not routed to neither change nor are read."""
        routed = self.memory_system(inputs)
        read_by = inputs["q"] * self.scale
        if "weight" in inputs:
            read_by = read_by * inputs["weight"][..., None, None]
        batch, time, _, heads, size = read_by.shape
        index = inputs["index"]
        # A memory that the token does not use keeps its state: Lambda = I, and B = C = 0.
        identity = torch.ones if routed.is_diagonal else torch.eye

        def spread(value: Tensor, empty: Tensor) -> Tensor:
            """Return values of the R memories of a token as [B, T, M, ..], `empty` in the others."""
            b, t = (torch.arange(n, device=index.device) for n in (batch, time))
            target = empty.expand(batch, time, self.count, heads, *value.shape[4:]).clone()
            return target.index_put((b[:, None, None], t[:, None], index), value)

        zero = read_by.new_zeros(())
        return LinearSystem(
            spread(routed.transition, identity(size, dtype=read_by.dtype, device=read_by.device)),
            spread(routed.write, zero),
            spread(routed.inputs, zero),
            spread(read_by, zero),
            summed=True,
        )

    def summed(self, step: Step, routes: Sequence[Routed], inputs_of: Callable[[int, Routed], Inputs]) -> Tensor:
        """Append the recurrence of each memory in turn, for the tokens of its route; return the sum [B, 1, H, V].

        Args:
            inputs_of: returns the inputs [B, 1, H, ..] of a memory, and `weight` [B, 1] or not.
        """
        total = None
        for number, route in enumerate(routes):
            with step.only(route):
                inputs = inputs_of(number, route)
                weight = inputs.pop("weight", None)
                token = self.coded({name: value[:, 0] for name, value in inputs.items()})
                memory = step.state(self.heads, self.head_dim, self.v_size)
                out = self.compiled(step, memory, token)
                step.code_state(memory, self.codes.state)
                assert out is not None
                total = step.add(total, out, weight)
        assert total is not None
        return total[:, None]


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
