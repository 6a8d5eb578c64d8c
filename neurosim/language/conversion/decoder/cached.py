"""Softmax attention over stored keys and values: of the last tokens, of all tokens, or learnt ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ....kernels.decode.attention import windows
from ....kernels.decode.program import Operation
from ...attention.kinds.compiled import Cache
from .memory import Array, Buffer, Growing, Touch, reads, writes
from .program import DecoderProgram

FIRST_TOKENS = 256  # first capacity of a window of all tokens


def capacity_of(cache: Cache) -> int:
    """Return the number of tokens that there is room for, at first where all are seen."""
    return cache.tokens or FIRST_TOKENS


def memory_of(b: DecoderProgram, cache: Cache) -> Buffer:
    """Return a new state for keys and values, token after token."""
    width = cache.kv_heads * (cache.keys + cache.values) + cache.more
    if cache.rows == 1:
        return b.state_buffer(capacity_of(cache), width)
    return b.state_buffer(capacity_of(cache), cache.rows, width)


def operands_of(b: DecoderProgram, cache: Cache, memory: Buffer) -> dict[str, Any]:
    """Return sizes and memory of `kernels.decode.attention.windows.CACHE`."""
    sizes = {"heads": cache.kv_heads * cache.groups, "keys": cache.keys, "values": cache.values, "group": cache.groups}
    scale = cache.keys**-0.5 if cache.scale is None else cache.scale
    return {**sizes, "tokens": b.tokens, "capacity": capacity_of(cache), "memory": memory, "scale": scale}


def let_grow(b: DecoderProgram, cache: Cache, operation: Operation, tables: list[Array]) -> None:
    """Let the last state, which an operation with these tables of operands stores tokens in, grow if all are seen."""
    if cache.tokens:
        return
    state = b.state_count - 1
    b.states.growing[state] = cache.interval
    b.growing.append(Growing(state, operation.operands.places, tables, capacity_of(cache)))


def attend(
    b: DecoderProgram,
    cache: Cache,
    memory: Buffer,
    q: Buffer,
    k: Buffer,
    v: Buffer,
    *,
    plain: Buffer | None = None,
    learnt: Array | None = None,
    bias: Array | None = None,
    written: Mapping[str, Buffer] | None = None,
) -> Buffer:
    """Return attention [tokens, H V] over the keys that a layer stores.

    Args:
        plain, learnt: queries for keys without positions, and these with their values [n, H, K + V].
        bias: [capacity], added to the scores of keys by their age in tokens; with `positions` [distances], by how far
            they lie in the text.
        written: the buffers `mass`, `positions` and `counts` of `kernels.decode.attention.windows.window`, if any.
    """
    kv_heads = cache.kv_heads
    heads = cache.kv_heads * cache.groups
    out = b.buffer(heads * cache.values)
    count = 0 if learnt is None else len(learnt) // (heads * (cache.keys + cache.values))
    weights = b.scratch(capacity_of(cache) * cache.rows + count)
    places, share = b.by_heads(kv_heads)
    # The heads of several rows do not lie side by side: no cut of heads is one of columns, so all is read.
    group = kv_heads + 1 if cache.rows > 1 else 1
    inputs = [b.head_read(y, share, places, group) for y in (k, v)]
    touches: list[Touch] = [reads(q, share), *inputs, writes(memory, share), writes(out, share)]
    operands: dict[str, Any] = dict(written or {})
    touches += [writes(buffer, share) for buffer in operands.values()]
    if "positions" in operands and bias is not None:
        operands["distances"] = len(bias)
    if plain is not None:
        operands |= {"plain": plain, "learnt": learnt, "learnt_count": count}
        touches.append(reads(plain, share))
    bound = windows.window(
        q=q,
        k=k,
        v=v,
        **operands_of(b, cache, memory),
        **operands,
        interval=cache.interval,
        restarts=cache.restarts,
        rows=cache.rows,
        bias=bias,
        squared=cache.squared,
        cap=cache.cap or 0.0,
        weights=weights,
        out=out,
        mask=b.mask,
    )
    let_grow(b, cache, windows.window, b.emit(bound, places, b.masked(touches)))
    return out
