"""The state operations of a decoder, by the recurrence that each computes for one token.

A kind says by its class which recurrence it has: `recurrence` looks for the class that defines it. One that has no
operation of its own is traced as it is written, with matrices of the state as values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ....kernels.decode.attention import sparse, windows
from ....kernels.decode.matrix_states import cpu as states
from ....kernels.decode.networks import cpu as networks
from ....kernels.decode.vector_states import cpu as vector_states
from ...attention.kinds.base import AdditiveMixer, DeltaMixer, Mixer
from ...attention.kinds.bmojo import BMojo
from ...attention.kinds.comba import Comba
from ...attention.kinds.delta import DeltaProduct
from ...attention.kinds.gam import GatedAssociativeMemory
from ...attention.kinds.gated_attention import TCNCA
from ...attention.kinds.hax import HAX
from ...attention.kinds.hippo import HippoSSM
from ...attention.kinds.local_linear import LocalLinearAttention
from ...attention.kinds.mamba import Mamba
from ...attention.kinds.miras import Memora, Moneta, RetainingMemory, Yaad
from ...attention.kinds.neural_memory import NeuralMemory, Titans
from ...attention.kinds.parallel_rnn import ParaGRU, ParaLSTM
from ...attention.kinds.plstm import PLSTM
from ...attention.kinds.rwkv import RWKV7
from ...attention.kinds.rwkv6 import RWKV5
from ...attention.kinds.scout import CheckpointAttention
from ...attention.kinds.sea import SEA
from ...attention.kinds.slots import GatedSlotAttention
from ...attention.kinds.softmax import CachedAttention
from ...attention.kinds.state_space import AlmostLinearRNN, DiagonalMixer
from ...attention.kinds.titans import PersistentWindow, TitansContext
from .builder import Builder
from .cached import Cache, Learnt, attend, emit_growing, refuse_coded_state
from .memory import WHOLE, Array, Buffer, Touch, reads, writes
from .nodes import StateNode, grouped
from .program import NotCompiledError
from .traced import Traced

Inputs = Mapping[str, Any]
Step = Callable[[Any, Traced, Inputs], Traced]


def _heads(b: Builder, x: Traced | Tensor, *shape: int) -> tuple[Buffer | Array, int]:
    """Return heads [B, *shape] as an operation takes them, and the heads of the state that share each."""
    x = x.expand(b.tokens, *shape)
    # The same for all tokens: its numbers lie in the program once.
    if isinstance(x, Tensor):
        return b.constant(x), 1
    # A repeated head is read once for its group, without a copy.
    node, group = grouped(x.node, shape[-1])
    return node.rows(node.size), group


def _whole(b: Builder, x: Traced | Tensor, *shape: int) -> Buffer | Array:
    """Return numbers [B, *shape] as an operation takes them that knows no groups: heads that repeat are copied."""
    x = x.expand(b.tokens, *shape)
    if isinstance(x, Tensor):
        return b.constant(x)
    return x.token_rows


def _decays(b: Builder, memory: Traced, g: Traced | Tensor | None) -> tuple[int, Buffer | Array | None, int]:
    """Return the kind of decay, log decays, and the heads of the state that share a head of them."""
    _, heads, keys, _ = memory.shape
    if g is None:
        return states.NO_DECAY, None, 1
    if g.dim() == memory.dim() - 1:
        return states.KEY_DECAY, *_heads(b, g, heads, keys)
    return states.HEAD_DECAY, _whole(b, g, heads), 1


def _emit(b: Builder, bound: Any, heads: int, inputs: list[tuple[Any, int]], written: list[Buffer]) -> None:
    """Append an operation whose parts are heads: `inputs` with the heads that share each, and its outputs."""
    places, share = b.by_heads(heads)
    touches: list[Touch] = [b.head_read(x, share, places, n) for x, n in inputs if isinstance(x, Buffer)]
    touches += [writes(buffer, share) for buffer in written]
    b.emit(bound, places, b.masked(touches))


def _state(b: Builder, memory: Traced) -> dict[str, Any]:
    """Return the operands of `kernels.decode.matrix_states.cpu.STATE` of a memory [B, H, K, V]."""
    _, heads, keys, values = memory.shape
    return {"state": memory.node.buffer, "heads": heads, "keys": keys, "values": values, "tokens": b.tokens}


def additive(mixer: AdditiveMixer | float, memory: Traced, inputs: Inputs) -> Traced:
    """Append S = e^g S + k v^T, o = S^T q times the scale of a mixer or a number."""
    b = memory.builder
    _, heads, keys, values = memory.shape
    decay, log_decays, g_group = _decays(b, memory, inputs.get("g"))
    q, q_group = _heads(b, inputs["q"], heads, keys)
    k, k_group = _heads(b, inputs["k"], heads, keys)
    v, v_group = _heads(b, inputs["v"], heads, values)
    # Threads share the heads: each adds to its part of the state, and reads it.
    out = b.buffer(heads * values)
    bound = states.additive(
        **_state(b, memory),
        q=q,
        k=k,
        v=v,
        g=log_decays,
        q_group=q_group,
        k_group=k_group,
        v_group=v_group,
        g_group=g_group,
        decay=decay,
        scale=mixer if isinstance(mixer, float) else float(mixer.scale),
        keep=b.scratch(keys),
        out=out,
        mask=b.mask,
    )
    touched = [(q, q_group), (k, k_group), (v, v_group), (log_decays, g_group)]
    _emit(b, bound, heads, touched, [memory.node.buffer, out])
    return Traced.of(b, out, [b.tokens, heads, values])


def delta(mixer: DeltaMixer | DeltaProduct, memory: Traced, inputs: Inputs) -> Traced:
    """Append S = e^g S, then S += k (beta (v - S^T k))^T, n times in `DeltaProduct`; o = scale S^T q."""
    b = memory.builder
    _, heads, keys, values = memory.shape
    steps = mixer.num_householder if isinstance(mixer, DeltaProduct) else 1
    decay, log_decays, g_group = _decays(b, memory, inputs.get("g"))
    several = () if steps == 1 else (steps,)
    q, q_group = _heads(b, inputs["q"], heads, keys)
    k, k_group = _heads(b, inputs["k"], *several, heads, keys)
    v = _whole(b, inputs["v"], *several, heads, values)
    beta = _whole(b, inputs["beta"], *several, heads)
    out = b.buffer(heads * values)
    bound = states.delta(
        **_state(b, memory),
        q=q,
        k=k,
        v=v,
        g=log_decays,
        beta=beta,
        q_group=q_group,
        k_group=k_group,
        g_group=g_group,
        steps=steps,
        decay=decay,
        scale=float(mixer.scale),
        keep=b.scratch(keys),
        change=b.scratch(values),
        out=out,
        mask=b.mask,
    )
    touched = [(q, q_group), (log_decays, g_group)]
    for x, group in ((k, k_group), (v, 1), (beta, 1)):
        # The heads of several steps do not lie side by side: a group that no cut meets stands for a read of all.
        touched.append((x, group if steps == 1 else heads + 1))
    _emit(b, bound, heads, touched, [memory.node.buffer, out])
    return Traced.of(b, out, [b.tokens, heads, values])


def _rank_one(memory: Traced, decay: int, **inputs: Any) -> Traced:
    """Append S = e^g S + b (S^T a)^T + k v^T with S^T a before the decay; o = S^T q."""
    b = memory.builder
    _, heads, keys, values = memory.shape
    shapes: dict[str, tuple[int, ...]] = {"v": (heads, values)}
    if decay == states.HEAD_DECAY:
        shapes["g"] = (heads,)
    buffers = {name: _whole(b, value, *shapes.get(name, (heads, keys))) for name, value in inputs.items()}
    out = b.buffer(heads * values)
    spare = {"keep": b.scratch(keys), "change": b.scratch(values)}
    bound = states.rank_one(**_state(b, memory), **buffers, **spare, out=out, decay=decay)
    _emit(b, bound, heads, [(buffer, 1) for buffer in buffers.values()], [memory.node.buffer, out])
    return Traced.of(b, out, [b.tokens, heads, values])


def rwkv7(mixer: RWKV7, memory: Traced, inputs: Inputs) -> Traced:
    """Append a decay of each key channel and a change of rank one."""
    return _rank_one(memory, states.KEY_DECAY, **{name: inputs[name] for name in ("q", "k", "v", "g", "a", "b")})


def comba(mixer: Comba, memory: Traced, inputs: Inputs) -> Traced:
    """Append S = e^g S + beta k (v - S^T p)^T, as a change of rank one: a = p, b = -beta k."""
    written = inputs["k"] * inputs["beta"][..., None]
    rows = {"q": inputs["q"] * mixer.scale, "k": written, "v": inputs["v"], "a": inputs["p"], "b": -written}
    return _rank_one(memory, states.HEAD_DECAY, **rows, g=inputs["g"])


def _bonus(memory: Traced, inputs: Inputs, u: Tensor | None) -> Traced:
    """Append o = S^T q + (q . u k) v with S before the token, without u S^T q alone; then S = e^g S + k v^T."""
    b = memory.builder
    _, heads, keys, values = memory.shape
    g = inputs["g"]
    rows = {name: _whole(b, inputs[name], heads, keys) for name in "qk"}
    rows["v"] = _whole(b, inputs["v"], heads, values)
    decay = states.KEY_DECAY if g.dim() == memory.dim() - 1 else states.HEAD_DECAY
    # Constant decays of a model have one row for all tokens.
    decays: Buffer | Array
    if isinstance(g, Traced):
        decays = _whole(b, g, *memory.shape[1 : g.dim()])
    else:
        decays = b.constant(g[0].expand(memory.shape[1 : g.dim()]))
    out = b.buffer(heads * values)
    bound = states.bonus(
        **_state(b, memory),
        **rows,
        g=decays,
        g_rows=isinstance(g, Traced),
        u=None if u is None else b.constant(u),
        keep=b.scratch(keys),
        out=out,
        decay=decay,
    )
    _emit(b, bound, heads, [(buffer, 1) for buffer in (*rows.values(), decays)], [memory.node.buffer, out])
    return Traced.of(b, out, [b.tokens, heads, values])


def rwkv5(mixer: RWKV5, memory: Traced, inputs: Inputs) -> Traced:
    """Append the recurrence of RWKV-5 and RWKV-6."""
    return _bonus(memory, inputs, mixer.u)


def plstm(mixer: PLSTM, memory: Traced, inputs: Inputs) -> Traced:
    """Append o = m S^T q + d (q . k) v, then S = t S + s k v^T: mark and source go onto q and k."""
    if mixer.states is not None:
        return _mixed_states(mixer, memory, inputs)
    q = inputs["mark"][..., None] * inputs["q"]
    k = inputs["source"][..., None] * inputs["k"]
    direct = mixer.own(inputs)  # type: ignore[arg-type]
    return _bonus(memory, {"q": q, "k": k, "v": inputs["v"], "g": inputs["g"]}, None) + direct


def _mixed_states(mixer: PLSTM, memory: Traced, inputs: Inputs) -> Traced:
    """Append `plstm` of several states a head, which matrices mix."""
    b = memory.builder
    heads = mixer.heads
    keys = mixer.k_size
    values = mixer.v_size
    count = memory.shape[2] // keys
    shapes = {"q": (keys,), "k": (keys,), "v": (values,), "source": (count,), "mark": (count,)}
    rows = {name: _whole(b, inputs[name], heads, *shape) for name, shape in shapes.items()}
    rows["transition"] = _whole(b, inputs["transition"], heads, count, count)
    out = b.buffer(heads * values)
    bound = states.several_states(
        **{**_state(b, memory), "keys": keys},
        **rows,
        mixed=count,
        change=b.scratch(count * values),
        out=out,
    )
    _emit(b, bound, heads, [(row, 1) for row in rows.values()], [memory.node.buffer, out])
    direct = mixer.own(inputs)  # type: ignore[arg-type]
    return Traced.of(b, out, [b.tokens, heads, values]) + direct


def slots(mixer: GatedSlotAttention, memory: Traced, inputs: Inputs) -> Traced:
    """Append the writing of slots and the softmax over them; the operation computes s = 1 - e^g itself."""
    b = memory.builder
    heads = mixer.heads
    keys = mixer.k_size
    values = mixer.v_size
    q = _whole(b, inputs["q"], heads, keys)
    k, group = _heads(b, inputs["k"], heads, keys)
    v, v_group = _heads(b, inputs["v"], heads, values)
    g, g_group = _heads(b, inputs["g"], heads, mixer.slots)
    if not group == v_group == g_group:
        raise NotCompiledError("k, v and g of slots: compiled for heads that repeat alike")
    out = b.buffer(heads * values)
    sizes = {"heads": heads, "keys": keys, "values": values, "tokens": b.tokens, "group": group, "slots": mixer.slots}
    state = memory.node.buffer
    bound = windows.slots(state=state, q=q, k=k, v=v, g=g, **sizes, weights=b.scratch(mixer.slots), out=out)
    _emit(b, bound, heads, [(q, 1), (k, group), (v, group), (g, group)], [state, out])
    return Traced.of(b, out, [b.tokens, heads, values])


def _by_columns(b: Builder, bound: Any, inputs: list[tuple[Buffer, bool]], written: list[Buffer]) -> Traced:
    """Append an operation whose parts are columns of its last written buffer; inputs may be read as a whole."""
    out = written[-1]
    places, share = b.by_columns(out)
    touches: list[Touch] = [reads(x, WHOLE if whole else share) for x, whole in inputs]
    b.emit(bound, places, [*touches, *(writes(buffer, share) for buffer in written)])
    return Traced.of(b, out, [b.tokens, out.width])


def selective(mixer: Mamba, memory: Traced, inputs: Inputs) -> Traced:
    """Append the selective scan of Mamba: all channels share k and q [B, N], each has its dt."""
    b = memory.builder
    inner = mixer.inner
    count = mixer.state_size
    k, _ = grouped(inputs["k"].node, count)
    q, _ = grouped(inputs["q"].node, count)
    u = inputs["u"].token_rows
    dt = inputs["dt"].token_rows
    rows = {"u": u, "dt": dt, "k": k.rows(count), "q": q.rows(count)}
    # `finish` adds D u itself, with the gate behind it.
    rates = {"a": b.constant(-mixer.A_log.exp()), "d": b.constant(torch.zeros(inner))}
    out = b.buffer(inner)
    state = memory.node.buffer
    bound = vector_states.selective(**rows, **rates, width=inner, states=count, tokens=b.tokens, state=state, out=out)
    touched = [(u, False), (dt, False), (rows["k"], True), (rows["q"], True)]
    return _by_columns(b, bound, touched, [state, out])[..., None]


def diagonal(mixer: DiagonalMixer, memory: Traced, inputs: Inputs) -> Traced:
    """Append s = A' s + B' u, y = 2 Re(C s) + D u; A' and B' are computed once."""
    b = memory.builder
    u = inputs["u"].token_rows
    out = memory.builder.buffer(mixer.width)
    state = memory.node.buffer
    a, into = (b.constant(torch.view_as_real(values)) for values in mixer.discrete())
    matrices = {"a": a, "b": into, "c": b.constant(mixer.C), "d": b.constant(mixer.D)}
    sizes = {"width": mixer.width, "states": mixer.state_size, "tokens": b.tokens}
    return _by_columns(
        b, vector_states.diagonal(u=u, **sizes, **matrices, state=state, out=out), [(u, False)], [state, out]
    )


def filtered(mixer: HippoSSM, memory: Traced, inputs: Inputs) -> Traced:
    """Append s = A' s + B' u with a matrix A' of each channel, y = C s + D u."""
    b = memory.builder
    u = inputs["u"].token_rows
    out = b.buffer(mixer.width * mixer.outputs)
    state = memory.node.buffer
    a, into = map(b.constant, mixer.discrete())
    matrices = {"a": a, "b": into, "c": b.constant(mixer.C), "d": b.constant(mixer.D)}
    sizes = {"width": mixer.width, "states": mixer.state_size, "outputs": mixer.outputs, "tokens": b.tokens}
    before = b.scratch(mixer.state_size)
    bound = vector_states.linear_filter(u=u, **sizes, **matrices, state=state, before=before, out=out)
    # The outputs of a channel lie side by side: the same shares of the channels and of them.
    places, share = b.by_columns(u)
    b.emit(bound, places, [reads(u, share), writes(state, share), writes(out, share)])
    return Traced.of(b, out, [b.tokens, out.width])


