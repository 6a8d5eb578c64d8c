"""Parts of the `Mixer` contract that many kinds share: projections of q, k and v, and normalised, gated outputs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn

from ....base.errors import require
from .base import Inputs, Mixer, State
from .modules import ACTIVATIONS, ShortConv, activation, divide, linear, split_heads


class QKVMixer(Mixer):
    """q, k and v from linear layers, each through a short convolution where there is one.

    Attributes:
        conv_names: the projections that have convolutions.
        counts_tokens: the state holds the `position` of the next token.
        conv_size: tokens of the convolutions, 0 for none; `conv_bias` gives them biases.
        heads: H, heads of the state.
        k_size, v_size: K and V, channels of a key and of a value.
        groups: heads of the state that share one head of k and v, or of q and k.
        extra_columns: columns of the state beside V.
    """

    has_qk = True
    conv_names: ClassVar[tuple[str, ...]] = ("q", "k", "v")
    counts_tokens = False
    conv_size = 0
    conv_bias = False
    extra_columns = 0

    def project_qkv(self, q: int, k: int, v: int) -> None:
        """Make the projections of x to queries, keys and values."""
        self.q_proj, self.k_proj, self.v_proj = (linear(self.width, channels) for channels in (q, k, v))

    def group_queries(self, num_heads: int, num_kv_heads: int | None, key_dim: int, value_dim: int) -> None:
        """Make projections where a head of k and v serves a group of the `num_heads` heads of q and of the state.

        Args:
            key_dim, value_dim: channels of q and of the output over all heads.
        """
        # The state has a head for each of q; k and v are repeated for it.
        self.groups = divide(num_heads, num_kv_heads or num_heads, self.name("num_heads"))
        self.heads = num_heads
        self.k_size = divide(key_dim, num_heads, self.name("key_dim"))
        self.v_size = divide(value_dim, num_heads, self.name("value_dim"))
        self.scale = self.k_size**-0.5
        self.project_qkv(key_dim, key_dim // self.groups, value_dim // self.groups)

    def group_values(self, num_heads: int, k_size: int, num_v_heads: int | None, v_size: int, steps: int = 1) -> None:
        """Make projections where a head of q and k serves a group of the heads of v and of the state.

        Args:
            steps: steps of the recurrence in a token, each with its own k and v.
        """
        self.heads = num_v_heads or num_heads
        self.k_size = k_size
        self.v_size = v_size
        # The state has a head for each of v; q and k are repeated for it.
        self.groups = divide(self.heads, num_heads, self.name("num_v_heads"))
        self.scale = k_size**-0.5
        keys = num_heads * k_size
        self.project_qkv(keys, steps * keys, steps * self.heads * v_size)

    def convolve(self, *activations: str | None) -> None:
        """Make the short convolutions behind the projections, with these activations (default: silu)."""
        require(self.conv_size >= 0, self.name("conv_size"), "must be >= 0 tokens", self.conv_size)
        for name, act in zip(self.conv_names, activations or ("silu",) * 3, strict=True):
            if self.conv_size:
                channels = getattr(self, f"{name}_proj").out_features
                setattr(self, f"{name}_conv1d", ShortConv(channels, self.conv_size, self.conv_bias, act))

    def convolved(self, x: Tensor, state: State, default: str = "identity") -> tuple[list[Tensor], State]:
        """Return the projections of x through their convolutions or, without these, the activation `default`."""
        values = []
        tails = {}
        for name in self.conv_names:
            value = getattr(self, f"{name}_proj")(x)
            if self.conv_size:
                value, tails[f"{name}_tail"] = getattr(self, f"{name}_conv1d")(value, state[f"{name}_tail"])
            else:
                # The convolution ends in its activation; without it the activation comes alone.
                value = ACTIVATIONS[default](value)
            values.append(value)
        return values, tails

    def initial(self, x: Tensor) -> State:
        columns = self.v_size + self.extra_columns
        state = {"memory": x.new_zeros(x.shape[0], self.heads, self.k_size, columns)}
        if self.conv_size:
            state |= {f"{n}_tail": getattr(self, f"{n}_conv1d").initial(x) for n in self.conv_names}
        if self.counts_tokens:
            state["position"] = torch.zeros((), dtype=torch.int64, device=x.device)
        return state


@dataclass(eq=False, repr=False, kw_only=True)
class ConvolvedMixer(QKVMixer):
    """Kinds with options for the short convolutions behind the projections.

    Args:
        conv_size: tokens of the convolutions, 0 for none.
        conv_bias: give them biases.
    """

    conv_size: int = 0
    conv_bias: bool = False


@dataclass(eq=False, repr=False, kw_only=True)
class NormedMixer(Mixer):
    """Kinds with options for the norm of their outputs.

    Args:
        elementwise_affine: the norm has weights.
        norm_eps: epsilon of the norm.
    """

    elementwise_affine: bool = True
    norm_eps: float = 1e-5


@dataclass(eq=False, repr=False, kw_only=True)
class GatedMixer(Mixer):
    """y = W_o (norm(o) f(W_g x)), the norm over each head's values.

    Args:
        norm_eps: epsilon of the norm of the outputs.

    Attributes:
        gate_fn: f, the name of an activation; None for no gate.
        elementwise_affine: the norm has weights.
    """

    elementwise_affine = True

    norm_eps: float = 1e-5

    gate_fn: str | None = field(init=False)
    heads: int = field(init=False)
    v_size: int = field(init=False)

    def output(self, g_proj: nn.Module | None = None) -> None:
        """Make norm, gate and output projection; `g_proj` is W_g where it is no plain linear layer."""
        values = self.heads * self.v_size
        if self.gate_fn is not None:
            activation(self.gate_fn, self.name("gate_fn"))
            self.g_proj = linear(self.width, values) if g_proj is None else g_proj
        self.o_norm: nn.Module = nn.RMSNorm(self.v_size, self.norm_eps, self.elementwise_affine)
        self.o_proj = linear(values, self.width)

    def finish(self, out: Tensor, x: Tensor, inputs: Inputs) -> Tensor:
        # norm of each head, [.., H, V], then the gate f(W_g x), then W_o over all heads
        out = self.o_norm(out)
        if self.gate_fn is not None:
            out = out * ACTIVATIONS[self.gate_fn](split_heads(self.g_proj(x), self.v_size))
        return self.o_proj(out.flatten(-2))
