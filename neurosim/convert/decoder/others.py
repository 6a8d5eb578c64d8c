"""Programs of the kinds that are neither additive nor of the delta rule, and of those with several memories."""

from __future__ import annotations

import numpy as np
import torch

from ...attention.kinds.lightnet import LightNet
from ...attention.kinds.mamba import Mamba, Mamba2
from ...attention.kinds.mixture_of_memories import MoM, RoutedMixer
from ...attention.kinds.sparse_expansion import SSE
from ...attention.kinds.state_space import AlmostLinearRNN, DiagonalSSM
from ...kernels.decode import others, states, vectors
from .additive import activated, additive, convolved, gate_of, gated, low_rank, sizes_of
from .builder import Builder
from .delta import delta, log_decays
from .memory import OWN, WHOLE, Array, Buffer
from .program import Groups, NotCompiledError, Sizes


def mamba2(b: Builder, mixer: Mamba2, x: Buffer, before: Buffer) -> Buffer:
    whole, inner = b.linear(mixer.in_proj, x), mixer.inner
    mixed = mixer.conv1d.weight.shape[0]
    z = b.columns(whole, 0, inner)
    convolved = b.convolve(mixer.conv1d, b.columns(whole, inner, mixed))
    low, high = mixer.dt_limit or (None, None)
    raw = b.columns(whole, inner + mixed, mixer.heads)
    dt = b.pointwise(raw, vectors.SOFTPLUS, plus=b.constant(mixer.dt_bias), low=low, high=high)
    size = mixer.n_groups * mixer.state_size
    u, k, q = (b.columns(convolved, at, n) for at, n in ((0, inner), (inner, size), (inner + size, size)))
    v = b.pointwise(u.viewed(mixer.head_dim), times=dt.viewed(1)).viewed(inner)
    g = b.pointwise(dt, times=b.constant(-mixer.A_log.exp()))
    groups = Groups(q=mixer.group_size, k=mixer.group_size)
    sizes = Sizes(mixer.heads, mixer.state_size, mixer.head_dim)
    out = additive(b, mixer, q, k, v, g, kind=states.HEAD_DECAY, groups=groups, sizes=sizes)
    skip = mixer.D if mixer.D.numel() == inner else mixer.D.repeat_interleave(mixer.head_dim)
    y = b.pointwise(u, times=b.constant(skip), then=out)
    if mixer.norm is None:
        return b.linear(mixer.out_proj, b.pointwise(z, vectors.SILU, times=y), before)
    y = b.pointwise(z, vectors.SILU, times=y) if mixer.gate_first else y
    y = b.norm_of(y, inner // mixer.n_groups, mixer.norm.weight, None, mixer.norm_eps)
    y = y if mixer.gate_first else b.pointwise(z, vectors.SILU, times=y)
    return b.linear(mixer.out_proj, y, before)


def mamba(b: Builder, mixer: Mamba, x: Buffer, before: Buffer) -> Buffer:
    whole, inner, states = b.linear(mixer.in_proj, x), mixer.inner, mixer.state_size
    z = b.columns(whole, inner, inner)
    u = b.convolve(mixer.conv1d, b.columns(whole, 0, inner))
    mixed = b.linear(mixer.x_proj, u)
    places = ((0, mixer.rank), (mixer.rank, states), (mixer.rank + states, states))
    low, k, q = (b.columns(mixed, at, n) for at, n in places)
    if mixer.inner_norm_eps is not None:
        low, k, q = (b.norm_of(part, part.width, None, None, mixer.inner_norm_eps) for part in (low, k, q))
    dt = b.pointwise(b.linear(mixer.dt_proj, low), vectors.SOFTPLUS)
    k, q = b.code(k, mixer.codes.k, states), b.code(q, mixer.codes.q, states)
    memory, out = b.state(inner, states), b.buffer(inner)
    cuts, own = b.by_columns(out)
    rates = b.constant(-mixer.A_log.exp())
    arguments = [u, dt, inner, k, q, states, b.tokens, rates, b.constant(mixer.D), memory, out]
    reads = [(y, own, False) for y in (u, dt)] + [(y, OWN if y.own else WHOLE, False) for y in (k, q)]
    b.emit(others.selective, arguments, cuts, [*reads, (memory, own, True), (out, own, True)])
    b.code_state(memory, mixer.codes.state, 1)
    return b.linear(mixer.out_proj, b.pointwise(z, vectors.SILU, times=out), before)


def lightnet(b: Builder, mixer: LightNet, x: Buffer, before: Buffer) -> Buffer:
    q, c, v = convolved(b, mixer, x)
    k, g, z = b.buffer(c.width), b.buffer(c.width), b.state(c.width)
    places, own = b.by_columns(c)
    touches = [(c, own, False), (z, own, True), (k, own, True), (g, own, True)]
    b.emit(others.soft_decay, [c, c.width, b.tokens, z, k, g], places, touches)
    gate, q = low_rank(b, mixer.g_proj, x), activated(b, q, "silu")
    out = additive(b, mixer, q, k, v, g, kind=states.KEY_DECAY, groups=Groups(), sizes=sizes_of(mixer))
    return b.linear(mixer.o_proj, b.pointwise(gate, vectors.SILU, times=b.norm(mixer.g_norm, out)), before)


def diagonal(b: Builder, mixer: DiagonalSSM, x: Buffer, before: Buffer) -> Buffer:
    u, n = b.linear(mixer.in_proj, x), mixer.state_size
    a, into = (b.constant(torch.view_as_real(values)) for values in mixer.discrete())
    memory, out = b.state(mixer.width, n, 2), b.buffer(mixer.width)
    places, own = b.by_columns(out)
    arguments = [u, mixer.width, n, b.tokens, a, into, b.constant(mixer.C), b.constant(mixer.D), memory, out]
    b.emit(others.diagonal, arguments, places, [(u, own, False), (memory, own, True), (out, own, True)])
    b.code_state(memory, mixer.codes.state, 2)
    return b.linear(mixer.o_proj, b.pointwise(out, vectors.GELU), before)


def almost_linear(b: Builder, mixer: AlmostLinearRNN, x: Buffer, before: Buffer) -> Buffer:
    units = mixer.units
    u = b.pointwise(b.linear(mixer.in_proj, x), plus=b.constant(mixer.h))
    memory, out = b.state(units), b.buffer(units)
    places, own = b.by_rows(out)
    arguments = [u, units, mixer.rectified, b.constant(mixer.A), b.constant(mixer.W), memory, b.scratch(units), out]
    b.emit(others.almost_linear, arguments, places, [b.read(u, own), (memory, own, True), (out, own, True)])
    b.code_state(memory, mixer.codes.state, units)
    return b.linear(mixer.o_proj, out, before)


def _routes(b: Builder, mixer: RoutedMixer, scores: Buffer, *, sum_to_one: bool, common: bool) -> tuple[Array, Array]:
    """Return weights [memories, tokens] float32 and masks [memories, tokens] of each token's memories.

    A memory that every token uses comes last, with weight 1.
    """
    return b.route(scores, mixer.count, mixer.count - common, mixer.topk, sum_to_one=sum_to_one)


def added(b: Builder, out: Buffer, weights: Array, total: Buffer | None) -> Buffer:
    """Add the outputs of a memory, times its weights [tokens], to the total."""
    first = total is None
    total = b.buffer(out.width) if total is None else total
    places, own = b.by_columns(total)
    arguments = [out, out.width, b.tokens, weights, int(first), total, b.mask]
    b.emit(vectors.accumulate, arguments, places, b.masked([(out, own, False), (total, own, True)]))
    return total


def mom(b: Builder, mixer: MoM, x: Buffer, before: Buffer) -> Buffer:
    gate = gate_of(b, mixer, x)
    weights, masks = _routes(b, mixer, b.linear(mixer.gate_proj, x), sum_to_one=True, common=mixer.shared_mem)
    q_all, total = b.linear(mixer.q_proj, x), None
    sizes = Sizes(mixer.heads, mixer.head_dim, mixer.v_size)
    for m in range(mixer.count):
        b.mask = masks[m]
        values = {"q": q_all}
        for name in "kvba":
            shared = mixer.single_kv_proj or m == mixer.num_memories
            layer = getattr(mixer, f"shared_{name}") if shared else getattr(mixer, f"{name}_proj")[m]
            values[name] = b.linear(layer, x)
        for name in "qkv":
            conv = mixer.conv_size and getattr(mixer, f"{name}_conv1d")
            values[name] = b.convolve(conv, values[name]) if conv else activated(b, values[name], "silu")
        q, k = (b.normalise(values[name], mixer.head_dim, vectors.L2, 1e-6) for name in "qk")
        beta, g = activated(b, values["b"], "sigmoid"), log_decays(b, values["a"], mixer.A_log, mixer.dt_bias)
        out = delta(b, mixer, q, k, values["v"], beta, g, kind=states.HEAD_DECAY, groups=Groups(), sizes=sizes)
        total = added(b, out, weights[m], total)
    b.mask = b.routed = None
    assert total is not None
    return gated(b, mixer, gate, total, before)


def sse(b: Builder, mixer: SSE, x: Buffer, before: Buffer) -> Buffer:
    size = mixer.head_dim
    if mixer.reads != mixer.topk:
        raise NotCompiledError("readers: other partitions than those written are not compiled")
    gate = None if mixer.gate_fn is None else low_rank(b, mixer.g_proj, x)
    weights, masks = _routes(b, mixer, b.linear(mixer.e_proj, x), sum_to_one=False, common=True)
    q, k = b.linear(mixer.q_proj, x), b.linear(mixer.k_proj, x)
    v, factor = activated(b, b.linear(mixer.v_proj, x), "silu"), b.constant(1 / mixer.gate_logit_normalizer)
    common_g, own_g = (b.pointwise(low_rank(b, layer, x), vectors.LOGSIGMOID, times=factor) for layer in mixer.gk_proj)
    own_q, own_k = (
        b.pointwise(low_rank(b, layer, x), plus=common)
        for layer, common in ((mixer.lora_q_proj, q), (mixer.lora_k_proj, k))
    )
    pairs = [
        (activated(b, one, "silu"), b.normalise(other, size, vectors.SOFTMAX))
        for one, other in ((own_q, own_k), (q, k))
    ]
    ones, total = np.ones(b.tokens, np.float32), None
    b.kept.append(ones)
    sizes = Sizes(mixer.heads, size, mixer.v_size)
    for m in range(mixer.count):
        b.mask = masks[m]
        last = m == mixer.count - 1
        q, k = pairs[last]
        if not last:
            score = Buffer(weights[m], b.tokens, 1)
            q, k = b.pointwise(q, times=score), b.pointwise(k, times=score)
        g = common_g if last else own_g
        out = additive(b, mixer, q, k, v, g, kind=states.KEY_DECAY, groups=Groups(), sizes=sizes)
        total = added(b, out, ones, total)
    b.mask = b.routed = None
    assert total is not None
    return gated(b, mixer, gate, total, before)
