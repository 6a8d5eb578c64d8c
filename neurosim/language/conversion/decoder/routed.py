"""Programs of the layers that send each token to a few of many memories or experts: a mask says which take part.

They are written out, because the classes pack the tokens of each memory, which has no meaning for a single token.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ....kernels.decode.vectors import cpu as vectors
from ...attention.experts import Experts
from ...attention.kinds.base import Mixer
from ...attention.kinds.gated_attention import SeqBoat
from ...attention.kinds.mixture_of_memories import MoM, RoutedMixer
from ...attention.kinds.modules import l2_normalise, log_decays, split_heads
from ...attention.kinds.nested import run_inside
from ...attention.kinds.sparse_expansion import SSE, ExpandedMixer, SSEDelta
from .builder import Builder
from .cached import Cache, attend, refuse_coded_state
from .memory import Array, Buffer
from .nodes import StateNode, Stored
from .recurrences import additive, delta
from .traced import Traced

Program = Callable[..., Traced]


def _added(b: Builder, out: Traced, weights: Array, total: Buffer | None) -> Buffer:
    """Add the outputs of a memory, times its weights [tokens], to the total."""
    rows = out.token_rows
    first = total is None
    total = b.buffer(rows.width) if total is None else total
    places, own = b.by_columns(total)
    sizes = {"width": rows.width, "tokens": b.tokens}
    bound = vectors.accumulate(x=rows, **sizes, factors=weights, sets=first, out=total, mask=b.mask)
    b.emit(bound, places, b.masked([(rows, own, False), (total, own, True)]))
    return total


def _memory(b: Builder, mixer: RoutedMixer) -> Traced:
    shape = (b.tokens, mixer.heads, mixer.head_dim, mixer.v_size)
    return Traced(StateNode(b, torch.zeros(shape)), shape)


def _computed(*values: Traced) -> None:
    """Append the operations of values that all memories read, before a mask leaves tokens out."""
    for value in values:
        value.node.append()


def _recurred(step: Any, mixer: RoutedMixer, memory: Traced, inputs: Mapping[str, Any]) -> Traced:
    """Return the outputs of one memory, and leave its state as the coder of the mixer does."""
    out: Traced = step(mixer, memory, mixer.coded(cast(Any, inputs)))
    memory.builder.code_state(memory.node.buffer, mixer.codes.state, mixer.v_size)
    return out


def _finished(mixer: RoutedMixer, total: Buffer | None, x: Traced) -> Traced:
    """Return the outputs of a mixer from the sum over its memories."""
    assert total is not None
    b = x.builder
    b.mask = b.routed = None
    out = Traced.of(b, total, [b.tokens, 1, mixer.heads, mixer.v_size])
    return cast(Traced, mixer.finish(cast(Tensor, out), cast(Tensor, x), {}))


def mom(mixer: MoM, x: Any, state: Any, shared: Any) -> Traced:
    b = x.builder
    scores = mixer.gate_proj(x).token_rows
    q_all = mixer.q_proj(x)
    _computed(q_all)
    weights, masks = b.route(scores, mixer.count, mixer.num_memories, mixer.topk, sum_to_one=True)
    total = None
    for m in range(mixer.count):
        b.mask = masks[m]
        values = {"q": q_all}
        for name in "kvba":
            common = mixer.single_kv_proj or m == mixer.num_memories
            if common:
                layer = getattr(mixer, f"shared_{name}")
            else:
                layer = getattr(mixer, f"{name}_proj")[m]
            values[name] = layer(x)
        for name in "qkv":
            if mixer.conv_size:
                conv = getattr(mixer, f"{name}_conv1d")
                tail = conv.initial(torch.zeros(b.tokens, 1, 1))
                values[name], _ = conv(values[name], Traced(StateNode(b, tail), tail.shape))
            else:
                values[name] = F.silu(values[name])
        inputs = {
            "q": l2_normalise(split_heads(values["q"], mixer.head_dim)),
            "k": l2_normalise(split_heads(values["k"], mixer.head_dim)),
            "v": split_heads(values["v"], mixer.v_size),
            "beta": values["b"].sigmoid(),
            "g": log_decays(values["a"], mixer.A_log, mixer.dt_bias),
        }
        token = {name: value[:, 0] for name, value in inputs.items()}
        total = _added(b, _recurred(delta, mixer, _memory(b, mixer), token), weights[m], total)
    return _finished(mixer, total, x)


@dataclass(frozen=True)
class _Partitions:
    """Partitions that tokens use: the score of each, and 1 where it is read, and where it is written."""

    scores: Array
    masks: Array
    reads: Array | None = None
    writes: Array | None = None

    def of(self, x: Traced, part: Array | None, memory: int) -> Traced:
        """Return x [B, 1, H, ..] where tokens use a partition, 0 where they do not."""
        if part is None:
            return x
        factor = Stored(x.builder, Buffer(part[memory], x.builder.tokens, 1))
        return x * Traced(factor, [x.shape[0]] + [1] * (x.ndim - 1))


def _partitions(b: Builder, mixer: ExpandedMixer, scores: Buffer) -> _Partitions:
    """Pick the partitions that tokens read and write: the fewer of both are among the more."""
    count = mixer.num_sparse_partition
    more = max(mixer.topk, mixer.reads)
    fewer = min(mixer.topk, mixer.reads)
    weights, masks = b.route(scores, mixer.count, count, more, sum_to_one=False)
    if more == fewer:
        return _Partitions(weights, masks)
    shares = np.ones((mixer.count, b.tokens), np.float32)
    b.kept.append(shares)
    b.route(scores, mixer.count, count, fewer, sum_to_one=False, shares=shares)
    if mixer.topk == fewer:
        return _Partitions(weights, masks, writes=shares)
    return _Partitions(weights, masks, reads=shares)


def _expanded(mixer: ExpandedMixer, x: Any, read: Callable[..., Traced], *common: Traced) -> Traced:
    """Return the sum of what partitions give: `read` of (q, k, v, partitions, memory)."""
    b = x.builder
    scores = mixer.e_proj(x).token_rows
    q = mixer.q_proj(x)
    k = mixer.k_proj(x)
    v = cast(Any, F.silu(mixer.v_proj(x)))
    own_q = q + mixer.lora_q_proj(x)
    own_k = k + mixer.lora_k_proj(x)
    _computed(q, k, v, own_q, own_k, *common)
    parts = _partitions(b, mixer, scores)
    ones = np.ones(b.tokens, np.float32)
    total = None
    b.kept.append(ones)
    v = split_heads(v, mixer.v_size)
    for m in range(mixer.count):
        b.mask = parts.masks[m]
        query, key = (q, k) if m == mixer.count - 1 else (own_q, own_k)
        out = read(split_heads(query, mixer.head_dim), split_heads(key, mixer.head_dim), v, parts, m)
        total = _added(b, out, ones, total)
    return _finished(mixer, total, x)


def sse(mixer: SSE, x: Any, state: Any, shared: Any) -> Traced:
    gates = [F.logsigmoid(split_heads(layer(x), mixer.head_dim)) / mixer.gate_logit_normalizer
             for layer in mixer.gk_proj]  # fmt: skip

    def read(q: Any, k: Any, v: Any, parts: _Partitions, m: int) -> Traced:
        q, k = (parts.of(y, parts.scores, m) for y in (cast(Any, F.silu(q)), k.softmax(-1)))
        q = parts.of(q, parts.reads, m)
        k = parts.of(k, parts.writes, m)
        g = parts.of(cast(Any, gates[m < mixer.count - 1]), parts.writes, m)
        token = {name: value[:, 0] for name, value in {"q": q, "k": k, "v": v, "g": g}.items()}
        return _recurred(additive, mixer, _memory(x.builder, mixer), token)

    return _expanded(mixer, x, read, *cast(Any, gates))


def sse_delta(mixer: SSEDelta, x: Any, state: Any, shared: Any) -> Traced:
    max_beta = 2 if mixer.allow_neg_eigval else 1
    beta_all = mixer.b_proj(x).sigmoid() * max_beta
    decays = log_decays(mixer.a_proj(x), mixer.A_log, mixer.dt_bias)

    def read(q: Any, k: Any, v: Any, parts: _Partitions, m: int) -> Traced:
        q, k = (l2_normalise(F.silu(y)) for y in (q, k))
        q, beta = (parts.of(y, parts.scores, m) for y in (q, cast(Any, beta_all)))
        q = parts.of(q, parts.reads, m)
        beta = parts.of(beta, parts.writes, m)
        g = parts.of(cast(Any, decays), parts.writes, m)
        token = {name: value[:, 0] for name, value in {"q": q, "k": k, "v": v, "beta": beta, "g": g}.items()}
        return _recurred(delta, mixer, _memory(x.builder, mixer), token)

    return _expanded(mixer, x, read, cast(Any, beta_all), cast(Any, decays))


def seqboat(mixer: SeqBoat, x: Any, state: Any, shared: Any) -> Traced:
    refuse_coded_state(mixer)
    b = x.builder
    s, _ = run_inside(mixer.ssm, x, state, shared)
    s = F.silu(s)
    both = mixer.hx_proj(s)
    scores = both[..., :2] * (-mixer.log_temperature).exp()
    h = both[..., 2:]
    _computed(cast(Any, s), h)
    weights, masks = b.route(scores.token_rows, 2, 2, 1, sum_to_one=False)
    b.mask = masks[1]  # the second of two routes: active tokens
    q, k, v, r = mixer.unit(x, s)
    inputs = mixer.coded({"q": q, "k": k})
    cache = Cache(1, 1, mixer.k_size, mixer.v_size, mixer.slots, counts=b.state(1))
    rows = [cast(Any, value).token_rows for value in (inputs["q"], inputs["k"], v)]
    out = Traced.of(b, attend(b, cache, cache.memory(b), *rows), [b.tokens, 1, mixer.v_size])
    read = _added(b, mixer.unit.h_proj(out * r), weights[1], None)
    b.mask = b.routed = None
    return cast(Traced, F.silu(h + Traced.of(b, read, x.shape)))


def experts(layer: Experts, x: Any) -> Traced:
    """Go through all experts in turn, each with the tokens that chose it; for the others no row is added."""
    b = x.builder
    spec = layer.router.spec
    router = layer.router
    weights, masks = b.route(
        b.product(router.weight, x.token_rows),
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
        total = _added(b, expert(x), own, total)
    b.mask = b.routed = None
    assert total is not None
    out = Traced.of(b, total, x.shape)
    if layer.shared is None:
        return out
    always = layer.shared(x)
    if layer.shared_gate is not None:
        gate = b.product(layer.shared_gate, x.token_rows)
        always = always * torch.sigmoid(cast(Any, Traced.of(b, gate, [*x.shape[:-1], 1])))
    return out + always


PROGRAMS: Mapping[type[Mixer], Program] = {MoM: mom, SeqBoat: seqboat, SSE: sse, SSEDelta: sse_delta}
