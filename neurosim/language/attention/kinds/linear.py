"""Kinds whose state only adds and decays: S = e^g S + k v^T, o = scale S^T q."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ....base.errors import lookup, require
from ....base.rules import Positive, Rule
from .base import Depth, Inputs, Shared, State
from .feature_maps import NormAware
from .feature_maps import feature_map as map_of
from .matrix_memory import AdditiveMixer
from .modules import ACTIVATIONS, activation, linear, low_rank, repeat_heads, split_heads
from .qkv import ConvolvedMixer, GatedMixer, NormedMixer, QKVMixer
from .rotary import MAX_CHANNELS, TrainedAngles, build_rotary
from .weights import ages, log_features


@dataclass(eq=False, repr=False, kw_only=True)
class GroupedMixer(NormedMixer, QKVMixer):
    """Kinds whose k and v may have fewer heads than q.

    Args:
        num_heads, num_kv_heads: of queries, and of keys and values; fewer of the latter are shared by groups.
        key_dim, value_dim: channels over all heads (default: width).
    """

    num_heads: int = 4
    num_kv_heads: int | None = None
    key_dim: int | None = None
    value_dim: int | None = None

    def group(self, key_dim: int) -> None:
        """Make the projections of q, k and v; `key_dim` is the default."""
        keys = self.key_dim or key_dim
        values = self.value_dim or self.width
        self.group_queries(self.num_heads, self.num_kv_heads, keys, values)


@dataclass(eq=False, repr=False, kw_only=True)
class LinearAttention(AdditiveMixer, ConvolvedMixer, GroupedMixer, GatedMixer):
    """Linear attention: S += phi(k) v^T, o = scale S^T phi(q), scale = features^-1/2 (Katharopoulos et al. 2020).

    With `do_feature_map_norm`, o is divided by phi(q) . sum of phi(k): the state has a column of ones for that sum.
    Rotary positions turn q and k before the feature maps see them, as in softmax attention.

    Args:
        feature_map: a name of `FEATURE_MAPS`; `tie_feature_map_qk` uses one map for queries and keys.
        norm_q, norm_k: divide features by their sum.
        use_output_norm: root-mean-square norm of the outputs.
        norm_power: lambda of the map 'norm_aware'; with `train_norm_power` its first value, and learned, one of queries
            and one of keys.
        rotary_dim: channels of a head that positions turn; 0 for no positions.
        rope_theta: base of the rotary positions.
        rope_scaling: entries of a config's `rope_scaling`, see `build_rotary`.
    """

    gate_fn = None

    feature_map: str = "elu"
    tie_feature_map_qk: bool = False
    do_feature_map_norm: bool = True
    norm_q: bool = False
    norm_k: bool = False
    use_output_norm: bool = True
    norm_power: Annotated[float, Rule("finite and > 0")] = 3.0
    train_norm_power: bool = False
    rotary_dim: int = 0
    rope_theta: Positive = 10000.0
    rope_scaling: Mapping[str, object] | None = None

    def build(self) -> None:
        self.group(self.width)
        head = self.head_dim = self.k_size
        require(0 <= self.rotary_dim <= head, self.name("rotary_dim"), f"must be 0 to {head}", self.rotary_dim)
        self.counts_tokens = self.rotary_dim > 0
        self.positions = (
            build_rotary(self.rotary_dim, self.rope_theta, self.rope_scaling) if self.counts_tokens else None
        )
        self.feature_map_q = map_of(self.feature_map, head, self.num_heads, is_query=True)
        if self.tie_feature_map_qk:
            self.feature_map_k = self.feature_map_q
        else:
            self.feature_map_k = map_of(self.feature_map, head, self.num_heads, is_query=False)
        for each in (self.feature_map_q, self.feature_map_k):
            if isinstance(each, NormAware):
                each.set_power(self.norm_power, trained=self.train_norm_power)
        self.convolve(None, None, None)
        self.k_size = self.feature_map_q.features
        self.scale = self.feature_map_q.features**-0.5
        # A column of ones beside v sums phi(k) in the state.
        self.extra_columns = int(self.do_feature_map_norm)
        self.output()
        if not self.use_output_norm:
            self.o_norm = nn.Identity()

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        (q, k, v), after = self.convolved(x, state)
        q = split_heads(q, self.head_dim)
        k = split_heads(k, self.head_dim)
        v = repeat_heads(split_heads(v, self.v_size), self.groups)
        if self.positions is not None:
            q = self.positions.turn(q, state["position"])
            k = self.positions.turn(k, state["position"])
            after["position"] = state["position"] + x.shape[1]
        q = self.feature_map_q(q)
        k = self.feature_map_k(repeat_heads(k, self.groups))
        if self.norm_q:
            # 1e-4 and 1e-10 below are those of the published code: checkpoints are read with them.
            q = q / (q.sum(-1, keepdim=True) + 1e-4)
        if self.norm_k:
            k = k / (k.sum(-1, keepdim=True) + 1e-4)
        if self.extra_columns:
            v = torch.cat([v, torch.ones_like(v[..., :1])], -1)
        return {"q": q, "k": k, "v": v}, after

    def log_weights(self, x: Tensor) -> Tensor | None:
        if not self.do_feature_map_norm:
            return None
        inputs, _ = self.project(x, self.initial(x), {})
        scores = log_features(inputs["q"], inputs["k"])
        return scores.masked_fill(ages(x) < 0, -torch.inf).log_softmax(-1)

    def finish(self, out: Tensor, x: Tensor, inputs: Inputs) -> Tensor:
        if self.extra_columns:
            # sum_j (phi(q) . phi(k_j)) v_j / sum_j phi(q) . phi(k_j); the scale of both cancels.
            out = out[..., :-1] / (out[..., -1:] + 1e-10)
        return super().finish(out, x, inputs)


@dataclass(eq=False, repr=False, kw_only=True)
class DecayedMixer(AdditiveMixer, GroupedMixer, ConvolvedMixer, GatedMixer):
    """Kinds with an activation of q and k, a decay and a gated output.

    Args:
        feature_map: activation of q and k.
        gate_fn: activation of the output gate; None for no gate.
    """

    feature_map: str | None = None
    gate_fn: str | None = "swish"

    def group(self, key_dim: int) -> None:
        super().group(key_dim)
        self.head_dim = self.k_size
        self.convolve()
        self.act = activation(self.feature_map or "identity", self.name("feature_map"))

    def qkv(self, x: Tensor, state: State) -> tuple[Tensor, Tensor, Tensor, State]:
        """Return q [B, T, H, K], k and v of H / groups heads, and the tails of the convolutions."""
        (q, k, v), tails = self.convolved(x, state)
        q, k = (self.act(split_heads(value, self.head_dim)) for value in (q, k))
        return q, k, split_heads(v, self.v_size), tails


def _retnet_decays(heads: int, depth: Depth) -> list[float]:
    """Return log(1 - 2^(-5-h)) (Sun et al. 2023, arXiv 2307.08621)."""
    return [math.log1p(-(2.0 ** (-5.0 - head))) for head in range(heads)]


def _lightning_decays(heads: int, depth: Depth) -> list[float]:
    """Return -(8/H)(1 - layer/L) h (Qin et al. 2024, arXiv 2401.04658)."""
    return [-(8 / heads) * (1 - depth.layer / depth.layers) * head for head in range(heads)]


def _alibi_decays(heads: int, depth: Depth) -> list[float]:
    """Return -s_h (1 - layer/(L - 1) + 1e-5), with the slopes of ALiBi s_h = 2^(-8 (h + 1)/H) (arXiv 2108.12409).

    Where H is no power of two, ALiBi takes the slopes of the power below it, then every second one of twice the power.
    """
    power = 1 << (heads.bit_length() - 1)
    slopes = [2.0 ** (-8 * (head + 1) / power) for head in range(power)]
    slopes += [2.0 ** (-8 * (head + 1) / (2 * power)) for head in range(0, 2 * (heads - power), 2)]
    above = 1 - depth.layer / max(depth.layers - 1, 1) + 1e-5
    return [-slope * above for slope in slopes]


DECAYS = {"alibi": _alibi_decays, "lightning": _lightning_decays, "retnet": _retnet_decays}


@dataclass(eq=False, repr=False, kw_only=True)
class Retention(DecayedMixer):
    """Retention: a constant decay for each head, with or without rotary positions on q and k (arXiv 2307.08621).

    Lightning attention (Qin et al. 2024, arXiv 2401.04658) is decay 'lightning', feature_map 'silu', gate_fn 'sigmoid'
    and rotary false.

    Args:
        decay: 'retnet', 1 - 2^(-5-h); 'lightning', exp(-(8/H)(1 - layer/L) h), as TransNormerLLM is described; or
            'alibi', exp(-2^(-8 (h + 1)/H) (1 - layer/(L - 1) + 1e-5)), as its code has it.
        rotary: turn q and k by their positions.
        trained_angles: with trained angles of each head and channel, `rotary.TrainedAngles`, which double the channels
            of q and k in the state.
        norm_over_heads: one norm over the outputs of all heads, in place of one for each.
    """

    counts_tokens = True

    decay: str = "retnet"
    rotary: bool = True
    trained_angles: bool = False
    norm_over_heads: bool = False

    def build(self) -> None:
        self.group(self.width)
        rule = "must be true with trained_angles"
        require(self.rotary or not self.trained_angles, "Retention.rotary", rule, self.rotary)
        require(
            self.num_heads <= MAX_CHANNELS, "Retention.num_heads", f"must be at most {MAX_CHANNELS}", self.num_heads
        )
        self.log_decays = lookup(DECAYS, self.decay, "Retention.decay")(self.num_heads, self.depth)
        self.positions = build_rotary(self.k_size) if self.rotary and not self.trained_angles else None
        if self.trained_angles:
            self.trained = TrainedAngles(self.num_heads, self.k_size)
            self.k_size = 2 * self.k_size
        self.output()
        if self.norm_over_heads:
            self.o_norm = nn.RMSNorm(self.heads * self.v_size, self.norm_eps, self.elementwise_affine)

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        q, k, v, tails = self.qkv(x, state)
        if self.positions is not None:
            q, k = (self.positions.turn(value, state["position"]) for value in (q, k))
        k = repeat_heads(k, self.groups)
        if self.trained_angles:
            q, k = (self.trained(value, state["position"]) for value in (q, k))
        v = repeat_heads(v, self.groups)
        # The same decays for every token; inputs of a recurrence have all axes.
        g = x.new_tensor(self.log_decays).expand(*x.shape[:2], -1)
        return {"q": q, "k": k, "v": v, "g": g}, tails | {"position": state["position"] + x.shape[1]}

    def finish(self, out: Tensor, x: Tensor, inputs: Inputs) -> Tensor:
        if not self.norm_over_heads:
            return super().finish(out, x, inputs)
        out = self.o_norm(out.flatten(-2))
        if self.gate_fn is not None:
            out = out * ACTIVATIONS[self.gate_fn](self.g_proj(x))
        return self.o_proj(out)


@dataclass(eq=False, repr=False, kw_only=True)
class GLA(DecayedMixer):
    """Gated linear attention: a decay for every key channel, g = logsigmoid(W2 W1 x + b) / 16 (arXiv 2312.06635).

    With decay 'head', known as simple GLA, one for every head: g = logsigmoid(W x + b) / 16. The default of `key_dim`
    is width / 2.

    Args:
        decay: 'key' or 'head'.
        gate_low_rank_dim: channels between W1 and W2.
        gate_logit_normalizer: the 16.
        clamp_min: lower bound of g; None for none.
    """

    decay: str = "key"
    gate_low_rank_dim: int = 16
    gate_logit_normalizer: float = 16.0
    clamp_min: float | None = None

    def build(self) -> None:
        lookup(dict.fromkeys(("key", "head")), self.decay, self.name("decay"))
        self.group(self.width // 2)
        self.gk_proj: nn.Module
        if self.decay == "head":
            self.gk_proj = linear(self.width, self.num_heads, bias=True)
        else:
            # Decays of each key are exponentials of differences within a chunk: short ones stay in range.
            self.chunk = 16
            self.gk_proj = low_rank(self.width, self.gate_low_rank_dim, self.k_proj.out_features, bias=True)
        self.output()

    def project(self, x: Tensor, state: State, shared: Shared) -> tuple[Inputs, State]:
        q, k, v, tails = self.qkv(x, state)
        logits = self.gk_proj(x)
        if self.decay == "key":
            # Grouped heads: k, v and the decays of k serve a group of heads of q.
            logits = repeat_heads(split_heads(logits, self.k_size), self.groups)
        g = F.logsigmoid(logits) / self.gate_logit_normalizer
        if self.clamp_min is not None:
            g = g.clamp(min=self.clamp_min)
        k, v = (repeat_heads(value, self.groups) for value in (k, v))
        return {"q": q, "k": k, "v": v, "g": g}, tails
