"""The tables of a temporal memory: segments, synapses and cells in flat arrays, and room for more of them.

A segment's synapses lie in one row of the table of synapses; a cell's outgoing synapses lie in chunks of 32 that are
linked from the newest to the oldest. The targets of a cell are then a few cache lines, and a step reads only
the synapses of the active cells and the tallies of all segments.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

CHUNK = 32  # outgoing synapses of a cell that are stored together
BLOCK = 64  # segments that are looked at together for overlaps above the threshold
# Columns of the tables.
CELL, FOLLOWING, LEARNED, FILLED, POTENTIAL = range(5)  # of `segment`; cell -1 where it is free
SOURCE, PERMANENCE, PLACE, HEARD = range(4)  # of `synapse`; place among the outgoing ones of its source
FIRST, OWNED, NEWEST, FILL = range(4)  # of `cell`: segments; newest chunk of outgoing synapses, and what is in it
LINK = CHUNK  # of `target`: the next older chunk, after 2 segment + connected for each synapse
# Places in `counts`.
STEP, SEGMENTS, FREE, CHUNKS, FREE_CHUNKS, ACTIVE, WINNERS, PREDICTING, MATCHING, DRAWS, SYNAPSES, VISITS = range(12)
COUNTS = 12


class TemporalRules(NamedTuple):
    """Parameters as integers; permanences in steps of 1 / ONE."""

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
    """State of a temporal memory, and scratch of a step. Step numbers are modulo 2^32."""

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


PER_SEGMENT = ("segment", "synapse", "free", "predicting", "matching", "tally")
PER_CHUNK = ("target", "slot", "free_chunks")
NARROW = {"counts": np.int64, "tally": np.uint16, "drawn": np.uint32}
BYTES = ("slot", "on", "marked", "expected", "kind")


def shapes(columns, rules, segments, chunks):
    """Return {name: (shape, dtype)} of a store with room for this number of segments and chunks."""
    cells = columns * rules.cells
    sizes = dict.fromkeys(Store._fields, (cells,)) | dict.fromkeys(PER_SEGMENT, (segments,))
    sizes |= dict.fromkeys(("kind", "best", "former"), (columns,))
    sizes |= {"counts": (COUNTS,), "drawn": (4,), "cell": (cells, 4), "free_chunks": (chunks,)}
    sizes |= {"segment": (segments, 5), "synapse": (segments, rules.synapses, 4)}
    sizes |= {"target": (chunks, CHUNK + 1), "slot": (chunks, CHUNK)}
    kinds = dict.fromkeys(Store._fields, np.int32) | dict.fromkeys(BYTES, np.uint8) | NARROW
    return {name: (sizes[name], kinds[name]) for name in Store._fields}


def max_chunks(columns, rules):
    """Return the number of chunks that the limits allow, with one that is not full a cell and the reserve of `room`."""
    cells = columns * rules.cells
    return (cells * rules.segments * rules.synapses // CHUNK + 2 * cells) * 3 // 2


def nbytes(columns, rules, segments, chunks):
    """Return the bytes of a store."""
    every = shapes(columns, rules, segments, chunks).values()
    return sum(math.prod(shape) * np.dtype(kind).itemsize for shape, kind in every)


def empty(columns, rules, segments, chunks):
    """Return a store with room for this number of segments and chunks."""
    every = shapes(columns, rules, segments, chunks)
    store = Store(**{name: np.zeros(shape, kind) for name, (shape, kind) in every.items()})
    store.segment[:, CELL] = -1
    store.cell[:, FIRST] = store.cell[:, NEWEST] = -1
    return store


def room(rules, store, columns, max_segments):
    """Return the store, or a larger copy if the next step on `columns` active columns might not fit.

    A step adds a segment a column at most, and to every segment that learns at most `growth` synapses, from the last
    winners: a new chunk for each of those, and one more for every CHUNK synapses.
    """
    counts = store.counts
    segments = len(store.segment)
    chunks = len(store.target)
    learning = counts[PREDICTING] + columns
    more = counts[WINNERS] + learning * rules.growth // CHUNK + 1
    changes = {}
    new = max(columns - int(counts[FREE]), 0)
    if counts[SEGMENTS] + new > segments and segments < max_segments:
        size = min(max(2 * segments, int(counts[SEGMENTS]) + new), max_segments)
        changes |= {name: _longer(getattr(store, name), size) for name in PER_SEGMENT}
    if counts[CHUNKS] - counts[FREE_CHUNKS] + more > chunks:
        size = max(chunks * 3 // 2, int(chunks + more))
        changes |= {name: _longer(getattr(store, name), size) for name in PER_CHUNK}
    return store._replace(**changes) if changes else store


def _longer(array, size):
    longer = np.zeros((size, *array.shape[1:]), array.dtype)
    longer[: len(array)] = array
    return longer
