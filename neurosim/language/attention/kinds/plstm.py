"""pLSTM: linear recurrences with source, transition and mark gates, along a sequence."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from . import chunks
from .base import Inputs, Shared, State, decayed, read
from .modules import divide, linear, split_heads
from .qkv import ConvolvedMixer, GatedMixer

DIRECT = 4.0  # first bias of the transition gates: they keep sigmoid(4) = 0.98 of a state


@dataclass(eq=False, repr=False, kw_only=True)
class PLSTM(ConvolvedMixer, GatedMixer):
    """o = m S^T q + d (q . k) v, then S = t S + s k v^T (Poeppel et al. 2025, arXiv 2506.11997, on a chain).

    S is what the edge from the token before brings; source s, transition t and mark m are sigmoids of W x for each
    head, d a weight of each head. q is scaled by K^-1/2.

    Args:
        num_heads: heads; width / num_heads channels each.
        gate_fn: activation of the output gate; None for no gate.
    """

    num_heads: int = 4
    gate_fn: str | None = "swish"

    def build(self) -> None:
        self.heads = self.num_heads
        self.k_size = self.v_size = divide(self.width, self.num_heads, self.name("width"))
        self.project_qkv(self.width, self.width, self.width)
        self.convolve()
        self.edge_proj = linear(self.width, 3 * self.heads, True)
        nn.init.constant_(self.edge_proj.bias[self.heads : 2 * self.heads], DIRECT)
        self.direct = nn.Parameter(torch.ones(self.heads))
        self.output()

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        values, tails = self.convolved(x, state)
        q, k, v = (split_heads(value, self.k_size) for value in values)
        source, transition, mark = self.edge_proj(x).chunk(3, -1)
        inputs = {"q": q * self.k_size**-0.5, "k": k, "v": v, "g": F.logsigmoid(transition)}
        return inputs | {"source": source.sigmoid(), "mark": mark.sigmoid()}, tails

    def own(self, inputs: Inputs) -> Tensor:
        """Return d (q . k) v [.., H, V], the share of a token in its own output."""
        return ((inputs["q"] * inputs["k"]).sum(-1) * self.direct)[..., None] * inputs["v"]

    def recur(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        # o = m S^T q + d (q . k) v, with S before this token
        out = inputs["mark"][..., None] * read(memory, inputs["q"]) + self.own(inputs)
        new = (inputs["source"][..., None] * inputs["k"])[..., None] * inputs["v"][..., None, :]
        # S = t S + s k v^T, t = e^g
        return decayed(memory, inputs["g"]) + new, out

    def chunked(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        # The mark scales what is read, the source what is written: both go onto q and k.
        q = inputs["mark"][..., None] * inputs["q"]
        k = inputs["source"][..., None] * inputs["k"]
        # A token reads the state before its own update: shift the queries back by one token.
        later = torch.cat([q[:, 1:], torch.zeros_like(q[:, :1])], 1)
        after, out = chunks.additive(later, k, inputs["v"], memory, inputs["g"], self.chunk)
        out = torch.cat([read(memory, q[:, 0])[:, None], out[:, :-1]], 1)
        return after, out + self.own(inputs)
