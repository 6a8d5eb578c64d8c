"""Kinds that correct what the state holds: u = beta (v - S^T k), S += k u^T, after a decay or none."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import lookup, require
from . import chunks
from .base import DeltaMixer, Inputs, Place, Shared, State, delta_step, read
from .parts import ACTIVATIONS, divided, heads, linear, low_rank, spread, step_bias, unit
from .projected import ProjectedMixer, log_decays

QK_ACTS: dict[str, Callable[[Tensor], Tensor]] = {
    "elu": lambda x: F.elu(x) + 1,
    "identity": lambda x: x,
    "relu": F.relu,
    "silu": F.silu,
}
QK_NORMS: dict[str, Callable[[Tensor], Tensor]] = {"l2": unit, "sum": lambda x: x / x.sum(-1, keepdim=True)}


class DeltaNet(DeltaMixer, ProjectedMixer):
    """The delta rule: u = beta (v - S^T k), S += k u^T (Yang et al. 2024, arXiv 2406.06484).

    q and k are normalised after convolution and activation; beta = sigmoid(W x), twice that if `negative`: I - beta k
    k^T then has eigenvalues down to -1 and the state can count parity (Grazzi et al. 2024, arXiv 2411.12537).

    Args:
        width: D, channels of x.
        keys, values: channels over all heads (default: width).
        beta: learnt step size; without it 1.
        gate: activation of the output gate, or none.
        conv: tokens of the short convolutions, 0 for none.
        act: activation of q and k, a name of `QK_ACTS`.
        norm: of q and k, a name of `QK_NORMS`.
    """

    def __init__(
        self,
        width: int,
        place: Place,
        heads: int = 4,
        keys: int | None = None,
        values: int | None = None,
        beta: bool = True,
        negative: bool = False,
        gate: str | None = None,
        conv: int = 4,
        conv_bias: bool = False,
        act: str = "silu",
        norm: str = "l2",
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.memory_heads = heads
        self.key, self.value = divided(keys or width, heads, "keys"), divided(values or width, heads, "values")
        self.scale, self.negative = self.key**-0.5, negative
        self.act, self.qk_norm = lookup(QK_ACTS, act, "DeltaNet.act"), lookup(QK_NORMS, norm, "DeltaNet.norm")
        self.project_qkv(width, heads * self.key, heads * self.key, heads * self.value)
        self.convolve(conv, conv_bias, (None, None, "silu"))
        self.b_proj = linear(width, heads) if beta else None
        self.output(width, gate, eps)

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        (q, k, v), kept = self.convolved(x, state, ACTIVATIONS["identity"])
        v = v if self.conv else F.silu(v)
        q, k = (self.qk_norm(self.act(heads(value, self.key))) for value in (q, k))
        beta = x.new_ones(*x.shape[:2], self.memory_heads) if self.b_proj is None else self.b_proj(x).sigmoid()
        beta = beta * 2 if self.negative else beta
        return {"q": q, "k": k, "v": heads(v, self.value), "beta": beta}, kept


class GatedDeltaNet(DeltaMixer, ProjectedMixer):
    """A decay g = -exp(A_log) softplus(W x + dt_bias) a head, then the delta rule (Yang et al. 2024, 2412.06464).

    Args:
        width: D, channels of x.
        heads, head: of q and k, and channels of each.
        value_heads: of v and the state; a multiple of heads, which then serve several (default: heads).
        value: channels of a value head (default: twice `head`).
        negative, gate, conv, conv_bias, eps: as of `DeltaNet`.
    """

    def __init__(
        self,
        width: int,
        place: Place,
        heads: int = 4,
        head: int = 32,
        value_heads: int | None = None,
        value: int | None = None,
        negative: bool = False,
        gate: str | None = "swish",
        conv: int = 4,
        conv_bias: bool = False,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.memory_heads, self.key, self.value = value_heads or heads, head, value or 2 * head
        self.groups = divided(self.memory_heads, heads, "GatedDeltaNet.value_heads")
        self.scale, self.negative = head**-0.5, negative
        self.project_qkv(width, heads * head, heads * head, self.memory_heads * self.value)
        self.convolve(conv, conv_bias, ("silu", "silu", "silu"))
        self.a_proj, self.b_proj = linear(width, self.memory_heads), linear(width, self.memory_heads)
        self.A_log = nn.Parameter(torch.empty(self.memory_heads).uniform_(1, 16).log())
        self.dt_bias = nn.Parameter(step_bias(self.memory_heads))
        self.output(width, gate, eps)

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        (q, k, v), kept = self.convolved(x, state, F.silu)
        q, k = (spread(unit(heads(value, self.key)), self.groups) for value in (q, k))
        beta = self.b_proj(x).sigmoid() * (2 if self.negative else 1)
        g = log_decays(self.a_proj(x), self.A_log, self.dt_bias)
        return {"q": q, "k": k, "v": heads(v, self.value), "beta": beta, "g": g}, kept


class DeltaProduct(ProjectedMixer):
    """n steps of the delta rule a token, each with its own k, v and beta, after one decay (Siems et al. 2025,
    arXiv 2502.10297): the transition is a product of n Householder-like matrices.

    Args:
        steps: n.
        forget: with the decay of `GatedDeltaNet`.
        width, heads, head, value_heads, value, negative, gate, conv, conv_bias, eps: as of `GatedDeltaNet`.
    """

    def __init__(
        self,
        width: int,
        place: Place,
        heads: int = 4,
        head: int = 32,
        value_heads: int | None = None,
        value: int | None = None,
        steps: int = 2,
        forget: bool = True,
        negative: bool = True,
        gate: str | None = "swish",
        conv: int = 4,
        conv_bias: bool = False,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        require(steps > 0, "DeltaProduct.steps", "must be > 0", steps)
        self.memory_heads, self.key, self.value = value_heads or heads, head, value or 2 * head
        self.groups = divided(self.memory_heads, heads, "DeltaProduct.value_heads")
        self.scale, self.negative, self.steps = head**-0.5, negative, steps
        self.project_qkv(width, heads * head, steps * heads * head, steps * self.memory_heads * self.value)
        self.convolve(conv, conv_bias, ("silu", "silu", "silu"))
        self.b_proj = linear(width, steps * self.memory_heads)
        self.a_proj = linear(width, self.memory_heads) if forget else None
        if forget:
            self.A_log = nn.Parameter(torch.empty(self.memory_heads).uniform_(1, 16).log())
            self.dt_bias = nn.Parameter(step_bias(self.memory_heads))
        self.output(width, gate, eps)

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        (q, k, v), kept = self.convolved(x, state, F.silu)
        q = spread(unit(heads(q, self.key)), self.groups)
        k, v = (value.unflatten(-1, (self.steps, -1, size)) for value, size in ((k, self.key), (v, self.value)))
        beta = self.b_proj(x).sigmoid().unflatten(-1, (self.steps, -1)) * (2 if self.negative else 1)
        inputs = {"q": q, "k": spread(unit(k), self.groups), "v": v, "beta": beta}
        if self.a_proj is not None:
            inputs["g"] = log_decays(self.a_proj(x), self.A_log, self.dt_bias)
        return inputs, kept

    def recur(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """inputs: q [B, H, K], k [B, n, H, K], v [B, n, H, V], beta [B, n, H], g [B, H] or none."""
        k, v, beta, g = inputs["k"], inputs["v"], inputs["beta"], inputs.get("g")
        for i in range(self.steps):
            memory = delta_step(memory, k[:, i], v[:, i], beta[:, i], g if i == 0 else None)
        return memory, read(memory, inputs["q"]) * self.scale

    def chunked(self, memory: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        k, v, beta = (inputs[name].flatten(1, 2) for name in ("k", "v", "beta"))
        q, g = inputs["q"] * self.scale, inputs.get("g")
        # Queries read after a token's last step; its decay comes before the first.
        q = torch.cat([q.new_zeros(*q.shape[:2], self.steps - 1, *q.shape[2:]), q[:, :, None]], 2).flatten(1, 2)
        if g is not None:
            g = torch.cat([g[:, :, None], g.new_zeros(*g.shape[:2], self.steps - 1, g.shape[2])], 2).flatten(1, 2)
        memory, out = chunks.delta(q, k, v, beta, memory, g, self.chunk)
        return memory, out[:, self.steps - 1 :: self.steps]


class KDA(DeltaMixer, ProjectedMixer):
    """Kimi delta attention: a decay for every key channel, then the delta rule (arXiv 2510.26692).

    g = -exp(A_log) softplus(W2 W1 x + dt_bias), or `bound` sigmoid(exp(A_log) (W2 W1 x + dt_bias)); a sigmoid gate.

    Args:
        bound: least g, < 0, or none for the unbounded form.
        width, heads, head, value_heads, value, negative, conv, conv_bias, eps: as of `GatedDeltaNet`.
    """

    chunk = 16

    def __init__(
        self,
        width: int,
        place: Place,
        heads: int = 4,
        head: int = 32,
        value_heads: int | None = None,
        value: int | None = None,
        negative: bool = False,
        bound: float | None = None,
        conv: int = 4,
        conv_bias: bool = False,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        require(bound is None or bound < 0, "KDA.bound", "must be < 0", bound)
        self.memory_heads, self.key, self.value = value_heads or heads, head, value or head
        self.groups = divided(self.memory_heads, heads, "KDA.value_heads")
        self.scale, self.negative, self.bound = head**-0.5, negative, bound
        self.project_qkv(width, heads * head, heads * head, self.memory_heads * self.value)
        self.convolve(conv, conv_bias, ("silu", "silu", "silu"))
        self.f_proj = low_rank(width, self.value, self.memory_heads * head)
        self.b_proj = linear(width, self.memory_heads)
        self.A_log = nn.Parameter(torch.empty(self.memory_heads).uniform_(1, 16).log())
        self.dt_bias = nn.Parameter(step_bias(self.memory_heads * head))
        self.output(width, "sigmoid", eps)
        self.g_proj = low_rank(width, self.value, self.memory_heads * self.value, True)

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        (q, k, v), kept = self.convolved(x, state, F.silu)
        q, k = (spread(unit(heads(value, self.key)), self.groups) for value in (q, k))
        raw, a_log = heads(self.f_proj(x), self.key), self.A_log[:, None]
        bias = self.dt_bias.unflatten(0, (-1, self.key))
        if self.bound is None:
            g = log_decays(raw, a_log, bias)
        else:
            g = self.bound * torch.sigmoid(a_log.exp() * (raw + bias))
        beta = self.b_proj(x).sigmoid() * (2 if self.negative else 1)
        return {"q": q, "k": k, "v": heads(v, self.value), "beta": beta, "g": g}, kept
