"""Programs of softmax attention over the last tokens, or over all."""

from __future__ import annotations

from dataclasses import dataclass

from ...attention.kinds.softmax import CachedAttention, LatentAttention, SoftmaxAttention
from ...attention.kinds.window_linear import WindowLinearAttention
from ...kernels.decode import states, vectors, windows
from .additive import additive, mapped
from .builder import Builder
from .memory import Array, Buffer, Growing
from .program import Groups, NotCompiledError, Sizes, Touch

FIRST_TOKENS = 256  # that a window of all tokens has room for at first


@dataclass(frozen=True)
class _Learnt:
    """Learnt keys and values, q before its positions, which sees them, and a buffer for the mass of all that is seen.

    Without such keys there is the mass alone.
    """

    mass: Buffer
    count: int = 0
    values: Array | None = None
    q: Buffer | None = None


def _memory(b: Builder, layer: CachedAttention) -> Buffer:
    """Return the keys and values that a layer keeps: those of the first token, those of the second, .."""
    return b.state(layer.window_size or FIRST_TOKENS, layer.kv_heads * (layer.k_size + layer.v_size))


def _window(
    b: Builder, layer: CachedAttention, memory: Buffer, q: Buffer, k: Buffer, v: Buffer, learnt: _Learnt | None = None
) -> Buffer:
    """Return softmax attention [tokens, H V] over the window of a layer."""
    few, keys, values = layer.kv_heads, layer.k_size, layer.v_size
    heads, capacity = few * layer.groups, layer.window_size or FIRST_TOKENS
    out, weights = b.buffer(heads * values), b.scratch(capacity + (0 if learnt is None else learnt.count))
    places, own = b.by_heads(few)
    arguments = [q, k, v, heads, keys, values, layer.groups, b.tokens, capacity, memory, keys**-0.5, weights, out]
    touches: list[Touch] = [(y, own, False) for y in (q, k, v)] + [(memory, own, True), (out, own, True)]
    if learnt is not None:
        arguments += [learnt.q, learnt.values, learnt.count, learnt.mass]
        touches.append((learnt.mass, own, True))
        if learnt.q is not None:
            touches.append((learnt.q, own, False))
    tables = b.emit(windows.window, arguments, places, touches)
    if not layer.window_size:
        b.growing.append(Growing(len(b.states) - 1, tables))
    return out


def _cached(b: Builder, mixer: CachedAttention, q: Buffer, k: Buffer, v: Buffer) -> Buffer:
    """Return softmax attention over the keys and values that a layer keeps, with q and k as its coders say."""
    if mixer.codes.state is not None:
        raise NotCompiledError("codes.state: keys and values in spikes are not compiled")
    q, k = b.code(q, mixer.codes.q, mixer.k_size), b.code(k, mixer.codes.k, mixer.k_size)
    return _window(b, mixer, _memory(b, mixer), q, k, v)


def _split(b: Builder, mixer: SoftmaxAttention, x: Buffer) -> tuple[Buffer, Buffer, Buffer]:
    """Return q, k and v before their positions."""
    q, k, v = (b.linear(layer, x) for layer in (mixer.q_proj, mixer.k_proj, mixer.v_proj))
    if mixer.qk_norm:
        q, k = b.norm(mixer.q_norm, q, mixer.k_size), b.norm(mixer.k_norm, k, mixer.k_size)
    return q, k, v


def _turned(b: Builder, mixer: SoftmaxAttention, x: Buffer) -> Buffer:
    """Turn q or k by its position, in place."""
    return x if mixer.rotary is None else b.rotary(x, mixer.k_size, mixer.rotary)


def _finished(b: Builder, mixer: SoftmaxAttention, out: Buffer, x: Buffer, before: Buffer) -> Buffer:
    if mixer.output_gate:
        out = b.pointwise(b.linear(mixer.g_proj, x), vectors.SIGMOID, times=out)
    return b.linear(mixer.o_proj, out, before)


def softmax(b: Builder, mixer: SoftmaxAttention, x: Buffer, before: Buffer) -> Buffer:
    q, k, v = _split(b, mixer, x)
    q, k = _turned(b, mixer, q), _turned(b, mixer, k)
    return _finished(b, mixer, _cached(b, mixer, q, k, v), x, before)


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
    q, k, v = _split(b, layer, x)
    # Feature maps see keys before their positions: these are kept beside those of the window.
    kept, memory = b.state(capacity, few * size), _memory(b, layer)
    older_k = _leaving(b, kept, 0, few, size, capacity, k, more=False)
    older_v = _leaving(b, memory, few * size, few, size, capacity, None, more=True)
    q_map = mapped(b, mixer.feature_map, mixer.feature_map_q, q, size)
    k_map = mapped(b, mixer.feature_map, mixer.feature_map_k, older_k, size)
    learnt = _Learnt(b.buffer(heads))
    if mixer.meta is not None:
        learnt = _Learnt(learnt.mass, mixer.meta_tokens, b.constant(mixer.meta), b.columns(q, 0, q.width))
    seen = _window(b, layer, memory, _turned(b, layer, q), _turned(b, layer, k), v, learnt)
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
    return _finished(b, layer, out, x, before)
