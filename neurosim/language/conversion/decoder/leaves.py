"""Lowerings of the functions that `attention` marks as leaves.

Each takes the arguments of its function, traced, and appends one operation, or few. Functions that return a new tail or
state return the old one: their operations write it in place.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from ....kernels.decode.attention import sparse, windows
from ....kernels.decode.vector_states import cpu as vector_states
from ....kernels.decode.vectors import cpu as vectors
from ....kernels.decode.vectors import features
from ....kernels.decode.vectors import rotations as rotation_kernels
from ...attention.experts import Experts
from ...attention.kinds import chunks
from ...attention.kinds.base import Inputs, Mixer, Shared, State
from ...attention.kinds.bmojo import innovation
from ...attention.kinds.feature_maps import DPFP, FeatureMap, NormAware, Taylor
from ...attention.kinds.gated_attention import dilated
from ...attention.kinds.lightnet import soft_decays
from ...attention.kinds.modules import Linear, ShortConv, l2_normalise, repeat_heads, token_shift
from ...attention.kinds.plstm import rotations
from ...attention.kinds.rotary import Rotary, TrainedAngles
from ...attention.kinds.sea import LearntPositions
from ...attention.kinds.window_linear import WindowLinearAttention, joined
from ..coding import Coder
from ..linear import SpikedLinear
from ..spiked_mixer import SpikedMixer
from . import routed
from .cached import window_and_leaving
from .memory import WHOLE, reads, writes
from .nodes import Shifted, Spread, StateNode
from .program import NotCompiledError
from .recurrences import additive, recurrence
from .traced import Position, Traced, linear, lowers, normalised

MIXER = "mixer: "  # prefix of the errors of a mixer


# As a whole: a dense layer's weights in 16 bits are then widened once for all programs of a decoder.
@lowers(SpikedLinear.forward, Linear.forward)
def _linear(layer: SpikedLinear | Linear, x: Traced) -> Traced:
    return linear(x, layer)


@lowers(Coder.forward)
def _coded(coder: Coder, x: Traced) -> Traced:
    """Code the last axis; heads that repeat are coded once."""
    if isinstance(x.node, Spread) and x.node.waits and x.node.width == x.shape[-1]:
        inner = x.node.x
        out = x.builder.code(inner.rows(inner.size), coder, x.shape[-1])
        coded = Traced.of(x.builder, out, [x.builder.tokens, inner.size])
        return Traced(Spread(coded.node, x.node.width, x.node.times), x.shape)
    return Traced.of(x.builder, x.builder.code(x.token_rows, coder, x.shape[-1]), x.shape)


@lowers(ShortConv.forward)
def _convolved(layer: ShortConv, x: Traced, tail: Traced) -> tuple[Traced, Traced]:
    return Traced.of(x.builder, x.builder.convolve(layer, x.token_rows, tail.node.buffer), x.shape), tail


@lowers(Rotary.turn)
def _turned(angles: Rotary, x: Traced, position: Any) -> Traced:
    if not isinstance(position, Position) or position.ahead != 0:
        raise NotCompiledError("rotary positions: compiled for the tokens' own positions, state['position']")
    return Traced.of(x.builder, x.builder.rotary(x.token_rows, x.shape[-1], angles), x.shape)


@lowers(TrainedAngles.forward)
def _by_trained_angles(layer: TrainedAngles, x: Traced, position: Any) -> Traced:
    if not isinstance(position, Position) or position.ahead != 0:
        raise NotCompiledError("trained angles: compiled for the tokens' own positions, state['position']")
    b = x.builder
    both = Traced.of(b, b.turns(layer.angles.detach().double().flatten().numpy()), [b.tokens, 1, 2, *x.shape[-2:]])
    cos, sin = both.unbind(2)
    return cast(Traced, torch.cat(cast(Any, [x * cos, x * sin]), -1))


@lowers(rotations)
def _rotations(turns: Traced) -> Traced:
    b = turns.builder
    rows = turns.token_rows
    size = turns.shape[-1]
    out = b.buffer(rows.width, rows.rows)
    places, share = b.by_groups(out, size**2)
    bound = rotation_kernels.rotations(x=rows, size=size, spare=b.scratch(3 * size**2, "float64"), out=out)
    b.emit(bound, places, [reads(rows, share), writes(out, share)])
    return Traced.of(b, out, turns.shape)


@lowers(LearntPositions.forward)
def _placed(layer: LearntPositions, x: Traced, position: Any) -> Traced:
    if not isinstance(position, Position) or position.ahead != 0:
        raise NotCompiledError("learnt positions: compiled for the tokens' own positions, state['position']")
    return Traced.of(x.builder, x.builder.placed(layer.weight), [x.builder.tokens, 1, layer.weight.shape[1]])


@lowers(l2_normalise)
def _l2_normalised(x: Traced, eps: float = 1e-6) -> Traced:
    return normalised(x, vectors.L2, eps)


@lowers(token_shift)
def _shifted(x: Traced, tail: Traced) -> tuple[Traced, Traced]:
    if x.builder.in_order:
        return Traced(Shifted(x.node, tail.node), x.shape), tail
    return tail, x


@lowers(Experts.forward)
def _experts(layer: Experts, x: Traced) -> Traced:
    return routed.experts(layer, x)


@lowers(repeat_heads)
def _repeated(x: Traced, times: int) -> Traced:
    if times == 1:
        return x
    # A spread waits: operations that take groups of heads read the head itself, without copies.
    shape = [*x.shape[:-2], x.shape[-2] * times, x.shape[-1]]
    return Traced(Spread(x.node, x.shape[-1], times), shape)


_SHAPED = {DPFP: features.DPFP, NormAware: features.NORM_AWARE, Taylor: features.TAYLOR}


@lowers(DPFP.forward, NormAware.forward, Taylor.forward)
def _features(layer: FeatureMap, x: Traced) -> Traced:
    if isinstance(x.node, Spread) and x.node.waits and x.node.width == x.shape[-1]:
        # Heads that are repeated, and not yet copied: one head of each group is enough.
        inner = Traced(x.node.x, [x.builder.tokens, x.node.x.size // x.node.width, x.node.width])
        features_of_head = _features(layer, inner)
        return Traced(Spread(features_of_head.node, layer.features, x.node.times), [*x.shape[:-1], layer.features])
    b = x.builder
    heads = x.head_rows
    out = b.buffer(layer.features, heads.rows)
    places, share = b.by_rows(out)
    shape = {"kind": _SHAPED[type(layer)], "is_query": layer.is_query, "features": layer.features}
    power = float(layer.power) if isinstance(layer, NormAware) else 0.0
    bound = features.feature(x=heads, size=heads.width, **shape, power=power, out=out)
    b.emit(bound, places, [reads(heads, WHOLE), writes(out, share)])
    return Traced.of(b, out, [*x.shape[:-1], layer.features])


@lowers(soft_decays)
def _soft_decays(c: Traced, before: Traced) -> tuple[Traced, Traced, Traced]:
    b = c.builder
    rows = c.token_rows
    z = before.node.buffer
    k = b.buffer(rows.width)
    g = b.buffer(rows.width)
    places, share = b.by_columns(rows)
    bound = vector_states.soft_decay(c=rows, width=rows.width, tokens=b.tokens, z=z, k=k, g=g)
    b.emit(bound, places, [reads(rows, share), writes(z, share), writes(k, share), writes(g, share)])
    return Traced.of(b, k, c.shape), Traced.of(b, g, c.shape), before


@lowers(dilated)
def _dilated(y: Traced, tail: Traced, weights: Tensor, step: int) -> tuple[Traced, Traced]:
    b = y.builder
    x = y.token_rows
    size, width = weights.shape
    ring = b.state((size - 1) * step + 1, width)
    out = b.buffer(width)
    places, share = b.by_columns(out)
    sizes = {"width": width, "tokens": b.tokens, "size": size, "dilation": step}
    bound = vectors.dilate(x=x, **sizes, weight=b.constant(weights), ring=ring, out=out)
    b.emit(bound, places, [reads(x, share), writes(ring, share), writes(out, share)])
    return Traced.of(b, out, y.shape), tail


@lowers(chunks.additive)
def _summed(q: Any, k: Any, v: Any, state: Traced, g: Any = None, chunk: int = 0) -> tuple[Traced, Traced]:
    inputs = {"q": q, "k": k, "v": v}
    if g is not None:
        inputs["g"] = g
    out = additive(1.0, state, {name: value[:, 0] for name, value in inputs.items()})
    return state, out[:, None]


@lowers(WindowLinearAttention.slide)
def _slid(mixer: Any, q: Traced, k: Traced, v: Traced, tail: Traced, position: Any) -> tuple[Traced, ...]:
    return (*window_and_leaving(mixer, q, k, v, position), tail)


@lowers(joined)
def _joined(attended: Traced, mass: Traced, sums: Traced, offset: Tensor) -> Traced:
    b = attended.builder
    *_, heads, size = attended.shape
    rows = {"seen": attended.token_rows, "mass": mass.token_rows, "sums": sums.token_rows}
    out = b.buffer(heads * size)
    places, share = b.by_heads(heads)
    bound = windows.share(**rows, offset=b.constant(offset), heads=heads, size=size, tokens=b.tokens, out=out)
    b.emit(bound, places, [*(reads(y, share) for y in rows.values()), writes(out, share)])
    return Traced.of(b, out, attended.shape)


@lowers(innovation)
def _innovation(x: Traced, tail: Traced) -> tuple[Traced, Traced]:
    b = x.builder
    tokens = x.token_rows
    ring = tail.node.buffer
    length = tail.shape[1]
    out = b.buffer(1)
    places, share = b.by_rows(out)
    bound = sparse.innovation(x=tokens, width=tokens.width, ring=ring, length=length, out=out)
    b.emit(bound, places, [reads(tokens, share), writes(ring, share), writes(out, share)])
    return Traced.of(b, out, x.shape[:2]), tail


@lowers(Mixer.stepwise)
def _stepped(mixer: Mixer, memory: Traced, inputs: Inputs) -> tuple[Traced, Traced]:
    """Append the operation of a mixer's recurrence, or the operations of its `recur`."""
    token = {name: value[:, 0] for name, value in inputs.items()}
    step = recurrence(mixer)
    coder = mixer.codes.state
    if step is None:
        # No operation of its own: the recurrence is traced as it is written, with the memory as a value.
        after, out = cast(Any, mixer.recur(cast(Tensor, memory), token))
        if coder is not None:
            after = _coded(cast(Coder, coder), after)
        return after, out[:, None]
    # The operation writes the memory in place, so that its value before and after is the same buffer.
    out = step(mixer, memory, token)
    if coder is not None:
        memory.builder.code_state(memory.node.buffer, coder, memory.shape[-1])
    return memory, out[:, None]