def gated_units(mixer: ParaGRU | ParaLSTM, memory: Traced, inputs: Inputs) -> Traced:
    """Append a step of gated units, each with its own recurrent weights."""
    b = memory.builder
    u = inputs["u"].token_rows
    out = memory.builder.buffer(mixer.units)
    state = memory.node.buffer
    sizes = {"units": mixer.units, "tokens": b.tokens, "states": mixer.states}
    bound = vector_states.gated_units(u=u, **sizes, weights=b.constant(mixer.recurrent), state=state, out=out)
    return _by_columns(b, bound, [(u, True)], [state, out])


def almost_linear(mixer: AlmostLinearRNN, memory: Traced, inputs: Inputs) -> Traced:
    """Append z = A z + W f(z) + u; every unit reads all others, so threads share the tokens."""
    b = memory.builder
    units = mixer.units
    u = inputs["u"].token_rows
    state = memory.node.buffer
    out = b.buffer(units)
    matrices = {"a": b.constant(mixer.A), "w": b.constant(mixer.W)}
    sizes = {"units": units, "rectified": mixer.rectified, "active": b.scratch(units)}
    places, share = b.by_rows(out)
    bound = vector_states.almost_linear(u=u, **sizes, **matrices, z=state, out=out)
    b.emit(bound, places, [reads(u, share), writes(state, share), writes(out, share)])
    return Traced.of(b, out, [b.tokens, units])


