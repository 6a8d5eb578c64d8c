"""Programs of the kinds that attend to some of the earlier tokens, and to a state of the others.

They are written out, because the classes compute the choice for all tokens of a text at once, from their positions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ....kernels.decode import chosen, vectors, windows
from ...attention.kinds.base import Mixer
from ...attention.kinds.bmojo import BMojo
from ...attention.kinds.hax import HAX
from ...attention.kinds.modules import l2_normalise, repeat_heads
from ...attention.kinds.nested import PREFIX, run_inside
from ...attention.kinds.sea import SEA
from ...attention.kinds.window_linear import WindowLinearAttention
from .builder import Builder
from .cached import Cache, Learnt, attend, emit_growing, refuse_coded_state
from .memory import WHOLE, Buffer
from .nodes import StateNode
from .program import Touch
from .recurrences import additive
from .routed import Program
from .traced import Traced


class _Sums:
    """S += k v^T of keys and values without a decay, for `recurrences.additive`."""

    scale = 1.0


def _summed(q: Any, k: Any, v: Any) -> Traced:
    """Return S^T q [B, 1, H, V] of S = sum of k v^T over the tokens so far."""
    b = v.builder
    heads = v.shape[2]
    shape = (b.tokens, heads, k.shape[-1], v.shape[-1])
    token = {name: value[:, 0] for name, value in {"q": q, "k": k, "v": v}.items()}
    return additive(cast(Any, _Sums()), Traced(StateNode(b, torch.zeros(shape)), shape), token)[:, None]


def _with_ones(v: Any) -> Any:
    """Return v with a last column of ones: a state then sums the keys, too."""
    return torch.cat([v, torch.ones_like(v[..., :1])], -1)


def _divided(sums: Traced) -> Traced:
    """Return the columns of sums but the last one, divided by it."""
    rows = sums.head_rows
    size = sums.shape[-1] - 1
    b = sums.builder
    out = b.buffer(size, rows.rows)
    places, own = b.by_groups(out, size)
    bound = vectors.ratio(x=rows, size=size, eps=0.0, out=out)
    b.emit(bound, places, [b.read(rows, own), (out, own, True)])
    return Traced.of(b, out, [*sums.shape[:-1], size])


def _mean(x: Traced) -> Traced:
    """Return the mean of x [B, 1, H, V] over the tokens so far."""
    ones = torch.ones(*x.shape[:-1], 1)
    return _divided(_summed(ones, ones, _with_ones(x)))


def sea(mixer: SEA, x: Any, state: Any, shared: Any) -> Traced:
    refuse_coded_state(mixer)
    b = x.builder
    heads = mixer.num_heads
    size = mixer.k_size
    parts = mixer.columns
    q, k, v = (cast(Any, mixer.turn(y, state["position"]) if i < 2 else y) for i, y in enumerate(mixer.split(x)))
    few_k = k
    few_v = v
    k, v = (cast(Any, repeat_heads(y, mixer.groups)) for y in (k, v))
    context = _divided(_summed(F.elu(q) + 1, F.elu(k) + 1, _with_ones(v)))
    mean = _mean(v)
    scores = mixer.columns_proj(mixer.estimate(torch.cat([cast(Any, context), v], -1)))
    scores, _ = mixer.conv1d(scores.flatten(2), state["tail"])
    mix = mixer.mix_proj(context).sigmoid()
    coded = mixer.coded({"q": q, "k": few_k})
    cache = Cache(mixer.kv_heads, mixer.groups, size, size, 0)
    rows = {"q": cast(Any, coded["q"]).token_rows, "k": cast(Any, coded["k"]).token_rows, "v": few_v.token_rows}
    values = cast(Any, scores).token_rows
    memory = cache.memory(b)
    out = b.buffer(heads * size)
    bound = chosen.estimated(
        **rows,
        **cache.operands(b, memory),
        weights=b.scratch(cache.capacity),
        out=out,
        part_values=values,
        parts=parts,
        picked=mixer.chosen,
        picks=b.scratch(parts + mixer.chosen, np.int32),
    )
    places, own = b.by_heads(cache.few)
    touches: list[Touch] = [b.head_read(y, own, places, 1) for y in (*rows.values(), values)]
    emit_growing(b, cache, bound, places, [*touches, (memory, own, True), (out, own, True)])
    seen = Traced.of(b, out, [b.tokens, 1, heads, size])
    return cast(Traced, mixer.finish(cast(Any, mean + mix * (seen - mean)), x, {}))


def hax(mixer: HAX, x: Any, state: Any, shared: Any) -> Traced:
    refuse_coded_state(mixer)
    b = x.builder
    keys = mixer.key_dim
    width = mixer.ssm.inner
    picked = mixer.chosen
    own_state = {name.removeprefix(PREFIX): value for name, value in state.items() if name.startswith(PREFIX)}
    inner, _ = mixer.ssm.project(x, own_state, shared)
    token = {name: cast(Any, value)[:, 0] for name, value in inner.items()}
    of_state = additive(mixer.ssm, own_state["memory"], token)[:, None].flatten(-2)
    u = cast(Any, inner["u"]).flatten(-2)
    q = mixer.q_proj(u)
    k = mixer.k_proj(u)
    mean_q, mean_k = (_mean(part[:, :, None])[:, :, 0] for part in (q, k))
    score = best = None
    if mixer.scored:
        # The mean of the queries has the direction of their sum.
        both = torch.cat([k, l2_normalise(cast(Any, mean_q), 1e-24)], -1)
        score = cast(Any, mixer.score(both)).token_rows
        best = b.state(picked, 2)
    coded = cast(Any, mixer.coded({"q": q})["q"])
    cache = Cache(1, 1, keys, width, 0)
    rows = {"q": coded, "k": k, "v": u, "hashed_q": q - mean_q, "hashed_k": k - mean_k}
    inputs = {name: value.token_rows for name, value in rows.items()}
    memory = b.state(cache.capacity, keys + width + 1)
    out = b.buffer(width)
    bound = chosen.hashed(
        **inputs,
        keys=keys,
        values=width,
        tokens=b.tokens,
        chosen=picked,
        planes=b.constant(mixer.planes()) if mixer.hashed else None,
        capacity=cache.capacity,
        memory=memory,
        scale=keys**-0.5,
        weights=b.scratch(cache.capacity),
        out=out,
        score=score,
        best=best,
        picks=b.scratch(2 * picked + 1, np.int32),
    )
    places, own = b.by_rows(out)
    touches: list[Touch] = [b.read(part, own) for part in (*inputs.values(), score) if part is not None]
    touches += [(part, own, True) for part in (memory, out, best) if part is not None]
    emit_growing(b, cache, bound, places, touches)
    y = of_state + mixer.gain * Traced.of(b, out, of_state.shape)
    y = y.unflatten(-1, (mixer.ssm.heads, -1))
    return cast(Traced, mixer.ssm.finish(cast(Any, y), x, inner))


def bmojo(mixer: BMojo, x: Any, state: Any, shared: Any) -> Traced:
    refuse_coded_state(mixer)
    b = x.builder
    heads = mixer.kv_heads
    size = mixer.k_size
    w = mixer.window_size
    slots = mixer.eidetic

    def split(y: Any) -> Any:
        return y.unflatten(-1, (heads, size))

    now = state["position"]
    q, k, v = (split(layer(x)) for layer in (mixer.q_proj, mixer.k_proj, mixer.v_proj))
    inputs = mixer.coded({"q": mixer.positions.turn(q, now), "k": mixer.positions.turn(k, now), "v": v})
    rows = {name: cast(Any, value).token_rows for name, value in inputs.items()}
    tokens = x.token_rows
    surprise = b.buffer(1)
    last = b.state(w, mixer.width)
    places, own = b.by_rows(surprise)
    touches: list[Touch] = [b.read(tokens, own), (last, own, True), (surprise, own, True)]
    b.emit(chosen.innovation(x=tokens, width=mixer.width, ring=last, length=w, out=surprise), places, touches)
    if mixer.fading is not None:
        s, _ = run_inside(mixer.fading, x, state, shared)
        rows["state_k"] = cast(Any, mixer.positions.turn(split(mixer.k_proj(s)), now)).token_rows
        rows["state_v"] = split(mixer.v_proj(s)).token_rows
    ring = b.state(heads, 2 * w, 4 * size + 1)
    kept = b.state(heads, slots, 2 * size)
    best = b.state(heads, slots, 2)
    out = b.buffer(heads * size)
    sizes = {"heads": heads, "size": size, "tokens": b.tokens, "window": w, "slots": slots}
    memory = {"ring": ring, "innovation": surprise, "kept": kept, "best": best}
    places, own = b.by_heads(heads)
    touches = [b.head_read(y, own, places, 1) for y in rows.values()]
    touches += [(surprise, WHOLE, False), *((y, own, True) for y in (ring, kept, best, out))]
    bound = chosen.remembered(**rows, **sizes, **memory, weights=b.scratch(2 * w + slots), out=out)
    b.emit(bound, places, touches)
    return cast(Traced, mixer.finish(cast(Any, Traced.of(b, out, [b.tokens, 1, heads, size])), x, {}))


def _leaving(b: Builder, ring: Buffer, start: int, cache: Cache, x: Buffer | None, *, more: bool) -> Traced:
    """Return the heads of the token that the present one pushes out of a ring; x takes its place.

    Args:
        start: the first column of the heads in a place of the ring.
        more: a head has one more channel, 1 where there is such a token.
    """
    heads = cache.few
    size = cache.keys
    capacity = cache.capacity
    out = b.buffer(heads * (size + more))
    places, own = b.by_heads(heads)
    sizes = {"width": ring.width // capacity, "first": start, "heads": heads, "size": size, "capacity": capacity}
    bound = windows.leaving(ring=ring, **sizes, tokens=b.tokens, x=x, more=more, out=out)
    touches: list[Touch] = [(ring, own, x is not None), (out, own, True)]
    b.emit(bound, places, touches if x is None else [*touches, (x, own, False)])
    return Traced.of(b, out, [b.tokens, 1, heads, size + more])


def window_linear(mixer: WindowLinearAttention, x: Any, state: Any, shared: Any) -> Traced:
    layer = mixer.softmax
    b = x.builder
    heads = layer.num_heads
    few = layer.kv_heads
    size = layer.k_size
    q, k, v = (cast(Any, y) for y in layer.split(x))
    # Feature maps see keys before their positions: these are kept beside those of the window.
    cache = Cache(few, layer.groups, size, size, mixer.window_size)
    plain = b.state(cache.capacity, few * size)
    memory = cache.memory(b)
    older_k = _leaving(b, plain, 0, cache, k.token_rows, more=False)
    older_v = _leaving(b, memory, few * size, cache, None, more=True)
    learnt = Learnt(b.buffer(heads))
    if mixer.meta is not None:
        learnt = Learnt(learnt.mass, mixer.meta_tokens, b.constant(mixer.meta), q.token_rows)
    now = state["position"]
    turned_q, turned_k = (cast(Any, layer.turn(y, now)).token_rows for y in (q, k))
    seen = attend(b, cache, memory, turned_q, turned_k, v.token_rows, learnt)
    inputs: dict[str, Any] = {
        "q": mixer.feature_map_q(q),
        "k": repeat_heads(mixer.feature_map_k(older_k), layer.groups),
        "v": repeat_heads(cast(Any, older_v), layer.groups),
    }
    if mixer.gk_proj is not None:
        inputs["g"] = F.logsigmoid(mixer.gk_proj(x)) / mixer.gate_logit_normalizer
    token = {name: value[:, 0] for name, value in mixer.coded(inputs).items()}
    sums = additive(mixer, state["memory"], cast(Any, token)).token_rows
    b.code_state(state["memory"].node.buffer, mixer.codes.state, size + 1)
    out = b.buffer(heads * size)
    places, own = b.by_heads(heads)
    rows = {"seen": seen, "mass": learnt.mass, "sums": sums}
    bound = windows.share(**rows, offset=b.constant(mixer.offset), heads=heads, size=size, tokens=b.tokens, out=out)
    b.emit(bound, places, [*((y, own, False) for y in rows.values()), (out, own, True)])
    return cast(Traced, layer.finish(cast(Tensor, Traced.of(b, out, [b.tokens, 1, heads, size])), x, {}))


PROGRAMS: Mapping[type[Mixer], Program] = {
    BMojo: bmojo,
    HAX: hax,
    SEA: sea,
    WindowLinearAttention: window_linear,
}
