"""Programs of softmax attention over the last tokens, or over all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch.nn import functional as F

from ...attention.kinds.base import Mixer
from ...attention.kinds.gated_attention import TCNCA, AttentionUnit, SeqBoat
from ...attention.kinds.local_linear import LocalLinearAttention
from ...attention.kinds.scout import CheckpointAttention
from ...attention.kinds.softmax import CachedAttention, LatentAttention, SoftmaxAttention
from ...attention.kinds.state_space import DiagonalSSM
from ...attention.kinds.window_linear import WindowLinearAttention
from ...kernels.decode import states, vectors, windows
from .additive import activated, additive, mapped
from .builder import Builder
from .memory import OWN, Array, Buffer, Growing
from .others import added, diagonal
from .program import Groups, NotCompiledError, Sizes, Touch

FIRST_TOKENS = 256  # that a window of all tokens has room for at first


@dataclass(frozen=True)
class Learnt:
    """Learnt keys and values, q before its positions, which sees them, and a buffer for the mass of all that is seen.

    Without such keys there is the mass alone.
    """

    mass: Buffer
    count: int = 0
    values: Array | None = None
    q: Buffer | None = None


@dataclass(frozen=True)
class Kept:
    """Keys and values that a layer keeps.

    Attributes:
        few, groups: heads of keys, and heads of queries that share each.
        keys, values: channels of a key and of a value.
        tokens: that are seen, the present one among them; 0 for all.
        interval: tokens of which one stays.
        restarts: a full memory begins anew, instead of forgetting the oldest token.
        rows: keys of a token.
        counts: tokens so far of each sequence and head of keys, where masks leave some out.
    """

    few: int
    groups: int
    keys: int
    values: int
    tokens: int
    interval: int = 1
    restarts: bool = False
    rows: int = 1
    counts: Buffer | None = None

    @property
    def capacity(self) -> int:
        return self.tokens or FIRST_TOKENS


def _kept(layer: CachedAttention, interval: int = 1) -> Kept:
    return Kept(layer.kv_heads, layer.groups, layer.k_size, layer.v_size, layer.window_size, interval)


def _memory(b: Builder, kept: Kept) -> Buffer:
    """Return the keys and values that a layer keeps: those of the first token, those of the second, .."""
    return b.state(kept.capacity, kept.few * (kept.keys + kept.values))


def grow(b: Builder, kept: Kept, tables: list[Array]) -> None:
    """Let the last state grow, on which an operation with these arguments works, if all tokens are seen."""
    if not kept.tokens:
        b.growing.append(Growing(len(b.states) - 1, tables, kept.interval))


def window(
    b: Builder, kept: Kept, memory: Buffer, q: Buffer, k: Buffer, v: Buffer, learnt: Learnt | None = None
) -> Buffer:
    """Return softmax attention [tokens, H V] over the keys that a layer keeps."""
    few, heads = kept.few, kept.few * kept.groups
    out = b.buffer(heads * kept.values)
    weights = b.scratch(kept.capacity * kept.rows + (0 if learnt is None else learnt.count))
    places, own = b.by_heads(few)
    # The heads of several rows do not lie side by side.
    inputs = [b.head_read(y, own, places, few + 1 if kept.rows > 1 else 1) for y in (k, v)]
    touches: list[Touch] = [(q, own, False), *inputs, (memory, own, True), (out, own, True)]
    arguments = [q, k, v, heads, kept.keys, kept.values, kept.groups, b.tokens, kept.capacity, memory]
    arguments += [kept.keys**-0.5, weights, out]
    if learnt is None:
        arguments += [None] * 4
    else:
        arguments += [learnt.q, learnt.values, learnt.count, learnt.mass]
        touches.append((learnt.mass, own, True))
        if learnt.q is not None:
            touches.append((learnt.q, own, False))
    arguments += [kept.interval, int(kept.restarts), kept.rows, kept.counts, b.mask]
    if kept.counts is not None:
        touches.append((kept.counts, own, True))
    grow(b, kept, b.emit(windows.window, arguments, places, b.masked(touches)))
    return out


def refuse_coded_state(mixer: Mixer) -> None:
    """Raise `NotCompiledError` for a state in spikes where that is keys and values."""
    if mixer.codes.state is not None:
        raise NotCompiledError("codes.state: keys and values in spikes are not compiled")


def coded_qk(b: Builder, mixer: CachedAttention, q: Buffer, k: Buffer) -> tuple[Buffer, Buffer]:
    """Return q and k as the coders of a layer say, whose state may have none."""
    refuse_coded_state(mixer)
    return b.code(q, mixer.codes.q, mixer.k_size), b.code(k, mixer.codes.k, mixer.k_size)


def _cached(b: Builder, mixer: CachedAttention, q: Buffer, k: Buffer, v: Buffer, interval: int = 1) -> Buffer:
    """Return softmax attention over the keys and values that a layer keeps, with q and k as its coders say."""
    kept = _kept(mixer, interval)
    return window(b, kept, _memory(b, kept), *coded_qk(b, mixer, q, k), v)


def split(b: Builder, mixer: SoftmaxAttention, x: Buffer) -> tuple[Buffer, Buffer, Buffer]:
    """Return q, k and v before their positions."""
    q, k, v = (b.linear(layer, x) for layer in (mixer.q_proj, mixer.k_proj, mixer.v_proj))
    if mixer.qk_norm:
        q, k = b.norm(mixer.q_norm, q, mixer.k_size), b.norm(mixer.k_norm, k, mixer.k_size)
    return q, k, v


def turned(b: Builder, mixer: SoftmaxAttention, x: Buffer) -> Buffer:
    """Turn q or k by its position, in place."""
    return x if mixer.rotary is None else b.rotary(x, mixer.k_size, mixer.rotary)


def finished(b: Builder, mixer: SoftmaxAttention, out: Buffer, x: Buffer, before: Buffer | None) -> Buffer:
    if mixer.output_gate:
        out = b.pointwise(b.linear(mixer.g_proj, x), vectors.SIGMOID, times=out)
    return b.linear(mixer.o_proj, out, before)


def softmax(b: Builder, mixer: SoftmaxAttention, x: Buffer, before: Buffer | None) -> Buffer:
    q, k, v = split(b, mixer, x)
    q, k = turned(b, mixer, q), turned(b, mixer, k)
    interval = mixer.interval if isinstance(mixer, CheckpointAttention) else 1
    return finished(b, mixer, _cached(b, mixer, q, k, v, interval), x, before)


def local_linear(b: Builder, mixer: LocalLinearAttention, x: Buffer, before: Buffer) -> Buffer:
    q, k, v = split(b, mixer, x)
    q, k = coded_qk(b, mixer, turned(b, mixer, q), turned(b, mixer, k))
    kept, size = _kept(mixer), mixer.k_size
    memory, out, heads = _memory(b, kept), b.buffer(mixer.num_heads * mixer.v_size), mixer.num_heads
    places, own = b.by_heads(kept.few)
    arguments = [q, k, v, heads, size, mixer.v_size, kept.groups, b.tokens, kept.capacity, memory, size**-0.5]
    arguments += [b.scratch(kept.capacity), out, b.constant(F.softplus(mixer.ridge_param))]
    arguments.append(b.scratch(size * (size + 2), np.float64))
    touches = [*((y, own, False) for y in (q, k, v)), (memory, own, True), (out, own, True)]
    grow(b, kept, b.emit(windows.regression, arguments, places, touches))
    return finished(b, mixer, out, x, before)


def _unit(b: Builder, unit: AttentionUnit, x: Buffer, y: Buffer) -> tuple[Buffer, Buffer, Buffer, Buffer]:
    """Return q, k, v and r of tokens x, and y, x behind the recurrence."""
    z, v, r = (
        activated(b, b.linear(layer, of), "silu")
        for layer, of in ((unit.z_proj, y), (unit.v_proj, x), (unit.r_proj, y))
    )
    q, k = (b.pointwise(z, times=b.constant(unit.scales[n]), then=b.constant(unit.shifts[n])) for n in (0, 1))
    return q, k, v, r


def tcnca(b: Builder, mixer: TCNCA, x: Buffer, before: Buffer) -> Buffer:
    y, width = x, x.width
    for i, weights in enumerate(mixer.filters):
        step = mixer.dilation**i
        ring, out = b.state((mixer.kernel - 1) * step + 1, width), b.buffer(width)
        places, own = b.by_columns(out)
        arguments = [y, width, b.tokens, mixer.kernel, step, b.constant(weights), ring, out]
        b.emit(
            vectors.dilate, arguments, places, [(y, OWN if y.own else own, False), (ring, own, True), (out, own, True)]
        )
        y = out
    q, k, v, r = _unit(b, mixer.unit, x, y)
    return b.linear(mixer.unit.h_proj, b.pointwise(_cached(b, mixer, q, k, v), times=r), before)


def seqboat(b: Builder, mixer: SeqBoat, x: Buffer, before: Buffer) -> Buffer:
    refuse_coded_state(mixer)
    assert isinstance(mixer.ssm, DiagonalSSM)
    s = activated(b, diagonal(b, mixer.ssm, x, None), "silu")
    both, keys, values = b.linear(mixer.hx_proj, s), mixer.k_size, mixer.v_size
    scores = b.pointwise(b.columns(both, 0, 2), times=b.constant((-mixer.log_temperature).exp()))
    h = b.columns(both, 2, x.width)
    weights, masks = b.route(scores, 2, 2, 1, sum_to_one=False)
    b.mask = masks[1]  # the second of two routes: active tokens
    q, k, v, r = _unit(b, mixer.unit, x, s)
    q, k = b.code(q, mixer.codes.q, keys), b.code(k, mixer.codes.k, keys)
    kept = Kept(1, 1, keys, values, mixer.slots, counts=b.state(1))
    out = b.pointwise(window(b, kept, _memory(b, kept), q, k, v), times=r)
    read = added(b, b.linear(mixer.unit.h_proj, out), weights[1], None)
    b.mask = b.routed = None
    return b.pointwise(b.pointwise(h, vectors.SILU, plus=read), then=before)


def latent(b: Builder, mixer: LatentAttention, x: Buffer, before: Buffer) -> Buffer:
    heads, own, common = mixer.num_heads, mixer.qk_nope_head_dim, mixer.qk_rope_head_dim
    if mixer.q_lora_rank is None:
        q = b.linear(mixer.q_proj, x)
    else:
        q = b.linear(mixer.q_b_proj, b.norm(mixer.q_a_layernorm, b.linear(mixer.q_a_proj, x)))
    both = b.linear(mixer.kv_a_proj_with_mqa, x)
    low = b.norm(mixer.kv_a_layernorm, b.columns(both, 0, mixer.kv_lora_rank))
    found = b.linear(mixer.kv_b_proj, low).viewed(own + mixer.v_size)
    k, v = b.buffer(mixer.k_size, found.rows), b.columns(found, own, mixer.v_size)
    b.copy(found, 0, k, 0, own)
    b.copy(both, mixer.kv_lora_rank, k, own, common)
    out = _cached(b, mixer, q, k.viewed(heads * mixer.k_size), v.viewed(heads * mixer.v_size))
    return b.linear(mixer.o_proj, out, before)


def _leaving(
    b: Builder, ring: Buffer, start: int, heads: int, size: int, capacity: int, x: Buffer | None, *, more: bool
) -> Buffer:
    """Return the heads of the token that the present one pushes out of a ring; x takes its place."""
    out = b.buffer(heads * (size + more))
    places, own = b.by_heads(heads)
    arguments = [ring, ring.width // capacity, start, heads, size, b.tokens, capacity, x, int(more), out]
    touches: list[Touch] = [(ring, own, x is not None), (out, own, True)]
    b.emit(windows.leaving, arguments, places, touches if x is None else [*touches, (x, own, False)])
    return out


def window_linear(b: Builder, mixer: WindowLinearAttention, x: Buffer, before: Buffer) -> Buffer:
    layer = mixer.softmax
    heads, few, size, capacity = layer.num_heads, layer.kv_heads, layer.k_size, mixer.window_size
    q, k, v = split(b, layer, x)
    # Feature maps see keys before their positions: these are kept beside those of the window.
    kept = _kept(layer)
    plain, memory = b.state(capacity, few * size), _memory(b, kept)
    older_k = _leaving(b, plain, 0, few, size, capacity, k, more=False)
    older_v = _leaving(b, memory, few * size, few, size, capacity, None, more=True)
    q_map = mapped(b, mixer.feature_map, mixer.feature_map_q, q, size)
    k_map = mapped(b, mixer.feature_map, mixer.feature_map_k, older_k, size)
    learnt = Learnt(b.buffer(heads))
    if mixer.meta is not None:
        learnt = Learnt(learnt.mass, mixer.meta_tokens, b.constant(mixer.meta), b.columns(q, 0, q.width))
    seen = window(b, kept, memory, turned(b, layer, q), turned(b, layer, k), v, learnt)
    g, kind, groups = None, states.NO_DECAY, Groups(k=layer.groups, v=layer.groups)
    if mixer.gk_proj is not None:
        factor = b.constant(1 / mixer.gate_logit_normalizer)
        g, kind = b.pointwise(b.linear(mixer.gk_proj, x), vectors.LOGSIGMOID, times=factor), states.HEAD_DECAY
    sizes = Sizes(heads, mixer.feature_map_k.features, size + 1)
    sums = additive(b, mixer, q_map, k_map, older_v, g, kind=kind, groups=groups, sizes=sizes)
    out = b.buffer(heads * size)
    places, own = b.by_heads(heads)
    arguments = [seen, learnt.mass, sums, b.constant(mixer.offset), heads, size, b.tokens, out]
    b.emit(windows.share, arguments, places, [*((y, own, False) for y in (seen, learnt.mass, sums)), (out, own, True)])
    return finished(b, layer, out, x, before)