def convolved(mixer: GatedAssociativeMemory, memory: Traced, inputs: Inputs) -> Traced:
    """Append the short convolution, whose tail is the memory."""
    out = memory.builder.convolve(mixer.conv1d, inputs["x"].token_rows, memory.node.buffer)
    return Traced.of(memory.builder, out, [memory.builder.tokens, mixer.width])


def cached(mixer: CachedAttention, memory: Traced, inputs: Inputs) -> Traced:
    """Append softmax attention over stored keys and values, or over checkpoints of them."""
    refuse_coded_state(mixer)
    interval = mixer.interval if isinstance(mixer, CheckpointAttention) else 1
    cache = Cache(mixer.kv_heads, mixer.groups, mixer.k_size, mixer.v_size, mixer.window_size, interval)
    b = memory.builder
    heads = mixer.kv_heads * mixer.groups
    q, k, v = (inputs[name].token_rows for name in "qkv")
    learnt = None
    if isinstance(mixer, PersistentWindow) and inputs["learnt"].numel():
        # Rows of the state that no token changes: constants, of each head of q.
        rows = cast(StateNode, inputs["learnt"].node).first[0].repeat_interleave(mixer.groups, 1)
        learnt = Learnt(b.buffer(heads), len(rows), b.constant(rows), inputs["plain_q"].token_rows)
    return Traced.of(b, attend(b, cache, cache.memory(b), q, k, v, learnt), [b.tokens, heads, mixer.v_size])


