"""Programs of the kinds that are neither additive nor of the delta rule, and of those with several memories."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from ...attention.kinds.gam import GatedAssociativeMemory
from ...attention.kinds.hippo import HippoSSM
from ...attention.kinds.lightnet import LightNet
from ...attention.kinds.mamba import Mamba, Mamba2
from ...attention.kinds.mixture_of_memories import MoM, RoutedMixer
from ...attention.kinds.parallel_rnn import ParaGRU, ParaLSTM
from ...attention.kinds.plstm import PLSTM
from ...attention.kinds.sparse_expansion import SSE, ExpandedMixer, SSEDelta
from ...attention.kinds.state_space import AlmostLinearRNN, DiagonalSSM
from ...kernels.decode import others, states, vectors
from .additive import activated, additive, convolved, gate_of, gated, low_rank, sizes_of
from .builder import Builder
from .delta import delta, log_decays
from .memory import OWN, WHOLE, Array, Buffer
from .program import Groups, Sizes


def mamba2(b: Builder, mixer: Mamba2, x: Buffer, before: Buffer | None) -> Buffer:
    _, y, z = mamba2_states(b, mixer, x)
    return mamba2_finish(b, mixer, y, z, before)


def mamba2_states(b: Builder, mixer: Mamba2, x: Buffer) -> tuple[Buffer, Buffer, Buffer]:
    """Return the values behind the convolution, what the states say of them, and the gate before its activation."""
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
    return u, b.pointwise(u, times=b.constant(skip), then=out), z


def mamba2_finish(b: Builder, mixer: Mamba2, y: Buffer, z: Buffer, before: Buffer | None) -> Buffer:
    if mixer.norm is None:
        return b.linear(mixer.out_proj, b.pointwise(z, vectors.SILU, times=y), before)
    y = b.pointwise(z, vectors.SILU, times=y) if mixer.gate_first else y
    y = b.norm_of(y, mixer.inner // mixer.n_groups, mixer.norm.weight, None, mixer.norm_eps)
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


def diagonal(b: Builder, mixer: DiagonalSSM, x: Buffer, before: Buffer | None) -> Buffer:
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


@dataclass(frozen=True)
class _Partitions:
    """Partitions that tokens use: of each, a score; of those that are read or written alone, 1 where they are."""

    scores: Array
    masks: Array
    reads: Array | None = None
    writes: Array | None = None

    def of(self, x: Buffer, part: Array | None, memory: int, b: Builder) -> Buffer:
        """Return x where tokens use a partition, 0 where they do not."""
        return x if part is None else b.pointwise(x, times=Buffer(part[memory], b.tokens, 1))


def _partitions(b: Builder, mixer: ExpandedMixer, x: Buffer) -> _Partitions:
    """Pick the partitions that tokens read and write: the fewer of both are among the more."""
    scores, count = b.linear(mixer.e_proj, x), mixer.num_sparse_partition
    more, fewer = max(mixer.topk, mixer.reads), min(mixer.topk, mixer.reads)
    found = b.route(scores, mixer.count, count, more, sum_to_one=False)
    if more == fewer:
        return _Partitions(*found)
    shares = np.ones((mixer.count, b.tokens), np.float32)
    b.kept.append(shares)
    b.route(scores, mixer.count, count, fewer, sum_to_one=False, shares=shares)
    return _Partitions(*found, *((None, shares) if mixer.topk == fewer else (shares, None)))


def _expanded(b: Builder, mixer: ExpandedMixer, x: Buffer, before: Buffer, read: Callable[..., Buffer]) -> Buffer:
    """Return the sum of what partitions give: `read` of (q, k, v, partitions, memory) with q times its score."""
    gate = None if mixer.gate_fn is None else low_rank(b, mixer.g_proj, x)
    parts = _partitions(b, mixer, x)
    q, k = b.linear(mixer.q_proj, x), b.linear(mixer.k_proj, x)
    v = activated(b, b.linear(mixer.v_proj, x), "silu")
    own_q, own_k = (
        b.pointwise(low_rank(b, layer, x), plus=common)
        for layer, common in ((mixer.lora_q_proj, q), (mixer.lora_k_proj, k))
    )
    ones, total = np.ones(b.tokens, np.float32), None
    b.kept.append(ones)
    for m in range(mixer.count):
        b.mask = parts.masks[m]
        last = m == mixer.count - 1
        total = added(b, read(*((q, k) if last else (own_q, own_k)), v, parts, m), ones, total)
    b.mask = b.routed = None
    assert total is not None
    return gated(b, mixer, gate, total, before)


def sse(b: Builder, mixer: SSE, x: Buffer, before: Buffer) -> Buffer:
    size, factor = mixer.head_dim, b.constant(1 / mixer.gate_logit_normalizer)
    gates = [b.pointwise(low_rank(b, layer, x), vectors.LOGSIGMOID, times=factor) for layer in mixer.gk_proj]

    def read(q: Buffer, k: Buffer, v: Buffer, parts: _Partitions, m: int) -> Buffer:
        q, k = activated(b, q, "silu"), b.normalise(k, size, vectors.SOFTMAX)
        q, k = (parts.of(y, parts.scores, m, b) for y in (q, k))
        q, k = parts.of(q, parts.reads, m, b), parts.of(k, parts.writes, m, b)
        g = parts.of(gates[m < mixer.count - 1], parts.writes, m, b)
        sizes = Sizes(mixer.heads, size, mixer.v_size)
        return additive(b, mixer, q, k, v, g, kind=states.KEY_DECAY, groups=Groups(), sizes=sizes)

    return _expanded(b, mixer, x, before, read)


def sse_delta(b: Builder, mixer: SSEDelta, x: Buffer, before: Buffer) -> Buffer:
    size, twice = mixer.head_dim, b.constant(2.0 if mixer.allow_neg_eigval else 1.0)
    common = b.pointwise(b.linear(mixer.b_proj, x), vectors.SIGMOID, times=twice)
    decays = log_decays(b, b.linear(mixer.a_proj, x), mixer.A_log, mixer.dt_bias)

    def read(q: Buffer, k: Buffer, v: Buffer, parts: _Partitions, m: int) -> Buffer:
        q, k = (b.normalise(activated(b, y, "silu"), size, vectors.L2, 1e-6) for y in (q, k))
        q, beta = (parts.of(y, parts.scores, m, b) for y in (q, common))
        q, beta = parts.of(q, parts.reads, m, b), parts.of(beta, parts.writes, m, b)
        g, sizes = parts.of(decays, parts.writes, m, b), Sizes(mixer.heads, size, mixer.v_size)
        return delta(b, mixer, q, k, v, beta, g, kind=states.HEAD_DECAY, groups=Groups(), sizes=sizes)

    return _expanded(b, mixer, x, before, read)


def associative_memory(b: Builder, mixer: GatedAssociativeMemory, x: Buffer, before: Buffer) -> Buffer:
    local = b.convolve(mixer.conv1d, x, mixer.codes.state)
    gates = b.pointwise(b.linear(mixer.gate_proj, x), vectors.SIGMOID)
    near, far = (b.columns(gates, at, x.width) for at in (0, x.width))
    bank = b.linear(mixer.o_proj, b.normalise(b.linear(mixer.bank, x), mixer.slots, vectors.SOFTMAX))
    return b.pointwise(bank, times=far, then=b.pointwise(local, times=near, then=before))


def hippo(b: Builder, mixer: HippoSSM, x: Buffer, before: Buffer) -> Buffer:
    u, n, (a, into) = b.linear(mixer.in_proj, x), mixer.state_size, map(b.constant, mixer.discrete())
    memory, out = b.state(mixer.width, n), b.buffer(mixer.width)
    places, own = b.by_columns(out)
    arguments = [u, mixer.width, n, b.tokens, a, into, b.constant(mixer.C), b.constant(mixer.D), memory, b.scratch(n)]
    b.emit(others.filtered, [*arguments, out], places, [(u, own, False), (memory, own, True), (out, own, True)])
    b.code_state(memory, mixer.codes.state, n)
    return b.linear(mixer.o_proj, b.pointwise(out, vectors.GELU), before)


def gated_units(b: Builder, mixer: ParaGRU | ParaLSTM, x: Buffer, before: Buffer) -> Buffer:
    units = mixer.units
    u, memory, out = b.linear(mixer.in_proj, x), b.state(units, mixer.states), b.buffer(units)
    places, own = b.by_columns(out)
    arguments = [u, units, b.tokens, mixer.states, b.constant(mixer.recurrent), memory, out]
    b.emit(others.gated_units, arguments, places, [(u, WHOLE, False), (memory, own, True), (out, own, True)])
    b.code_state(memory, mixer.codes.state, mixer.states)
    return b.linear(mixer.o_proj, out, before)


def plstm(b: Builder, mixer: PLSTM, x: Buffer, before: Buffer) -> Buffer:
    q, k, v = convolved(b, mixer, x)
    heads, size, gate, edges = mixer.heads, mixer.k_size, gate_of(b, mixer, x), b.linear(mixer.edge_proj, x)
    source, transition, mark = (b.columns(edges, n * heads, heads) for n in range(3))
    q = b.code(b.pointwise(q, times=b.constant(size**-0.5)), mixer.codes.q, size)
    k = b.code(k, mixer.codes.k, size)
    now = b.pointwise(b.total(b.pointwise(q, times=k), size).viewed(heads), times=b.constant(mixer.direct))
    g = b.pointwise(transition, vectors.LOGSIGMOID)
    marked, written = (
        b.pointwise(y.viewed(size), times=b.pointwise(edge, vectors.SIGMOID).viewed(1)).viewed(y.width)
        for y, edge in ((q, mark), (k, source))
    )
    memory, out = b.state(heads, size, size), b.buffer(heads * size)
    places, own = b.by_heads(heads)
    arguments = [memory, heads, size, size, b.tokens, marked, written, v, g, 1, None, b.scratch(size), out]
    reads = [b.head_read(y, own, places, 1) for y in (marked, written, v, g)]
    b.emit(states.bonus, [*arguments, states.HEAD_DECAY], places, [*reads, (memory, own, True), (out, own, True)])
    b.code_state(memory, mixer.codes.state, size)
    out = b.pointwise(v.viewed(size), times=now.viewed(1), then=out.viewed(size)).viewed(out.width)
    return gated(b, mixer, gate, out, before)
