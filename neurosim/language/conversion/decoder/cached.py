"""Softmax attention over stored keys and values: of the last tokens, of all tokens, or learnt ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ....kernels.decode.attention import windows
from ....kernels.decode.program import BoundOperation
from ...attention.kinds.base import Mixer
from .builder import Builder
from .memory import Array, Buffer, Growing, Touch, reads, writes
from .program import NotCompiledError
from .traced import Traced

FIRST_TOKENS = 256  # first capacity of a window of all tokens


@dataclass(frozen=True)
class Learnt:
    """Learnt keys and values, the queries without positions that read them, and a buffer for the sum of all weights.

    Without learnt keys only the mass is used.
    """

    mass: Buffer
    count: int = 0
    values: Array | None = None
    q: Buffer | None = None


@dataclass(frozen=True)
class Cache:
    """Keys and values that a layer stores.

    Attributes:
        kv_heads, groups: heads of keys and values, and heads of queries that share each.
        keys, values: channels of a key and of a value.
        tokens: number of tokens attended to, the present one among them; 0 for all.
        interval: tokens of which the last one is stored.
        restarts: a full memory begins anew, instead of dropping the oldest token.
        rows: keys of a token.
        counts: tokens so far of each sequence and head of keys, where masks leave some out.
        scale: factor of the scores; None for 1 / sqrt(keys).
        squared: weights are squares of the scores above 0, in place of their softmax.
    """

    kv_heads: int
    groups: int
    keys: int
    values: int
    tokens: int
    interval: int = 1
    restarts: bool = False
    rows: int = 1
    counts: Buffer | None = None
    scale: float | None = None
    squared: bool = False

    @property
    def capacity(self) -> int:
        """Number of tokens that the memory has room for, at first where all are seen."""
        return self.tokens or FIRST_TOKENS

    def memory(self, b: Builder) -> Buffer:
        """Return memory for keys and values, token after token."""
        return b.state(self.capacity, self.kv_heads * (self.keys + self.values))

    def operands(self, b: Builder, memory: Buffer) -> dict[str, Any]:
        """Return sizes and memory of `kernels.decode.attention.windows.CACHE`."""
        sizes = {"heads": self.kv_heads * self.groups, "keys": self.keys, "values": self.values, "group": self.groups}
        scale = self.keys**-0.5 if self.scale is None else self.scale
        return {**sizes, "tokens": b.tokens, "capacity": self.capacity, "memory": memory, "scale": scale}


def emit_growing(b: Builder, cache: Cache, bound: BoundOperation, places: Any, touches: list[Touch]) -> None:
    """Append an operation on the last state, which grows if all tokens are seen."""
    tables = b.emit(bound, places, touches)
    if not cache.tokens:
        state = b.state_count - 1
        b.states.growing[state] = cache.interval
        b.growing.append(Growing(state, bound.operation.operands.places, tables, cache.capacity))


def attend(
    b: Builder,
    cache: Cache,
    memory: Buffer,
    q: Buffer,
    k: Buffer,
    v: Buffer,
    learnt: Learnt | None = None,
    bias: Array | None = None,
    positions: Buffer | None = None,
) -> Buffer:
    """Return attention [tokens, H V] over the keys that a layer stores.

    Args:
        bias: [capacity], added to the scores of keys by their age in tokens; with `positions` [distances], by how far
            they lie in the text.
        positions: state for the positions of the keys, [capacity] a sequence.
    """
    kv_heads = cache.kv_heads
    heads = cache.kv_heads * cache.groups
    out = b.buffer(heads * cache.values)
    learnt_count = 0 if learnt is None else learnt.count
    weights = b.scratch(cache.capacity * cache.rows + learnt_count)
    places, share = b.by_heads(kv_heads)
    # The heads of several rows do not lie side by side: no cut of heads is one of columns, so all is read.
    group = kv_heads + 1 if cache.rows > 1 else 1
    inputs = [b.head_read(y, share, places, group) for y in (k, v)]
    touches: list[Touch] = [reads(q, share), *inputs, writes(memory, share), writes(out, share)]
    operands: dict[str, Any] = {}
    if learnt is not None:
        operands = {"plain": learnt.q, "learnt": learnt.values, "learnt_count": learnt.count, "mass": learnt.mass}
        touches.append(writes(learnt.mass, share))
        if learnt.q is not None:
            touches.append(reads(learnt.q, share))
    operands |= {"interval": cache.interval, "restarts": cache.restarts, "rows": cache.rows, "counts": cache.counts}
    operands |= {"bias": bias, "squared": cache.squared}
    if positions is not None and bias is not None:
        operands |= {"positions": positions, "distances": len(bias)}
        touches.append(writes(positions, share))
    if cache.counts is not None:
        touches.append(writes(cache.counts, share))
    bound = windows.window(
        q=q, k=k, v=v, **cache.operands(b, memory), weights=weights, out=out, **operands, mask=b.mask
    )
    emit_growing(b, cache, bound, places, b.masked(touches))
    return out


def refuse_coded_state(mixer: Mixer) -> None:
    """Raise `NotCompiledError` for a state of keys and values that is coded in spikes."""
    if mixer.codes.state is not None:
        raise NotCompiledError("codes.state: keys and values in spikes are not compiled")


def _leaving(b: Builder, ring: Buffer, start: int, cache: Cache, x: Buffer | None, *, more: bool) -> Traced:
    """Return the heads of the token that the present one pushes out of a ring; x takes its place.

    Args:
        start: the first column of the heads in a place of the ring.
        more: a head has one more channel, 1 where there is such a token.
    """
    heads = cache.kv_heads
    size = cache.keys
    capacity = cache.capacity
    out = b.buffer(heads * (size + more))
    places, share = b.by_heads(heads)
    sizes = {"width": ring.width // capacity, "first": start, "heads": heads, "size": size, "capacity": capacity}
    bound = windows.take_oldest(ring=ring, **sizes, tokens=b.tokens, x=x, more=more, out=out)
    touches: list[Touch]
    if x is None:
        touches = [reads(ring, share), writes(out, share)]
    else:
        touches = [writes(ring, share), writes(out, share), reads(x, share)]
    b.emit(bound, places, touches)
    return Traced.of(b, out, [b.tokens, 1, heads, size + more])


def window_and_leaving(mixer: Any, q: Any, k: Any, v: Any, position: Any) -> tuple[Traced, ...]:
    """Return the outputs of `WindowLinearAttention.slide` without the window's tokens, which the operations store."""
    layer = mixer.softmax
    b = q.builder
    kv_heads = layer.kv_heads
    heads = layer.num_heads
    size = layer.k_size
    # Feature maps take keys without rotary positions, which are stored beside the keys of the window.
    cache = Cache(kv_heads, layer.groups, size, size, mixer.window_size)
    plain = b.state(cache.capacity, kv_heads * size)
    memory = cache.memory(b)
    # First the token that leaves is read, then `attend` puts the present one in its place.
    old_k = _leaving(b, plain, 0, cache, k.token_rows, more=False)
    old_v = _leaving(b, memory, kv_heads * size, cache, None, more=True)
    # Even without learnt keys the mass is needed: it is the weight of the window in the common normaliser.
    learnt = Learnt(b.buffer(heads))
    if mixer.meta is not None:
        learnt = Learnt(learnt.mass, mixer.meta_tokens, b.constant(mixer.meta), q.token_rows)
    turned_q, turned_k = (layer.turn(y, position).token_rows for y in (q, k))
    attended = attend(b, cache, memory, turned_q, turned_k, v.token_rows, learnt)
    mass = Traced.of(b, learnt.mass, [b.tokens, 1, heads])
    return Traced.of(b, attended, [b.tokens, 1, heads, size]), mass, old_k, old_v
