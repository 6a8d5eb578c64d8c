"""Programs of the layers that send each token to a few of many memories or experts: a mask says which take part.

MoM, SSE, SeqBoat and `Experts` are written out instead of traced: their classes sort, pack and gather tokens
by the choice of a router, and a trace has no values to choose by. Here each memory or expert is a part of the program
that runs for the tokens of its mask; projections, normalisation and `finish` are the class's own.
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
from ...attention.kinds.compiled import Cache
from ...attention.kinds.gated_attention import SeqBoat
from ...attention.kinds.mixture_of_memories import MoM, RoutedMixer
from ...attention.kinds.modules import repeat_heads, split_heads
from ...attention.kinds.nested import run_inside
from ...attention.kinds.sparse_expansion import SSE
from .cached import attend, memory_of
from .encoding import code_state
from .linear import product
from .memory import Array, Buffer, reads, writes
from .nodes import StateNode, Stored
from .program import DecoderProgram, NotCompiledError
from .traced import Traced

Program = Callable[..., Traced]


class _Sum:
    """Sum of the outputs of memories or experts, in a buffer of `width` channels.

    Attributes:
        buffer: the sum; not written before the first `add`.
    """

    def __init__(self, b: DecoderProgram, width: int) -> None:
        self.buffer = b.buffer(width)
        self._is_empty = True

    def add(self, out: Traced, weights: Array) -> None:
        """Append the addition of outputs times weights [tokens], for the tokens of the present mask."""
        b = out.builder
        rows = out.token_rows
        places, share = b.by_columns(self.buffer)
        sizes = {"width": rows.width, "tokens": b.tokens}
        # The first operation sets the sum of all tokens, to 0 where its mask leaves them out.
        bound = vectors.accumulate(x=rows, **sizes, factors=weights, sets=self._is_empty, out=self.buffer, mask=b.mask)
        b.emit(bound, places, b.masked([reads(rows, share), writes(self.buffer, share)]))
        self._is_empty = False


def _memory(b: DecoderProgram, mixer: RoutedMixer) -> Traced:
    """Return the state [B, H, K, V] of one memory, at first 0."""
    shape = (b.tokens, mixer.heads, mixer.head_dim, mixer.v_size)
    return Traced(StateNode(b, torch.zeros(shape)), shape)


def _append(*values: Traced) -> None:
    """Append the operations of values that all memories read, before a mask leaves tokens out."""
    for value in values:
        value.node.append()


def _recurred(step: Any, mixer: RoutedMixer, memory: Traced, inputs: Mapping[str, Any]) -> Traced:
    """Return the outputs of one memory, and leave its state as the coder of the mixer does."""
    out: Traced = step(memory, mixer.coded(cast(Any, inputs)), float(mixer.scale))
    code_state(memory.builder, memory.node.buffer, mixer.codes.state, mixer.v_size)
    return out


def _end_routing(b: DecoderProgram) -> None:
    """Let all tokens take part again."""
    b.mask = None
    b.routed = None


def _finished(mixer: RoutedMixer, total: _Sum, x: Traced) -> Traced:
    """Return the outputs of a mixer from the sum over its memories."""
    b = x.builder
    _end_routing(b)
    out = Traced.of(b, total.buffer, [b.tokens, 1, mixer.heads, mixer.v_size])
    return cast(Traced, mixer.finish(cast(Tensor, out), cast(Tensor, x), {}))


def mom(mixer: MoM, x: Any, state: Any, shared: Any) -> Traced:
    """Append a mixture of memories: `MoM.project` and the delta rule for each memory in turn."""
    b = x.builder
    scores = mixer.gate_proj(x).token_rows
    q_all = mixer.q_proj(x)
    _append(q_all)
    weights, masks = b.route(scores, mixer.count, mixer.num_memories, mixer.topk, sum_to_one=True)
    total = _Sum(b, mixer.heads * mixer.v_size)
    for m in range(mixer.count):
        # What follows is computed for the tokens of this memory; the state of others stays as it is.
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
        token = {name: value[:, 0] for name, value in mixer.delta_inputs(values).items()}
        total.add(_recurred(b.delta, mixer, _memory(b, mixer), token), weights[m])
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


def _partitions(b: DecoderProgram, mixer: SSE, scores: Buffer) -> _Partitions:
    """Pick the partitions that tokens read and write.

    Both take the memories of highest score: the fewer are among the more, so that a mask of the more is enough, and the
    fewer are factors 0 or 1.
    """
    count = mixer.num_sparse_partition
    more = max(mixer.topk, mixer.reads)
    fewer = min(mixer.topk, mixer.reads)
    weights, masks = b.route(scores, mixer.count, count, more, sum_to_one=False)
    if more == fewer:
        return _Partitions(weights, masks)
    shares = np.ones((mixer.count, b.tokens), np.float32)
    b.alive.append(shares)
    b.route(scores, mixer.count, count, fewer, sum_to_one=False, shares=shares)
    if mixer.topk == fewer:
        return _Partitions(weights, masks, writes=shares)
    return _Partitions(weights, masks, reads=shares)


def sse(mixer: SSE, x: Any, state: Any, shared: Any) -> Traced:
    """Append the recurrence of each partition in turn, as `SSE.project` scales its q, k or beta, and g."""
    b = x.builder
    scores = mixer.e_proj(x).token_rows
    (common_q, own_q, common_k, own_k), _ = mixer.queries_keys(x, state)
    v = cast(Any, F.silu(mixer.v_proj(x)))
    common_gates, own_gates = mixer.gates(x)
    gates = [*common_gates.values(), *own_gates.values()]
    _append(*cast(Any, [common_q, own_q, common_k, own_k]), v, *cast(Any, gates))
    parts = _partitions(b, mixer, scores)
    ones = np.ones(b.tokens, np.float32)
    total = _Sum(b, mixer.heads * mixer.v_size)
    b.alive.append(ones)
    v = split_heads(v, mixer.v_size)
    is_additive = mixer.linear_attn_type == "gla"
    for m in range(mixer.count):
        b.mask = parts.masks[m]
        # The last partition takes every token, without the low-rank additions of the others.
        is_common = m == mixer.count - 1
        q, k = cast(Any, mixer.activated(common_q, common_k) if is_common else mixer.activated(own_q, own_k))
        token: dict[str, Any] = dict(common_gates if is_common else own_gates)
        q = parts.of(parts.of(q, parts.scores, m), parts.reads, m)
        scaled = "k" if is_additive else "beta"
        token |= {"q": q, "k": k, "v": v}
        token[scaled] = parts.of(parts.of(token[scaled], parts.scores, m), parts.writes, m)
        token["g"] = parts.of(token["g"], parts.writes, m)
        token |= {name: repeat_heads(token[name], mixer.groups) for name in "qk"}
        step = b.additive if is_additive else b.delta
        inputs = {name: value[:, 0] for name, value in token.items()}
        total.add(_recurred(step, mixer, _memory(b, mixer), inputs), ones)
    return _finished(mixer, total, x)


def seqboat(mixer: SeqBoat, x: Any, state: Any, shared: Any) -> Traced:
    """Append the state-space layer for all tokens, and the attention unit for those that the router activates."""
    if mixer.codes.state is not None:
        raise NotCompiledError("codes.state: keys and values in spikes are not compiled")
    b = x.builder
    s, _ = run_inside(mixer.average, x, state, shared)
    s = F.silu(s)
    # As `SeqBoat.project`, with a mask instead of the rows of active tokens.
    both = mixer.hx_proj(s)
    scores = both[..., :2] * (-mixer.log_temperature).exp()
    h = both[..., 2:]
    stream = shared["stream"]
    _append(cast(Any, s), h, stream)
    # softmax over both scores: the weight of the second route is p_1, its tokens those with p_1 > p_0.
    weights, masks = b.route(scores.token_rows, 2, 2, 1, sum_to_one=False)
    b.mask = masks[1]  # the second of two routes: active tokens
    q, k, v, r = mixer.unit(s, s)
    q, k = (mixer.turned(value, state["position"]) for value in (q, k))
    inputs = mixer.coded({"q": q, "k": k})
    # Masked tokens leave no key: `counts` are the active tokens so far of each sequence.
    squared = mixer.attention == "relu2"
    scale = 1 / max(mixer.slots - 1, 1) if squared else None
    written = {"counts": b.state_buffer(1)}
    cache = Cache(1, 1, mixer.k_size, mixer.v_size, mixer.slots, scale=scale, squared=squared)
    bias = None
    if mixer.positions == "bias":
        bias = b.constant(mixer.bias)
        written["positions"] = b.state_buffer(mixer.slots)
    rows = {name: cast(Any, value).token_rows for name, value in {**inputs, "v": v}.items()}
    attended = attend(b, cache, memory_of(b, cache), **rows, bias=bias, written=written)
    out = Traced.of(b, attended, [b.tokens, 1, mixer.v_size])
    read = _Sum(b, mixer.width)
    read.add(mixer.unit.h_proj(out * r), weights[1])
    _end_routing(b)
    return cast(Traced, mixer.left(cast(Any, h + Traced.of(b, read.buffer, x.shape)), stream))


def experts(layer: Experts, x: Any) -> Traced:
    """Append all experts in turn, each for the tokens that chose it; for the others no row is added."""
    b = x.builder
    spec = layer.router.spec
    router = layer.router
    weights, masks = b.route(
        product(b, router.weight, x.token_rows),
        spec.count,
        spec.count,
        spec.top,
        sum_to_one=spec.normalise,
        sigmoid=spec.scores == "sigmoid",
        bias=None if router.bias is None else b.constant(router.bias),
        groups=(spec.groups, spec.top_groups),
        scale=spec.scale,
    )
    total = _Sum(b, x.shape[-1])
    for mask, weight, expert in zip(masks, weights, layer.experts, strict=True):
        b.mask = mask
        total.add(expert(x), weight)
    _end_routing(b)
    out = Traced.of(b, total.buffer, x.shape)
    if layer.shared is None:
        return out
    always = layer.shared(x)
    if layer.shared_gate is not None:
        gate = product(b, layer.shared_gate, x.token_rows)
        always = always * torch.sigmoid(cast(Any, Traced.of(b, gate, [*x.shape[:-1], 1])))
    return out + always


PROGRAMS: Mapping[type[Mixer], Program] = {MoM: mom, SeqBoat: seqboat, SSE: sse}
