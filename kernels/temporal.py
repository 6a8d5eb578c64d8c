"""One step of a temporal memory (Hawkins & Ahmad 2016; Cui et al. 2016): cells, segments, synapses in flat arrays.

A segment's synapses lie in one row of [segments, synapses] arrays; a cell's outgoing synapses lie in chunks of 32
that are linked from the newest to the oldest. What a cell tells its targets is then a walk over a few cache lines,
and no step looks at more than the synapses of the active cells and the tallies of all segments. Room is never taken
here: whoever calls makes sure of it (`room`), so the kernel cannot fail halfway.

Permanences are whole numbers of 1e-4: sums of tenths come out exact, and in any order.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit, uint32, uint64

from neurosim.kernels.random import words

ONE = 10_000
CHUNK = 32
BLOCK = 64
# Places in Store.counts.
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
    """Everything a memory remembers, and the scratch of a step."""

    counts: np.ndarray  # [COUNTS] int64
    # of each segment: its cell (-1: free), the next of the same cell, the step it last learned, its synapses
    cell: np.ndarray  # [S] int32
    following: np.ndarray  # [S] int32
    learned: np.ndarray  # [S] uint32
    filled: np.ndarray  # [S] int16
    # of each synapse: presynaptic cell, permanence, place among that cell's outgoing ones, step it was last active
    source: np.ndarray  # [S, synapses] int32
    permanence: np.ndarray  # [S, synapses] int16
    place: np.ndarray  # [S, synapses] int32
    heard: np.ndarray  # [S, synapses] uint32
    free: np.ndarray  # [S] int32, a stack of freed segments
    # of each cell: first segment, number of segments, newest chunk of outgoing synapses and how full it is
    first: np.ndarray  # [cells] int32
    owned: np.ndarray  # [cells] int16
    chunk: np.ndarray  # [cells] int32
    fill: np.ndarray  # [cells] int32
    # of each chunk: the next older one; of each outgoing synapse: 2 segment + connected, and its slot there
    link: np.ndarray  # [C] int32
    target: np.ndarray  # [C, CHUNK] int32
    slot: np.ndarray  # [C, CHUNK] uint8
    free_chunks: np.ndarray  # [C] int32, a stack
    # the last step: active and winning cells, segments that reach a threshold and how many synapses heard something
    active: np.ndarray  # [cells] int32
    winners: np.ndarray  # [cells] int32
    predicting: np.ndarray  # [S] int32
    matching: np.ndarray  # [S] int32
    potential: np.ndarray  # [S] int16
    # scratch: zero between steps, or written before it is read
    on: np.ndarray  # [cells] uint8, 1 for the cells of `active`
    chosen: np.ndarray  # [cells] uint8
    marked: np.ndarray  # [cells] uint8
    pool: np.ndarray  # [cells] int32
    next_active: np.ndarray  # [cells] int32
    next_winners: np.ndarray  # [cells] int32
    tally: np.ndarray  # [S] uint16
    kind: np.ndarray  # [columns] uint8
    best: np.ndarray  # [columns] int32
    former: np.ndarray  # [columns] int32
    drawn: np.ndarray  # [4] uint32


@njit(cache=True, nogil=True)
def _draw(rules, store, below):
    """A whole number in 0..below-1; draw d of a step is word d % 4 of block d // 4."""
    d = store.counts[DRAWS]
    if d % 4 == 0:
        a, b, c, e = words(uint64(rules.key), uint64(store.counts[STEP]), uint64(d // 4))
        store.drawn[0], store.drawn[1], store.drawn[2], store.drawn[3] = a, b, c, e
    store.counts[DRAWS] = d + 1
    return np.int64(uint64(store.drawn[d % 4]) * uint64(below) >> uint64(32))


@njit(cache=True, nogil=True)
def _attach(store, pre, segment, slot, connected):
    """Append a synapse to the outgoing ones of cell `pre`."""
    counts = store.counts
    chunk, fill = store.chunk[pre], store.fill[pre]
    if chunk < 0 or fill == CHUNK:
        if counts[FREE_CHUNKS] > 0:
            counts[FREE_CHUNKS] -= 1
            new = store.free_chunks[counts[FREE_CHUNKS]]
        else:
            new = np.int32(counts[CHUNKS])
            counts[CHUNKS] += 1
        store.link[new] = chunk
        store.chunk[pre] = chunk = new
        fill = 0
    store.target[chunk, fill] = 2 * segment + connected
    store.slot[chunk, fill] = slot
    store.place[segment, slot] = chunk * CHUNK + fill
    store.fill[pre] = fill + 1


@njit(cache=True, nogil=True)
def _detach(store, pre, place):
    """Take the synapse at `place` out of the outgoing ones of `pre`; the last of them moves there."""
    chunk, last = store.chunk[pre], store.fill[pre] - 1
    moved, slot = store.target[chunk, last], store.slot[chunk, last]
    store.target[place // CHUNK, place % CHUNK] = moved
    store.slot[place // CHUNK, place % CHUNK] = slot
    store.place[moved >> 1, slot] = place
    store.fill[pre] = last
    if last == 0:
        store.free_chunks[store.counts[FREE_CHUNKS]] = chunk
        store.counts[FREE_CHUNKS] += 1
        older = store.link[chunk]
        store.chunk[pre] = older
        store.fill[pre] = CHUNK if older >= 0 else 0


@njit(cache=True, nogil=True)
def _drop_synapse(store, segment, slot):
    """Remove a synapse; the last of its segment takes its slot."""
    _detach(store, store.source[segment, slot], store.place[segment, slot])
    last = store.filled[segment] - 1
    if slot != last:
        place = store.place[segment, last]
        store.source[segment, slot] = store.source[segment, last]
        store.permanence[segment, slot] = store.permanence[segment, last]
        store.heard[segment, slot] = store.heard[segment, last]
        store.place[segment, slot] = place
        store.slot[place // CHUNK, place % CHUNK] = slot
    store.filled[segment] = last
    store.counts[SYNAPSES] -= 1


@njit(cache=True, nogil=True)
def _add_synapse(rules, store, segment, pre):
    """A new synapse of initial permanence; a full segment gives up the one that was silent longest."""
    now = uint32(store.counts[STEP])
    if store.filled[segment] == rules.synapses:
        oldest, age = 0, uint32(now - store.heard[segment, 0])
        for i in range(1, rules.synapses):
            other = uint32(now - store.heard[segment, i])
            if other > age:
                oldest, age = i, other
        _drop_synapse(store, segment, oldest)
    slot = store.filled[segment]
    store.source[segment, slot] = pre
    store.permanence[segment, slot] = rules.initial
    store.heard[segment, slot] = now
    _attach(store, pre, segment, slot, rules.initial >= rules.connected)
    store.filled[segment] = slot + 1
    store.counts[SYNAPSES] += 1


@njit(cache=True, nogil=True)
def _drop_segment(store, segment):
    while store.filled[segment] > 0:
        _drop_synapse(store, segment, store.filled[segment] - 1)
    cell = store.cell[segment]
    if store.first[cell] == segment:
        store.first[cell] = store.following[segment]
    else:
        before = store.first[cell]
        while store.following[before] != segment:
            before = store.following[before]
        store.following[before] = store.following[segment]
    store.owned[cell] -= 1
    store.cell[segment] = -1
    store.free[store.counts[FREE]] = segment
    store.counts[FREE] += 1


@njit(cache=True, nogil=True)
def _add_segment(rules, store, cell):
    """A new segment; a cell that has all it may have gives up the one that has not learned for longest."""
    now = uint32(store.counts[STEP])
    if store.owned[cell] == rules.segments:
        oldest = store.first[cell]
        other = store.following[oldest]
        while other >= 0:
            older, age = uint32(now - store.learned[other]), uint32(now - store.learned[oldest])
            if older > age or (older == age and other < oldest):
                oldest = other
            other = store.following[other]
        _drop_segment(store, oldest)
    if store.counts[FREE] > 0:
        store.counts[FREE] -= 1
        segment = store.free[store.counts[FREE]]
    else:
        segment = np.int32(store.counts[SEGMENTS])
        store.counts[SEGMENTS] += 1
    store.cell[segment] = cell
    store.learned[segment] = now
    store.filled[segment] = 0
    store.following[segment] = store.first[cell]
    store.first[cell] = segment
    store.owned[cell] += 1
    return segment


@njit(cache=True, nogil=True)
def _adapt(rules, store, segment, up, down):
    """`up` to synapses from active cells, `down` from the others; those that reach 0 go, and an empty segment too."""
    for i in range(store.filled[segment] - 1, -1, -1):
        before = np.int64(store.permanence[segment, i])
        heard = store.on[store.source[segment, i]] == 1
        after = min(before + up, ONE) if heard else before - down
        if after <= 0:
            _drop_synapse(store, segment, i)
            continue
        store.permanence[segment, i] = after
        if heard:
            store.heard[segment, i] = uint32(store.counts[STEP])
        if (before >= rules.connected) != (after >= rules.connected):
            place = store.place[segment, i]
            store.target[place // CHUNK, place % CHUNK] ^= 1
    if store.filled[segment] == 0:
        _drop_segment(store, segment)


@njit(cache=True, nogil=True)
def _grow(rules, store, segment, wanted):
    """Synapses to `wanted` of the last winners, drawn from those that the segment does not hear yet."""
    if wanted <= 0:
        return
    for i in range(store.filled[segment]):
        store.marked[store.source[segment, i]] = 1
    n = 0
    for i in range(store.counts[WINNERS]):
        if store.marked[store.winners[i]] == 0:
            store.pool[n] = store.winners[i]
            n += 1
    for i in range(store.filled[segment]):
        store.marked[store.source[segment, i]] = 0
    for i in range(min(wanted, n)):
        j = i + _draw(rules, store, n - i)
        pre = store.pool[j]
        store.pool[j] = store.pool[i]
        _add_synapse(rules, store, segment, pre)


@njit(cache=True, nogil=True)
def _learn(rules, store, segment):
    store.learned[segment] = uint32(store.counts[STEP])
    _adapt(rules, store, segment, rules.increment, rules.decrement)
    _grow(rules, store, segment, rules.growth - store.potential[segment])


@njit(cache=True, nogil=True)
def _least_used(rules, store, column):
    """The cell of `column` with the fewest segments; ties are drawn."""
    start = column * rules.cells
    fewest, ties = store.owned[start], 0
    for cell in range(start, start + rules.cells):
        if store.owned[cell] < fewest:
            fewest, ties = store.owned[cell], 0
        ties += store.owned[cell] == fewest
    pick = _draw(rules, store, ties)
    for cell in range(start, start + rules.cells):
        if store.owned[cell] == fewest:
            if pick == 0:
                return cell
            pick -= 1
    return start


@njit(cache=True, nogil=True)
def _sort_columns(rules, store, columns):
    """kind: 1 bursts, 2 was predicted; best: the segment that matches best; former: a winner of the last step."""
    counts = store.counts
    hits = 0
    for c in columns:
        store.kind[c] = 1
        store.best[c] = store.former[c] = -1
    for i in range(counts[PREDICTING]):
        c = store.cell[store.predicting[i]] // rules.cells
        if store.kind[c] == 1:
            store.kind[c] = 2
            hits += 1
    for i in range(counts[MATCHING]):
        segment = store.matching[i]
        c = store.cell[segment] // rules.cells
        if store.kind[c] == 1:
            best = store.best[c]
            if best < 0 or store.potential[segment] > store.potential[best]:
                store.best[c] = segment
    for i in range(counts[WINNERS]):
        c = store.winners[i] // rules.cells
        if store.kind[c] == 1 and store.former[c] < 0:
            store.former[c] = store.winners[i]
    return hits


@njit(cache=True, nogil=True)
def _predicted(rules, store, learn):
    """Predicted cells of active columns are active and win; their segments learn. Returns how many."""
    n = 0
    for i in range(store.counts[PREDICTING]):
        segment = store.predicting[i]
        cell = store.cell[segment]
        if store.kind[cell // rules.cells] == 2:
            if store.chosen[cell] == 0:
                store.chosen[cell] = 1
                store.next_active[n] = store.next_winners[n] = cell
                n += 1
            if learn:
                _learn(rules, store, segment)
    for i in range(n):
        store.chosen[store.next_active[i]] = 0
    return n


@njit(cache=True, nogil=True)
def _winner(rules, store, column, learn):
    """The winning cell of a bursting column, after it learned."""
    segment = store.best[column]
    if segment >= 0:
        cell = store.cell[segment]
        if learn:
            _learn(rules, store, segment)
        return cell
    cell = store.former[column]
    if cell < 0:
        cell = np.int32(_least_used(rules, store, column))
    if learn and store.counts[WINNERS] > 0:
        _grow(rules, store, _add_segment(rules, store, cell), rules.growth)
    return cell


@njit(cache=True, nogil=True)
def _punish(rules, store):
    """Segments that matched in columns that stayed silent forget what they heard."""
    for i in range(store.counts[MATCHING]):
        segment = store.matching[i]
        cell = store.cell[segment]
        # One that was dropped in this step has no cell, or one in an active column.
        if cell >= 0 and store.kind[cell // rules.cells] == 0:
            _adapt(rules, store, segment, -rules.punishment, 0)


@njit(cache=True, nogil=True)
def _become(store, active, winners):
    """The next cells become the last ones."""
    counts = store.counts
    for i in range(counts[ACTIVE]):
        store.on[store.active[i]] = 0
    counts[ACTIVE], counts[WINNERS] = active, winners
    store.active[:active] = np.sort(store.next_active[:active])
    store.winners[:winners] = np.sort(store.next_winners[:winners])
    for i in range(active):
        store.on[store.active[i]] = 1


@njit(cache=True, nogil=True)
def activate(rules, store):
    """What the active cells tell the segments: which reach the thresholds, and with how many synapses."""
    counts, tally = store.counts, store.tally
    visits = 0
    for i in range(counts[ACTIVE]):
        chunk, n = store.chunk[store.active[i]], store.fill[store.active[i]]
        while chunk >= 0:
            row = store.target[chunk]
            for k in range(n):
                # The low byte counts synapses, the high byte the connected ones.
                tally[row[k] >> 1] += 1 + ((row[k] & 1) << 8)
            visits += n
            chunk = store.link[chunk]
            n = CHUNK
    counts[VISITS] = visits
    predicting = matching = 0
    for start in range(0, counts[SEGMENTS], BLOCK):
        part = tally[start : start + BLOCK]
        # Most blocks hold nothing: their maximum is one vector operation.
        most = 0
        for k in range(part.size):
            most = max(most, part[k] & 255)
        if most >= rules.minimum:
            for k in range(part.size):
                if part[k] & 255 >= rules.minimum:
                    segment = start + k
                    store.potential[segment] = part[k] & 255
                    store.matching[matching] = segment
                    matching += 1
                    if part[k] >> 8 >= rules.activation:
                        store.predicting[predicting] = segment
                        predicting += 1
        part[:] = 0
    counts[PREDICTING], counts[MATCHING] = predicting, matching


@njit(cache=True, nogil=True)
def advance(rules, store, columns, learn):
    """One step on the active `columns` [n] (ascending): returns how many of them had been predicted."""
    counts = store.counts
    counts[DRAWS] = 0
    hits = _sort_columns(rules, store, columns)
    active = winners = _predicted(rules, store, learn)
    for c in columns:
        if store.kind[c] == 1:
            store.next_winners[winners] = _winner(rules, store, c, learn)
            winners += 1
            for cell in range(c * rules.cells, (c + 1) * rules.cells):
                store.next_active[active] = cell
                active += 1
    if learn and rules.punishment > 0:
        _punish(rules, store)
    for c in columns:
        store.kind[c] = 0
    _become(store, active, winners)
    activate(rules, store)
    counts[STEP] += 1
    return hits


@njit(cache=True, nogil=True)
def relink(rules, store):
    """Outgoing synapses and lists of segments from the segments alone, as after reading them from a file."""
    counts = store.counts
    for segment in range(counts[SEGMENTS] - 1, -1, -1):
        cell = store.cell[segment]
        if cell >= 0:
            store.following[segment] = store.first[cell]
            store.first[cell] = segment
            store.owned[cell] += 1
            counts[SYNAPSES] += store.filled[segment]
            for slot in range(store.filled[segment]):
                connected = store.permanence[segment, slot] >= rules.connected
                _attach(store, store.source[segment, slot], segment, slot, connected)
    for i in range(counts[ACTIVE]):
        store.on[store.active[i]] = 1
    activate(rules, store)


@njit(cache=True, nogil=True)
def clear(store):
    """Forget the last step, not what was learned."""
    _become(store, 0, 0)
    store.counts[PREDICTING] = store.counts[MATCHING] = 0


PER_SEGMENT = {
    "cell": np.int32, "following": np.int32, "learned": np.uint32, "filled": np.int16, "free": np.int32,
    "predicting": np.int32, "matching": np.int32, "potential": np.int16, "tally": np.uint16,
}  # fmt: skip
PER_SYNAPSE = {"source": np.int32, "permanence": np.int16, "place": np.int32, "heard": np.uint32}
PER_CELL = {
    "first": np.int32, "owned": np.int16, "chunk": np.int32, "fill": np.int32, "active": np.int32,
    "winners": np.int32, "on": np.uint8, "chosen": np.uint8, "marked": np.uint8, "pool": np.int32,
    "next_active": np.int32, "next_winners": np.int32,
}  # fmt: skip
PER_CHUNK = {
    "link": ((), np.int32), "target": ((CHUNK,), np.int32), "slot": ((CHUNK,), np.uint8), "free_chunks": ((), np.int32),
}  # fmt: skip
PER_COLUMN = {"kind": np.uint8, "best": np.int32, "former": np.int32}


def shapes(columns, rules, segments, chunks):
    """{name: (shape, dtype)} of a store with room for so many segments and chunks."""
    cells = columns * rules.cells
    every = {name: ((segments,), kind) for name, kind in PER_SEGMENT.items()}
    every |= {name: ((segments, rules.synapses), kind) for name, kind in PER_SYNAPSE.items()}
    every |= {name: ((cells,), kind) for name, kind in PER_CELL.items()}
    every |= {name: ((columns,), kind) for name, kind in PER_COLUMN.items()}
    every |= {name: ((chunks, *shape), kind) for name, (shape, kind) in PER_CHUNK.items()}
    return every | {"counts": ((COUNTS,), np.int64), "drawn": ((4,), np.uint32)}


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
    for name in ("cell", "first", "chunk"):
        getattr(store, name)[:] = -1
    return store


def room(rules, store, columns, most_segments):
    """The store, or a larger copy where the next step on `columns` active columns might not fit.

    A step adds a segment a column at most, and to every segment that learns at most `growth` synapses, from the last
    winners: a new chunk for each of those, and one more for every CHUNK synapses.
    """
    counts = store.counts
    segments, chunks = store.cell.size, store.link.size
    learning = counts[PREDICTING] + columns
    more = counts[WINNERS] + learning * rules.growth // CHUNK + 1
    changes = {}
    if counts[SEGMENTS] + columns > segments and segments < most_segments:
        size = min(max(2 * segments, int(counts[SEGMENTS]) + columns), most_segments)
        changes |= {name: _longer(getattr(store, name), size) for name in (*PER_SEGMENT, *PER_SYNAPSE)}
    if counts[CHUNKS] - counts[FREE_CHUNKS] + more > chunks:
        size = max(chunks * 3 // 2, int(chunks + more))
        changes |= {name: _longer(getattr(store, name), size) for name in PER_CHUNK}
    return store._replace(**changes) if changes else store


def _longer(array, size):
    longer = np.zeros((size, *array.shape[1:]), array.dtype)
    longer[: len(array)] = array
    return longer