def in_chunks(mixer: TCNCA, memory: Traced, inputs: Inputs) -> Traced:
    """Append softmax attention within chunks of the text, with a bias for each distance, or over the last tokens."""
    if mixer.moving:
        return cached(mixer, memory, inputs)
    refuse_coded_state(mixer)
    b = memory.builder
    cache = Cache(1, 1, mixer.k_size, mixer.v_size, mixer.window_size, restarts=True)
    q, k, v = (inputs[name].token_rows for name in "qkv")
    bias = None if mixer.bias is None else b.constant(mixer.bias)
    out = attend(b, cache, cache.memory(b), q, k, v, bias=bias)
    return Traced.of(b, out, [b.tokens, 1, mixer.v_size])


def local_linear(mixer: LocalLinearAttention, memory: Traced, inputs: Inputs) -> Traced:
    """Append the regression on stored keys; the normal equations are solved in float64."""
    refuse_coded_state(mixer)
    b = memory.builder
    size = mixer.k_size
    heads = mixer.num_heads
    cache = Cache(mixer.kv_heads, mixer.groups, size, mixer.v_size, mixer.window_size)
    rows = {name: inputs[name].token_rows for name in "qkv"}
    past = cache.memory(b)
    out = b.buffer(heads * mixer.v_size)
    bound = windows.regression(
        **rows,
        **cache.operands(b, past),
        weights=b.scratch(cache.capacity),
        out=out,
        ridge=b.constant(F.softplus(mixer.ridge_param)),
        spare=b.scratch(size * (size + 2), "float64"),
    )
    places, share = b.by_heads(cache.kv_heads)
    touches: list[Touch] = [*(reads(y, share) for y in rows.values()), writes(past, share), writes(out, share)]
    emit_growing(b, cache, bound, places, touches)
    return Traced.of(b, out, [b.tokens, heads, mixer.v_size])


