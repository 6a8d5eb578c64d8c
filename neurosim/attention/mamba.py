"""Mamba-2: a state space with one decay a head and token (Dao & Gu 2024, arXiv 2405.21060)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import require
from .base import AdditiveMixer, Inputs, Place, Shared, State
from .parts import ACTIVATIONS, ShortConv, activation, divided, heads, linear, spread, step_bias


class Mamba2(AdditiveMixer):
    """S = e^{dt A} S + B (dt x)^T, y = C^T S + D x, then norm(y silu(z)) (arXiv 2405.21060).

    A = -exp(A_log) a head, dt = softplus(W x + dt_bias) within `limits`; x, B and C pass one short convolution. In
    the terms of linear attention k = B, q = C, v = dt x, g = dt A, scale 1.

    Args:
        width: D, channels of the input.
        head: channels of x a head; heads = expand width / head.
        state: channels of B and C a group.
        groups: heads of B and C, each shared by heads / groups.
        norm: norm over each group's channels; without it only the gate.
        gate_first: gate before the norm, as published, or behind it.
        wide_skip: D for every channel instead of every head.
        conv: tokens of the short convolution.
    """

    def __init__(
        self,
        width: int,
        place: Place,
        expand: float = 2.0,
        head: int = 32,
        state: int = 64,
        groups: int = 1,
        conv: int = 4,
        conv_bias: bool = True,
        bias: bool = False,
        act: str = "silu",
        norm: bool = True,
        gate_first: bool = True,
        wide_skip: bool = False,
        limits: tuple[float, float] | None = None,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.inner, self.head, self.state, self.groups = int(expand * width), head, state, groups
        self.heads, self.scale = divided(self.inner, head, "Mamba2.expand x width"), 1.0
        self.shared_by = divided(self.heads, groups, "Mamba2.heads")
        holds = limits is None or (len(limits) == 2 and limits[0] <= limits[1])
        require(holds, "Mamba2.limits", "must be (low, high) steps", limits)
        self.limits, self.gate_first, self.eps = limits, gate_first, eps
        mixed = self.inner + 2 * groups * state
        self.in_proj = linear(width, self.inner + mixed + self.heads, bias)
        activation(act, "Mamba2.act")
        self.conv1d = ShortConv(mixed, conv, conv_bias, act)
        self.dt_bias = nn.Parameter(step_bias(self.heads))
        self.A_log = nn.Parameter(torch.empty(self.heads).uniform_(1, 16).log())
        self.D = nn.Parameter(torch.ones(self.inner if wide_skip else self.heads))
        self.norm = _Scale(self.inner) if norm else None
        self.out_proj = linear(self.inner, width, bias)

    def initial(self, x: Tensor) -> State:
        memory = x.new_zeros(x.shape[0], self.heads, self.state, self.head)
        return {"memory": memory, "tail": self.conv1d.initial(x)}

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        sizes = [self.inner, self.conv1d.weight.shape[0], self.heads]
        z, mixed, dt = self.in_proj(x).split(sizes, -1)
        mixed, tail = self.conv1d(mixed, state["tail"])
        u, k, q = mixed.split([self.inner, self.groups * self.state, self.groups * self.state], -1)
        dt = F.softplus(dt + self.dt_bias)
        dt = dt if self.limits is None else dt.clamp(*self.limits)
        u = heads(u, self.head)
        q, k = (spread(heads(value, self.state), self.shared_by) for value in (q, k))
        g = -self.A_log.exp() * dt
        return {"q": q, "k": k, "v": u * dt[..., None], "g": g, "u": u, "z": z}, {"tail": tail}

    def finish(self, out: Tensor, x: Tensor, inputs: Inputs) -> Tensor:
        skip = self.D if self.D.numel() == self.inner else self.D.repeat_interleave(self.head)
        y = out.flatten(-2) + skip * inputs["u"].flatten(-2)
        gate = ACTIVATIONS["silu"](inputs["z"])
        if self.norm is None:
            return self.out_proj(y * gate)
        y = y * gate if self.gate_first else y
        grouped = y.unflatten(-1, (self.groups, -1))
        y = self.norm(F.rms_norm(grouped, grouped.shape[-1:], eps=self.eps).flatten(-2))
        return self.out_proj(y if self.gate_first else y * gate)


class _Scale(nn.Module):
    """A weight a channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight
