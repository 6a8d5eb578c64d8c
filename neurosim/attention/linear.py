"""Kinds whose state only adds and decays: S = e^g S + k v^T, o = scale S^T q."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import lookup
from .base import AdditiveMixer, Inputs, Place, Shared, State
from .maps import feature_map
from .parts import ACTIVATIONS, Norm, activation, divided, heads, linear, low_rank, rotate, spread
from .projected import ProjectedMixer


class LinearAttention(AdditiveMixer, ProjectedMixer):
    """Linear attention: S += phi(k) v^T, o = scale S^T phi(q), scale = features^-1/2 (Katharopoulos et al. 2020).

    With `normalise`, o is divided by phi(q) . sum of phi(k): the state has a column of ones for that sum.

    Args:
        width: D, channels of x.
        heads, kv_heads: of queries and of keys and values; fewer of the latter are shared by groups.
        keys, values: channels over all heads (default: width).
        map: a name of `MAPS`; `tied` uses one map for queries and keys.
        norm_q, norm_k: divide features by their sum.
        norm: root-mean-square norm of the outputs.
    """

    conv_names = ()

    def __init__(
        self,
        width: int,
        place: Place,
        heads: int = 4,
        kv_heads: int | None = None,
        keys: int | None = None,
        values: int | None = None,
        map: str = "elu",
        tied: bool = False,
        normalise: bool = True,
        norm_q: bool = False,
        norm_k: bool = False,
        norm: bool = True,
        affine: bool = True,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.memory_heads, self.groups = heads, divided(heads, kv_heads or heads, "LinearAttention.heads")
        self.head, self.value = divided(keys or width, heads, "keys"), divided(values or width, heads, "values")
        self.project_qkv(width, heads * self.head, heads * self.head // self.groups, heads * self.value // self.groups)
        self.feature_map_q = feature_map(map, self.head, True)
        self.feature_map_k = self.feature_map_q if tied else feature_map(map, self.head, False)
        self.key, self.scale = self.feature_map_q.features, self.feature_map_q.features**-0.5
        self.normalise, self.norm_q, self.norm_k, self.conv = normalise, norm_q, norm_k, 0
        self.output(width, None, eps, affine)
        if not norm:
            self.o_norm = nn.Identity()

    def initial(self, x: Tensor) -> State:
        value = self.value + self.normalise
        return {"memory": x.new_zeros(x.shape[0], self.memory_heads, self.key, value)}

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        q = self.feature_map_q(heads(self.q_proj(x), self.head))
        k = self.feature_map_k(spread(heads(self.k_proj(x), self.head), self.groups))
        v = spread(heads(self.v_proj(x), self.value), self.groups)
        q = q / (q.sum(-1, keepdim=True) + 1e-4) if self.norm_q else q
        k = k / (k.sum(-1, keepdim=True) + 1e-4) if self.norm_k else k
        if self.normalise:
            v = torch.cat([v, torch.ones_like(v[..., :1])], -1)
        return {"q": q, "k": k, "v": v}, {}

    def finish(self, out: Tensor, x: Tensor, inputs: Inputs) -> Tensor:
        if self.normalise:
            out = out[..., :-1] / (out[..., -1:] + 1e-10)
        return self.gated(out, x)


def _retnet(count: int, place: Place) -> Tensor:
    """log(1 - 2^(-5-h)) (Sun et al. 2023, arXiv 2307.08621)."""
    return torch.log1p(-(2.0 ** (-5.0 - torch.arange(count, dtype=torch.float64))))


def _lightning(count: int, place: Place) -> Tensor:
    """-(8/H)(1 - layer/L) h (Qin et al. 2024, arXiv 2401.04658)."""
    return -(8 / count) * (1 - place.layer / place.layers) * torch.arange(count, dtype=torch.float64)


DECAYS = {"lightning": _lightning, "retnet": _retnet}


class Retention(AdditiveMixer, ProjectedMixer):
    """Retention and lightning attention: a constant decay a head, with rotary positions on q and k or without.

    Args:
        width: D, channels of x.
        decay: 'retnet', 1 - 2^(-5-h), or 'lightning', exp(-(8/H)(1 - layer/L) h).
        rotary: turn q and k by their positions.
        act: activation of q and k.
        gate: activation of the output gate, or none.
        conv: tokens of the short convolutions, 0 for none.
        kv_heads, keys, values, affine, eps: as of `LinearAttention`.
    """

    decays: Tensor

    def __init__(
        self,
        width: int,
        place: Place,
        heads: int = 4,
        kv_heads: int | None = None,
        keys: int | None = None,
        values: int | None = None,
        decay: str = "retnet",
        rotary: bool = True,
        act: str | None = None,
        gate: str | None = "swish",
        conv: int = 0,
        conv_bias: bool = False,
        affine: bool = True,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.memory_heads, self.groups = heads, divided(heads, kv_heads or heads, "Retention.heads")
        self.key, self.value = divided(keys or width, heads, "keys"), divided(values or width, heads, "values")
        self.project_qkv(width, heads * self.key, heads * self.key // self.groups, heads * self.value // self.groups)
        self.convolve(conv, conv_bias, ("silu", "silu", "silu"))
        self.act = activation(act or "identity", "Retention.act")
        self.rotary, self.scale = rotary, self.key**-0.5
        self.register_buffer("decays", lookup(DECAYS, decay, "Retention.decay")(heads, place).float(), persistent=False)
        self.output(width, gate, eps, affine)

    def initial(self, x: Tensor) -> State:
        return super().initial(x) | {"position": torch.zeros((), dtype=torch.int64, device=x.device)}

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        (q, k, v), kept = self.convolved(x, state, ACTIVATIONS["identity"])
        q, k = (self.act(heads(value, self.key)) for value in (q, k))
        if self.rotary:
            q, k = (rotate(value, state["position"]) for value in (q, k))
        k, v = spread(k, self.groups), spread(heads(v, self.value), self.groups)
        g = self.decays.to(x.dtype).expand(*x.shape[:2], -1)
        return {"q": q, "k": k, "v": v, "g": g}, kept | {"position": state["position"] + x.shape[1]}


class Lightning(Retention):
    """Lightning attention: silu on q and k, the decay of its layer, a sigmoid gate (Qin et al. 2024)."""

    def __init__(self, width: int, place: Place, heads: int = 4, gate: str | None = "sigmoid") -> None:
        super().__init__(width, place, heads, decay="lightning", rotary=False, act="silu", gate=gate)


class SimpleGLA(AdditiveMixer, ProjectedMixer):
    """One decay a head and token: g = logsigmoid(W x + b) / `normaliser`.

    Args: as of `Retention`.
    """

    def __init__(
        self,
        width: int,
        place: Place,
        heads: int = 4,
        kv_heads: int | None = None,
        keys: int | None = None,
        values: int | None = None,
        act: str | None = None,
        gate: str | None = "swish",
        conv: int = 4,
        conv_bias: bool = False,
        normaliser: float = 16.0,
        affine: bool = True,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.memory_heads, self.groups = heads, divided(heads, kv_heads or heads, "SimpleGLA.heads")
        self.key, self.value = divided(keys or width, heads, "keys"), divided(values or width, heads, "values")
        self.project_qkv(width, heads * self.key, heads * self.key // self.groups, heads * self.value // self.groups)
        self.convolve(conv, conv_bias, ("silu", "silu", "silu"))
        self.gk_proj = linear(width, heads, True)
        self.act = activation(act or "identity", "SimpleGLA.act")
        self.normaliser, self.scale = normaliser, self.key**-0.5
        self.output(width, gate, eps, affine)

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        (q, k, v), kept = self.convolved(x, state, ACTIVATIONS["identity"])
        q, k = self.act(heads(q, self.key)), spread(self.act(heads(k, self.key)), self.groups)
        g = F.logsigmoid(self.gk_proj(x)) / self.normaliser
        return {"q": q, "k": k, "v": spread(heads(v, self.value), self.groups), "g": g}, kept


class GLA(AdditiveMixer, ProjectedMixer):
    """Gated linear attention: a decay for every key channel, g = logsigmoid(W2 W1 x + b) / 16 (arXiv 2312.06635).

    Args:
        rank: channels between W1 and W2.
        normaliser: the 16.
        floor: least g, none for no bound.
        keys: default width / 2.
        width, heads, kv_heads, values, act, gate, conv, conv_bias, affine, eps: as of `Retention`.
    """

    chunk = 16

    def __init__(
        self,
        width: int,
        place: Place,
        heads: int = 4,
        kv_heads: int | None = None,
        keys: int | None = None,
        values: int | None = None,
        act: str | None = None,
        gate: str | None = "swish",
        conv: int = 0,
        conv_bias: bool = False,
        rank: int = 16,
        normaliser: float = 16.0,
        floor: float | None = None,
        affine: bool = True,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.memory_heads, self.groups = heads, divided(heads, kv_heads or heads, "GLA.heads")
        self.key, self.value = divided(keys or width // 2, heads, "keys"), divided(values or width, heads, "values")
        grouped = heads * self.key // self.groups
        self.project_qkv(width, heads * self.key, grouped, heads * self.value // self.groups)
        self.convolve(conv, conv_bias, ("silu", "silu", "silu"))
        self.gk_proj = low_rank(width, rank, grouped, True)
        self.act = activation(act or "identity", "GLA.act")
        self.normaliser, self.floor, self.scale = normaliser, floor, self.key**-0.5
        self.output(width, gate, eps, affine)

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        (q, k, v), kept = self.convolved(x, state, ACTIVATIONS["identity"])
        g = F.logsigmoid(heads(self.gk_proj(x), self.key)) / self.normaliser
        g = g if self.floor is None else g.clamp(min=self.floor)
        q, k = self.act(heads(q, self.key)), spread(self.act(heads(k, self.key)), self.groups)
        v = spread(heads(v, self.value), self.groups)
        return {"q": q, "k": k, "v": v, "g": spread(g, self.groups)}, kept


class HGRN2(AdditiveMixer, ProjectedMixer):
    """HGRN-2: f = lb + (1 - lb) sigmoid(W x), g = log f, k = 1 - f, q = swish (Qin et al. 2024, arXiv 2404.07904).

    The lower bounds lb belong to the model (`LanguageModel.lower_bounds`), which hands over this layer's row; layer 0
    has none.

    Args:
        state: channels of a key; heads = width / state.
        bounded: use the model's lower bounds.
        width, conv, conv_bias, affine, eps: as of `Retention`.
    """

    chunk = 16
    conv_names = ("q", "f", "i")

    def __init__(
        self,
        width: int,
        place: Place,
        state: int = 32,
        bounded: bool = True,
        conv: int = 0,
        conv_bias: bool = False,
        affine: bool = True,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.memory_heads, self.key = divided(width, state, "HGRN2.width"), state
        self.value, self.scale = divided(width, self.memory_heads, "HGRN2.width"), state**-0.5
        self.bounded = bounded and place.layer > 0
        self.q_proj, self.f_proj, self.i_proj = (linear(width, width) for _ in range(3))
        self.convolve(conv, conv_bias, (None, None, None))
        self.o_norm, self.o_proj = Norm(width, eps, affine), linear(width, width)

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        (q, f, v), kept = self.convolved(x, state, ACTIVATIONS["identity"])
        g = F.logsigmoid(f)
        if self.bounded and "lower_bound" in shared:
            bound = shared["lower_bound"]
            g = torch.logaddexp(bound.log(), torch.log1p(-bound) + g)
        q, k, g = (heads(value, self.key) for value in (F.silu(q), -torch.expm1(g), g))
        return {"q": q, "k": k, "v": heads(v, self.value), "g": g}, kept

    def finish(self, out: Tensor, x: Tensor, inputs: Inputs) -> Tensor:
        return self.o_proj(self.o_norm(out.flatten(-2)))
