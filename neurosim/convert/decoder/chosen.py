"""Programs of softmax attention over few of the earlier tokens: SEA, HAX and B'MOJO."""

from __future__ import annotations

import numpy as np

from ...attention.kinds.bmojo import BMojo
from ...attention.kinds.hax import HAX
from ...attention.kinds.mamba import Mamba2
from ...attention.kinds.sea import SEA
from ...kernels.decode import chosen, states, vectors
from .additive import activated, divided, summed, with_ones
from .attention import Kept, coded_qk, finished, grow, refuse_coded_state, split, turned
from .builder import Builder
from .memory import WHOLE, Buffer
from .others import mamba2, mamba2_finish, mamba2_states
from .program import Groups, Sizes, Touch


def _mean(b: Builder, values: Buffer, heads: int, groups: int, size: int) -> Buffer:
    """Return the mean [tokens, H V] of all values so far [tokens, H / groups (V + 1)], with their column of ones."""
    ones, sizes = b.plain(heads, 1.0), Sizes(heads, 1, size + 1)
    _, sums = summed(b, ones, ones, values, kind=states.NO_DECAY, groups=Groups(v=groups), sizes=sizes)
    return divided(b, sums, heads, size, 0.0)


def sea(b: Builder, mixer: SEA, x: Buffer, before: Buffer) -> Buffer:
    heads, few, size, parts = mixer.num_heads, mixer.kv_heads, mixer.k_size, mixer.columns
    q, k, v = split(b, mixer, x)
    q, k = turned(b, mixer, q), turned(b, mixer, k)
    groups, values = Groups(k=mixer.groups, v=mixer.groups), with_ones(b, v, size)
    q_map, k_map = (b.pointwise(y, vectors.ELU_PLUS) for y in (q, k))
    _, sums = summed(b, q_map, k_map, values, kind=states.NO_DECAY, groups=groups, sizes=Sizes(heads, size, size + 1))
    context, mean = divided(b, sums, heads, size, 0.0), _mean(b, values, heads, mixer.groups, size)
    both, repeated = b.buffer(2 * size, b.tokens * heads), b.buffer(size, b.tokens * heads)
    b.copy(v.viewed(size), 0, repeated, 0, size)
    for at, part in ((0, context.viewed(size)), (size, repeated)):
        b.copy(part, 0, both, at, size)
    hidden = b.pointwise(b.linear(mixer.estimate[0], both), vectors.GELU)
    wanted = b.convolve(mixer.conv1d, b.linear(mixer.columns_proj, hidden).viewed(heads * parts))
    mix = b.pointwise(b.linear(mixer.mix_proj, context.viewed(size)), vectors.SIGMOID)
    q, k = coded_qk(b, mixer, q, k)
    kept = Kept(few, mixer.groups, size, size, 0)
    memory, out = b.state(kept.capacity, few * 2 * size), b.buffer(heads * size)
    places, own = b.by_heads(few)
    arguments = [q, k, v, heads, size, size, mixer.groups, b.tokens, kept.capacity, memory, size**-0.5]
    arguments += [b.scratch(kept.capacity), out, wanted, parts, mixer.chosen, b.scratch(parts + mixer.chosen, np.int32)]
    touches: list[Touch] = [b.head_read(y, own, places, 1) for y in (q, k, v, wanted)]
    grow(b, kept, b.emit(chosen.estimated, arguments, places, [*touches, (memory, own, True), (out, own, True)]))
    apart = b.pointwise(mean, times=b.constant(-1.0), then=out)
    out = b.pointwise(apart.viewed(size), times=mix, then=mean.viewed(size)).viewed(out.width)
    return finished(b, mixer, out, x, before)


def hax(b: Builder, mixer: HAX, x: Buffer, before: Buffer) -> Buffer:
    refuse_coded_state(mixer)
    keys, width, picked = mixer.key_dim, mixer.ssm.inner, mixer.chosen
    u, y, z = mamba2_states(b, mixer.ssm, x)
    q, k = (b.linear(layer, u) for layer in (mixer.q_proj, mixer.k_proj))
    means = [_mean(b, with_ones(b, part, keys), 1, 1, keys) for part in (q, k)]
    score = best = None
    if mixer.scored:
        both = b.buffer(2 * keys)
        # The mean of the queries has the direction of their sum.
        for at, part in ((0, k), (keys, b.normalise(means[0], keys, vectors.L2, 1e-24))):
            b.copy(part, 0, both, at, keys)
        first, _, second, _, last = mixer.score
        for layer in (first, second):
            both = activated(b, b.linear(layer, both), "relu")
        score, best = b.linear(last, both), b.state(picked, 2)
    planes = b.constant(mixer.planes()) if mixer.hashed else None
    apart = [b.pointwise(mean, times=b.constant(-1.0), then=part) for mean, part in zip(means, (q, k), strict=True)]
    kept, coded = Kept(1, 1, keys, width, 0), b.code(q, mixer.codes.q, keys)
    memory, out = b.state(kept.capacity, keys + width + 1), b.buffer(width)
    places, own = b.by_rows(out)
    arguments = [coded, k, u, keys, width, b.tokens, picked, planes, kept.capacity, memory, keys**-0.5]
    arguments += [b.scratch(kept.capacity), out, score, best, b.scratch(2 * picked + 1, np.int32), *apart]
    touches: list[Touch] = [b.read(part, own) for part in (coded, k, u, *apart, score) if part is not None]
    touches += [(part, own, True) for part in (memory, out, best) if part is not None]
    grow(b, kept, b.emit(chosen.hashed, arguments, places, touches))
    return mamba2_finish(b, mixer.ssm, b.pointwise(out, times=b.constant(mixer.gain), then=y), z, before)


def bmojo(b: Builder, mixer: BMojo, x: Buffer, before: Buffer) -> Buffer:
    refuse_coded_state(mixer)
    heads, size, w, slots = mixer.kv_heads, mixer.k_size, mixer.window_size, mixer.eidetic
    q, k, v = (b.linear(layer, x) for layer in (mixer.q_proj, mixer.k_proj, mixer.v_proj))
    q, k = b.rotary(q, size, mixer.positions), b.rotary(k, size, mixer.positions)
    q, k = coded_qk(b, mixer, q, k)
    surprise, last = b.buffer(1), b.state(w, x.width)
    places, own = b.by_rows(surprise)
    touches: list[Touch] = [b.read(x, own), (last, own, True), (surprise, own, True)]
    b.emit(chosen.innovation, [x, x.width, last, w, surprise], places, touches)
    faded: list[Buffer | None] = [None, None]
    if mixer.fading is not None:
        assert isinstance(mixer.fading, Mamba2)
        s = mamba2(b, mixer.fading, x, None)
        faded_k, faded_v = b.linear(mixer.k_proj, s), b.linear(mixer.v_proj, s)
        faded = [b.rotary(faded_k, size, mixer.positions), faded_v]
    ring, kept, best = b.state(heads, 2 * w, 4 * size + 1), b.state(heads, slots, 2 * size), b.state(heads, slots, 2)
    out = b.buffer(heads * size)
    places, own = b.by_heads(heads)
    arguments = [q, k, v, *faded, heads, size, b.tokens, w, ring, surprise, slots, kept, best, b.scratch(2 * w + slots)]
    touches = [b.head_read(y, own, places, 1) for y in (q, k, v, *faded) if y is not None]
    touches += [(surprise, WHOLE, False), *((y, own, True) for y in (ring, kept, best, out))]
    b.emit(chosen.remembered, [*arguments, out], places, touches)
    return b.linear(mixer.o_proj, out, before)