@lowers(Mixer.forward)
def _mixed(mixer: Mixer, x: Traced, state: State, shared: Shared | None = None) -> tuple[Traced, State]:
    program = routed.PROGRAMS.get(type(mixer))
    try:
        if program is not None:
            return program(mixer, x, state, shared), {}
        # The method behind the decorator `leaf`, which else would come back here.
        return cast(Any, Mixer.forward).__wrapped__(mixer, x, state, shared)
    except NotCompiledError as error:
        words = str(error).removeprefix(MIXER)  # of a mixer inside another
        raise NotCompiledError(MIXER + words) from None


@lowers(SpikedMixer.forward)
def _unwrapped(layer: SpikedMixer, x: Traced, state: State, shared: Shared | None = None) -> tuple[Traced, State]:
    return _mixed(layer.mixer, x, state, shared)


def states_of(mixer: Mixer, builder: Any) -> dict[str, Any]:
    """Return the state of a mixer before the first token: memory that operations make when they need it.

    Raises:
        NotCompiledError: a state that is not the same for all sequences.
    """
    states: dict[str, Any] = {}
    for name, first in mixer.initial(torch.zeros(builder.tokens, 1, mixer.width)).items():
        # The number of tokens so far is in the context of the program, not in a buffer.
        if first.dim() == 0 and name.endswith("position"):
            states[name] = Position()
            continue
        if first.dim() == 0 or first.dtype != torch.float32:
            raise NotCompiledError(f"{MIXER}state {name!r} of {first.dtype}: compiled for torch.float32 [B, ..]")
        states[name] = Traced(StateNode(builder, first), first.shape)
    return states
