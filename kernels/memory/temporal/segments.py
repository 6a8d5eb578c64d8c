"""Segments and synapses of a temporal memory, compiled: grown, adapted and dropped.

Tables go from function to function one by one: as one named tuple they cost 1.2 us a new synapse, mostly for counting
references.
"""

from __future__ import annotations

import numpy as np
from numba import njit, uint32, uint64

from ...tools.random import words
from .store import (
    CELL,
    CHUNK,
    CHUNKS,
    DRAWS,
    FILL,
    FILLED,
    FIRST,
    FOLLOWING,
    FREE,
    FREE_CHUNKS,
    HEARD,
    LEARNED,
    LINK,
    NEWEST,
    ONE,
    OWNED,
    PERMANENCE,
    PLACE,
    POTENTIAL,
    SEGMENTS,
    SOURCE,
    STEP,
    SYNAPSES,
    WINNERS,
)


@njit(cache=True, nogil=True)
def _draw(key, counts, drawn, below):
    """Draw an integer in 0..below-1; draw d of a step is word d % 4 of block d // 4."""
    d = counts[DRAWS]
    if d % 4 == 0:
        a, b, c, e = words(uint64(key), uint64(counts[STEP]), uint64(d // 4))
        drawn[0] = a
        drawn[1] = b
        drawn[2] = c
        drawn[3] = e
    counts[DRAWS] = d + 1
    return np.int64(uint64(drawn[d % 4]) * uint64(below) >> uint64(32))


@njit(cache=True, nogil=True)
def attach(counts, synapse, cell, target, slot, free_chunks, segment, s, connected):
    """Append synapse `s` of a segment to the outgoing ones of its source."""
    pre = synapse[segment, s, SOURCE]
    chunk = cell[pre, NEWEST]
    fill = cell[pre, FILL]
    if chunk < 0 or fill == CHUNK:
        if counts[FREE_CHUNKS] > 0:
            counts[FREE_CHUNKS] -= 1
            new = free_chunks[counts[FREE_CHUNKS]]
        else:
            new = np.int32(counts[CHUNKS])
            counts[CHUNKS] += 1
        target[new, LINK] = chunk
        cell[pre, NEWEST] = chunk = new
        fill = 0
    target[chunk, fill] = 2 * segment + connected
    slot[chunk, fill] = s
    synapse[segment, s, PLACE] = chunk * CHUNK + fill
    cell[pre, FILL] = fill + 1


@njit(cache=True, nogil=True)
def _drop_synapse(counts, table, synapse, cell, target, slot, free_chunks, segment, s):
    """Remove a synapse: the last of its source's outgoing ones takes its place, the last of its segment its slot."""
    pre = synapse[segment, s, SOURCE]
    place = synapse[segment, s, PLACE]
    chunk = cell[pre, NEWEST]
    end = cell[pre, FILL] - 1
    moved = target[chunk, end]
    where = slot[chunk, end]
    target[place // CHUNK, place % CHUNK] = moved
    slot[place // CHUNK, place % CHUNK] = where
    synapse[moved >> 1, where, PLACE] = place
    cell[pre, FILL] = end
    if end == 0:
        free_chunks[counts[FREE_CHUNKS]] = chunk
        counts[FREE_CHUNKS] += 1
        cell[pre, NEWEST] = target[chunk, LINK]
        cell[pre, FILL] = CHUNK if target[chunk, LINK] >= 0 else 0
    last = table[segment, FILLED] - 1
    if s != last:
        for k in range(4):
            synapse[segment, s, k] = synapse[segment, last, k]
        place = synapse[segment, s, PLACE]
        slot[place // CHUNK, place % CHUNK] = s
    table[segment, FILLED] = last
    counts[SYNAPSES] -= 1


@njit(cache=True, nogil=True)
def _silent_longest(synapse, segment, n, now):
    oldest = 0
    age = uint32(now - synapse[segment, 0, HEARD])
    for i in range(1, n):
        other = uint32(now - synapse[segment, i, HEARD])
        if other > age:
            oldest = i
            age = other
    return oldest


@njit(cache=True, nogil=True)
def _drop_segment(counts, table, synapse, cell, target, slot, free, free_chunks, segment):
    while table[segment, FILLED] > 0:
        _drop_synapse(counts, table, synapse, cell, target, slot, free_chunks, segment, table[segment, FILLED] - 1)
    owner = table[segment, CELL]
    if cell[owner, FIRST] == segment:
        cell[owner, FIRST] = table[segment, FOLLOWING]
    else:
        before = cell[owner, FIRST]
        while table[before, FOLLOWING] != segment:
            before = table[before, FOLLOWING]
        table[before, FOLLOWING] = table[segment, FOLLOWING]
    cell[owner, OWNED] -= 1
    table[segment, CELL] = -1
    free[counts[FREE]] = segment
    counts[FREE] += 1


@njit(cache=True, nogil=True)
def _add_segment(max_segments, counts, table, synapse, cell, target, slot, free, free_chunks, owner):
    """Add a segment; a cell that has `max_segments` drops the one that learned the longest time ago."""
    now = counts[STEP]
    if cell[owner, OWNED] == max_segments:
        oldest = cell[owner, FIRST]
        other = table[oldest, FOLLOWING]
        while other >= 0:
            older = uint32(now - table[other, LEARNED])
            age = uint32(now - table[oldest, LEARNED])
            if older > age or (older == age and other < oldest):
                oldest = other
            other = table[other, FOLLOWING]
        _drop_segment(counts, table, synapse, cell, target, slot, free, free_chunks, oldest)
    if counts[FREE] > 0:
        counts[FREE] -= 1
        segment = free[counts[FREE]]
    else:
        segment = np.int32(counts[SEGMENTS])
        counts[SEGMENTS] += 1
    table[segment, CELL] = owner
    table[segment, LEARNED] = np.int32(uint32(now))
    table[segment, FILLED] = 0
    table[segment, FOLLOWING] = cell[owner, FIRST]
    cell[owner, FIRST] = segment
    cell[owner, OWNED] += 1
    return segment


@njit(cache=True, nogil=True)
def adapt(bound, counts, table, synapse, cell, target, slot, free, free_chunks, on, segment, up, down):
    """Add `up` to synapses from active cells, take `down` from the others; drop those at 0, and an empty segment."""
    now = np.int32(uint32(counts[STEP]))
    for i in range(table[segment, FILLED] - 1, -1, -1):
        before = synapse[segment, i, PERMANENCE]
        heard = on[synapse[segment, i, SOURCE]] == 1
        after = min(before + up, ONE) if heard else before - down
        if after <= 0:
            _drop_synapse(counts, table, synapse, cell, target, slot, free_chunks, segment, i)
            continue
        synapse[segment, i, PERMANENCE] = after
        if heard:
            synapse[segment, i, HEARD] = now
        if (before >= bound) != (after >= bound):
            place = synapse[segment, i, PLACE]
            target[place // CHUNK, place % CHUNK] ^= 1
    if table[segment, FILLED] == 0:
        _drop_segment(counts, table, synapse, cell, target, slot, free, free_chunks, segment)


@njit(cache=True, nogil=True)
def _candidates(table, synapse, winners, marked, pool, segment):
    """Fill `pool` with the last winners without a synapse on the segment; return their number."""
    for i in range(table[segment, FILLED]):
        marked[synapse[segment, i, SOURCE]] = 1
    n = 0
    for pre in winners:
        if marked[pre] == 0:
            pool[n] = pre
            n += 1
    for i in range(table[segment, FILLED]):
        marked[synapse[segment, i, SOURCE]] = 0
    return n


@njit(cache=True, nogil=True)
def _grow(
    rules, counts, table, synapse, cell, target, slot, free_chunks, winners, marked, pool, drawn, segment, wanted
):
    """Grow synapses from `wanted` of the last winners without one, drawn at random.

    For each, a full segment drops the synapse that was inactive for the longest time.
    """
    if wanted <= 0:
        return
    now = np.int32(uint32(counts[STEP]))
    n = _candidates(table, synapse, winners[: counts[WINNERS]], marked, pool, segment)
    for i in range(min(wanted, n)):
        j = i + _draw(rules.key, counts, drawn, n - i)
        pre = pool[j]
        pool[j] = pool[i]
        if table[segment, FILLED] == rules.synapses:
            oldest = _silent_longest(synapse, segment, rules.synapses, counts[STEP])
            _drop_synapse(counts, table, synapse, cell, target, slot, free_chunks, segment, oldest)
        s = table[segment, FILLED]
        synapse[segment, s, SOURCE] = pre
        synapse[segment, s, PERMANENCE] = rules.initial
        synapse[segment, s, HEARD] = now
        attach(counts, synapse, cell, target, slot, free_chunks, segment, s, rules.initial >= rules.connected)
        table[segment, FILLED] = s + 1
        counts[SYNAPSES] += 1


@njit(cache=True, nogil=True)
def reinforce(rules, store, segment):
    """Adapt a segment of a winning cell to the active cells, and grow synapses up to `growth` active ones."""
    counts, table, synapse, cell, target, slot = store[:6]
    up = rules.increment
    down = rules.decrement
    free = store.free
    free_chunks = store.free_chunks
    on = store.on
    table[segment, LEARNED] = np.int32(uint32(counts[STEP]))
    wanted = rules.growth - table[segment, POTENTIAL]
    adapt(rules.connected, counts, table, synapse, cell, target, slot, free, free_chunks, on, segment, up, down)
    winners = store.winners
    marked = store.marked
    pool = store.pool
    drawn = store.drawn
    _grow(rules, counts, table, synapse, cell, target, slot, free_chunks, winners, marked, pool, drawn, segment, wanted)


@njit(cache=True, nogil=True)
def sprout(rules, store, owner):
    """Add a segment to a winner of which none matched."""
    counts, table, synapse, cell, target, slot = store[:6]
    free = store.free
    free_chunks = store.free_chunks
    segment = _add_segment(rules.segments, counts, table, synapse, cell, target, slot, free, free_chunks, owner)
    winners = store.winners
    marked = store.marked
    pool = store.pool
    drawn = store.drawn
    n = rules.growth
    _grow(rules, counts, table, synapse, cell, target, slot, free_chunks, winners, marked, pool, drawn, segment, n)


@njit(cache=True, nogil=True)
def least_used(rules, counts, cell, drawn, column):
    """Return the cell of `column` with the fewest segments; ties are drawn."""
    start = column * rules.cells
    fewest = cell[start, OWNED]
    ties = 0
    for c in range(start, start + rules.cells):
        if cell[c, OWNED] < fewest:
            fewest = cell[c, OWNED]
            ties = 0
        ties += cell[c, OWNED] == fewest
    pick = _draw(rules.key, counts, drawn, ties)
    for c in range(start, start + rules.cells):
        if cell[c, OWNED] == fewest:
            if pick == 0:
                return c
            pick -= 1
    return start
