"""Several memories, each token touching a few: what mixture of memories and sparse state expansion share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ....base.errors import require
from .base import Inputs, State
from .compiled import Routed, Step
from .linear_system import LinearSystem
from .matrix_memory import read
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
