"""Parts of the `Mixer` contract that many kinds share: projections of q, k and v, and normalised, gated outputs."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from ..errors import require
from .base import Inputs, Mixer, State
from .modules import ACTIVATIONS, Norm, ShortConv, activation, divide, linear, split_heads


class QKVMixer(Mixer):
    """q, k and v from linear layers, each through a short convolution where there is one.

    Attributes:
        conv_names: the projections that have convolutions.
        counts_tokens: the state holds the `position` of the next token.
        memory_heads: H, heads of the state.
        head_k_dim, head_v_dim: K and V, channels of a key and of a value.
        groups: heads of the state that share one head of k and v, or of q and k.
        extra_columns: of the state beside V.
    """

    conv_names: ClassVar[tuple[str, ...]] = ("q", "k", "v")
    counts_tokens: ClassVar[bool] = False
    memory_heads: int
    head_k_dim: int
    head_v_dim: int
    groups: int
    scale: float
    conv_size: int = 0
    extra_columns: int = 0

    def project_qkv(self, width: int, q: int, k: int, v: int) -> None:
        """Make the three projections of x [.., width]."""
        self.q_proj, self.k_proj, self.v_proj = linear(width, q), linear(width, k), linear(width, v)

    def group_queries(self, width: int, num_heads: int, num_kv_heads: int | None, key_dim: int, value_dim: int) -> None:
        """Make projections where a head of k and v serves a group of the `num_heads` heads of q and of the state.

        Args:
            key_dim, value_dim: channels of q and of the output over all heads.
        """
        kind = type(self).__name__
        self.memory_heads, self.groups = num_heads, divide(num_heads, num_kv_heads or num_heads, f"{kind}.num_heads")
        self.head_k_dim = divide(key_dim, num_heads, f"{kind}.key_dim")
        self.head_v_dim = divide(value_dim, num_heads, f"{kind}.value_dim")
        self.scale = self.head_k_dim**-0.5
        self.project_qkv(width, key_dim, key_dim // self.groups, value_dim // self.groups)

    def group_values(
        self, width: int, num_heads: int, head_dim: int, num_v_heads: int | None, head_v_dim: int, steps: int = 1
    ) -> None:
        """Make projections where a head of q and k serves a group of the heads of v and of the state.

        Args:
            steps: of the recurrence in a token, each with its own k and v.
        """
        self.memory_heads, self.head_k_dim, self.head_v_dim = num_v_heads or num_heads, head_dim, head_v_dim
        self.groups = divide(self.memory_heads, num_heads, f"{type(self).__name__}.num_v_heads")
        self.scale = head_dim**-0.5
        keys = num_heads * head_dim
        self.project_qkv(width, keys, steps * keys, steps * self.memory_heads * head_v_dim)

    def convolve(self, size: int, bias: bool, activations: tuple[str | None, ...] = ("silu", "silu", "silu")) -> None:
        """Make short convolutions over `size` tokens behind the projections; none for size 0."""
        require(size >= 0, f"{type(self).__name__}.conv_size", "must be >= 0 tokens", size)
        self.conv_size = size
        for name, act in zip(self.conv_names, activations, strict=True):
            if size:
                channels = getattr(self, f"{name}_proj").out_features
                setattr(self, f"{name}_conv1d", ShortConv(channels, size, bias, act))

    def convolved(self, x: Tensor, state: State, default: str = "identity") -> tuple[list[Tensor], State]:
        """The projections of x through their convolutions or, without these, the activation `default`."""
        values, tails = [], {}
        for name in self.conv_names:
            value = getattr(self, f"{name}_proj")(x)
            if self.conv_size:
                value, tails[f"{name}_tail"] = getattr(self, f"{name}_conv1d")(value, state[f"{name}_tail"])
            else:
                value = ACTIVATIONS[default](value)
            values.append(value)
        return values, tails

    def initial(self, x: Tensor) -> State:
        columns = self.head_v_dim + self.extra_columns
        state = {"memory": x.new_zeros(x.shape[0], self.memory_heads, self.head_k_dim, columns)}
        if self.conv_size:
            state |= {f"{n}_tail": getattr(self, f"{n}_conv1d").initial(x) for n in self.conv_names}
        if self.counts_tokens:
            state["position"] = torch.zeros((), dtype=torch.int64, device=x.device)
        return state


class GatedMixer(Mixer):
    """y = W_o (norm(o) f(W_g x)), the norm over each head's values."""

    memory_heads: int
    head_v_dim: int
    o_norm: nn.Module

    def output(
        self, width: int, gate_fn: str | None, eps: float, affine: bool = True, g_proj: nn.Module | None = None
    ) -> None:
        """Make norm, gate and output projection.

        Args:
            gate_fn: f, the name of an activation; None for no gate.
            g_proj: W_g where it is no plain linear layer.
        """
        self.gate_fn = gate_fn
        values = self.memory_heads * self.head_v_dim
        if gate_fn is not None:
            activation(gate_fn, f"{type(self).__name__}.gate_fn")
            self.g_proj = linear(width, values) if g_proj is None else g_proj
        self.o_norm = Norm(self.head_v_dim, eps, affine)
        self.o_proj = linear(values, width)

    def finish(self, out: Tensor, x: Tensor, inputs: Inputs) -> Tensor:
        out = self.o_norm(out)
        if self.gate_fn is not None:
            out = out * ACTIVATIONS[self.gate_fn](split_heads(self.g_proj(x), self.head_v_dim))
        return self.o_proj(out.flatten(-2))
