"""Attention weights of layers [B, H, T, T], as logarithms: what a linear layer learns beside its outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ...attention.kinds.base import Mixer
from ...attention.kinds.linear import LinearAttention
from ...attention.kinds.modules import repeat_heads
from ...attention.kinds.softmax import SoftmaxAttention, WindowAttention
from ...attention.kinds.window_linear import WindowLinearAttention
from ...attention.kinds.windows import bounded


def has_weights(layer: Mixer) -> bool:
    """Return whether a layer has attention weights: at least 0, of sum 1."""
    if isinstance(layer, LinearAttention):
        return layer.do_feature_map_norm
    return type(layer) in LOG_WEIGHTS


def log_weights(layer: Mixer, x: Tensor) -> Tensor:
    """Return log a [B, H, T, T], the weight of token j for token i, of texts x [B, T, D]; -inf for tokens not seen.

    Args:
        layer: one that `has_weights`.
        x: inputs of the layer from the first token on.
    """
    return LOG_WEIGHTS[type(layer)](layer, x)


def _ages(x: Tensor) -> Tensor:
    """Return [T, T], by how many tokens j is older than i; negative for later tokens."""
    time = torch.arange(x.shape[1], device=x.device)
    return time[:, None] - time


def _products(q: Tensor, k: Tensor) -> Tensor:
    """Return q_i . k_j [B, H, T, T] of q and k [B, T, H, C]."""
    return torch.einsum("bihc,bjhc->bhij", q, k)


def _log_features(q: Tensor, k: Tensor) -> Tensor:
    """Return log (phi(q_i) . phi(k_j)) [B, H, T, T]; a product that underflows counts as the smallest number."""
    products = _products(q, k)
    return products.clamp(min=torch.finfo(products.dtype).tiny).log()


def _softmax(layer: SoftmaxAttention, x: Tensor) -> Tensor:
    inputs, _ = layer.project(x, layer.initial(x), {})
    products = _products(inputs["q"], repeat_heads(inputs["k"], layer.groups))
    scores = bounded(products * layer.k_size**-0.5, layer.score_cap)
    age = _ages(x)
    visible = age >= 0
    if layer.window_size:
        visible = visible & (age < layer.window_size)
    return scores.masked_fill(~visible, -torch.inf).log_softmax(-1)


def _linear(layer: LinearAttention, x: Tensor) -> Tensor:
    inputs, _ = layer.project(x, layer.initial(x), {})
    scores = _log_features(inputs["q"], inputs["k"])
    return scores.masked_fill(_ages(x) < 0, -torch.inf).log_softmax(-1)


def _window_linear(layer: WindowLinearAttention, x: Tensor) -> Tensor:
    """Return the weights of both parts in their common normaliser."""
    inner = layer.softmax
    w = layer.window_size
    q, k, _ = inner.split(x)
    start = torch.zeros((), dtype=torch.int64, device=x.device)
    turned = repeat_heads(inner.turn(k, start), inner.groups)
    near = _products(inner.turn(q, start), turned) * inner.k_size**-0.5
    # c, learnt for each head, weighs the state against the window.
    features = _log_features(layer.feature_map_q(q), repeat_heads(layer.feature_map_k(k), inner.groups))
    far = features + layer.offset[:, None, None]
    if layer.gk_proj is not None:
        gates = F.logsigmoid(layer.gk_proj(x)) / layer.gate_logit_normalizer
        total = gates.cumsum(1).mT
        # Token j enters the state as token j + w comes, and decays from the token after on.
        entered = F.pad(total[..., w:], (0, min(w, x.shape[1])))
        far = far + total[..., None] - entered[..., None, :]
    age = _ages(x)
    scores = torch.where(age < w, near, far).masked_fill(age < 0, -torch.inf)
    if layer.meta is not None:
        keys, _ = layer.meta.split(inner.k_size, -1)
        meta = torch.einsum("bihc,mhc->bhim", q, keys) * inner.k_size**-0.5
        # Meta tokens take part in the normaliser; the teacher has none.
        return torch.cat([meta, scores], -1).log_softmax(-1)[..., layer.meta_tokens :]
    return scores.log_softmax(-1)


LOG_WEIGHTS: Mapping[type[Mixer], Callable[[Any, Tensor], Tensor]] = {
    LinearAttention: _linear,
    SoftmaxAttention: _softmax,
    WindowAttention: _softmax,
    WindowLinearAttention: _window_linear,
}