def estimated(mixer: SEA, memory: Traced, inputs: Inputs) -> Traced:
    """Append attention over tokens of the parts that an estimate values most, mixed with the mean of all values."""
    refuse_coded_state(mixer)
    b = memory.builder
    heads = mixer.num_heads
    size = mixer.k_size
    cache = Cache(mixer.kv_heads, mixer.groups, size, size, 0)
    rows = {name: inputs[name].token_rows for name in "qkv"}
    rows["part_values"] = inputs["log_p"].token_rows
    past = cache.memory(b)
    out = b.buffer(heads * size)
    bound = sparse.attend_best_parts(
        **rows,
        **cache.operands(b, past),
        weights=b.scratch(cache.capacity),
        out=out,
        parts=mixer.columns,
        picked=mixer.topk,
        picks=b.scratch(mixer.columns + mixer.topk, np.int32),
    )
    places, share = b.by_heads(cache.kv_heads)
    touches: list[Touch] = [b.head_read(y, share, places, 1) for y in rows.values()]
    emit_growing(b, cache, bound, places, [*touches, writes(past, share), writes(out, share)])
    mean = inputs["mean"]
    attended = Traced.of(b, out, [b.tokens, heads, size])
    return cast(Traced, mean + inputs["mix"] * (attended - mean))


