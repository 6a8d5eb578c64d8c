"""Replaces functions that serve many kinds, and that `leaf` of `kinds.tracing` marks, in a compiled step.

Each takes the builder of the step and the arguments of its function, traced, and appends one operation, or few.
Functions that return a new tail or state return the old one: their operations write it in place. A function of one kind
has its own beside it, in the file of the kind.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from ....kernels.decode.vectors import features
from ....kernels.decode.vectors import reference as vectors
from ...attention.kinds import chunks
from ...attention.kinds.base import Inputs, Mixer, Shared, State
from ...attention.kinds.feature_maps import DPFP, FeatureMap, NormAware, Taylor
from ...attention.kinds.modules import Linear, ShortConv, l2_normalise, repeat_heads, token_shift
from ...attention.kinds.rotary import Rotary, TrainedAngles
from ...attention.kinds.tracing import compiles
from ..coding import Coder
from ..linear import SpikedLinear
from ..spiked_mixer import SpikedMixer
from .axes import normalised
from .encoding import code
from .memory import WHOLE, reads, writes
from .nodes import Shifted, Spread, StateNode
from .operations import StepBuilder, traced
from .pointwise import convolve
from .positions import rotary, turns
from .products import linear
from .program import NotCompiledError
from .traced import Position, Traced

MIXER = "mixer: "  # prefix of the errors of a mixer


# As a whole: a dense layer's weights in 16 bits are then widened once for all programs of a decoder.
@compiles(SpikedLinear.forward, Linear.forward)
def _linear(b: StepBuilder, layer: SpikedLinear | Linear, x: Traced) -> Traced:
    return linear(x, layer)


@compiles(Coder.forward)
def _coded(b: StepBuilder, coder: Coder, x: Traced) -> Traced:
    """Code the last axis; heads that repeat are coded once."""
    if isinstance(x.node, Spread) and x.node.waits and x.node.width == x.shape[-1]:
        inner = x.node.x
        out = code(b, inner.rows(inner.size), coder, x.shape[-1])
        coded = Traced.of(b, out, [b.tokens, inner.size])
        return Traced(Spread(coded.node, x.node.width, x.node.times), x.shape)
    return Traced.of(b, code(b, x.token_rows, coder, x.shape[-1]), x.shape)


@compiles(ShortConv.forward)
def _convolved(b: StepBuilder, layer: ShortConv, x: Traced, tail: Traced) -> tuple[Traced, Traced]:
    return Traced.of(b, convolve(b, layer, x.token_rows, tail.node.buffer), x.shape), tail


@compiles(Rotary.turn)
def _turned(b: StepBuilder, angles: Rotary, x: Traced, position: Any) -> Traced:
    b.require_own(position)
    return Traced.of(b, rotary(b, x.token_rows, x.shape[-1], angles), x.shape)


@compiles(TrainedAngles.forward)
def _by_trained_angles(b: StepBuilder, layer: TrainedAngles, x: Traced, position: Any) -> Traced:
    b.require_own(position)
    both = Traced.of(b, turns(b, layer.angles.detach().double().flatten().numpy()), [b.tokens, 1, 2, *x.shape[-2:]])
    cos, sin = both.unbind(2)
    return cast(Traced, torch.cat(cast(Any, [x * cos, x * sin]), -1))


@compiles(l2_normalise)
def _l2_normalised(b: StepBuilder, x: Traced, eps: float = 1e-6) -> Traced:
    return normalised(x, vectors.L2, eps)


@compiles(token_shift)
def _shifted(b: StepBuilder, x: Traced, tail: Traced) -> tuple[Traced, Traced]:
    if b.in_order:
        return Traced(Shifted(x.node, tail.node), x.shape), tail
    return tail, x


@compiles(repeat_heads)
def _repeated(b: StepBuilder, x: Traced, times: int) -> Traced:
    if times == 1:
        return x
    # A spread waits: operations that take groups of heads read the head itself, without copies.
    shape = [*x.shape[:-2], x.shape[-2] * times, x.shape[-1]]
    return Traced(Spread(x.node, x.shape[-1], times), shape)


_SHAPED = {DPFP: features.DPFP, NormAware: features.NORM_AWARE, Taylor: features.TAYLOR}


@compiles(DPFP.forward, NormAware.forward, Taylor.forward)
def _features(b: StepBuilder, layer: FeatureMap, x: Traced) -> Traced:
    if isinstance(x.node, Spread) and x.node.waits and x.node.width == x.shape[-1]:
        # Heads that are repeated, and not yet copied: one head of each group is enough.
        inner = Traced(x.node.x, [b.tokens, x.node.x.size // x.node.width, x.node.width])
        features_of_head = _features(b, layer, inner)
        return Traced(Spread(features_of_head.node, layer.features, x.node.times), [*x.shape[:-1], layer.features])
    heads = x.head_rows
    out = b.buffer(layer.features, heads.rows)
    places, share = b.by_rows(out)
    shape = {"kind": _SHAPED[type(layer)], "is_query": layer.is_query, "features": layer.features}
    power = float(layer.power) if isinstance(layer, NormAware) else 0.0
    bound = features.feature(x=heads, size=heads.width, **shape, power=power, out=out)
    b.emit(bound, places, [reads(heads, WHOLE), writes(out, share)])
    return Traced.of(b, out, [*x.shape[:-1], layer.features])


@compiles(chunks.additive)
def _summed(b: StepBuilder, q: Any, k: Any, v: Any, state: Any, g: Any = None, chunk: int = 0) -> tuple[Any, Any]:
    inputs = {"q": q, "k": k, "v": v}
    if g is not None:
        inputs["g"] = g
    out = b.additive(state, {name: value[:, 0] for name, value in inputs.items()}, 1.0)
    return state, out[:, None]


@compiles(Mixer.stepwise)
def _stepped(b: StepBuilder, mixer: Mixer, memory: Traced, inputs: Inputs) -> tuple[Any, Tensor]:
    """Append the operation of a mixer's recurrence, or the operations of its `recur`."""
    token = {name: value[:, 0] for name, value in inputs.items()}
    coder = mixer.codes.state
    out = mixer.compiled(b, cast(Tensor, memory), token)
    if out is None:
        # No operation of its own: the recurrence is traced as it is written, with the memory as a value.
        after, out = cast(Any, mixer.recur(cast(Tensor, memory), token))
        if coder is not None:
            after = _coded(b, cast(Coder, coder), after)
        return after, out[:, None]
    # The operation writes the memory in place, so that its value before and after is the same buffer.
    b.code_state(cast(Tensor, memory), coder)
    return memory, out[:, None]


@compiles(Mixer.forward)
def _mixed(b: StepBuilder, mixer: Mixer, x: Traced, state: State, shared: Shared | None = None) -> tuple[Traced, State]:
    try:
        y = mixer.compiled_layer(b, cast(Tensor, x), state, {} if shared is None else shared)
        if y is not None:
            return traced(y), {}
        # The method behind the decorator `leaf`, which else would come back here.
        return cast(Any, Mixer.forward).__wrapped__(mixer, x, state, shared)
    except NotCompiledError as error:
        words = str(error).removeprefix(MIXER)  # of a mixer inside another
        raise NotCompiledError(MIXER + words) from None


@compiles(SpikedMixer.forward)
def _unwrapped(
    b: StepBuilder, layer: SpikedMixer, x: Traced, state: State, shared: Shared | None = None
) -> tuple[Traced, State]:
    return _mixed(b, layer.mixer, x, state, shared)


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
