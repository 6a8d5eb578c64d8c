"""Gated slot attention: a softmax over a fixed number of slots, whose keys and values tokens write."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ....base.errors import require
from ....kernels.decode.attention import windows
from . import chunks
from .base import Inputs, Shared, State
from .compiled import Heads, Step
from .feature_maps import feature_map as map_of
from .linear import GroupedMixer
from .linear_system import LinearSystem
from .matrix_memory import decayed, total_decays
from .modules import linear, repeat_heads, split_heads
from .qkv import ConvolvedMixer


@dataclass(eq=False, repr=False, kw_only=True)
class GatedSlotAttention(GroupedMixer, ConvolvedMixer):
    """K = diag(e^g) K + s k^T, V = diag(e^g) V + s v^T, o = V^T softmax(K q) (Zhang et al. 2024, arXiv 2409.07146).

    K and V have a row for each slot and lie side by side in the memory [B, H, M, K + V]. g = logsigmoid(W x) /
    `gate_logit_normalizer` for each slot, and s = 1 - e^g. y = W_o norm(silu(o)), the norm over all channels.

    Args:
        num_slots: M, slots of a head (default: channels of a key).
        gate_logit_normalizer: divides the logarithm of the gate.
        feature_map: map of q and k, a name of `FEATURE_MAPS` that does not change their number of channels.
    """

    chunk = 16

    num_slots: int | None = None
    gate_logit_normalizer: float = 8.0
    feature_map: str = "swish"

    def build(self) -> None:
        self.group(self.width)
        self.convolve()
        self.slots = self.num_slots or self.k_size
        self.map = map_of(self.feature_map, self.k_size, self.heads, is_query=False)
        fits = self.map.features == self.k_size
        require(fits, self.name("feature_map"), "must not change the number of channels", self.feature_map)
        require(self.slots > 0, self.name("num_slots"), "must be > 0", self.slots)
        self.f_proj = linear(self.width, self.num_heads // self.groups * self.slots)
        self.g_norm = nn.RMSNorm(self.heads * self.v_size, self.norm_eps, self.elementwise_affine)
        self.o_proj = linear(self.heads * self.v_size, self.width)

    def initial(self, x: Tensor) -> State:
        memory = x.new_zeros(len(x), self.heads, self.slots, self.k_size + self.v_size)
        return super().initial(x) | {"memory": memory}

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        (q, k, v), tails = self.convolved(x, state)
        q, k = (self.map(split_heads(value, self.k_size)) for value in (q, k))
        # alpha = sigmoid(W x)^(1 / normaliser) of each slot; it forgets alpha and writes 1 - alpha.
        g = F.logsigmoid(split_heads(self.f_proj(x), self.slots)) / self.gate_logit_normalizer
        k, v, g = (repeat_heads(value, self.groups) for value in (k, F.silu(split_heads(v, self.v_size)), g))
        return {"q": q, "k": k, "v": v, "g": g, "s": -torch.expm1(g)}, tails

    def recur(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        new = torch.cat([inputs["k"], inputs["v"]], -1)
        # K = diag(e^g) K + s k^T and V = diag(e^g) V + s v^T, side by side
        memory = decayed(memory, inputs["g"]) + inputs["s"][..., None] * new[..., None, :]
        return memory, self.read_slots(memory, inputs["q"])

    def compiled(self, step: Step, memory: Tensor, inputs: Inputs) -> Tensor | None:
        out = step.value(self.heads, self.v_size)
        step.append(
            windows.slots,
            Heads(self.heads),
            # s = 1 - e^g is not read: the operation computes it itself.
            {name: inputs[name] for name in ("q", "k", "v", "g")},
            {"state": memory, "out": out},
            heads=self.heads,
            keys=self.k_size,
            values=self.v_size,
            slots=self.slots,
            weights=step.scratch(self.slots),
        )
        return out

    def read_slots(self, memory: Tensor, q: Tensor) -> Tensor:
        """Return o [.., V] from the memory [.., M, K + V] and q [.., K]."""
        keys, values = memory.split([self.k_size, self.v_size], -1)
        weights = (keys @ q[..., None])[..., 0].softmax(-1)
        return (weights[..., None, :] @ values)[..., 0, :]

    def chunked(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        keys, values = memory.split([self.k_size, self.v_size], -1)
        q, k, v, g, s = (inputs[name] for name in ("q", "k", "v", "g", "s"))
        # Two passes of linear attention: K q over the slots, then V^T softmax(K q).
        keys, scores = chunks.additive_rows(q, k=s, v=k, state=keys, g=g, chunk=self.chunk)
        values, out = chunks.additive(scores.softmax(-1), k=s, v=v, state=values, g=g, chunk=self.chunk)
        return torch.cat([keys, values], -1), out

    def system(self, inputs: Inputs, memory: Tensor) -> LinearSystem:
        """Return Lambda = diag(e^g), B = s, u = (k, v); the whole state is read, through a softmax over its rows."""
        new = torch.cat([inputs["k"], inputs["v"]], -1)
        return LinearSystem(inputs["g"].exp(), inputs["s"][..., None], new[..., None, :], None)

    def transition(self, empty: Tensor, inputs: Inputs) -> Tensor:
        return total_decays(empty, inputs["g"])

    def carried(self, transition: Tensor, memory: Tensor) -> Tensor:
        return transition * memory

    def finish(self, out: Tensor, x: Tensor, inputs: Inputs) -> Tensor:
        return self.o_proj(self.g_norm(F.silu(out.flatten(-2))))
