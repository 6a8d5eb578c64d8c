"""One step of a temporal memory (Hawkins & Ahmad 2016; Cui et al. 2016), compiled.

Tables are never enlarged here: the caller makes room first (`store.room`), so the kernel cannot fail halfway.
"""

from __future__ import annotations

import numpy as np
from numba import njit, uint32

from ...tools.compiled import compiled
from ...tools.intrinsics import prefetch
from ...tools.pointers import bare_matrix, bare_vector
from .segments import adapt, attach, least_used, reinforce, sprout, tables_of
from .store import (
    ACTIVE,
    BLOCK,
    CELL,
    CHUNK,
    DRAWS,
    FILL,
    FILLED,
    FIRST,
    FOLLOWING,
    LINK,
    MATCHING,
    NEWEST,
    OWNED,
    PERMANENCE,
    POTENTIAL,
    PREDICTING,
    SEGMENTS,
    STEP,
    SYNAPSES,
    VISITS,
    WINNERS,
    Store,
)


@compiled
def bare(store):
    """Return the same arrays without owners: counting references to owners takes half of the time of compiled loops.

    The caller keeps `store`, and so the arrays, alive.
    """
    return Store(
        bare_vector(store.counts),
        bare_matrix(store.segment),
        bare_matrix(store.synapse.reshape(len(store.synapse), -1)).reshape(store.synapse.shape),
        bare_matrix(store.cell),
        bare_matrix(store.target),
        bare_matrix(store.slot),
        bare_vector(store.free),
        bare_vector(store.free_chunks),
        bare_vector(store.active),
        bare_vector(store.winners),
        bare_vector(store.predicting),
        bare_vector(store.matching),
        bare_vector(store.on),
        bare_vector(store.marked),
        bare_vector(store.expected),
        bare_vector(store.pool),
        bare_vector(store.next_active),
        bare_vector(store.next_winners),
        bare_vector(store.tally),
        bare_vector(store.kind),
        bare_vector(store.best),
        bare_vector(store.former),
        bare_vector(store.drawn),
    )


@compiled
def _sort_columns(rules, store, columns):
    """Fill `kind`, `best` and `former` of the active columns; return the number of predicted ones."""
    counts = store.counts
    table = store.segment
    kind = store.kind
    best = store.best
    former = store.former
    predicting = store.predicting
    matching = store.matching
    winners = store.winners
    hits = 0
    for c in columns:
        kind[c] = 1
        best[c] = former[c] = -1
    # 1 bursts, 2 was predicted; 0, an inactive column, stays.
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
    # Winners are ascending: the lowest of a column comes first.
    for i in range(counts[WINNERS]):
        c = winners[i] // rules.cells
        if kind[c] == 1 and former[c] < 0:
            former[c] = winners[i]
    return hits


@compiled
def _predicted(rules, store, learn):
    """Mark the predicted cells of active columns; their segments learn."""
    table = store.segment
    kind = store.kind
    predicting = store.predicting
    expected = store.expected
    for i in range(store.counts[PREDICTING]):
        cell = table[predicting[i], CELL]
        if kind[cell // rules.cells] == 2:
            expected[cell] = 1
            if learn:
                reinforce(rules, store, predicting[i])


@compiled
def _winner(rules, store, column, learn):
    """Return the winning cell of a bursting column, which learns."""
    segment = store.best[column]
    if segment >= 0:
        cell = store.segment[segment, CELL]
        if learn:
            reinforce(rules, store, segment)
        return cell
    cell = store.former[column]
    if cell < 0:
        cell = np.int32(least_used(rules, store, column))
    if learn and store.counts[WINNERS] > 0:
        sprout(rules, store, cell)
    return cell


@compiled
def _punish(rules, store):
    """Weaken the active synapses of segments that matched in columns that stayed silent."""
    tables = tables_of(store)
    matching = store.matching
    for i in range(store.counts[MATCHING]):
        segment = matching[i]
        owner = store.segment[segment, CELL]
        # One that was dropped in this step has no cell, or one in an active column.
        if owner >= 0 and store.kind[owner // rules.cells] == 0:
            adapt(rules, tables, store.on, segment, -rules.punishment, 0)


@compiled
def _keep(store, active, winners):
    """Store the next cells, `active` and `winners` of them, as the cells of the last step."""
    counts = store.counts
    on = store.on
    for i in range(counts[ACTIVE]):
        on[store.active[i]] = 0
    counts[ACTIVE] = active
    counts[WINNERS] = winners
    for i in range(active):
        store.active[i] = store.next_active[i]
        on[store.active[i]] = 1
    for i in range(winners):
        store.winners[i] = store.next_winners[i]


@compiled
def _fire(rules, store, columns, learn):
    """Fill the next cells, ascending; bursting columns learn. Return the number of active cells and of winners."""
    kind = store.kind
    expected = store.expected
    next_active = store.next_active
    next_winners = store.next_winners
    active = winners = 0
    for c in columns:
        cells = range(c * rules.cells, (c + 1) * rules.cells)
        # Nobody expected this column: all its cells fire, and one of them learns.
        if kind[c] == 1:
            next_winners[winners] = _winner(rules, store, c, learn)
            winners += 1
            for cell in cells:
                next_active[active] = cell
                active += 1
            continue
        for cell in cells:
            if expected[cell] == 1:
                expected[cell] = 0
                next_active[active] = next_winners[winners] = cell
                active += 1
                winners += 1
    return active, winners


@compiled
def _prefetch_chunk(address):
    """Fetch the three cache lines of a chunk."""
    prefetch(address)
    prefetch(address + 64)
    prefetch(address + 128)


@compiled
def _count_synapses(cell, target, active, tally):
    """Count the synapses from active cells into the tallies; return their number."""
    visits = 0
    base = target.ctypes.data
    width = np.int64(4 * (CHUNK + 1))
    for i in range(active.size):
        # Chunks lie anywhere: asked for eight cells ahead, and from one to the next, they come in time.
        if i + 8 < active.size:
            _prefetch_chunk(base + width * np.int64(cell[active[i + 8], NEWEST]))
        chunk = cell[active[i], NEWEST]
        n = cell[active[i], FILL]
        while chunk >= 0:
            row = target[chunk]
            _prefetch_chunk(base + width * np.int64(row[LINK]))
            for k in range(n):
                # The low byte counts synapses, the high byte the connected ones. Unsigned: no index wraps.
                word = uint32(row[k])
                tally[word >> uint32(1)] += uint32(1) + ((word & uint32(1)) << uint32(8))
            visits += n
            chunk = row[LINK]
            n = CHUNK
    return visits


@compiled
def activate(rules, store):
    """Find the segments whose synapses from active cells reach the thresholds, and their number of synapses."""
    counts = store.counts
    tally = store.tally
    counts[VISITS] = _count_synapses(store.cell, store.target, store.active[: counts[ACTIVE]], tally)
    matched = 0
    reached = 0
    for start in range(0, counts[SEGMENTS], BLOCK):
        part = tally[start : start + BLOCK]
        # Most blocks hold nothing: their maximum is a few vector operations.
        largest = np.uint16(0)
        for k in range(part.size):
            largest = max(largest, np.uint16(part[k] & np.uint16(255)))
        if largest >= np.uint16(rules.minimum):
            matched, reached = _list_reached(rules, store, part, start, matched, reached)
        part[:] = 0
    counts[MATCHING] = matched
    counts[PREDICTING] = reached


@njit(inline="always")
def _list_reached(rules, store, tally, start, matched, reached):
    """List the segments from `start` on, whose tallies these are, that match and that predict.

    Returns:
        the number of segments that match so far, and of those that predict.
    """
    for k in range(tally.size):
        potential = tally[k] & 255
        if potential < np.uint16(rules.minimum):
            continue
        store.segment[start + k, POTENTIAL] = potential
        store.matching[matched] = start + k
        matched += 1
        if tally[k] >> 8 >= rules.activation:
            store.predicting[reached] = start + k
            reached += 1
    return matched, reached


@compiled
def advance(rules, owned, columns, learn):
    """Advance by one step on the active `columns` [n], ascending; return the number of them that were predicted."""
    store = bare(owned)
    # Draws are numbered within a step, so that they depend on the key and the step alone.
    store.counts[DRAWS] = 0
    hits = _sort_columns(rules, store, columns)
    _predicted(rules, store, learn)
    active, winners = _fire(rules, store, columns, learn)
    if learn and rules.punishment > 0:
        _punish(rules, store)
    for c in columns:
        store.kind[c] = 0
    _keep(store, active, winners)
    activate(rules, store)
    store.counts[STEP] += 1
    return hits


@compiled
def relink(rules, owned):
    """Build outgoing synapses and lists of segments from the segments alone, as read from a file."""
    store = bare(owned)
    tables = tables_of(store)
    counts = store.counts
    table = store.segment
    cell = store.cell
    # From the last, so that a cell's list is in the order of segments.
    for segment in range(counts[SEGMENTS] - 1, -1, -1):
        owner = table[segment, CELL]
        if owner >= 0:
            table[segment, FOLLOWING] = cell[owner, FIRST]
            cell[owner, FIRST] = segment
            cell[owner, OWNED] += 1
            counts[SYNAPSES] += table[segment, FILLED]
            for s in range(table[segment, FILLED]):
                attach(tables, segment, s, store.synapse[segment, s, PERMANENCE] >= rules.connected)
    for i in range(counts[ACTIVE]):
        store.on[store.active[i]] = 1
    activate(rules, store)


@compiled
def clear(store):
    """Forget the last step, not what was learned."""
    _keep(store, 0, 0)
    store.counts[PREDICTING] = store.counts[MATCHING] = 0
