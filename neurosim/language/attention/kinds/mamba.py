"""Mamba: a state space with a decay a channel and state (Gu & Dao 2023), and Mamba-2, one a head (Dao & Gu 2024)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ....base.errors import require
from ....kernels.decode.vector_states import cpu as vector_states
from .base import Inputs, Shared, State
from .compiled import Channels, Step
from .matrix_memory import AdditiveMixer
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
        use_bias: give the input and output projections biases.
        hidden_act: activation behind the convolution.
        rmsnorm: norm over the channels of each group; without it only the gate.
        gate_first: gate before the norm, as published, or behind it.
        D_has_hdim: D for every channel instead of every head.
        dt_limit: (low, high) bounds of dt; None for no bounds.
        norm_eps: epsilon of the norm.
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
        self.dt_bias = initial_dt_bias(self.heads)
        self.A_log = initial_a_log(self.heads)
        self.D = nn.Parameter(torch.ones(self.inner if self.D_has_hdim else self.heads))
        self.norm = nn.RMSNorm(self.inner) if self.rmsnorm else None
        self.out_proj = linear(self.inner, self.width, self.use_bias)

    def initial(self, x: Tensor) -> State:
        memory = x.new_zeros(x.shape[0], self.heads, self.state_size, self.head_dim)
        return {"memory": memory, "tail": self.conv1d.initial(x)}

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        sizes = [self.inner, self.conv1d.weight.shape[0], self.heads]
        # One projection for all: the gate z, [x, B, C] behind it, which pass the convolution, and dt.
        z, mixed, dt = self.in_proj(x).split(sizes, -1)
        mixed, tail = self.conv1d(mixed, state["tail"])
        u, k, q = mixed.split([self.inner, self.n_groups * self.state_size, self.n_groups * self.state_size], -1)
        # The step of a token: a long one writes x and forgets the state, a short one leaves it as it is.
        dt = F.softplus(dt + self.dt_bias)
        if self.dt_limit is not None:
            dt = dt.clamp(*self.dt_limit)
        u = split_heads(u, self.head_dim)
        q, k = (repeat_heads(split_heads(value, self.state_size), self.group_size) for value in (q, k))
        # log of e^{dt A}, A = -exp(A_log)
        g = -self.A_log.exp() * dt
        return {"q": q, "k": k, "v": u * dt[..., None], "g": g, "u": u, "z": z}, {"tail": tail}

    def finish(self, out: Tensor, x: Tensor, inputs: Inputs) -> Tensor:
        skip = self.D if self.D.numel() == self.inner else self.D.repeat_interleave(self.head_dim)
        # y = C^T S + D x, then norm(y silu(z)) or norm(y) silu(z)
        y = out.flatten(-2) + skip * inputs["u"].flatten(-2)
        gate = ACTIVATIONS["silu"](inputs["z"])
        if self.norm is None:
            return self.out_proj(y * gate)
        if self.gate_first:
            y = y * gate
        grouped = y.unflatten(-1, (self.n_groups, -1))
        y = F.rms_norm(grouped, grouped.shape[-1:], eps=self.norm_eps).flatten(-2) * self.norm.weight
        if not self.gate_first:
            y = y * gate
        return self.out_proj(y)


@dataclass(eq=False, repr=False, kw_only=True)
class Mamba(AdditiveMixer):
    """s = e^{dt A} s + dt B x for every channel and state, y = C s + D x, then y silu(z) (arXiv 2312.00752).

    A = -exp(A_log), dt = softplus(W_dt W_x x + b); x passes a short convolution, and dt, B and C come from it. In the
    terms of linear attention each channel is a head with one value: k = B, q = C, v = dt x, g = dt A, scale 1.

    Args:
        inner_dim: channels of x (default: 2 width).
        state_size: states of a channel.
        time_step_rank: channels between W_x and W_dt (default: width / 16, rounded up).
        conv_kernel: tokens of the short convolution; `use_conv_bias` gives it a bias.
        use_bias: give the input and output projections biases.
        hidden_act: activation behind the convolution.
        inner_norm_eps: epsilon of root-mean-square norms, without weights, of dt (before W_dt), B and C; or None.
    """

    chunk = 32

    inner_dim: int | None = None
    state_size: int = 16
    time_step_rank: int | None = None
    conv_kernel: int = 4
    use_conv_bias: bool = True
    use_bias: bool = False
    hidden_act: str = "silu"
    inner_norm_eps: float | None = None

    def build(self) -> None:
        self.inner = self.inner_dim or 2 * self.width
        states = self.state_size
        self.rank = self.time_step_rank or math.ceil(self.width / 16)
        require(states > 0, "Mamba.state_size", "must be > 0", states)
        activation(self.hidden_act, "Mamba.hidden_act")
        self.in_proj = linear(self.width, 2 * self.inner, self.use_bias)
        self.conv1d = ShortConv(self.inner, self.conv_kernel, self.use_conv_bias, self.hidden_act)
        self.x_proj = linear(self.inner, self.rank + 2 * states)
        self.dt_proj = linear(self.rank, self.inner, bias=True)
        self.dt_proj.bias = initial_dt_bias(self.inner)
        self.A_log = nn.Parameter(torch.arange(1.0, states + 1).log().repeat(self.inner, 1))
        self.D = nn.Parameter(torch.ones(self.inner))
        self.out_proj = linear(self.inner, self.width, self.use_bias)

    def initial(self, x: Tensor) -> State:
        return {"memory": x.new_zeros(len(x), self.inner, self.state_size, 1), "tail": self.conv1d.initial(x)}

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        u, z = self.in_proj(x).chunk(2, -1)
        u, tail = self.conv1d(u, state["tail"])
        parts = self.x_proj(u).split([self.rank, self.state_size, self.state_size], -1)
        if self.inner_norm_eps is not None:
            parts = tuple(F.rms_norm(part, part.shape[-1:], eps=self.inner_norm_eps) for part in parts)
        dt = F.softplus(self.dt_proj(parts[0]))
        # B and C of a token are the same for all channels.
        k, q = (part[..., None, :].expand(-1, -1, self.inner, -1) for part in parts[1:])
        g = -self.A_log.exp() * dt[..., None]
        return {"q": q, "k": k, "v": (u * dt)[..., None], "g": g, "u": u, "dt": dt, "z": z}, {"tail": tail}

    def compiled(self, step: Step, memory: Tensor, inputs: Inputs) -> Tensor | None:
        out = step.value(self.inner, 1)
        step.append(
            vector_states.selective,
            Channels(self.inner),
            {"u": inputs["u"], "dt": inputs["dt"]},
            {"state": memory, "out": out},
            # k and q, the same for all channels
            whole={"k": inputs["k"][:, 0], "q": inputs["q"][:, 0]},
            width=self.inner,
            states=self.state_size,
            a=-self.A_log.exp(),
            # `finish` adds D u itself, with the gate behind it.
            d=torch.zeros(self.inner),
        )
        return out

    def chunked(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """Scan each chunk by doubling: after n rounds a token holds the sum of the 2^n tokens up to it."""
        outputs = []
        s = memory[..., 0]
        for q, k, v, g in zip(*(inputs[name].split(self.chunk, 1) for name in ("q", "k", "v", "g")), strict=True):
            decay = g.exp()
            # (decay, total) of two neighbours compose: (d_2 d_1, t_2 + d_2 t_1).
            total = k * v
            step = 1
            while step < q.shape[1]:
                total = torch.cat([total[:, :step], total[:, step:] + decay[:, step:] * total[:, :-step]], 1)
                decay = torch.cat([decay[:, :step], decay[:, step:] * decay[:, :-step]], 1)
                step *= 2
            # s_t = total_t + (product of all decays up to t) s before the chunk
            states = total + decay * s[:, None]
            outputs.append((states * q).sum(-1, keepdim=True))
            s = states[:, -1]
        return s[..., None], torch.cat(outputs, 1)

    def finish(self, out: Tensor, x: Tensor, inputs: Inputs) -> Tensor:
        return self.out_proj((out[..., 0] + self.D * inputs["u"]) * F.silu(inputs["z"]))
