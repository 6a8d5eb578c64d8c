"""Programs of RWKV-5, 6 and 7."""

from __future__ import annotations

import torch

from ...attention.kinds.rwkv import MAX_DECAY, RWKV7, ChannelMix, GatedChannelMix, LowRank
from ...attention.kinds.rwkv6 import RWKV5, RWKV6
from ...kernels.decode import states, vectors
from .additive import activated
from .builder import Builder, name_of
from .memory import Array, Buffer


def _lora(b: Builder, layer: LowRank, x: Buffer) -> Buffer:
    """W2 f(W1 x) + b."""
    first, act, second = layer.lora
    name = {torch.nn.Tanh: "tanh", torch.nn.Sigmoid: "sigmoid", torch.nn.Identity: "identity"}[type(act)]
    return b.linear(second, activated(b, b.linear(first, x), name))


def rwkv7(b: Builder, mixer: RWKV7, x: Buffer, before: Buffer) -> Buffer:
    tail, size = b.state(mixer.width), mixer.head_dim
    mixed = {name: b.mix(x, tail, b.constant(getattr(mixer, f"x_{name}"))) for name in "rwkvag"}
    b.copy(x, 0, tail, 0, mixer.width)
    r, k, v = b.linear(mixer.r_proj, mixed["r"]), b.linear(mixer.k_proj, mixed["k"]), b.linear(mixer.v_proj, mixed["v"])
    if mixer.is_first:
        b.first_values = v
    else:
        assert b.first_values is not None
        v = b.mix(v, b.first_values, b.pointwise(_lora(b, mixer.v_lora, mixed["v"]), vectors.SIGMOID))
    decay = b.pointwise(_lora(b, mixer.w_lora, mixed["w"]), vectors.SIGMOID, times=b.constant(-MAX_DECAY))
    rate = b.pointwise(_lora(b, mixer.a_lora, mixed["a"]), vectors.SIGMOID)
    gate = _lora(b, mixer.g_lora, mixed["g"])
    direction = b.normalise(b.pointwise(k, times=b.constant(mixer.k_k)), size, vectors.L2, mixer.l2_norm_eps)
    removed, added = b.pointwise(direction, times=b.constant(-1.0)), b.pointwise(direction, times=rate)
    # k (1 + (rate - 1) k_a)
    share = b.pointwise(rate, times=b.constant(mixer.k_a), then=b.constant(1 - mixer.k_a))
    q, k = b.code(r, mixer.codes.q, size), b.code(b.pointwise(share, times=k), mixer.codes.k, size)
    heads, values = mixer.heads, mixer.v_size
    memory, out = b.state(heads, size, values), b.buffer(heads * values)
    places, own = b.by_heads(heads)
    inputs = (q, k, v, decay, removed, added)
    arguments = [memory, heads, size, values, b.tokens, *inputs, b.scratch(size), b.scratch(values), out]
    arguments.append(states.KEY_DECAY)
    reads = [b.head_read(value, own, places, 1) for value in inputs]
    b.emit(states.rank_one, arguments, places, [*reads, (memory, own, True), (out, own, True)])
    b.code_state(memory, mixer.codes.state, values)
    norm = mixer.g_norm
    out = b.norm_of(out, values, norm.weight, norm.bias, norm.eps, centred=True)
    now = b.pointwise(b.pointwise(q, times=b.constant(mixer.r_k)), times=k)
    total = b.total(now, size)
    now = b.pointwise(v.viewed(values), times=total).viewed(out.width)
    return b.linear(mixer.o_proj, b.pointwise(b.pointwise(out, plus=now), times=gate), before)


def channel_mix(b: Builder, layer: ChannelMix, x: Buffer, before: Buffer) -> Buffer:
    tail = b.state(x.width)
    mixed = b.mix(x, tail, b.constant(layer.x_k))
    receptance = b.mix(x, tail, b.constant(layer.x_r)) if isinstance(layer, GatedChannelMix) else None
    b.copy(x, 0, tail, 0, x.width)
    hidden = activated(b, b.linear(layer.key, mixed), name_of(layer.activation))
    if receptance is None or not isinstance(layer, GatedChannelMix):
        return b.linear(layer.value, hidden, before)
    gate = b.linear(layer.receptance, receptance)
    return b.pointwise(gate, vectors.SIGMOID, times=b.linear(layer.value, hidden), then=before)


def _mixes(b: Builder, mixer: RWKV5, x: Buffer, tail: Buffer) -> dict[str, Buffer]:
    """Return the inputs of the projections: mixes of a token and the one before it, which RWKV-6 finds from both."""
    own = {name: b.constant(getattr(mixer, f"x_{name}")) for name in mixer.mixes}
    if not isinstance(mixer, RWKV6):
        return {name: b.mix(x, tail, weight) for name, weight in own.items()}
    rank = mixer.mix_low_rank_dim
    parts = b.pointwise(b.linear(mixer.mix_in, b.mix(x, tail, b.constant(mixer.x_x))), vectors.TANH)
    found = {}
    for i, (name, layer) in enumerate(zip(mixer.mixes, mixer.mix_out, strict=True)):
        shift = b.pointwise(b.linear(layer, b.columns(parts, i * rank, rank)), plus=own[name])
        found[name] = b.mix(x, tail, shift)
    return found


def rwkv5(b: Builder, mixer: RWKV5, x: Buffer, before: Buffer) -> Buffer:
    tail, heads, size, values = b.state(mixer.width), mixer.heads, mixer.head_dim, mixer.v_size
    mixed = _mixes(b, mixer, x, tail)
    b.copy(x, 0, tail, 0, mixer.width)
    q, k, v = b.linear(mixer.r_proj, mixed["r"]), b.linear(mixer.k_proj, mixed["k"]), b.linear(mixer.v_proj, mixed["v"])
    gate = b.linear(mixer.g_proj, mixed["g"])
    if isinstance(mixer, RWKV6):
        g: Buffer | Array = b.pointwise(_lora(b, mixer.w_lora, mixed["w"]), vectors.EXP, times=b.constant(-1.0))
    else:
        g = b.constant(-mixer.w.exp())
    q, k = b.code(q, mixer.codes.q, size), b.code(k, mixer.codes.k, size)
    memory, out = b.state(heads, size, values), b.buffer(heads * values)
    places, own = b.by_heads(heads)
    arguments = [memory, heads, size, values, b.tokens, q, k, v, g, int(isinstance(g, Buffer)), b.constant(mixer.u)]
    reads = [b.head_read(y, own, places, 1) for y in (q, k, v, g) if isinstance(y, Buffer)]
    arguments += [b.scratch(size), out, states.KEY_DECAY]
    b.emit(states.bonus, arguments, places, [*reads, (memory, own, True), (out, own, True)])
    b.code_state(memory, mixer.codes.state, values)
    norm = mixer.g_norm
    out = b.norm_of(out, values, norm.weight, norm.bias, norm.eps, centred=True)
    return b.linear(mixer.o_proj, b.pointwise(gate, vectors.SILU, times=out), before)
