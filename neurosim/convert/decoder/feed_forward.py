"""Programs of feed-forward layers: gated ones, and experts of which each token passes a few."""

from __future__ import annotations

from torch import nn

from ...attention.experts import Experts
from ...attention.model import GatedMLP
from ...kernels.decode import vectors
from .builder import ACTIVATIONS, Builder, name_of
from .memory import Buffer
from .others import added


def gated_mlp(b: Builder, layer: GatedMLP, x: Buffer, before: Buffer | None = None) -> Buffer:
    gate, up = b.linear(layer.gate_proj, x), b.linear(layer.up_proj, x)
    return b.linear(layer.down_proj, b.pointwise(gate, ACTIVATIONS[name_of(layer.activation)], times=up), before)


def experts(b: Builder, layer: Experts, x: Buffer, before: Buffer) -> Buffer:
    """Go through all experts in turn, each with the tokens that chose it; for the others no row is added."""
    spec, router = layer.router.spec, layer.router
    weights, masks = b.route(
        b.product(router.weight, x),
        spec.count,
        spec.count,
        spec.top,
        sum_to_one=spec.normalise,
        sigmoid=spec.scores == "sigmoid",
        bias=None if router.bias is None else b.constant(router.bias),
        groups=(spec.groups, spec.top_groups),
        scale=spec.scale,
    )
    total = None
    for mask, own, expert in zip(masks, weights, layer.experts, strict=True):
        b.mask = mask
        total = added(b, gated_mlp(b, _gated(expert), x), own, total)
    b.mask = b.routed = None
    assert total is not None
    if layer.shared is None:
        return b.pointwise(total, then=before)
    always = gated_mlp(b, _gated(layer.shared), x)
    if layer.shared_gate is not None:
        always = b.pointwise(always, times=b.pointwise(b.product(layer.shared_gate, x), vectors.SIGMOID))
    return b.pointwise(total, plus=always, then=before)


def _gated(layer: nn.Module) -> GatedMLP:
    assert isinstance(layer, GatedMLP)
    return layer
