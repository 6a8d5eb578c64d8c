"""The feed-forward layers of RWKV, which see the token before each."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .modules import activation, linear, token_shift


class ChannelMix(nn.Module):
    """RWKV's feed-forward layer: W_v f(W_k (x mixed with the token before)), f = relu^2."""

    def __init__(self, width: int, hidden: int, act: str) -> None:
        super().__init__()
        self.activation = activation(act, "LanguageConfig.act")
        self.x_k = nn.Parameter(torch.rand(width))
        self.key = linear(width, hidden)
        self.value = linear(hidden, width)

    def forward(self, x: Tensor, tail: Tensor) -> tuple[Tensor, Tensor]:
        """Return (y [B, T, D], the last token) from x [B, T, D] and the token before it [B, 1, D]."""
        before, tail = token_shift(x, tail)
        return self.value(self.activation(self.key(torch.addcmul(x, before - x, self.x_k)))), tail


class GatedChannelMix(ChannelMix):
    """Feed-forward layer of RWKV-5 and 6: `ChannelMix` times sigmoid(W_r (x mixed with the token before))."""

    def __init__(self, width: int, hidden: int, act: str) -> None:
        super().__init__(width, hidden, act)
        self.x_r = nn.Parameter(torch.rand(width))
        self.receptance = linear(width, width)

    def forward(self, x: Tensor, tail: Tensor) -> tuple[Tensor, Tensor]:
        before, _ = token_shift(x, tail)
        out, tail = super().forward(x, tail)
        return self.receptance(torch.addcmul(x, before - x, self.x_r)).sigmoid() * out, tail
