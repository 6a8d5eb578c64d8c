"""Kinds whose state only adds and decays: S = e^g S + k v^T, o = scale S^T q."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import lookup
from .base import AdditiveMixer, Depth, Inputs, Shared, State
from .feature_maps import feature_map as map_of
from .modules import Norm, activation, divide, linear, low_rank, repeat_heads, rotate, split_heads
from .qkv import GatedMixer, QKVMixer


class LinearAttention(AdditiveMixer, QKVMixer):
    """Linear attention: S += phi(k) v^T, o = scale S^T phi(q), scale = features^-1/2 (Katharopoulos et al. 2020).

    With `do_feature_map_norm`, o is divided by phi(q) . sum of phi(k): the state has a column of ones for that sum.

    Args:
        width: D, channels of x.
        num_heads, num_kv_heads: of queries, and of keys and values; fewer of the latter are shared by groups.
        key_dim, value_dim: channels over all heads (default: width).
        feature_map: a name of `FEATURE_MAPS`; `tie_feature_map_qk` uses one map for queries and keys.
        norm_q, norm_k: divide features by their sum.
        use_output_norm: root-mean-square norm of the outputs.
    """

    conv_names = ()

    def __init__(
        self,
        width: int,
        depth: Depth,
        num_heads: int = 4,
        num_kv_heads: int | None = None,
        key_dim: int | None = None,
        value_dim: int | None = None,
        feature_map: str = "elu",
        tie_feature_map_qk: bool = False,
        do_feature_map_norm: bool = True,
        norm_q: bool = False,
        norm_k: bool = False,
        use_output_norm: bool = True,
        elementwise_affine: bool = True,
        norm_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.group_queries(width, num_heads, num_kv_heads, key_dim or width, value_dim or width)
        self.head_dim = self.head_k_dim
        self.feature_map_q = map_of(feature_map, self.head_dim, is_query=True)
        self.feature_map_k = (
            self.feature_map_q if tie_feature_map_qk else map_of(feature_map, self.head_dim, is_query=False)
        )
        self.head_k_dim, self.scale = self.feature_map_q.features, self.feature_map_q.features**-0.5
        self.norm_q, self.norm_k, self.extra_columns = norm_q, norm_k, int(do_feature_map_norm)
        norm = Norm(self.head_v_dim, norm_eps, elementwise_affine)
        self.o_norm: nn.Module = norm if use_output_norm else nn.Identity()
        self.o_proj = linear(num_heads * self.head_v_dim, width)

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        q = self.feature_map_q(split_heads(self.q_proj(x), self.head_dim))
        k = self.feature_map_k(repeat_heads(split_heads(self.k_proj(x), self.head_dim), self.groups))
        v = repeat_heads(split_heads(self.v_proj(x), self.head_v_dim), self.groups)
        q = q / (q.sum(-1, keepdim=True) + 1e-4) if self.norm_q else q
        k = k / (k.sum(-1, keepdim=True) + 1e-4) if self.norm_k else k
        if self.extra_columns:
            v = torch.cat([v, torch.ones_like(v[..., :1])], -1)
        return {"q": q, "k": k, "v": v}, {}

    def finish(self, out: Tensor, x: Tensor, inputs: Inputs) -> Tensor:
        if self.extra_columns:
            out = out[..., :-1] / (out[..., -1:] + 1e-10)
        return self.o_proj(self.o_norm(out).flatten(-2))


class GroupedMixer(AdditiveMixer, QKVMixer, GatedMixer):
    """Kinds with an activation of q and k, whose k and v may have fewer heads than q."""

    def project_grouped(
        self,
        width: int,
        num_heads: int,
        num_kv_heads: int | None,
        key_dim: int,
        value_dim: int,
        feature_map: str | None,
        conv_size: int,
        conv_bias: bool,
    ) -> None:
        """Make the projections of q, k and v and their convolutions; options are those of `Retention`."""
        self.group_queries(width, num_heads, num_kv_heads, key_dim, value_dim)
        self.convolve(conv_size, conv_bias)
        self.feature_map = activation(feature_map or "identity", f"{type(self).__name__}.feature_map")

    def qkv(self, x: Tensor, state: State) -> tuple[Tensor, Tensor, Tensor, State]:
        """Return q [B, T, H, K], k and v of H / groups heads, and the tails of the convolutions."""
        (q, k, v), tails = self.convolved(x, state)
        q, k = (self.feature_map(split_heads(value, self.head_k_dim)) for value in (q, k))
        return q, k, split_heads(v, self.head_v_dim), tails


def _retnet_decays(heads: int, depth: Depth) -> Tensor:
    """log(1 - 2^(-5-h)) (Sun et al. 2023, arXiv 2307.08621)."""
    return torch.log1p(-(2.0 ** (-5.0 - torch.arange(heads, dtype=torch.float64))))


def _lightning_decays(heads: int, depth: Depth) -> Tensor:
    """-(8/H)(1 - layer/L) h (Qin et al. 2024, arXiv 2401.04658)."""
    return -(8 / heads) * (1 - depth.layer / depth.layers) * torch.arange(heads, dtype=torch.float64)


DECAYS = {"lightning": _lightning_decays, "retnet": _retnet_decays}


class Retention(GroupedMixer):
    """Retention and lightning attention: a constant decay for each head, with or without rotary positions on q and k.

    Args:
        width: D, channels of x.
        num_heads, num_kv_heads: of queries, and of keys and values; fewer of the latter are shared by groups.
        key_dim, value_dim: channels over all heads (default: width).
        decay: 'retnet', 1 - 2^(-5-h), or 'lightning', exp(-(8/H)(1 - layer/L) h).
        rotary: turn q and k by their positions.
        feature_map: activation of q and k.
        gate_fn: activation of the output gate; None for no gate.
        conv_size: tokens of the short convolutions, 0 for none; `conv_bias` gives them biases.
        elementwise_affine, norm_eps: of the norm of the outputs.
    """

    counts_tokens = True
    decays: Tensor

    def __init__(
        self,
        width: int,
        depth: Depth,
        num_heads: int = 4,
        num_kv_heads: int | None = None,
        key_dim: int | None = None,
        value_dim: int | None = None,
        decay: str = "retnet",
        rotary: bool = True,
        feature_map: str | None = None,
        gate_fn: str | None = "swish",
        conv_size: int = 0,
        conv_bias: bool = False,
        elementwise_affine: bool = True,
        norm_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.project_grouped(
            width, num_heads, num_kv_heads, key_dim or width, value_dim or width, feature_map, conv_size, conv_bias
        )
        self.rotary = rotary
        decays = lookup(DECAYS, decay, "Retention.decay")(num_heads, depth)
        self.register_buffer("decays", decays.float(), persistent=False)
        self.output(width, gate_fn, norm_eps, elementwise_affine)

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        q, k, v, tails = self.qkv(x, state)
        if self.rotary:
            q, k = (rotate(value, state["position"]) for value in (q, k))
        k, v = repeat_heads(k, self.groups), repeat_heads(v, self.groups)
        g = self.decays.to(x.dtype).expand(*x.shape[:2], -1)
        return {"q": q, "k": k, "v": v, "g": g}, tails | {"position": state["position"] + x.shape[1]}


def lightning(width: int, depth: Depth, num_heads: int = 4, gate_fn: str | None = "sigmoid") -> Retention:
    """Lightning attention: silu on q and k, the decay of its layer, a sigmoid gate (Qin et al. 2024)."""
    return Retention(width, depth, num_heads, decay="lightning", rotary=False, feature_map="silu", gate_fn=gate_fn)


class SimpleGLA(GroupedMixer):
    """One decay for each head and token: g = logsigmoid(W x + b) / `gate_logit_normalizer`.

    The other options are those of `Retention`.
    """

    def __init__(
        self,
        width: int,
        depth: Depth,
        num_heads: int = 4,
        num_kv_heads: int | None = None,
        key_dim: int | None = None,
        value_dim: int | None = None,
        feature_map: str | None = None,
        gate_fn: str | None = "swish",
        conv_size: int = 4,
        conv_bias: bool = False,
        gate_logit_normalizer: float = 16.0,
        elementwise_affine: bool = True,
        norm_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.project_grouped(
            width, num_heads, num_kv_heads, key_dim or width, value_dim or width, feature_map, conv_size, conv_bias
        )
        self.gk_proj = linear(width, num_heads, True)
        self.gate_logit_normalizer = gate_logit_normalizer
        self.output(width, gate_fn, norm_eps, elementwise_affine)

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        q, k, v, tails = self.qkv(x, state)
        g = F.logsigmoid(self.gk_proj(x)) / self.gate_logit_normalizer
        return {"q": q, "k": repeat_heads(k, self.groups), "v": repeat_heads(v, self.groups), "g": g}, tails


class GLA(GroupedMixer):
    """Gated linear attention: a decay for every key channel, g = logsigmoid(W2 W1 x + b) / 16 (arXiv 2312.06635).

    Args:
        key_dim: default width / 2.
        gate_low_rank_dim: channels between W1 and W2.
        gate_logit_normalizer: the 16.
        clamp_min: lower bound of g; None for none.

    The other options are those of `Retention`.
    """

    chunk = 16

    def __init__(
        self,
        width: int,
        depth: Depth,
        num_heads: int = 4,
        num_kv_heads: int | None = None,
        key_dim: int | None = None,
        value_dim: int | None = None,
        feature_map: str | None = None,
        gate_fn: str | None = "swish",
        conv_size: int = 0,
        conv_bias: bool = False,
        gate_low_rank_dim: int = 16,
        gate_logit_normalizer: float = 16.0,
        clamp_min: float | None = None,
        elementwise_affine: bool = True,
        norm_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.project_grouped(
            width, num_heads, num_kv_heads, key_dim or width // 2, value_dim or width, feature_map, conv_size, conv_bias
        )
        self.gk_proj = low_rank(width, gate_low_rank_dim, self.k_proj.out_features, True)
        self.gate_logit_normalizer, self.clamp_min = gate_logit_normalizer, clamp_min
        self.output(width, gate_fn, norm_eps, elementwise_affine)

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        q, k, v, tails = self.qkv(x, state)
        g = F.logsigmoid(split_heads(self.gk_proj(x), self.head_k_dim)) / self.gate_logit_normalizer
        g = g if self.clamp_min is None else g.clamp(min=self.clamp_min)
        k, v, g = (repeat_heads(value, self.groups) for value in (k, v, g))
        return {"q": q, "k": k, "v": v, "g": g}, tails


class HGRN2(AdditiveMixer, QKVMixer):
    """HGRN-2: f = lb + (1 - lb) sigmoid(W x), g = log f, k = 1 - f, q = swish (Qin et al. 2024, arXiv 2404.07904).

    The lower bounds lb belong to the model (`LanguageModel.lower_bounds`), which hands over this layer's row; layer 0
    has none.

    Args:
        width: D, channels of x.
        expand_ratio: channels of a key; there are width / expand_ratio heads.
        use_lower_bound: use the model's lower bounds.
        conv_size, conv_bias, elementwise_affine, norm_eps: see `Retention`.
    """

    chunk = 16
    conv_names = ("q", "f", "i")

    def __init__(
        self,
        width: int,
        depth: Depth,
        expand_ratio: int = 32,
        use_lower_bound: bool = True,
        conv_size: int = 0,
        conv_bias: bool = False,
        elementwise_affine: bool = True,
        norm_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.memory_heads, self.head_k_dim = divide(width, expand_ratio, "HGRN2.width"), expand_ratio
        self.head_v_dim, self.scale = width // self.memory_heads, expand_ratio**-0.5
        self.use_lower_bound = use_lower_bound and depth.layer > 0
        self.q_proj, self.f_proj, self.i_proj = (linear(width, width) for _ in range(3))
        self.convolve(conv_size, conv_bias, (None, None, None))
        self.o_norm, self.o_proj = Norm(width, norm_eps, elementwise_affine), linear(width, width)

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        (q, f, v), tails = self.convolved(x, state)
        g = F.logsigmoid(f)
        if self.use_lower_bound and "lower_bound" in shared:
            bound = shared["lower_bound"]
            g = torch.logaddexp(bound.log(), torch.log1p(-bound) + g)
        q, k, g = (split_heads(value, self.head_k_dim) for value in (F.silu(q), -torch.expm1(g), g))
        return {"q": q, "k": k, "v": split_heads(v, self.head_v_dim), "g": g}, tails

    def finish(self, out: Tensor, x: Tensor, inputs: Inputs) -> Tensor:
        return self.o_proj(self.o_norm(out.flatten(-2)))