def hashed(mixer: HAX, memory: Traced, inputs: Inputs) -> Traced:
    """Append attention over the last tokens of the query's bucket and the tokens of highest score."""
    refuse_coded_state(mixer)
    b = memory.builder
    keys = mixer.key_dim
    values = mixer.ssm.inner
    picked = mixer.topk
    names = {"q": "q", "k": "k", "v": "values", "hashed_q": "centred_q", "hashed_k": "centred_k"}
    rows = {operand: inputs[name].token_rows for operand, name in names.items()}
    score = None
    best = None
    if mixer.scored:
        score = inputs["scores"].token_rows
        best = b.state(picked, 2)
    cache = Cache(1, 1, keys, values, 0)
    out = b.buffer(values)
    last = b.state(sparse.BUCKETS) if mixer.hashed else None
    # Key, value, bucket and the token before in it of every token; scores are in `best`, the ranking so far.
    past = b.state(cache.capacity, keys + values + 2)
    bound = sparse.attend_picks(
        **rows,
        keys=keys,
        values=values,
        tokens=b.tokens,
        chosen=picked,
        planes=b.constant(mixer.planes()) if mixer.hashed else None,
        last=last,
        capacity=cache.capacity,
        memory=past,
        scale=keys**-0.5,
        weights=b.scratch(cache.capacity),
        out=out,
        score=score,
        best=best,
        picks=b.scratch(2 * picked + 1, np.int32),
    )
    places, share = b.by_rows(out)
    touches: list[Touch] = [reads(part, share) for part in (*rows.values(), score) if part is not None]
    touches += [writes(part, share) for part in (past, out, best, last) if part is not None]
    emit_growing(b, cache, bound, places, touches)
    return Traced.of(b, out, [b.tokens, values])


