"""Programs of the kinds whose state adds and decays: linear attention, retention, gated linear attention, HGRN."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from ...attention.kinds.base import Mixer
from ...attention.kinds.feature_maps import FeatureMap, Hadamard, Hedgehog, LearnedRelu, NormAware
from ...attention.kinds.hgrn import HGRN, HGRN2, BoundedMixer
from ...attention.kinds.linear import GLA, LinearAttention, Retention, SimpleGLA
from ...attention.kinds.qkv import GatedMixer, QKVMixer
from ...attention.kinds.slots import GatedSlotAttention
from ...kernels.decode import features, states, vectors, windows
from .builder import ACTIVATIONS, Builder
from .memory import WHOLE, Array, Buffer, aligned
from .program import Groups, Sizes


def convolved(b: Builder, mixer: QKVMixer, x: Buffer, default: str = "identity") -> list[Buffer]:
    """Return the projections of x through their convolutions or, without these, the activation `default`."""
    found = [b.linear(getattr(mixer, f"{name}_proj"), x) for name in mixer.conv_names]
    if mixer.conv_size:
        return [b.convolve(getattr(mixer, f"{n}_conv1d"), v) for n, v in zip(mixer.conv_names, found, strict=True)]
    return [activated(b, value, default) for value in found]


def activated(b: Builder, x: Buffer, name: str | None) -> Buffer:
    """Return x through the activation of a name."""
    return x if name in (None, "identity") else b.pointwise(x, ACTIVATIONS[name])


def low_rank(b: Builder, layers: nn.Module, x: Buffer) -> Buffer:
    """Return x through two linear layers."""
    first, second = layers.children()
    return b.linear(second, b.linear(first, x, narrow=True))


def gated(b: Builder, mixer: GatedMixer, gate: Buffer | None, out: Buffer, before: Buffer | None) -> Buffer:
    """Return `before` plus the output of a mixer: norm of each head, gate, and output projection."""
    out = b.norm(mixer.o_norm, out, mixer.v_size)
    if gate is not None:
        out = b.pointwise(gate, ACTIVATIONS[mixer.gate_fn or "identity"], times=out)
    return b.linear(mixer.o_proj, out, before)


def gate_of(b: Builder, mixer: GatedMixer, x: Buffer) -> Buffer | None:
    """Return W_g x, or None where there is no gate."""
    return None if mixer.gate_fn is None else b.linear(mixer.g_proj, x)


def additive(
    b: Builder, mixer: Mixer, q: Buffer, k: Buffer, v: Buffer, g: Buffer | Array | None = None, *,
    kind: int, groups: Groups, sizes: Sizes,
) -> Buffer:  # fmt: skip
    """Return o [tokens, H V] of S = e^g S + k v^T, with q, k and S as the coders of a mixer say."""
    q, k = b.code(q, mixer.codes.q, sizes.keys), b.code(k, mixer.codes.k, sizes.keys)
    memory, out = summed(b, q, k, v, g, kind=kind, groups=groups, sizes=sizes, scale=float(mixer.scale))
    b.code_state(memory, mixer.codes.state, sizes.values)
    return out


def summed(
    b: Builder, q: Buffer, k: Buffer, v: Buffer, g: Buffer | Array | None = None, *,
    kind: int, groups: Groups, sizes: Sizes, scale: float = 1.0,
) -> tuple[Buffer, Buffer]:  # fmt: skip
    """Return S = e^g S + k v^T and o [tokens, H V] = scale S^T q."""
    heads, keys, values = sizes
    memory, out = b.state(heads, keys, values), b.buffer(heads * values)
    places, own = b.by_heads(heads)
    touches = [b.head_read(x, own, places, group) for x, group in ((q, groups.q), (k, groups.k), (v, groups.v))]
    if isinstance(g, Buffer):
        touches.append(b.head_read(g, own, places, groups.g))
    arguments = [memory, heads, keys, values, b.tokens, q, k, v, g, groups.q, groups.k, groups.v, groups.g, kind]
    arguments += [scale, b.scratch(keys), out, b.mask]
    b.emit(states.additive, arguments, places, b.masked([*touches, (memory, own, True), (out, own, True)]))
    return memory, out


def divided(b: Builder, sums: Buffer, heads: int, size: int, eps: float) -> Buffer:
    """Return the first `size` channels of each head over the last one plus eps."""
    out = b.buffer(heads * size)
    places, own = b.by_groups(out, size)
    b.emit(vectors.ratio, [sums, size, eps, out], places, [b.read(sums, own), (out, own, True)])
    return out


def sizes_of(mixer: QKVMixer) -> Sizes:
    return Sizes(mixer.heads, mixer.k_size, mixer.v_size + mixer.extra_columns)


def gla(b: Builder, mixer: GLA, x: Buffer, before: Buffer) -> Buffer:
    q, k, v = convolved(b, mixer, x)
    gate, factor = gate_of(b, mixer, x), b.constant(1 / mixer.gate_logit_normalizer)
    g = b.pointwise(low_rank(b, mixer.gk_proj, x), vectors.LOGSIGMOID, times=factor, low=mixer.clamp_min)
    q, k = activated(b, q, mixer.feature_map), activated(b, k, mixer.feature_map)
    groups = Groups(k=mixer.groups, v=mixer.groups, g=mixer.groups)
    out = additive(b, mixer, q, k, v, g, kind=states.KEY_DECAY, groups=groups, sizes=sizes_of(mixer))
    return gated(b, mixer, gate, out, before)


def simple_gla(b: Builder, mixer: SimpleGLA, x: Buffer, before: Buffer) -> Buffer:
    q, k, v = convolved(b, mixer, x)
    gate, raw = gate_of(b, mixer, x), b.linear(mixer.gk_proj, x)
    g = b.pointwise(raw, vectors.LOGSIGMOID, times=b.constant(1 / mixer.gate_logit_normalizer))
    q, k = activated(b, q, mixer.feature_map), activated(b, k, mixer.feature_map)
    groups = Groups(k=mixer.groups, v=mixer.groups)
    out = additive(b, mixer, q, k, v, g, kind=states.HEAD_DECAY, groups=groups, sizes=sizes_of(mixer))
    return gated(b, mixer, gate, out, before)


def retention(b: Builder, mixer: Retention, x: Buffer, before: Buffer) -> Buffer:
    q, k, v = convolved(b, mixer, x)
    gate = gate_of(b, mixer, x)
    q, k = activated(b, q, mixer.feature_map), activated(b, k, mixer.feature_map)
    if mixer.positions is not None:
        q, k = b.rotary(q, mixer.k_size, mixer.positions), b.rotary(k, mixer.k_size, mixer.positions)
    g = b.constant(torch.tensor(mixer.log_decays).expand(b.tokens, -1))
    groups = Groups(k=mixer.groups, v=mixer.groups)
    out = additive(b, mixer, q, k, v, g, kind=states.HEAD_DECAY, groups=groups, sizes=sizes_of(mixer))
    return gated(b, mixer, gate, out, before)


def _log_forget(b: Builder, mixer: BoundedMixer, f: Buffer) -> Buffer:
    """Return log(lb + (1 - lb) sigmoid(f)), lb the lower bounds of the layer where it has some."""
    if not mixer.use_lower_bound or b.lower_bound is None:
        return b.pointwise(f, vectors.LOGSIGMOID)
    bound = b.lower_bound
    kept = b.pointwise(f, vectors.SIGMOID, times=b.constant(1 - bound), then=b.constant(bound))
    return b.pointwise(kept, vectors.LOG)


def hgrn(b: Builder, mixer: HGRN, x: Buffer, before: Buffer) -> Buffer:
    f, i = convolved(b, mixer, x)
    g, v = _log_forget(b, mixer, f), activated(b, i, "silu")
    k = b.pointwise(g, vectors.EXPM1, times=b.constant(-1.0))
    q = b.plain(mixer.heads, 1.0)
    out = additive(b, mixer, q, k, v, g, kind=states.HEAD_DECAY, groups=Groups(), sizes=Sizes(mixer.heads, 1, 1))
    gate = b.linear(mixer.g_proj, x)
    return b.linear(mixer.o_proj, b.pointwise(gate, vectors.SILU, times=b.norm(mixer.g_norm, out)), before)


def hgrn2(b: Builder, mixer: HGRN2, x: Buffer, before: Buffer) -> Buffer:
    q, f, v = convolved(b, mixer, x)
    g = _log_forget(b, mixer, f)
    k = b.pointwise(g, vectors.EXPM1, times=b.constant(-1.0))
    q = activated(b, q, "silu")
    out = additive(b, mixer, q, k, v, g, kind=states.KEY_DECAY, groups=Groups(), sizes=sizes_of(mixer))
    return b.linear(mixer.o_proj, b.norm(mixer.o_norm, out), before)


_MAPS = {"elu": vectors.ELU_PLUS, "identity": vectors.IDENTITY, "relu": vectors.RELU, "swish": vectors.SILU}
_SHAPED = {"based": features.TAYLOR, "dpfp": features.DPFP, "norm_aware": features.NORM_AWARE}


def mapped(b: Builder, name: str, layer: FeatureMap, x: Buffer, size: int) -> Buffer:
    """Return the feature map of each head of `size` channels, [tokens, H features]."""
    tokens = x.rows
    if name in _MAPS:
        return b.pointwise(x, _MAPS[name])
    heads = x.viewed(size)
    if isinstance(layer, Hadamard):
        found = b.pointwise(b.linear(layer.layer1, heads), times=b.linear(layer.layer2, heads))
    elif isinstance(layer, LearnedRelu):
        found = b.pointwise(b.linear(layer.layer, heads), vectors.RELU)
    elif isinstance(layer, Hedgehog):
        y, both = b.linear(layer.layer, heads), b.buffer(2 * size, heads.rows)
        b.copy(b.pointwise(y, times=b.constant(2.0)), 0, both, 0, size)
        b.copy(b.pointwise(y, times=b.constant(-2.0)), 0, both, size, size)
        found = b.normalise(both, 2 * size, vectors.SOFTMAX)
    else:
        found = b.buffer(layer.features, heads.rows)
        places, own = b.by_rows(found)
        power = layer.power if isinstance(layer, NormAware) else 0.0
        arguments = [heads, size, _SHAPED[name], int(layer.is_query), found, layer.features, power]
        b.emit(features.feature, arguments, places, [b.read(x, WHOLE), (found, own, True)])
    return found.viewed(found.width * found.rows // tokens)


def with_ones(b: Builder, v: Buffer, size: int) -> Buffer:
    """Return the heads of v, each with a column of ones behind it: the state then sums the keys."""
    heads = v.viewed(size)
    # Its own memory, not shared between layers: the ones are written once.
    array = aligned((heads.rows, size + 1), np.float32)
    array[:, size] = 1
    found = Buffer(array, heads.rows, size + 1)
    b.copy(heads, 0, found, 0, size)
    return found.viewed(v.width + v.width // size)


def linear_attention(b: Builder, mixer: LinearAttention, x: Buffer, before: Buffer) -> Buffer:
    q, k, v = (b.linear(layer, x) for layer in (mixer.q_proj, mixer.k_proj, mixer.v_proj))
    if mixer.positions is not None:
        q = b.rotary(q, mixer.head_dim, mixer.positions)
        k = b.rotary(k, mixer.head_dim, mixer.positions)
    q = mapped(b, mixer.feature_map, mixer.feature_map_q, q, mixer.head_dim)
    k = mapped(b, mixer.feature_map, mixer.feature_map_k, k, mixer.head_dim)
    q = b.normalise(q, mixer.k_size, vectors.SUM, 1e-4) if mixer.norm_q else q
    k = b.normalise(k, mixer.k_size, vectors.SUM, 1e-4) if mixer.norm_k else k
    if mixer.extra_columns:
        v = with_ones(b, v, mixer.v_size)
    groups = Groups(k=mixer.groups, v=mixer.groups)
    out = additive(b, mixer, q, k, v, kind=states.NO_DECAY, groups=groups, sizes=sizes_of(mixer))
    if mixer.extra_columns:
        out = divided(b, out, mixer.heads, mixer.v_size, 1e-10)
    return gated(b, mixer, None, out, before)


def gated_slots(b: Builder, mixer: GatedSlotAttention, x: Buffer, before: Buffer) -> Buffer:
    q, k, v = convolved(b, mixer, x)
    heads, size, values, count, groups = mixer.heads, mixer.k_size, mixer.v_size, mixer.slots, mixer.groups
    q, k = (
        b.code(mapped(b, mixer.feature_map, mixer.map, y, size), coder, size)
        for y, coder in ((q, mixer.codes.q), (k, mixer.codes.k))
    )
    v, factor = activated(b, v, "silu"), b.constant(1 / mixer.gate_logit_normalizer)
    g = b.pointwise(b.linear(mixer.f_proj, x), vectors.LOGSIGMOID, times=factor)
    memory, out = b.state(heads, count, size + values), b.buffer(heads * values)
    places, own = b.by_heads(heads)
    touches = [b.head_read(q, own, places, 1), *(b.head_read(y, own, places, groups) for y in (k, v, g))]
    arguments = [memory, heads, size, values, b.tokens, q, k, v, g, groups, count, b.scratch(count), out]
    b.emit(windows.slots, arguments, places, [*touches, (memory, own, True), (out, own, True)])
    b.code_state(memory, mixer.codes.state, size + values)
    return b.linear(mixer.o_proj, b.norm(mixer.g_norm, b.pointwise(out, vectors.SILU)), before)
