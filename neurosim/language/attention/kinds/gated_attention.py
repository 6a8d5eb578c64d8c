"""The gated attention unit of MEGA, and the averages below it: what SeqBoat and TCNCA share."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .base import Depth, Mixer
from .modules import linear
from .state_space import DiagonalSSM, MovingAverage


class AttentionUnit(nn.Module):
    """q, k = gamma z + beta for both, z = silu(W y), v = silu(W x), gate r = silu(W y); h = W (attention r) (Hua 2022).

    One head: K channels of z, V of v.
    """

    def __init__(self, width: int, k_size: int, v_size: int) -> None:
        super().__init__()
        self.z_proj, self.v_proj, self.r_proj = (linear(width, n, bias=True) for n in (k_size, v_size, v_size))
        self.h_proj = linear(v_size, width, bias=True)
        self.scales = nn.Parameter(1 + 0.1 * torch.randn(2, k_size))
        self.shifts = nn.Parameter(torch.zeros(2, k_size))

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return q, k, v and r of tokens x [.., D], and y, x behind the recurrence."""
        z = F.silu(self.z_proj(y))
        q, k = (z * scale + shift for scale, shift in zip(self.scales, self.shifts, strict=True))
        return q, k, F.silu(self.v_proj(x)), F.silu(self.r_proj(y))


AVERAGES: dict[str, Callable[[int, Depth, int], Mixer]] = {
    "ema": lambda width, depth, size: MovingAverage(width, depth, state_size=size),
    "s4d": lambda width, depth, size: DiagonalSSM(width, depth, state_size=size),
}
