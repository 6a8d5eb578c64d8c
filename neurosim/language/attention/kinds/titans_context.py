"""Titans with segments: what a memory trained at test time recalls is a context of softmax attention (2501.00663)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ....base.errors import require
from ....base.rules import Rule
from .base import Inputs, Shared, State, pieces
from .compiled import Cache, Learnt, Step
from .modules import l2_normalise, linear, split_heads
from .neural_memory import Titans


@dataclass(eq=False, repr=False, kw_only=True)
class TitansContext(Titans):
    """Memory as a context (MAC): attention within segments of `span` tokens over them and their recalled values.

        h_t = M(q(x_t)) of the memory before the segment,  y_t = softmax attention of x_t over P, h and x of the segment
        M is trained on k(y_t), v(y_t),  o_t = y_t s(norm(M(q(y_t))))

    P are learnt tokens, seen by all; the source multiplies y_t by the memory's output, here by its sigmoid s, which
    keeps its size. There are no short convolutions.

    Args:
        persistent: number of learnt tokens.

    The memory is [B, H, 3 weights of M + 4 K span]: the memory of `NeuralMemory`, then keys and values of h and x of
    the segment.
    """

    holds_tokens = True

    conv_size: int = 0
    persistent: Annotated[int, Rule("> 0")] = 4

    def build(self) -> None:
        require(self.conv_size == 0, self.name("conv_size"), "must be 0", self.conv_size)
        super().build()
        channels = self.heads * self.k_size
        require(channels == self.width, self.name("head_dim"), f"must make {self.width} channels over heads", channels)
        self.tokens = nn.Parameter(torch.randn(self.persistent, self.width) * 0.02)
        self.attend_q, self.attend_k, self.attend_v = (linear(self.width, self.width) for _ in range(3))

    def initial(self, x: Tensor) -> State:
        state = super().initial(x)
        empty = x.new_zeros(len(x), self.heads, 4 * self.k_size * self.span)
        return state | {"memory": torch.cat([state["memory"].flatten(2), empty], -1)}

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        inputs, after = super().project(x, state, shared)
        for name, layer in (("q", self.attend_q), ("k", self.attend_k), ("v", self.attend_v)):
            inputs[f"attend_{name}"] = split_heads(layer(x), self.k_size)
        # Place of each token in its segment.
        place = (state["position"] + torch.arange(x.shape[1], device=x.device)) % self.span
        return inputs | {"place": place.expand(len(x), -1)}, after

    def recur(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        return self.one_by_chunked(memory, inputs)

    def compiled(self, step: Step, memory: Tensor, inputs: Inputs) -> Tensor | None:
        size = self.k_size
        # Memory and cache lie in two states, in place of one.
        first = torch.stack([self.first, self.first, torch.zeros_like(self.first)], 1)
        trained = step.state(*first.shape, first=first)
        # h = M(q(x)) reads the memory as the segments before left it.
        recalled = self.append_recall(step, trained, inputs["q"]).flatten(1)[:, None]
        # Rows of a token: k or v of h, and behind it that of x.
        rows = [
            torch.cat([layer(recalled), own.flatten(1)[:, None]], -1)
            for layer, own in ((self.attend_k, inputs["attend_k"]), (self.attend_v, inputs["attend_v"]))
        ]
        fixed = [split_heads(layer(self.tokens), size) for layer in (self.attend_k, self.attend_v)]
        q = inputs["attend_q"]
        # Within a segment, tokens see P, and h and x up to themselves.
        cache = Cache(kv_heads=self.heads, groups=1, keys=size, values=size, tokens=self.span, restarts=True, rows=2)
        attended = step.attend(cache, q, *rows, learnt=Learnt(torch.cat(fixed, -1), q))
        # Then the memory learns from y: M is trained on k(y), v(y) and read at q(y).
        new = (value[:, 0] for value in self.memory_inputs(attended.flatten(1)[:, None]))
        out = self.append_training(step, trained, inputs | dict(zip("qkv", new, strict=True)))
        return attended * self.o_norm(out).sigmoid()

    def chunked(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        trained, cache = memory.split([memory.shape[-1] - 4 * self.k_size * self.span, 4 * self.k_size * self.span], -1)
        trained = trained.unflatten(-1, (3, -1))
        cache = cache.unflatten(-1, (self.span, 4 * self.k_size))
        place = inputs["place"][0]
        outputs = []
        sizes = _pieces(place.tolist(), self.span)
        for tokens in pieces(inputs, sizes):
            first = int(tokens["place"][0, 0])
            trained, cache, out = self._segment(trained, cache, tokens, first)
            outputs.append(out)
        return torch.cat([trained.flatten(2), cache.flatten(2)], -1), torch.cat(outputs, 1)

    def _segment(self, trained: Tensor, cache: Tensor, inputs: Inputs, first: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return memory, cache and outputs after tokens of one segment, the first at the place `first` in it."""
        # At the start of a segment its anchor is the trained memory itself, and the cache is empty.
        anchor = trained[:, :, 1] if first == 0 else trained[:, :, 0]
        cache = torch.zeros_like(cache) if first == 0 else cache
        # h = M(q(x)) reads the memory as the segments before left it.
        recalled = self.recall([w[:, None] for w in self.weights(anchor)], inputs["q"]).flatten(-2)
        pair = [split_heads(layer(recalled), self.k_size) for layer in (self.attend_k, self.attend_v)]
        rows = torch.cat([*pair, inputs["attend_k"], inputs["attend_v"]], -1).movedim(1, 2)
        end = first + rows.shape[2]
        cache = torch.cat([cache[:, :, :first], rows, cache[:, :, end:]], 2)
        # Within a segment, tokens see P, and h and x up to themselves.
        y = self._attended(inputs["attend_q"].movedim(1, 2), cache[:, :, :end], first)
        # Then the memory learns from y: M is trained on k(y), v(y) and read at q(y).
        q, k, v = self.memory_inputs(y)
        new = inputs | {"q": q, "k": k, "v": v}
        trained, out = super().chunked(trained, new)
        return trained, cache, split_heads(y, self.k_size) * self.o_norm(out).sigmoid()

    def memory_inputs(self, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return q, k and v [.., H, K] of y, on which the memory is read and trained."""
        q, k, v = (split_heads(F.silu(layer(y)), self.k_size) for layer in (self.q_proj, self.k_proj, self.v_proj))
        return l2_normalise(q), l2_normalise(k), v

    def _attended(self, q: Tensor, cache: Tensor, first: int) -> Tensor:
        """Return y [B, T, D] of queries [B, H, T, K] at places from `first` over P and the cache [B, H, end, 4 K]."""
        # [B, H, P, K] of the persistent tokens, the same in the whole batch.
        fixed_k = split_heads(self.attend_k(self.tokens), self.k_size).movedim(0, 1).expand(len(q), -1, -1, -1)
        fixed_v = split_heads(self.attend_v(self.tokens), self.k_size).movedim(0, 1).expand(len(q), -1, -1, -1)
        recalled_k, recalled_v, own_k, own_v = cache.split(self.k_size, -1)
        keys = torch.cat([fixed_k, recalled_k, own_k], 2)
        values = torch.cat([fixed_v, recalled_v, own_v], 2)
        end = cache.shape[2]
        visible = torch.arange(end, device=q.device) <= torch.arange(first, end, device=q.device)[:, None]
        visible = torch.cat([visible.new_ones(len(visible), self.persistent), visible, visible], 1)
        scores = (q @ keys.mT * self.k_size**-0.5).masked_fill(~visible, -torch.inf)
        return (scores.softmax(-1) @ values).movedim(1, 2).flatten(2)

    def finish(self, out: Tensor, x: Tensor, inputs: Inputs) -> Tensor:
        return self.o_proj(out.flatten(-2))


def _pieces(places: list[int], span: int) -> list[int]:
    """Return the lengths of the segments that tokens at these places in a segment fall into."""
    pieces = [min(span - places[0], len(places))]
    while sum(pieces) < len(places):
        pieces.append(min(span, len(places) - sum(pieces)))
    return pieces