def remembered(mixer: BMojo, memory: Traced, inputs: Inputs) -> Traced:
    """Append attention over the last tokens, the outputs of a state of those before, and the most surprising tokens."""
    refuse_coded_state(mixer)
    b = memory.builder
    heads = mixer.kv_heads
    size = mixer.k_size
    w = mixer.window_size
    slots = mixer.eidetic
    rows = {name: inputs[name].token_rows for name in "qkv"}
    if mixer.fading is not None:
        rows |= {"state_k": inputs["faded_k"].token_rows, "state_v": inputs["faded_v"].token_rows}
    surprise = inputs["innovation"].token_rows
    out = b.buffer(heads * size)
    # Two windows of tokens, with keys and values of x and of s, and their innovation; then the slots.
    ring = b.state(heads, 2 * w, 4 * size + 1)
    slot_rows = b.state(heads, slots, 2 * size)
    best = b.state(heads, slots, 2)
    sizes = {"heads": heads, "size": size, "tokens": b.tokens, "window": w, "slots": slots}
    parts = {"ring": ring, "innovation": surprise, "kept": slot_rows, "best": best}
    bound = sparse.attend_memories(**rows, **sizes, **parts, weights=b.scratch(2 * w + slots), out=out)
    places, share = b.by_heads(heads)
    touches: list[Touch] = [b.head_read(y, share, places, 1) for y in rows.values()]
    touches += [reads(surprise, WHOLE), *(writes(y, share) for y in (ring, slot_rows, best, out))]
    b.emit(bound, places, touches)
    return Traced.of(b, out, [b.tokens, heads, size])


def _network(b: Builder, mixer: NeuralMemory, memory: Buffer, weights: int) -> dict[str, Any]:
    """Return the operands of `kernels.decode.networks.cpu.NETWORK`, with scratch for each thread."""
    hidden = mixer.expansion * mixer.k_size
    depth = mixer.memory_depth
    spare = b.scratch(networks.spare_size(mixer.k_size, hidden, depth, weights))
    sizes = {"heads": mixer.heads, "keys": mixer.k_size, "tokens": b.tokens, "layers": depth, "hidden": hidden}
    return {"memory": memory, **sizes, "weights": weights, "span": mixer.span, "spare": spare}


def _trained(mixer: NeuralMemory, memory: Buffer, b: Builder, inputs: Inputs) -> Traced:
    """Append a training step of the memories by k and v; return their values at q after it."""
    # One matrix is linear itself.
    near = mixer.read == "linear" and mixer.memory_depth > 1
    if isinstance(mixer, RetainingMemory):
        near = mixer.retain == "span"
    # Loss and retention of the class as numbers of the kernel.
    loss = networks.SQUARED
    retention = networks.PLAIN
    p = 2.0
    q = 2.0
    if isinstance(mixer, Yaad):
        loss = networks.HUBER
    elif isinstance(mixer, Moneta):
        loss = networks.POWER
        retention = networks.NORM
        p = float(mixer.p)
        q = float(mixer.q)
        if mixer.retention == "printed":
            retention = networks.PRINTED
    elif isinstance(mixer, Memora):
        retention = networks.COLUMNS
    rows = {name: inputs[name].token_rows for name in ("q", "k", "v", "theta")}
    rows["keep"] = inputs["log_keep"].exp().token_rows
    if mixer.has_momentum:
        rows["momentum"] = inputs["log_momentum"].exp().token_rows
    if loss == networks.HUBER:
        rows["delta"] = inputs["delta"].token_rows
    out = b.buffer(mixer.heads * mixer.k_size)
    rule = {"loss": loss, "retention": retention, "loss_exponent": p, "retention_exponent": q}
    operands = _network(b, mixer, memory, mixer.first.shape[-1])
    gates = rows["theta"].width // mixer.heads
    bound = networks.train(**operands, **rule, near=near, gates=gates, **rows, out=out)
    _emit(b, bound, mixer.heads, [(x, 1) for x in rows.values()], [memory, out])
    return Traced.of(b, out, [b.tokens, mixer.heads, mixer.k_size])


