"""What kinds with separate projections of q, k and v share: short convolutions and gated, normalised outputs."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..errors import require
from .base import Mixer, State
from .parts import ACTIVATIONS, Norm, ShortConv, activation, heads, linear


class ProjectedMixer(Mixer):
    """q, k, v from linear layers, each through a short convolution if there is one; y = W_o (norm(o) f(W_g x)).

    Attributes:
        key, value: channels of a head of the state.
        memory_heads: heads of the state.
    """

    key: int
    value: int
    memory_heads: int
    conv_names: tuple[str, ...] = ("q", "k", "v")
    o_norm: nn.Module
    o_proj: nn.Linear

    def project_qkv(self, width: int, q: int, k: int, v: int) -> None:
        """The three projections of x [.., width]."""
        self.q_proj, self.k_proj, self.v_proj = linear(width, q), linear(width, k), linear(width, v)

    def convolve(self, size: int, bias: bool, acts: tuple[str | None, ...]) -> None:
        """Short convolutions over `size` tokens behind the projections; none for size 0."""
        require(size >= 0, f"{type(self).__name__}.conv", "must be >= 0 tokens", size)
        self.conv = size
        for name, act in zip(self.conv_names, acts, strict=True):
            if size:
                channels = getattr(self, f"{name}_proj").out_features
                setattr(self, f"{name}_conv1d", ShortConv(channels, size, bias, act))

    def convolved(self, x: Tensor, state: State, plain: Callable[[Tensor], Tensor]) -> tuple[list[Tensor], State]:
        """The projections of x, through their convolutions or, without them, `plain`."""
        values, kept = [], {}
        for name in self.conv_names:
            value = getattr(self, f"{name}_proj")(x)
            if self.conv:
                value, kept[f"{name}_tail"] = getattr(self, f"{name}_conv1d")(value, state[f"{name}_tail"])
            else:
                value = plain(value)
            values.append(value)
        return values, kept

    def output(self, width: int, gate: str | None, eps: float, affine: bool = True) -> None:
        """Norm over each head's values, gate and output projection; no gate for None."""
        self.gate = gate
        if gate is not None:
            activation(gate, f"{type(self).__name__}.gate")
            self.g_proj: nn.Module = linear(width, self.memory_heads * self.value)
        self.o_norm = Norm(self.value, eps, affine)
        self.o_proj = linear(self.memory_heads * self.value, width)

    def gated(self, out: Tensor, x: Tensor) -> Tensor:
        """y [B, T, D] from out [B, T, H, V]."""
        out = self.o_norm(out)
        if self.gate is not None:
            out = out * ACTIVATIONS[self.gate](heads(self.g_proj(x), self.value))
        return self.o_proj(out.flatten(-2))

    def initial(self, x: Tensor) -> State:
        state = {"memory": x.new_zeros(x.shape[0], self.memory_heads, self.key, self.value)}
        if self.conv:
            state |= {f"{n}_tail": getattr(self, f"{n}_conv1d").initial(x) for n in self.conv_names}
        return state

    def finish(self, out: Tensor, x: Tensor, inputs: dict[str, Tensor]) -> Tensor:
        return self.gated(out, x)


def log_decays(a: Tensor, a_log: Tensor, bias: Tensor) -> Tensor:
    """g = -exp(A_log) softplus(a + bias), the decay of Mamba-2 and of the gated delta rule."""
    return -a_log.exp() * torch.nn.functional.softplus(a + bias)
