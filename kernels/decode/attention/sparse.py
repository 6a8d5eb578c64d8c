"""Softmax attention over few of the earlier tokens: those that a choice picks (SEA, HAX), and B'MOJO's memories."""

from __future__ import annotations

import math

from numba import float32, njit

from ...tools.compiled import compiled
from ...tools.pointers import copy_into, matrix, vector
from ..matrix_states.cpu import add, head_of
from ..program import FLOAT, WORD, operation, position_of
from .windows import CACHE, Stored, dot, softmax, store, stored_head

PLANES = 8  # of HAX: bits of a bucket
BUCKETS = 1 << PLANES


@compiled
def _attend(q, scale, stored, picks, weights, out):
    """Fill out [V] with softmax attention over the picked keys and values."""
    for n in range(picks.size):
        weights[n] = scale * dot(q, vector(stored.keys + 4 * picks[n] * stored.width, q.size, FLOAT))
    softmax(weights)
    out[:] = 0
    for n in range(picks.size):
        add(weights[n], vector(stored.values + 4 * picks[n] * stored.width, out.size, FLOAT), out)


@compiled
def _in_best_parts(values, length, order, picks):
    """Fill picks with the tokens of the parts of highest value, the latest first; return their number.

    Args:
        values: of the parts of `length` tokens; token t is in part t parts // length.
        order: [parts], spare.
    """
    parts = values.size
    for n in range(parts):
        order[n] = n
    for n in range(1, parts):  # descending, later parts first among equals
        own = order[n]
        at = n
        while at > 0 and values[order[at - 1]] <= values[own]:
            order[at] = order[at - 1]
            at -= 1
        order[at] = own
    count = 0
    for n in range(parts):
        first = -(-order[n] * length // parts)
        t = -(-(order[n] + 1) * length // parts) - 1
        while t >= first and count < picks.size:
            picks[count] = t
            count += 1
            t -= 1
    return count


@operation(f"{CACHE} part_values parts picked picks")
def attend_best_parts(p, context, begin, end):
    """Attend over tokens in the parts of the past that an estimate values most (SEA).

    Operands: see `windows.window`; `part_values` [tokens, H, parts], `picked` tokens, `picks` int32 [parts + picked]
    for this thread. Parts are heads of k and v.
    """
    heads = p.heads
    keys = p.keys
    values = p.values
    parts = p.parts
    spare = vector(p.picks, parts + p.picked, WORD)
    for i in range(p.tokens):
        position = position_of(context, i)
        memory = p.memory + 4 * i * p.capacity * (heads // p.group) * (keys + values)
        for n in range(begin, end):
            stored = stored_head(p, memory, n)
            # The token joins the memory first: it may be among the tokens that it attends to.
            store(p, i, n, stored, position)
            for h in range(n * p.group, (n + 1) * p.group):
                wanted = head_of(p.part_values, i, heads, h, 1, parts)
                count = _in_best_parts(wanted, position + 1, spare[:parts], spare[parts:])
                picks = spare[parts : parts + count]
                weights = vector(p.weights, count, FLOAT)
                q = head_of(p.q, i, heads, h, 1, keys)
                out = head_of(p.out, i, heads, h, 1, values)
                _attend(q, float32(p.scale), stored, picks, weights, out)


@njit(inline="always")
def _bucket(x, planes):
    """Return the signs of x along the planes [K, PLANES] as one number."""
    found = 0
    for bit in range(PLANES):
        total = float32(0)
        for j in range(x.size):
            total += x[j] * planes[j, bit]
        if total > 0:
            found += 1 << bit
    return found


@njit(inline="always")
def _compete(best, count, score, token):
    """Put (score, token) among the best [n, 2], of which there are `count`, if it is better than the worst of n."""
    if count < best.shape[0]:
        best[count, 0] = score
        best[count, 1] = token
        return count
    worst = 0
    for n in range(1, best.shape[0]):  # of equal scores the latest
        lower = best[n, 0] < best[worst, 0]
        if lower or (best[n, 0] == best[worst, 0] and best[n, 1] > best[worst, 1]):
            worst = n
    if score <= best[worst, 0]:
        return -1
    best[worst, 0] = score
    best[worst, 1] = token
    return worst


@njit(inline="always")
def _pick_by_bucket(p, i, position, memory, picks):
    """Enter a token into the chain of its key's bucket, and pick the latest tokens of its query's bucket.

    Tokens of a bucket are a chain, so that no others are looked at; float32 holds places up to 2^24.

    Returns:
        the number of picks, of which the first is the token itself; the query's bucket; the oldest token looked at.
    """
    # Links are one more than a place, so that 0 ends a chain: memory starts as zeros.
    bucket_column = p.keys + p.values
    link_column = bucket_column + 1
    planes = matrix(p.planes, p.keys, PLANES, FLOAT)
    last = vector(p.last + 4 * i * BUCKETS, BUCKETS, FLOAT)
    bucket = _bucket(vector(p.hashed_k + 4 * i * p.keys, p.keys, FLOAT), planes)
    memory[position, bucket_column] = bucket
    memory[position, link_column] = last[bucket]
    last[bucket] = position + 1
    asked = _bucket(vector(p.hashed_q + 4 * i * p.keys, p.keys, FLOAT), planes)
    count = 1
    oldest = position + 1
    behind = int(last[asked])
    looked_at = 0
    while behind > 0 and looked_at < p.chosen:
        oldest = behind - 1
        looked_at += 1
        # The token itself is in `picks` already.
        if oldest < position:
            picks[count] = oldest
            count += 1
        behind = int(memory[oldest, link_column])
    return count, float32(asked), oldest


@operation(
    "q k v keys values tokens chosen planes last capacity memory scale:real weights out score best picks "
    "hashed_q hashed_k"
)
def attend_picks(p, context, begin, end):
    """Attend over a token itself, the last ones in its query's bucket, and tokens of the highest scores (HAX).

    Operands: `chosen` tokens of each choice; `planes` [K, PLANES] of the first, and `last` [tokens, BUCKETS], the
    place behind the last token of each bucket, 0 while there is none; `memory` [tokens, capacity, K + V + 2] of keys,
    values, buckets, and the place behind the token before in the same bucket; `weights` float32 [capacity] for this
    thread; `score` [tokens] and `best` [tokens, chosen, 2], scores and tokens, of the second; `picks` int32 [2 chosen
    + 1] for this thread; `hashed_q` and `hashed_k`, q and k of the bucket. Parts are tokens.
    """
    keys = p.keys
    values = p.values
    chosen = p.chosen
    width = keys + values + 2
    picks = vector(p.picks, 2 * chosen + 1, WORD)
    for i in range(begin, end):
        position = position_of(context, i)
        start = p.memory + 4 * i * p.capacity * width
        memory = matrix(start, p.capacity, width, FLOAT)
        q = vector(p.q + 4 * i * keys, keys, FLOAT)
        copy_into(vector(p.k + 4 * i * keys, keys, FLOAT), memory[position, :keys])
        copy_into(vector(p.v + 4 * i * values, values, FLOAT), memory[position, keys : keys + values])
        picks[0] = position
        count, own, oldest = _pick_by_bucket(p, i, position, memory, picks)
        best = matrix(p.best + 8 * i * chosen, chosen, 2, FLOAT)
        _compete(best, min(position, chosen), vector(p.score, i + 1, FLOAT)[i], position)
        for n in range(min(position + 1, chosen)):
            t = int(best[n, 1])
            # In the bucket, and not older than the oldest token that was picked from it.
            is_picked = t >= oldest and memory[t, keys + values] == own
            if t < position and not is_picked:
                picks[count] = t
                count += 1
        weights = vector(p.weights, count, FLOAT)
        out = vector(p.out + 4 * i * values, values, FLOAT)
        _attend(q, float32(p.scale), Stored(start, start + 4 * keys, width), picks[:count], weights, out)


@operation("x width ring length out")
def innovation(p, context, begin, end):
    """Return the mean square of x minus the mean of the tokens before; x takes the place of the oldest.

    Operands: `ring` [tokens, length, width], `out` [tokens]. Parts are tokens.
    """
    width = p.width
    n = p.length
    for i in range(begin, end):
        position = position_of(context, i)
        x = vector(p.x + 4 * i * width, width, FLOAT)
        ring = matrix(p.ring + 4 * i * n * width, n, width, FLOAT)
        total = 0.0
        for j in range(width):
            mean = float32(0)
            # Places that no token has filled are zeros, and count: the mean is over the whole ring.
            for t in range(n):
                mean += ring[t, j]
            change = x[j] - mean / float32(n)
            total += change * change
            ring[position % n, j] = x[j]
        vector(p.out, end, FLOAT)[i] = total / width


@njit(inline="always")
def _enter(p, i, h, row):
    """Write the token's key and value, those of the state, and its innovation into its row of the ring."""
    size = p.size
    copy_into(head_of(p.k, i, p.heads, h, 1, size), row[:size])
    copy_into(head_of(p.v, i, p.heads, h, 1, size), row[size : 2 * size])
    if p.state_k:
        copy_into(head_of(p.state_k, i, p.heads, h, 1, size), row[2 * size : 3 * size])
        copy_into(head_of(p.state_v, i, p.heads, h, 1, size), row[3 * size : 4 * size])
    row[4 * size] = vector(p.innovation, i + 1, FLOAT)[i]


@njit(inline="always")
def _leave(p, place, token, row, kept):
    """Let a token that leaves the window, whose row of the ring is given, compete for a slot."""
    best = matrix(p.best + 8 * place * p.slots, p.slots, 2, FLOAT)
    slot = _compete(best, min(token, p.slots), row[4 * p.size], token)
    if slot >= 0:
        kept[slot] = row[: 2 * p.size]


@njit(inline="always")
def _read(p, q, ring, kept, position, out):
    """Fill out [K] with attention to the window, to the state of the window before, and to the tokens in slots."""
    size = p.size
    w = p.window
    scale = float32(1 / math.sqrt(size))
    left = position - w
    # Tokens seen directly, tokens seen through the state, and slots: fewer than their room while the text is short.
    near = min(position + 1, w)
    far = min(max(left + 1, 0), w) if p.state_k else 0
    held = min(max(left + 1, 0), p.slots)
    weights = vector(p.weights, 2 * w + p.slots, FLOAT)
    for t in range(near):
        weights[t] = scale * dot(q, ring[(position - t) % (2 * w)][:size])
    for t in range(far):
        weights[near + t] = scale * dot(q, ring[(left - t) % (2 * w)][2 * size : 3 * size])
    for t in range(held):
        weights[near + far + t] = scale * dot(q, kept[t][:size])
    # One softmax over all three, so that they compete.
    softmax(weights[: near + far + held])
    out[:] = 0
    for t in range(near):
        add(weights[t], ring[(position - t) % (2 * w)][size : 2 * size], out)
    for t in range(far):
        add(weights[near + t], ring[(left - t) % (2 * w)][3 * size : 4 * size], out)
    for t in range(held):
        add(weights[near + far + t], kept[t][size : 2 * size], out)


@operation("q k v state_k? state_v? heads size tokens window ring innovation slots kept best weights out")
def attend_memories(p, context, begin, end):
    """Attend over the last w tokens, what a state says of the w before, and the most surprising ones (B'MOJO).

    Operands: `state_k` and `state_v` of the outputs of the state; `window` is w; `ring` [tokens, H, 2 w, 4 K + 1] of
    keys, values, those of the state, and innovations; `innovation` [tokens]; `kept` [tokens, H, slots, 2 K], the most
    surprising ones, and `best` [tokens, H, slots, 2], their innovations and tokens; `weights` float32 [2 w + slots] for
    this thread. Parts are heads.
    """
    heads = p.heads
    size = p.size
    w = p.window
    width = 4 * size + 1
    for i in range(p.tokens):
        position = position_of(context, i)
        left = position - w  # the token that leaves the window
        for h in range(begin, end):
            place = i * heads + h
            ring = matrix(p.ring + 8 * place * w * width, 2 * w, width, FLOAT)
            kept = matrix(p.kept + 8 * place * p.slots * size, p.slots, 2 * size, FLOAT)
            _enter(p, i, h, ring[position % (2 * w)])
            if p.slots and left >= 0:
                _leave(p, place, left, ring[left % (2 * w)], kept)
            _read(p, head_of(p.q, i, heads, h, 1, size), ring, kept, position, head_of(p.out, i, heads, h, 1, size))