def neural_memory(mixer: NeuralMemory, memory: Traced, inputs: Inputs) -> Traced:
    """Append the training and the reading of memories that are networks."""
    return _trained(mixer, memory.node.buffer, memory.builder, inputs)


def titans_context(mixer: TitansContext, memory: Traced, inputs: Inputs) -> Traced:
    """Append recall from the memories, attention to the recalled and the segment's tokens, and training."""
    refuse_coded_state(mixer)
    b = memory.builder
    heads = mixer.heads
    size = mixer.k_size
    width = mixer.width
    # The state of the class holds memory and cache in one tensor; here they are two.
    first = torch.stack([mixer.first, mixer.first, torch.zeros_like(mixer.first)], 1)
    trained = b.state(heads, 3, first.shape[-1], first=b.constant(first))
    query = inputs["q"].token_rows
    recalled = b.buffer(heads * size)
    operands = _network(b, mixer, trained, first.shape[-1])
    _emit(b, networks.recall(**operands, x=query, out=recalled), heads, [(query, 1)], [trained, recalled])
    rows = []
    for name, layer in (("attend_k", mixer.attend_k), ("attend_v", mixer.attend_v)):
        both = b.buffer(2 * width)
        b.copy(layer(Traced.of(b, recalled, [b.tokens, 1, width])).token_rows, 0, both, 0, width)
        b.copy(inputs[name].token_rows, 0, both, width, width)
        rows.append(both)
    # The learnt tokens of the model pass its own layers once.
    fixed = [layer(mixer.tokens).unflatten(-1, (heads, size)) for layer in (mixer.attend_k, mixer.attend_v)]
    q = inputs["attend_q"].token_rows
    learnt = Learnt(b.buffer(heads), mixer.persistent, b.constant(torch.cat(fixed, -1)), q)
    cache = Cache(heads, 1, size, size, mixer.span, restarts=True, rows=2)
    attended = attend(b, cache, b.state(mixer.span, 2, heads * 2 * size), q, rows[0], rows[1], learnt)
    y = Traced.of(b, attended, [b.tokens, 1, width])
    new = dict(zip("qkv", mixer.memory_inputs(y), strict=True))  # type: ignore[arg-type]
    out = _trained(mixer, trained, b, {**inputs, **{name: value[:, 0] for name, value in new.items()}})
    return y.unflatten(-1, (heads, size))[:, 0] * mixer.o_norm(out).sigmoid()


# Operation of each recurrence, by the class that defines it.
OPERATIONS: Mapping[type, Step] = {
    AdditiveMixer: additive,
    AlmostLinearRNN: almost_linear,
    BMojo: remembered,
    CachedAttention: cached,
    CheckpointAttention: cached,
    Comba: comba,
    DeltaMixer: delta,
    DeltaProduct: delta,
    DiagonalMixer: diagonal,
    GatedAssociativeMemory: convolved,
    GatedSlotAttention: slots,
    HAX: hashed,
    HippoSSM: filtered,
    LocalLinearAttention: local_linear,
    Mamba: selective,
    Memora: neural_memory,
    Moneta: neural_memory,
    ParaGRU: gated_units,
    ParaLSTM: gated_units,
    PersistentWindow: cached,
    PLSTM: plstm,
    RWKV5: rwkv5,
    RWKV7: rwkv7,
    SEA: estimated,
    TCNCA: in_chunks,
    Titans: neural_memory,
    TitansContext: titans_context,
    Yaad: neural_memory,
}
# Methods that define a recurrence: a subclass that overrides one has another recurrence.
DEFINING = frozenset({"gradient", "pull", "recall", "recur", "retained", "step", "visible_later", "weights"})


def recurrence(mixer: Mixer) -> Step | None:
    """Return the operation of a mixer's recurrence, or None: it is then traced."""
    # From the class upwards: the first that has an operation, unless one below it changes the recurrence.
    for kind in type(mixer).__mro__:
        if kind in OPERATIONS:
            return OPERATIONS[kind]
        if DEFINING & set(vars(kind)):
            return None
    return None
