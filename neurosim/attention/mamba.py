"""Mamba-2: a state space with one decay a head and token (Dao & Gu 2024, arXiv 2405.21060)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import require
from .base import AdditiveMixer, Inputs, Shared, State
from .modules import (
    ACTIVATIONS,
    ShortConv,
    activation,
    divide,
    initial_a_log,
    initial_dt_bias,
    linear,
    repeat_heads,
    split_heads,
)


@dataclass(eq=False, repr=False, kw_only=True)
class Mamba2(AdditiveMixer):
    """S = e^{dt A} S + B (dt x)^T, y = C^T S + D x, then norm(y silu(z)) (arXiv 2405.21060).

    A = -exp(A_log) for each head, dt = softplus(W x + dt_bias) within `dt_limit`; x, B and C pass one short
    convolution. In the terms of linear attention k = B, q = C, v = dt x, g = dt A, scale 1.

    Args:
        expand, head_dim: there are expand width / head_dim heads of `head_dim` channels.
        state_size: channels of B and C in a group.
        n_groups: heads of B and C, each shared by heads / n_groups.
        conv_kernel: tokens of the short convolution; `use_conv_bias` gives it a bias.
        use_bias: of the input and output projections.
        hidden_act: activation behind the convolution.
        rmsnorm: norm over the channels of each group; without it only the gate.
        gate_first: gate before the norm, as published, or behind it.
        D_has_hdim: D for every channel instead of every head.
        dt_limit: (low, high) bounds of dt; None for no bounds.
        norm_eps: of the norm.
    """

    expand: float = 2.0
    head_dim: int = 32
    state_size: int = 64
    n_groups: int = 1
    conv_kernel: int = 4
    use_conv_bias: bool = True
    use_bias: bool = False
    hidden_act: str = "silu"
    rmsnorm: bool = True
    gate_first: bool = True
    D_has_hdim: bool = False
    dt_limit: tuple[float, float] | None = None
    norm_eps: float = 1e-5

    def build(self) -> None:
        self.inner = int(self.expand * self.width)
        self.heads = divide(self.inner, self.head_dim, "Mamba2.expand x width")
        self.group_size = divide(self.heads, self.n_groups, "Mamba2.heads")
        limits = self.dt_limit
        in_order = limits is None or (len(limits) == 2 and limits[0] <= limits[1])
        require(in_order, "Mamba2.dt_limit", "must be (low, high) steps", limits)
        mixed = self.inner + 2 * self.n_groups * self.state_size
        self.in_proj = linear(self.width, self.inner + mixed + self.heads, self.use_bias)
        activation(self.hidden_act, "Mamba2.hidden_act")
        self.conv1d = ShortConv(mixed, self.conv_kernel, self.use_conv_bias, self.hidden_act)
        self.dt_bias, self.A_log = initial_dt_bias(self.heads), initial_a_log(self.heads)
        self.D = nn.Parameter(torch.ones(self.inner if self.D_has_hdim else self.heads))
        self.norm = nn.RMSNorm(self.inner) if self.rmsnorm else None
        self.out_proj = linear(self.inner, self.width, self.use_bias)

    def initial(self, x: Tensor) -> State:
        memory = x.new_zeros(x.shape[0], self.heads, self.state_size, self.head_dim)
        return {"memory": memory, "tail": self.conv1d.initial(x)}

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        sizes = [self.inner, self.conv1d.weight.shape[0], self.heads]
        z, mixed, dt = self.in_proj(x).split(sizes, -1)
        mixed, tail = self.conv1d(mixed, state["tail"])
        u, k, q = mixed.split([self.inner, self.n_groups * self.state_size, self.n_groups * self.state_size], -1)
        dt = F.softplus(dt + self.dt_bias)
        dt = dt if self.dt_limit is None else dt.clamp(*self.dt_limit)
        u = split_heads(u, self.head_dim)
        q, k = (repeat_heads(split_heads(value, self.state_size), self.group_size) for value in (q, k))
        g = -self.A_log.exp() * dt
        return {"q": q, "k": k, "v": u * dt[..., None], "g": g, "u": u, "z": z}, {"tail": tail}

    def finish(self, out: Tensor, x: Tensor, inputs: Inputs) -> Tensor:
        skip = self.D if self.D.numel() == self.inner else self.D.repeat_interleave(self.head_dim)
        y = out.flatten(-2) + skip * inputs["u"].flatten(-2)
        gate = ACTIVATIONS["silu"](inputs["z"])
        if self.norm is None:
            return self.out_proj(y * gate)
        y = y * gate if self.gate_first else y
        grouped = y.unflatten(-1, (self.n_groups, -1))
        y = F.rms_norm(grouped, grouped.shape[-1:], eps=self.norm_eps).flatten(-2) * self.norm.weight
        return self.out_proj(y if self.gate_first else y * gate)
