"""One step of a temporal memory (Hawkins & Ahmad 2016; Cui et al. 2016): cells, segments, synapses in flat tables.

A segment's synapses lie in one row of the table of synapses; a cell's outgoing synapses lie in chunks of 32 that are
linked from the newest to the oldest. What a cell tells its targets is then a walk over a few cache lines, and a step
looks at no more than the synapses of the active cells and the tallies of all segments. Room is never taken here:
whoever calls makes sure of it (`room`), so the kernel cannot fail halfway.

Permanences are whole numbers of 1e-4: sums of tenths come out exact, and in any order. Tables go from function to
function one by one: as one named tuple they cost 1.2 us a new synapse, mostly for counting references.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit, uint32, uint64

from ...tools.intrinsics import prefetch
from ...tools.pointers import matrix, vector
from ...tools.random import words

ONE = 10_000
CHUNK = 32
BLOCK = 64
# Columns of the tables.
CELL, FOLLOWING, LEARNED, FILLED, POTENTIAL = range(5)  # of `segment`; cell -1 where it is free
SOURCE, PERMANENCE, PLACE, HEARD = range(4)  # of `synapse`; place among the outgoing ones of its source
FIRST, OWNED, NEWEST, FILL = range(4)  # of `cell`: segments; newest chunk of outgoing synapses, and what is in it
LINK = CHUNK  # of `target`: the next older chunk, after 2 segment + connected for each synapse
# Places in `counts`.
STEP, SEGMENTS, FREE, CHUNKS, FREE_CHUNKS, ACTIVE, WINNERS, PREDICTING, MATCHING, DRAWS, SYNAPSES, VISITS = range(12)
COUNTS = 12


class Rules(NamedTuple):
    """Whole numbers only; permanences in steps of 1 / ONE."""

    cells: int
    activation: int
    minimum: int
    initial: int
    connected: int
    increment: int
    decrement: int
    punishment: int
    growth: int
    segments: int
    synapses: int
    key: int


class Store(NamedTuple):
    """Everything a memory remembers, and the scratch of a step. Step numbers are kept modulo 2^32."""

    counts: np.ndarray  # [COUNTS] int64
    segment: np.ndarray  # [S, 5] int32
    synapse: np.ndarray  # [S, synapses, 4] int32
    cell: np.ndarray  # [cells, 4] int32
    target: np.ndarray  # [C, CHUNK + 1] int32
    slot: np.ndarray  # [C, CHUNK] uint8, where in its segment each outgoing synapse is
    free: np.ndarray  # [S] int32, a stack of freed segments
    free_chunks: np.ndarray  # [C] int32, a stack
    # the last step: cells that fired and that won, segments that reach a threshold
    active: np.ndarray  # [cells] int32
    winners: np.ndarray  # [cells] int32
    predicting: np.ndarray  # [S] int32
    matching: np.ndarray  # [S] int32
    # scratch: zero between steps, or written before it is read
    on: np.ndarray  # [cells] uint8, 1 for the cells of `active`
    marked: np.ndarray  # [cells] uint8
    expected: np.ndarray  # [cells] uint8, predicted cells of active columns
    pool: np.ndarray  # [cells] int32
    next_active: np.ndarray  # [cells] int32
    next_winners: np.ndarray  # [cells] int32
    tally: np.ndarray  # [S] uint16
    kind: np.ndarray  # [columns] uint8: 1 bursts, 2 was predicted
    best: np.ndarray  # [columns] int32, the segment that matches best
    former: np.ndarray  # [columns] int32, a winner of the step before
    drawn: np.ndarray  # [4] uint32


@njit(cache=True, nogil=True)
def _flat(array):
    return vector(array.ctypes.data, array.size, array[0])


@njit(cache=True, nogil=True)
def _square(array):
    return matrix(array.ctypes.data, array.shape[0], array.shape[1], array[0, 0])


@njit(cache=True, nogil=True)
def _bare(store):
    """The same arrays without owners: compiled code counts references to an owner at every turn, half of its time.

    Whoever holds `store` keeps them alive.
    """
    return Store(
        _flat(store.counts),
        _square(store.segment),
        _square(store.synapse.reshape(len(store.synapse), -1)).reshape(store.synapse.shape),
        _square(store.cell),
        _square(store.target),
        _square(store.slot),
        _flat(store.free),
        _flat(store.free_chunks),
        _flat(store.active),
        _flat(store.winners),
        _flat(store.predicting),
        _flat(store.matching),
        _flat(store.on),
        _flat(store.marked),
        _flat(store.expected),
        _flat(store.pool),
        _flat(store.next_active),
        _flat(store.next_winners),
        _flat(store.tally),
        _flat(store.kind),
        _flat(store.best),
        _flat(store.former),
        _flat(store.drawn),
    )


@njit(cache=True, nogil=True)
def _draw(key, counts, drawn, below):
    """A whole number in 0..below-1; draw d of a step is word d % 4 of block d // 4."""
    d = counts[DRAWS]
    if d % 4 == 0:
        a, b, c, e = words(uint64(key), uint64(counts[STEP]), uint64(d // 4))
        drawn[0], drawn[1], drawn[2], drawn[3] = a, b, c, e
    counts[DRAWS] = d + 1
    return np.int64(uint64(drawn[d % 4]) * uint64(below) >> uint64(32))


@njit(cache=True, nogil=True)
def _attach(counts, synapse, cell, target, slot, free_chunks, segment, s, connected):
    """Append synapse `s` of a segment to the outgoing ones of its source."""
    pre = synapse[segment, s, SOURCE]
    chunk, fill = cell[pre, NEWEST], cell[pre, FILL]
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
    pre, place = synapse[segment, s, SOURCE], synapse[segment, s, PLACE]
    chunk, end = cell[pre, NEWEST], cell[pre, FILL] - 1
    moved, where = target[chunk, end], slot[chunk, end]
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
    oldest, age = 0, uint32(now - synapse[segment, 0, HEARD])
    for i in range(1, n):
        other = uint32(now - synapse[segment, i, HEARD])
        if other > age:
            oldest, age = i, other
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
def _add_segment(most, counts, table, synapse, cell, target, slot, free, free_chunks, owner):
    """A new segment; a cell that has `most` gives up the one that has not learned for longest."""
    now = counts[STEP]
    if cell[owner, OWNED] == most:
        oldest = cell[owner, FIRST]
        other = table[oldest, FOLLOWING]
        while other >= 0:
            older, age = uint32(now - table[other, LEARNED]), uint32(now - table[oldest, LEARNED])
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
def _adapt(bound, counts, table, synapse, cell, target, slot, free, free_chunks, on, segment, up, down):
    """`up` to synapses from active cells, `down` from the others; those that reach 0 go, and an empty segment too."""
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
    """Fill `pool` with the last winners that the segment does not hear; returns how many."""
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
    """Synapses to `wanted` of the last winners that the segment does not hear yet, drawn.

    A full segment gives up the synapse that was silent longest for each.
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
        _attach(counts, synapse, cell, target, slot, free_chunks, segment, s, rules.initial >= rules.connected)
        table[segment, FILLED] = s + 1
        counts[SYNAPSES] += 1


@njit(cache=True, nogil=True)
def _learn(rules, store, segment):
    """A segment of a winning cell: adapt to what was heard, and hear as much as `growth` of it."""
    counts, table, synapse, cell, target, slot = store[:6]
    up, down = rules.increment, rules.decrement
    free, free_chunks, on = store.free, store.free_chunks, store.on
    table[segment, LEARNED] = np.int32(uint32(counts[STEP]))
    wanted = rules.growth - table[segment, POTENTIAL]
    _adapt(rules.connected, counts, table, synapse, cell, target, slot, free, free_chunks, on, segment, up, down)
    winners, marked, pool, drawn = store.winners, store.marked, store.pool, store.drawn
    _grow(rules, counts, table, synapse, cell, target, slot, free_chunks, winners, marked, pool, drawn, segment, wanted)


@njit(cache=True, nogil=True)
def _sprout(rules, store, owner):
    """A new segment on a winner that none of its own matched."""
    counts, table, synapse, cell, target, slot = store[:6]
    free, free_chunks = store.free, store.free_chunks
    segment = _add_segment(rules.segments, counts, table, synapse, cell, target, slot, free, free_chunks, owner)
    winners, marked, pool, drawn = store.winners, store.marked, store.pool, store.drawn
    n = rules.growth
    _grow(rules, counts, table, synapse, cell, target, slot, free_chunks, winners, marked, pool, drawn, segment, n)


@njit(cache=True, nogil=True)
def _least_used(rules, counts, cell, drawn, column):
    """The cell of `column` with the fewest segments; ties are drawn."""
    start = column * rules.cells
    fewest, ties = cell[start, OWNED], 0
    for c in range(start, start + rules.cells):
        if cell[c, OWNED] < fewest:
            fewest, ties = cell[c, OWNED], 0
        ties += cell[c, OWNED] == fewest
    pick = _draw(rules.key, counts, drawn, ties)
    for c in range(start, start + rules.cells):
        if cell[c, OWNED] == fewest:
            if pick == 0:
                return c
            pick -= 1
    return start


@njit(cache=True, nogil=True)
def _sort_columns(rules, store, columns):
    """Fill `kind`, `best` and `former` of the active columns; returns how many were predicted."""
    counts, table = store.counts, store.segment
    kind, best, former = store.kind, store.best, store.former
    predicting, matching, winners = store.predicting, store.matching, store.winners
    hits = 0
    for c in columns:
        kind[c] = 1
        best[c] = former[c] = -1
    for i in range(counts[PREDICTING]):
        c = table[predicting[i], CELL] // rules.cells
        if kind[c] == 1:
            kind[c] = 2
            hits += 1
    for i in range(counts[MATCHING]):
        segment = matching[i]
        c = table[segment, CELL] // rules.cells
        if kind[c] == 1 and (best[c] < 0 or table[segment, POTENTIAL] > table[best[c], POTENTIAL]):
            best[c] = segment
    for i in range(counts[WINNERS]):
        c = winners[i] // rules.cells
        if kind[c] == 1 and former[c] < 0:
            former[c] = winners[i]
    return hits


@njit(cache=True, nogil=True)
def _predicted(rules, store, learn):
    """Mark the predicted cells of active columns; their segments learn."""
    table, kind, predicting, expected = store.segment, store.kind, store.predicting, store.expected
    for i in range(store.counts[PREDICTING]):
        cell = table[predicting[i], CELL]
        if kind[cell // rules.cells] == 2:
            expected[cell] = 1
            if learn:
                _learn(rules, store, predicting[i])


@njit(cache=True, nogil=True)
def _winner(rules, store, column, learn):
    """The winning cell of a bursting column, after it learned."""
    segment = store.best[column]
    if segment >= 0:
        cell = store.segment[segment, CELL]
        if learn:
            _learn(rules, store, segment)
        return cell
    cell = store.former[column]
    if cell < 0:
        cell = np.int32(_least_used(rules, store.counts, store.cell, store.drawn, column))
    if learn and store.counts[WINNERS] > 0:
        _sprout(rules, store, cell)
    return cell


@njit(cache=True, nogil=True)
def _punish(rules, store):
    """Segments that matched in columns that stayed silent forget what they heard."""
    counts, table, synapse, cell, target, slot = store[:6]
    free, free_chunks, on = store.free, store.free_chunks, store.on
    kind, matching, up = store.kind, store.matching, -rules.punishment
    for i in range(counts[MATCHING]):
        segment = matching[i]
        owner = table[segment, CELL]
        # One that was dropped in this step has no cell, or one in an active column.
        if owner >= 0 and kind[owner // rules.cells] == 0:
            _adapt(rules.connected, counts, table, synapse, cell, target, slot, free, free_chunks, on, segment, up, 0)


@njit(cache=True, nogil=True)
def _become(store, active, winners):
    """The next cells become the last ones."""
    counts, on = store.counts, store.on
    for i in range(counts[ACTIVE]):
        on[store.active[i]] = 0
    counts[ACTIVE], counts[WINNERS] = active, winners
    for i in range(active):
        store.active[i] = store.next_active[i]
        on[store.active[i]] = 1
    for i in range(winners):
        store.winners[i] = store.next_winners[i]


@njit(cache=True, nogil=True)
def _fire(rules, store, columns, learn):
    """Fill the next cells, ascending; bursting columns learn. Returns how many fire and how many win."""
    kind, expected, next_active, next_winners = store.kind, store.expected, store.next_active, store.next_winners
    active = winners = 0
    for c in columns:
        cells = range(c * rules.cells, (c + 1) * rules.cells)
        if kind[c] == 1:
            next_winners[winners] = _winner(rules, store, c, learn)
            winners += 1
            for cell in cells:
                next_active[active] = cell
                active += 1
        else:
            for cell in cells:
                if expected[cell] == 1:
                    expected[cell] = 0
                    next_active[active] = next_winners[winners] = cell
                    active += 1
                    winners += 1
    return active, winners


@njit(cache=True, nogil=True)
def _ask(address):
    """Fetch the three cache lines of a chunk."""
    prefetch(address)
    prefetch(address + 64)
    prefetch(address + 128)


@njit(cache=True, nogil=True)
def _tell(cell, target, active, tally):
    """Add what the active cells tell to the tallies; returns the number of synapses."""
    visits, base, width = 0, target.ctypes.data, np.int64(4 * (CHUNK + 1))
    for i in range(active.size):
        # Chunks lie anywhere: asked for eight cells ahead, and from one to the next, they come in time.
        if i + 8 < active.size:
            _ask(base + width * np.int64(cell[active[i + 8], NEWEST]))
        chunk, n = cell[active[i], NEWEST], cell[active[i], FILL]
        while chunk >= 0:
            row = target[chunk]
            _ask(base + width * np.int64(row[LINK]))
            for k in range(n):
                # The low byte counts synapses, the high byte the connected ones. Unsigned: no index wraps.
                word = uint32(row[k])
                tally[word >> uint32(1)] += uint32(1) + ((word & uint32(1)) << uint32(8))
            visits += n
            chunk = row[LINK]
            n = CHUNK
    return visits


@njit(cache=True, nogil=True)
def activate(rules, store):
    """What the active cells tell the segments: which reach the thresholds, and with how many synapses."""
    counts, tally, table = store.counts, store.tally, store.segment
    predicting, matching = store.predicting, store.matching
    counts[VISITS] = _tell(store.cell, store.target, store.active[: counts[ACTIVE]], tally)
    minimum, reached, matched = np.uint16(rules.minimum), 0, 0
    for start in range(0, counts[SEGMENTS], BLOCK):
        part = tally[start : start + BLOCK]
        # Most blocks hold nothing: their maximum is a few vector operations.
        most = np.uint16(0)
        for k in range(part.size):
            most = max(most, np.uint16(part[k] & np.uint16(255)))
        if most >= minimum:
            for k in range(part.size):
                if part[k] & 255 >= minimum:
                    table[start + k, POTENTIAL] = part[k] & 255
                    matching[matched] = start + k
                    matched += 1
                    if part[k] >> 8 >= rules.activation:
                        predicting[reached] = start + k
                        reached += 1
        part[:] = 0
    counts[PREDICTING], counts[MATCHING] = reached, matched


@njit(cache=True, nogil=True)
def advance(rules, owned, columns, learn):
    """One step on the active `columns` [n] (ascending): returns how many of them had been predicted."""
    store = _bare(owned)
    store.counts[DRAWS] = 0
    hits = _sort_columns(rules, store, columns)
    _predicted(rules, store, learn)
    active, winners = _fire(rules, store, columns, learn)
    if learn and rules.punishment > 0:
        _punish(rules, store)
    for c in columns:
        store.kind[c] = 0
    _become(store, active, winners)
    activate(rules, store)
    store.counts[STEP] += 1
    return hits


@njit(cache=True, nogil=True)
def relink(rules, store):
    """Outgoing synapses and lists of segments from the segments alone, as after reading them from a file."""
    counts, table, synapse, cell, target, slot = store[:6]
    for segment in range(counts[SEGMENTS] - 1, -1, -1):
        owner = table[segment, CELL]
        if owner >= 0:
            table[segment, FOLLOWING] = cell[owner, FIRST]
            cell[owner, FIRST] = segment
            cell[owner, OWNED] += 1
            counts[SYNAPSES] += table[segment, FILLED]
            for s in range(table[segment, FILLED]):
                connected = synapse[segment, s, PERMANENCE] >= rules.connected
                _attach(counts, synapse, cell, target, slot, store.free_chunks, segment, s, connected)
    for i in range(counts[ACTIVE]):
        store.on[store.active[i]] = 1
    activate(rules, store)


@njit(cache=True, nogil=True)
def clear(store):
    """Forget the last step, not what was learned."""
    _become(store, 0, 0)
    store.counts[PREDICTING] = store.counts[MATCHING] = 0


PER_SEGMENT = ("segment", "synapse", "free", "predicting", "matching", "tally")
PER_CHUNK = ("target", "slot", "free_chunks")
NARROW = {"counts": np.int64, "tally": np.uint16, "drawn": np.uint32}
BYTES = ("slot", "on", "marked", "expected", "kind")


def shapes(columns, rules, segments, chunks):
    """{name: (shape, dtype)} of a store with room for so many segments and chunks."""
    cells = columns * rules.cells
    sizes = dict.fromkeys(Store._fields, (cells,)) | dict.fromkeys(PER_SEGMENT, (segments,))
    sizes |= dict.fromkeys(("kind", "best", "former"), (columns,))
    sizes |= {"counts": (COUNTS,), "drawn": (4,), "cell": (cells, 4), "free_chunks": (chunks,)}
    sizes |= {"segment": (segments, 5), "synapse": (segments, rules.synapses, 4)}
    sizes |= {"target": (chunks, CHUNK + 1), "slot": (chunks, CHUNK)}
    kinds = dict.fromkeys(Store._fields, np.int32) | dict.fromkeys(BYTES, np.uint8) | NARROW
    return {name: (sizes[name], kinds[name]) for name in Store._fields}


def most_chunks(columns, rules):
    """Chunks that the caps allow: full ones, one that is not full a cell, and what `room` keeps ready."""
    cells = columns * rules.cells
    return (cells * rules.segments * rules.synapses // CHUNK + 2 * cells) * 3 // 2


def nbytes(columns, rules, segments, chunks):
    """Bytes of such a store."""
    every = shapes(columns, rules, segments, chunks).values()
    return sum(math.prod(shape) * np.dtype(kind).itemsize for shape, kind in every)


def empty(columns, rules, segments, chunks):
    """A store with room for so many segments and chunks."""
    every = shapes(columns, rules, segments, chunks)
    store = Store(**{name: np.zeros(shape, kind) for name, (shape, kind) in every.items()})
    store.segment[:, CELL] = -1
    store.cell[:, FIRST] = store.cell[:, NEWEST] = -1
    return store


def room(rules, store, columns, most_segments):
    """The store, or a larger copy where the next step on `columns` active columns might not fit.

    A step adds a segment a column at most, and to every segment that learns at most `growth` synapses, from the last
    winners: a new chunk for each of those, and one more for every CHUNK synapses.
    """
    counts = store.counts
    segments, chunks = len(store.segment), len(store.target)
    learning = counts[PREDICTING] + columns
    more = counts[WINNERS] + learning * rules.growth // CHUNK + 1
    changes = {}
    new = max(columns - int(counts[FREE]), 0)
    if counts[SEGMENTS] + new > segments and segments < most_segments:
        size = min(max(2 * segments, int(counts[SEGMENTS]) + new), most_segments)
        changes |= {name: _longer(getattr(store, name), size) for name in PER_SEGMENT}
    if counts[CHUNKS] - counts[FREE_CHUNKS] + more > chunks:
        size = max(chunks * 3 // 2, int(chunks + more))
        changes |= {name: _longer(getattr(store, name), size) for name in PER_CHUNK}
    return store._replace(**changes) if changes else store


def _longer(array, size):
    longer = np.zeros((size, *array.shape[1:]), array.dtype)
    longer[: len(array)] = array
    return longer
