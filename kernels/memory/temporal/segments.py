"""Segments and synapses of a temporal memory, compiled: grown, adapted and dropped.

The inner functions take `Tables`, a third of the arrays of a `Store`, and are inlined: a step takes 40 % longer if they
take the whole store, and 12 % if they are called. Their arrays have no owners (`cpu.bare`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import uint32, uint64

from ...tools.compiled import compiled
from ...tools.random import words
from ..permanence import ONE
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


class Tables(NamedTuple):
    """The arrays of a `Store` that hold segments and synapses."""

    counts: np.ndarray
    segment: np.ndarray
    synapse: np.ndarray
    cell: np.ndarray
    target: np.ndarray
    slot: np.ndarray
    free: np.ndarray
    free_chunks: np.ndarray


class Sampler(NamedTuple):
    """The arrays of a `Store` from which new synapses are drawn."""

    winners: np.ndarray
    marked: np.ndarray
    pool: np.ndarray
    drawn: np.ndarray


@compiled
def tables_of(store):
    """Return the `Tables` of a store."""
    return Tables(
        store.counts,
        store.segment,
        store.synapse,
        store.cell,
        store.target,
        store.slot,
        store.free,
        store.free_chunks,
    )


@compiled
def _sampler_of(store):
    return Sampler(store.winners, store.marked, store.pool, store.drawn)


@compiled(forceinline=True)
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
    # Lemire's product: the bias of a choice among n stays below n / 2^32.
    return np.int64(uint64(drawn[d % 4]) * uint64(below) >> uint64(32))


@compiled(forceinline=True)
def attach(tables, segment, s, connected):
    """Append synapse `s` of a segment to the outgoing ones of its source."""
    counts = tables.counts
    synapse = tables.synapse
    cell = tables.cell
    target = tables.target
    pre = synapse[segment, s, SOURCE]
    chunk = cell[pre, NEWEST]
    fill = cell[pre, FILL]
    if chunk < 0 or fill == CHUNK:
        # A chunk that was given back first: the table is never longer than the most chunks in use.
        if counts[FREE_CHUNKS] > 0:
            counts[FREE_CHUNKS] -= 1
            new = tables.free_chunks[counts[FREE_CHUNKS]]
        else:
            new = np.int32(counts[CHUNKS])
            counts[CHUNKS] += 1
        target[new, LINK] = chunk
        cell[pre, NEWEST] = chunk = new
        fill = 0
    target[chunk, fill] = 2 * segment + connected
    tables.slot[chunk, fill] = s
    synapse[segment, s, PLACE] = chunk * CHUNK + fill
    cell[pre, FILL] = fill + 1


@compiled(forceinline=True)
def _drop_synapse(tables, segment, s):
    """Remove a synapse: the last of its source's outgoing ones takes its place, the last of its segment its slot."""
    counts = tables.counts
    table = tables.segment
    synapse = tables.synapse
    cell = tables.cell
    target = tables.target
    slot = tables.slot
    pre = synapse[segment, s, SOURCE]
    place = synapse[segment, s, PLACE]
    chunk = cell[pre, NEWEST]
    end = cell[pre, FILL] - 1
    moved = target[chunk, end]
    moved_slot = slot[chunk, end]
    target[place // CHUNK, place % CHUNK] = moved
    slot[place // CHUNK, place % CHUNK] = moved_slot
    # The lowest bit of a target says whether the synapse is connected.
    synapse[moved >> 1, moved_slot, PLACE] = place
    cell[pre, FILL] = end
    # An empty chunk is given back; the one before it, if there is one, is full.
    if end == 0:
        tables.free_chunks[counts[FREE_CHUNKS]] = chunk
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


@compiled
def _silent_longest(tables, segment):
    """Return the synapse whose source was last active the longest time ago; the first of equal ones."""
    now = tables.counts[STEP]
    synapse = tables.synapse
    oldest = 0
    # Steps are stored modulo 2^32: a difference in uint32 is right across the wrap.
    age = uint32(now - synapse[segment, 0, HEARD])
    for i in range(1, tables.segment[segment, FILLED]):
        other = uint32(now - synapse[segment, i, HEARD])
        if other > age:
            oldest = i
            age = other
    return oldest


@compiled
def _drop_segment(tables, segment):
    """Remove a segment with its synapses, and take it out of its cell's list."""
    counts = tables.counts
    table = tables.segment
    cell = tables.cell
    while table[segment, FILLED] > 0:
        _drop_synapse(tables, segment, table[segment, FILLED] - 1)
    owner = table[segment, CELL]
    # Segments of a cell are a list with one link: the one before is found from its beginning.
    if cell[owner, FIRST] == segment:
        cell[owner, FIRST] = table[segment, FOLLOWING]
    else:
        before = cell[owner, FIRST]
        while table[before, FOLLOWING] != segment:
            before = table[before, FOLLOWING]
        table[before, FOLLOWING] = table[segment, FOLLOWING]
    cell[owner, OWNED] -= 1
    table[segment, CELL] = -1
    tables.free[counts[FREE]] = segment
    counts[FREE] += 1


@compiled
def _learned_longest(tables, owner):
    """Return the segment of a cell that learned the longest time ago; the lowest of equal ones."""
    now = tables.counts[STEP]
    table = tables.segment
    oldest = tables.cell[owner, FIRST]
    other = table[oldest, FOLLOWING]
    while other >= 0:
        older = uint32(now - table[other, LEARNED])
        age = uint32(now - table[oldest, LEARNED])
        if older > age or (older == age and other < oldest):
            oldest = other
        other = table[other, FOLLOWING]
    return oldest


@compiled
def _add_segment(rules, tables, owner):
    """Add a segment; a cell that has `rules.segments` drops the one that learned the longest time ago."""
    counts = tables.counts
    table = tables.segment
    cell = tables.cell
    if cell[owner, OWNED] == rules.segments:
        _drop_segment(tables, _learned_longest(tables, owner))
    # Numbers of dropped segments come first, so that tables stay as short as the most segments at one time.
    if counts[FREE] > 0:
        counts[FREE] -= 1
        segment = tables.free[counts[FREE]]
    else:
        segment = np.int32(counts[SEGMENTS])
        counts[SEGMENTS] += 1
    table[segment, CELL] = owner
    table[segment, LEARNED] = np.int32(uint32(counts[STEP]))
    table[segment, FILLED] = 0
    table[segment, FOLLOWING] = cell[owner, FIRST]
    cell[owner, FIRST] = segment
    cell[owner, OWNED] += 1
    return segment


@compiled(forceinline=True)
def adapt(rules, tables, on, segment, up, down):
    """Add `up` to synapses from active cells, take `down` from the others; drop those at 0, and an empty segment."""
    table = tables.segment
    synapse = tables.synapse
    target = tables.target
    now = np.int32(uint32(tables.counts[STEP]))
    # From the last: dropping one moves the last into its slot.
    for i in range(table[segment, FILLED] - 1, -1, -1):
        before = synapse[segment, i, PERMANENCE]
        heard = on[synapse[segment, i, SOURCE]] == 1
        after = min(before + up, ONE) if heard else before - down
        if after <= 0:
            _drop_synapse(tables, segment, i)
            continue
        synapse[segment, i, PERMANENCE] = after
        if heard:
            synapse[segment, i, HEARD] = now
        if (before >= rules.connected) != (after >= rules.connected):
            # Flip the bit of the target that says whether the synapse is connected.
            place = synapse[segment, i, PLACE]
            target[place // CHUNK, place % CHUNK] ^= 1
    if table[segment, FILLED] == 0:
        _drop_segment(tables, segment)


@compiled(forceinline=True)
def _candidates(tables, sampler, segment):
    """Fill `pool` with the last winners without a synapse on the segment; return their number."""
    synapse = tables.synapse
    winners = sampler.winners[: tables.counts[WINNERS]]
    marked = sampler.marked
    pool = sampler.pool
    filled = tables.segment[segment, FILLED]
    for i in range(filled):
        marked[synapse[segment, i, SOURCE]] = 1
    n = 0
    for pre in winners:
        if marked[pre] == 0:
            pool[n] = pre
            n += 1
    # These marks alone are cleared: the array of marks is as long as there are cells.
    for i in range(filled):
        marked[synapse[segment, i, SOURCE]] = 0
    return n


@compiled(forceinline=True)
def _grow(rules, tables, sampler, segment, wanted):
    """Grow synapses from `wanted` of the last winners without one, drawn at random.

    For each, a full segment drops the synapse that was inactive for the longest time.
    """
    if wanted <= 0:
        return
    counts = tables.counts
    table = tables.segment
    synapse = tables.synapse
    pool = sampler.pool
    drawn = sampler.drawn
    now = np.int32(uint32(counts[STEP]))
    n = _candidates(tables, sampler, segment)
    for i in range(min(wanted, n)):
        # Fisher and Yates' shuffle, cut short.
        j = i + _draw(rules.key, counts, drawn, n - i)
        pre = pool[j]
        pool[j] = pool[i]
        if table[segment, FILLED] == rules.synapses:
            _drop_synapse(tables, segment, _silent_longest(tables, segment))
        s = table[segment, FILLED]
        synapse[segment, s, SOURCE] = pre
        synapse[segment, s, PERMANENCE] = rules.initial
        synapse[segment, s, HEARD] = now
        attach(tables, segment, s, rules.initial >= rules.connected)
        table[segment, FILLED] = s + 1
        counts[SYNAPSES] += 1


@compiled
def reinforce(rules, store, segment):
    """Adapt a segment of a winning cell to the active cells, and grow synapses up to `growth` active ones."""
    tables = tables_of(store)
    tables.segment[segment, LEARNED] = np.int32(uint32(tables.counts[STEP]))
    wanted = rules.growth - tables.segment[segment, POTENTIAL]
    adapt(rules, tables, store.on, segment, rules.increment, rules.decrement)
    _grow(rules, tables, _sampler_of(store), segment, wanted)


@compiled
def sprout(rules, store, owner):
    """Add a segment to a winner of which none matched."""
    tables = tables_of(store)
    _grow(rules, tables, _sampler_of(store), _add_segment(rules, tables, owner), rules.growth)


@compiled
def least_used(rules, store, column):
    """Return the cell of `column` with the fewest segments; ties are drawn."""
    cell = store.cell
    start = column * rules.cells
    fewest = cell[start, OWNED]
    ties = 0
    for c in range(start, start + rules.cells):
        if cell[c, OWNED] < fewest:
            fewest = cell[c, OWNED]
            ties = 0
        ties += cell[c, OWNED] == fewest
    # The number of ties is known after one pass; a second one finds the cell that was drawn.
    pick = _draw(rules.key, store.counts, store.drawn, ties)
    for c in range(start, start + rules.cells):
        if cell[c, OWNED] == fewest:
            if pick == 0:
                return c
            pick -= 1
    return start
