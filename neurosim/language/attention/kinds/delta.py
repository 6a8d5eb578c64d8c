"""Kinds that correct the content of the state: u = beta (v - S^T k), S += k u^T, after a decay or none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ....base.errors import lookup, require
from . import chunks
from .base import Inputs, RowUpdates, Shared, State
from .compiled import Step
from .linear_system import LinearSystem, decays, reflection
from .matrix_memory import DeltaMixer, delta_step, read
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
from .qkv import ConvolvedMixer, GatedMixer

QK_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "elu": lambda x: F.elu(x) + 1,
    "identity": lambda x: x,
    "relu": F.relu,
    "silu": F.silu,
}
QK_NORMS: dict[str, Callable[[Tensor], Tensor]] = {"l2": l2_normalise, "sum": lambda x: x / x.sum(-1, keepdim=True)}


@dataclass(eq=False, repr=False, kw_only=True)
class DeltaNet(DeltaMixer, ConvolvedMixer, GatedMixer):
    """The delta rule: u = beta (v - S^T k), S += k u^T (Yang et al. 2024, arXiv 2406.06484).

    q and k are normalised after convolution and activation. beta = sigmoid(W x), twice that with `allow_neg_eigval`:
    I - beta k k^T then has eigenvalues down to -1 and the state can count parity (Grazzi et al. 2024, arXiv
    2411.12537).

    Args:
        key_dim, value_dim: channels over all heads (default: width).
        use_beta: learn the step size beta; without it 1.
        gate_fn: activation of the output gate; None for no gate.
        qk_activation: activation of q and k, a name of `QK_ACTIVATIONS`.
        qk_norm: norm of q and k, a name of `QK_NORMS`.
    """

    num_heads: int = 4
    key_dim: int | None = None
    value_dim: int | None = None
    use_beta: bool = True
    allow_neg_eigval: bool = False
    gate_fn: str | None = None
    conv_size: int = 4
    qk_activation: str = "silu"
    qk_norm: str = "l2"

    def build(self) -> None:
        head_dim = divide(self.key_dim or self.width, self.num_heads, "DeltaNet.key_dim")
        head_v_dim = divide(self.value_dim or self.width, self.num_heads, "DeltaNet.value_dim")
        self.act = lookup(QK_ACTIVATIONS, self.qk_activation, "DeltaNet.qk_activation")
        self.normalise = lookup(QK_NORMS, self.qk_norm, "DeltaNet.qk_norm")
        self.beta_scale = 2 if self.allow_neg_eigval else 1
        self.group_values(self.num_heads, head_dim, None, head_v_dim)
        self.convolve(None, None, "silu")
        self.b_proj = linear(self.width, self.num_heads) if self.use_beta else None
        self.output()

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        (q, k, v), tails = self.convolved(x, state)
        # The convolution of v ends in silu itself; q and k leave their activation to `qk_activation`.
        if not self.conv_size:
            v = F.silu(v)
        # Keys of length 1 keep the eigenvalues of I - beta k k^T within 1 - beta to 1.
        q, k = (self.normalise(self.act(split_heads(value, self.k_size))) for value in (q, k))
        if self.b_proj is None:
            beta = x.new_ones(*x.shape[:2], self.heads)
        else:
            beta = self.b_proj(x).sigmoid()
        return {"q": q, "k": k, "v": split_heads(v, self.v_size), "beta": beta * self.beta_scale}, tails


@dataclass(eq=False, repr=False, kw_only=True)
class HeadedMixer(ConvolvedMixer, GatedMixer):
    """Kinds of the delta rule whose q and k may have fewer heads than v.

    Args:
        num_heads, head_dim: heads of q and k, and channels of each.
        num_v_heads: heads of v and of the state; a multiple of num_heads (default: num_heads).
        head_v_dim: channels of a value head (default: twice `head_dim`).
        allow_neg_eigval: see `DeltaNet`.
    """

    num_heads: int = 4
    head_dim: int = 32
    num_v_heads: int | None = None
    head_v_dim: int | None = None
    allow_neg_eigval: bool = False
    conv_size: int = 4

    b_proj: nn.Linear = field(init=False)

    def group(self, head_v_dim: int, steps: int = 1) -> None:
        """Make projections and convolutions; `head_v_dim` is the default, `steps` as in `group_values`."""
        self.beta_scale = 2 if self.allow_neg_eigval else 1
        self.group_values(self.num_heads, self.head_dim, self.num_v_heads, self.head_v_dim or head_v_dim, steps)
        self.convolve()

    def make_decay(self, channels: int = 1) -> None:
        """Make A_log for each head and dt_bias for each of its `channels`."""
        self.A_log = initial_a_log(self.heads)
        self.dt_bias = initial_dt_bias(self.heads * channels)

    def qkv(self, x: Tensor, state: State) -> tuple[Inputs, State]:
        """Return q, k, v and beta, one step a token, and the tails of the convolutions."""
        (q, k, v), tails = self.convolved(x, state, "silu")
        q, k = (repeat_heads(l2_normalise(split_heads(value, self.k_size)), self.groups) for value in (q, k))
        beta = self.b_proj(x).sigmoid() * self.beta_scale
        return {"q": q, "k": k, "v": split_heads(v, self.v_size), "beta": beta}, tails


@dataclass(eq=False, repr=False, kw_only=True)
class GatedDeltaNet(DeltaMixer, HeadedMixer):
    """A decay g = -exp(A_log) softplus(W x + dt_bias) for each head, then the delta rule (Yang et al. 2024,
    arXiv 2412.06464).

    Args:
        gate_fn: activation of the output gate; None for no gate.
    """

    gate_fn: str | None = "swish"

    def build(self) -> None:
        self.group(2 * self.head_dim)
        self.a_proj = linear(self.width, self.heads)
        self.b_proj = linear(self.width, self.heads)
        self.make_decay()
        self.output()

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        inputs, tails = self.qkv(x, state)
        return inputs | {"g": log_decays(self.a_proj(x), self.A_log, self.dt_bias)}, tails


@dataclass(eq=False, repr=False, kw_only=True)
class DeltaProduct(HeadedMixer):
    """n steps of the delta rule for each token, each with its own k, v and beta, after one decay (Siems et al. 2025,
    arXiv 2502.10297): the transition is a product of n Householder-like matrices.

    Args:
        num_householder: n.
        use_forget_gate: with the decay of `GatedDeltaNet`.
        gate_fn: activation of the output gate; None for no gate.
    """

    in_words = "state of several delta steps a token, output S^T q"

    num_householder: int = 2
    use_forget_gate: bool = True
    allow_neg_eigval: bool = True
    gate_fn: str | None = "swish"

    def build(self) -> None:
        steps = self.num_householder
        require(steps > 0, "DeltaProduct.num_householder", "must be > 0", steps)
        self.group(2 * self.head_dim, steps)
        self.b_proj = linear(self.width, steps * self.heads)
        self.a_proj = linear(self.width, self.heads) if self.use_forget_gate else None
        if self.use_forget_gate:
            self.make_decay()
        self.output()

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        (q, k, v), tails = self.convolved(x, state, "silu")
        q = repeat_heads(l2_normalise(split_heads(q, self.k_size)), self.groups)
        k, v = (
            value.unflatten(-1, (self.num_householder, -1, size))
            for value, size in ((k, self.k_size), (v, self.v_size))
        )
        beta = self.b_proj(x).sigmoid().unflatten(-1, (self.num_householder, -1)) * self.beta_scale
        inputs = {"q": q, "k": repeat_heads(l2_normalise(k), self.groups), "v": v, "beta": beta}
        if self.a_proj is not None:
            inputs["g"] = log_decays(self.a_proj(x), self.A_log, self.dt_bias)
        return inputs, tails

    def recur(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """inputs: q [B, H, K], k [B, n, H, K], v [B, n, H, V], beta [B, n, H], g [B, H] or none."""
        k = inputs["k"]
        v = inputs["v"]
        beta = inputs["beta"]
        g = inputs.get("g")
        for i in range(self.num_householder):
            # S = (I - beta_i k_i k_i^T) S + beta_i k_i v_i^T for i = 1 .. n; the decay of the token comes once.
            memory = delta_step(memory, k[:, i], v[:, i], beta[:, i], g if i == 0 else None)
        return memory, read(memory, inputs["q"]) * self.scale

    def compiled(self, step: Step, memory: Tensor, inputs: Inputs) -> Tensor | None:
        return step.delta(memory, inputs, self.scale, self.num_householder)

    def chunked(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        # The n steps of a token are n tokens of the delta rule.
        k, v, beta = (inputs[name].flatten(1, 2) for name in ("k", "v", "beta"))
        q = inputs["q"] * self.scale
        g = inputs.get("g")
        others = self.num_householder - 1
        # Queries read after a token's last step; its decay comes before the first.
        q = torch.cat([q.new_zeros(*q.shape[:2], others, *q.shape[2:]), q[:, :, None]], 2).flatten(1, 2)
        if g is not None:
            g = torch.cat([g[:, :, None], g.new_zeros(*g.shape[:2], others, g.shape[2])], 2).flatten(1, 2)
        memory, out = chunks.delta(q, k, v, beta, memory, g, self.chunk)
        return memory, out[:, others :: self.num_householder]

    def system(self, inputs: Inputs, memory: Tensor) -> LinearSystem:
        """Return Lambda, the product of the n steps of a token, and B, of columns beta k, each through later steps."""
        q, k, v, beta = (inputs[name] for name in ("q", "k", "v", "beta"))
        after = torch.eye(k.shape[-1], dtype=k.dtype, device=k.device).expand(*q.shape, -1)
        columns = []
        for i in reversed(range(k.shape[2])):
            # From the last step back: `after` is the product of the steps behind the present one.
            columns.append((after @ (beta[:, :, i, :, None] * k[:, :, i])[..., None])[..., 0])
            after = after @ reflection(k[:, :, i], beta[:, :, i])
        transition = after * decays(inputs.get("g"), q)[..., None, :]
        write = torch.stack(columns[::-1], -1)
        return LinearSystem(transition, write, v.movedim(2, -2), q * self.scale)

    def row_updates(self) -> RowUpdates | None:
        return RowUpdates(steps=self.num_householder, reads_first=True)


@dataclass(eq=False, repr=False, kw_only=True)
class KDA(DeltaMixer, HeadedMixer):
    """Kimi delta attention: a decay for every key channel, then the delta rule (arXiv 2510.26692).

    g = -exp(A_log) softplus(W2 W1 x + dt_bias), or `lower_bound` sigmoid(exp(A_log) (W2 W1 x + dt_bias)); the output
    gate is a sigmoid. The default of `head_v_dim` is `head_dim`.

    Args:
        lower_bound: lower bound of g, < 0; None for the unbounded form.
    """

    chunk = 16
    gate_fn = "sigmoid"

    lower_bound: float | None = None

    def build(self) -> None:
        bound = self.lower_bound
        require(bound is None or bound < 0, "KDA.lower_bound", "must be < 0", bound)
        self.group(self.head_dim)
        self.f_proj = low_rank(self.width, self.v_size, self.heads * self.k_size)
        self.b_proj = linear(self.width, self.heads)
        self.make_decay(self.k_size)
        # Replace the plain W_g only after it was drawn: the first weights of a seed depend on all earlier draws.
        self.output()
        self.g_proj = low_rank(self.width, self.v_size, self.heads * self.v_size, bias=True)

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        inputs, tails = self.qkv(x, state)
        f = split_heads(self.f_proj(x), self.k_size)
        a_log = self.A_log[:, None]
        bias = self.dt_bias.unflatten(0, (-1, self.k_size))
        if self.lower_bound is None:
            g = log_decays(f, a_log, bias)
        else:
            g = self.lower_bound * torch.sigmoid(a_log.exp() * (f + bias))
        return inputs | {"g": g}, tails
