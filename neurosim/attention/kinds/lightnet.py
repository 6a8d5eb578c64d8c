"""LightNet: linear attention whose decay normalises the keys over time, in one scan."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .base import AdditiveMixer, Inputs, Shared, State
from .modules import divide, linear, low_rank, split_heads
from .qkv import QKVMixer


@dataclass(eq=False, repr=False, kw_only=True)
class LightNet(AdditiveMixer, QKVMixer):
    """z = logaddexp(z, c); k = e^(c - z); S = e^(z' - z) S + k v^T, z' being z before (Qin et al. 2024, 2405.21022).

    c = W x are key logits, q = silu(W x). S is the softmax of all logits so far, over time and for each key channel,
    applied to the values. y = W_o (norm(o) silu(W2 W1 x)), the norm over all channels.

    Args:
        expand_ratio: channels of a key; there are width / expand_ratio heads.
        gate_low_rank_dim: channels between W1 and W2.
        conv_size, conv_bias, elementwise_affine, norm_eps: see `DecayedMixer` and `GroupedMixer`.
    """

    chunk = 16
    why_not_parallel = "its keys are normalised over all tokens before"

    expand_ratio: int = 128
    gate_low_rank_dim: int = 128
    conv_size: int = 0
    conv_bias: bool = False
    elementwise_affine: bool = True
    norm_eps: float = 1e-5

    def build(self) -> None:
        width = self.width
        self.heads, self.k_size = divide(width, self.expand_ratio, "LightNet.width"), self.expand_ratio
        self.v_size, self.scale = width // self.heads, self.k_size**-0.5
        self.project_qkv(width, width, width)
        self.convolve(None, None, None)
        self.g_proj = low_rank(width, self.gate_low_rank_dim, width)
        self.g_norm, self.o_proj = nn.RMSNorm(width, self.norm_eps, self.elementwise_affine), linear(width, width)

    def initial(self, x: Tensor) -> State:
        # Below every logit, and finite: differences of it stay numbers.
        lowest = torch.finfo(x.dtype).min / 2
        return super().initial(x) | {"normaliser": x.new_full((x.shape[0], self.heads, self.k_size), lowest)}

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        (q, c, v), tails = self.convolved(x, state)
        c, before = split_heads(c, self.k_size), state["normaliser"][:, None]
        z = torch.logcumsumexp(torch.cat([before, c], 1), 1)
        earlier, z = z[:, :-1], z[:, 1:]
        first = earlier <= torch.finfo(x.dtype).min / 4  # there is no state to decay
        g = torch.where(first, torch.zeros_like(z), earlier - z)
        inputs = {"q": split_heads(F.silu(q), self.k_size), "k": (c - z).exp(), "v": split_heads(v, self.v_size)}
        return inputs | {"g": g}, tails | {"normaliser": z[:, -1]}

    def finish(self, out: Tensor, x: Tensor, inputs: Inputs) -> Tensor:
        return self.o_proj(self.g_norm(out.flatten(-2)) * F.silu(self.g_proj(x)))
