"""Kinds that correct the content of the state: u = beta (v - S^T k), S += k u^T, after a decay or none."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import lookup, require
from . import chunks
from .base import DeltaMixer, Depth, Inputs, Shared, State, delta_step, read
from .modules import (
    divide,
    initial_a_log,
    initial_dt_bias,
    l2_normalise,
    linear,
    log_decays,
    low_rank,
    repeat_heads,
    split_heads,
)
from .qkv import GatedMixer, QKVMixer

QK_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "elu": lambda x: F.elu(x) + 1,
    "identity": lambda x: x,
    "relu": F.relu,
    "silu": F.silu,
}
QK_NORMS: dict[str, Callable[[Tensor], Tensor]] = {"l2": l2_normalise, "sum": lambda x: x / x.sum(-1, keepdim=True)}


class DeltaNet(DeltaMixer, QKVMixer, GatedMixer):
    """The delta rule: u = beta (v - S^T k), S += k u^T (Yang et al. 2024, arXiv 2406.06484).

    q and k are normalised after convolution and activation. beta = sigmoid(W x), twice that with `allow_neg_eigval`:
    I - beta k k^T then has eigenvalues down to -1 and the state can count parity (Grazzi et al. 2024, arXiv
    2411.12537).

    Args:
        width: D, channels of x.
        key_dim, value_dim: channels over all heads (default: width).
        use_beta: learn the step size beta; without it 1.
        gate_fn: activation of the output gate; None for no gate.
        conv_size: tokens of the short convolutions, 0 for none; `conv_bias` gives them biases.
        qk_activation: of q and k, a name of `QK_ACTIVATIONS`.
        qk_norm: of q and k, a name of `QK_NORMS`.
        norm_eps: of the norm of the outputs.
    """

    def __init__(
        self,
        width: int,
        depth: Depth,
        num_heads: int = 4,
        key_dim: int | None = None,
        value_dim: int | None = None,
        use_beta: bool = True,
        allow_neg_eigval: bool = False,
        gate_fn: str | None = None,
        conv_size: int = 4,
        conv_bias: bool = False,
        qk_activation: str = "silu",
        qk_norm: str = "l2",
        norm_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        head_dim = divide(key_dim or width, num_heads, "DeltaNet.key_dim")
        head_v_dim = divide(value_dim or width, num_heads, "DeltaNet.value_dim")
        self.qk_activation = lookup(QK_ACTIVATIONS, qk_activation, "DeltaNet.qk_activation")
        self.qk_norm = lookup(QK_NORMS, qk_norm, "DeltaNet.qk_norm")
        self.beta_scale = 2 if allow_neg_eigval else 1
        self.group_values(width, num_heads, head_dim, None, head_v_dim)
        self.convolve(conv_size, conv_bias, (None, None, "silu"))
        self.b_proj = linear(width, num_heads) if use_beta else None
        self.output(width, gate_fn, norm_eps)

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        (q, k, v), tails = self.convolved(x, state)
        v = v if self.conv_size else F.silu(v)
        q, k = (self.qk_norm(self.qk_activation(split_heads(value, self.head_k_dim))) for value in (q, k))
        beta = x.new_ones(*x.shape[:2], self.memory_heads) if self.b_proj is None else self.b_proj(x).sigmoid()
        return {"q": q, "k": k, "v": split_heads(v, self.head_v_dim), "beta": beta * self.beta_scale}, tails


class GatedDeltaNet(DeltaMixer, QKVMixer, GatedMixer):
    """A decay g = -exp(A_log) softplus(W x + dt_bias) for each head, then the delta rule (Yang et al. 2024,
    arXiv 2412.06464).

    Args:
        width: D, channels of x.
        num_heads, head_dim: heads of q and k, and channels of each.
        num_v_heads: heads of v and of the state; a multiple of num_heads (default: num_heads).
        head_v_dim: channels of a value head (default: twice `head_dim`).
        allow_neg_eigval, gate_fn, conv_size, conv_bias, norm_eps: see `DeltaNet`.
    """

    def __init__(
        self,
        width: int,
        depth: Depth,
        num_heads: int = 4,
        head_dim: int = 32,
        num_v_heads: int | None = None,
        head_v_dim: int | None = None,
        allow_neg_eigval: bool = False,
        gate_fn: str | None = "swish",
        conv_size: int = 4,
        conv_bias: bool = False,
        norm_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.group_values(width, num_heads, head_dim, num_v_heads, head_v_dim or 2 * head_dim)
        self.beta_scale = 2 if allow_neg_eigval else 1
        self.convolve(conv_size, conv_bias)
        self.a_proj, self.b_proj = linear(width, self.memory_heads), linear(width, self.memory_heads)
        self.A_log, self.dt_bias = initial_a_log(self.memory_heads), initial_dt_bias(self.memory_heads)
        self.output(width, gate_fn, norm_eps)

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        (q, k, v), tails = self.convolved(x, state, "silu")
        q, k = (repeat_heads(l2_normalise(split_heads(value, self.head_k_dim)), self.groups) for value in (q, k))
        beta = self.b_proj(x).sigmoid() * self.beta_scale
        g = log_decays(self.a_proj(x), self.A_log, self.dt_bias)
        return {"q": q, "k": k, "v": split_heads(v, self.head_v_dim), "beta": beta, "g": g}, tails


class DeltaProduct(QKVMixer, GatedMixer):
    """n steps of the delta rule for each token, each with its own k, v and beta, after one decay (Siems et al. 2025,
    arXiv 2502.10297): the transition is a product of n Householder-like matrices.

    Args:
        num_householder: n.
        use_forget_gate: with the decay of `GatedDeltaNet`, which has the other options too.
    """

    def __init__(
        self,
        width: int,
        depth: Depth,
        num_heads: int = 4,
        head_dim: int = 32,
        num_v_heads: int | None = None,
        head_v_dim: int | None = None,
        num_householder: int = 2,
        use_forget_gate: bool = True,
        allow_neg_eigval: bool = True,
        gate_fn: str | None = "swish",
        conv_size: int = 4,
        conv_bias: bool = False,
        norm_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        require(num_householder > 0, "DeltaProduct.num_householder", "must be > 0", num_householder)
        self.group_values(width, num_heads, head_dim, num_v_heads, head_v_dim or 2 * head_dim, num_householder)
        self.beta_scale, self.num_householder = 2 if allow_neg_eigval else 1, num_householder
        self.convolve(conv_size, conv_bias)
        self.b_proj = linear(width, num_householder * self.memory_heads)
        self.a_proj = linear(width, self.memory_heads) if use_forget_gate else None
        if use_forget_gate:
            self.A_log, self.dt_bias = initial_a_log(self.memory_heads), initial_dt_bias(self.memory_heads)
        self.output(width, gate_fn, norm_eps)

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        (q, k, v), tails = self.convolved(x, state, "silu")
        q = repeat_heads(l2_normalise(split_heads(q, self.head_k_dim)), self.groups)
        k, v = (
            value.unflatten(-1, (self.num_householder, -1, size))
            for value, size in ((k, self.head_k_dim), (v, self.head_v_dim))
        )
        beta = self.b_proj(x).sigmoid().unflatten(-1, (self.num_householder, -1)) * self.beta_scale
        inputs = {"q": q, "k": repeat_heads(l2_normalise(k), self.groups), "v": v, "beta": beta}
        if self.a_proj is not None:
            inputs["g"] = log_decays(self.a_proj(x), self.A_log, self.dt_bias)
        return inputs, tails

    def recur(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """inputs: q [B, H, K], k [B, n, H, K], v [B, n, H, V], beta [B, n, H], g [B, H] or none."""
        k, v, beta, g = inputs["k"], inputs["v"], inputs["beta"], inputs.get("g")
        for i in range(self.num_householder):
            memory = delta_step(memory, k[:, i], v[:, i], beta[:, i], g if i == 0 else None)
        return memory, read(memory, inputs["q"]) * self.scale

    def chunked(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        k, v, beta = (inputs[name].flatten(1, 2) for name in ("k", "v", "beta"))
        q, g, others = inputs["q"] * self.scale, inputs.get("g"), self.num_householder - 1
        # Queries read after a token's last step; its decay comes before the first.
        q = torch.cat([q.new_zeros(*q.shape[:2], others, *q.shape[2:]), q[:, :, None]], 2).flatten(1, 2)
        if g is not None:
            g = torch.cat([g[:, :, None], g.new_zeros(*g.shape[:2], others, g.shape[2])], 2).flatten(1, 2)
        memory, out = chunks.delta(q, k, v, beta, memory, g, self.chunk)
        return memory, out[:, others :: self.num_householder]


class KDA(DeltaMixer, QKVMixer, GatedMixer):
    """Kimi delta attention: a decay for every key channel, then the delta rule (arXiv 2510.26692).

    g = -exp(A_log) softplus(W2 W1 x + dt_bias), or `lower_bound` sigmoid(exp(A_log) (W2 W1 x + dt_bias)); the output
    gate is a sigmoid.

    Args:
        head_v_dim: channels of a value head (default: `head_dim`).
        lower_bound: of g, < 0; None for the unbounded form.

    The other options are those of `GatedDeltaNet`.
    """

    chunk = 16

    def __init__(
        self,
        width: int,
        depth: Depth,
        num_heads: int = 4,
        head_dim: int = 32,
        num_v_heads: int | None = None,
        head_v_dim: int | None = None,
        allow_neg_eigval: bool = False,
        lower_bound: float | None = None,
        conv_size: int = 4,
        conv_bias: bool = False,
        norm_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        require(lower_bound is None or lower_bound < 0, "KDA.lower_bound", "must be < 0", lower_bound)
        self.group_values(width, num_heads, head_dim, num_v_heads, head_v_dim or head_dim)
        self.beta_scale, self.lower_bound = 2 if allow_neg_eigval else 1, lower_bound
        self.convolve(conv_size, conv_bias)
        self.f_proj = low_rank(width, self.head_v_dim, self.memory_heads * head_dim)
        self.b_proj = linear(width, self.memory_heads)
        self.A_log, self.dt_bias = initial_a_log(self.memory_heads), initial_dt_bias(self.memory_heads * head_dim)
        # The plain W_g is replaced, not left out: a seed's first weights depend on what is drawn before them.
        self.output(width, "sigmoid", norm_eps)
        self.g_proj: nn.Module = low_rank(width, self.head_v_dim, self.memory_heads * self.head_v_dim, True)

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        (q, k, v), tails = self.convolved(x, state, "silu")
        q, k = (repeat_heads(l2_normalise(split_heads(value, self.head_k_dim)), self.groups) for value in (q, k))
        f, a_log = split_heads(self.f_proj(x), self.head_k_dim), self.A_log[:, None]
        bias = self.dt_bias.unflatten(0, (-1, self.head_k_dim))
        if self.lower_bound is None:
            g = log_decays(f, a_log, bias)
        else:
            g = self.lower_bound * torch.sigmoid(a_log.exp() * (f + bias))
        beta = self.b_proj(x).sigmoid() * self.beta_scale
        return {"q": q, "k": k, "v": split_heads(v, self.head_v_dim), "beta": beta, "g": g}, tails
