"""What arrives in a step: the rows that are due, added to counts and sums, and spikes that enter the queue."""

from __future__ import annotations

import numpy as np
from numba import njit

from ...tools.compiled import compiled
from ...tools.pointers import call, matrix, vector
from . import groups
from .bits import MAX_ROWS
from .deliver import (
    BATCH,
    BEGIN_BLOCK,
    BITS,
    COUNTER,
    CUTS,
    END_BLOCK,
    FORM,
    GROUPS,
    JOINT,
    MATRIX,
    QUEUE,
    READ_ENTRIES,
    RECEPTOR,
    SINCE,
    SOURCE,
    STRIDE,
    SUMS,
    UNTIL,
    add_counts,
    deliver_counts,
    deliver_joint,
    deliver_sums,
    reaches,
)
from .deliver import CALLED as READ


@njit(inline="always")
def deliver_due(tables, weights, rows, begin, spikes, offsets, step, pages, places):
    """Add the rows due in a step to counts and sums, and note which received any.

    Those of row table p are rows[begin[p]:begin[p + 1]].
    """
    real = weights.dtype.type(0)
    width = weights.itemsize
    slots = places.slots
    due = vector(places.due, places.counters + places.receptors, np.uint8(0))
    for p in range(tables.shape[0]):
        table = tables[p]
        received = places.counters + table[RECEPTOR]
        if table[FORM] == GROUPS:
            reading = vector(places.reading, groups.CONTEXT_ENTRIES, np.int64(0))
            reading[groups.STEP] = step
            reading[groups.SUMS] = places.fixed + table[RECEPTOR] * slots * 4
            if width == 8:
                reading[groups.SUMS] = places.sums + table[RECEPTOR] * slots * 8
                due[received] = 1
            call(table[READ], table, reading, spikes, offsets)
        elif (table[FORM] <= SUMS or table[FORM] == JOINT) and begin[p] == begin[p + 1]:
            continue
        elif table[FORM] == JOINT:
            due[received] = 1
            low = pages.begin_block * pages.block_slots
            high = pages.end_block * pages.block_slots
            line = vector(places.sums + table[RECEPTOR] * slots * width, slots, real)
            deliver_joint(table, rows, begin[p], begin[p + 1], low, high, weights[p], line)
        elif table[FORM] == SUMS:
            due[received] = 1
            _deliver_reals(table, weights[p], width, rows, begin[p], begin[p + 1], pages, places)
        elif table[FORM] != QUEUE:
            due[table[COUNTER]] = 1
            due[received] |= _deliver_bytes(table, weights[p], rows, begin[p], begin[p + 1], pages, places)


@njit(inline="always")
def _deliver_reals(table, weight, width, rows, first, last, pages, places):
    """Add rows of SUMS, page by page."""
    slots = places.slots
    for page in range(pages.begin_block // pages.page_blocks, (pages.end_block - 1) // pages.page_blocks + 1):
        if reaches(table, page):
            low = max(pages.begin_block, page * pages.page_blocks)
            high = min(pages.end_block, (page + 1) * pages.page_blocks)
            base = page * pages.page_blocks * pages.block_slots
            line = vector(places.sums + (table[RECEPTOR] * slots + base) * width, slots - base, weight)
            deliver_sums(table, rows, first, last, low, high, weight, line)


@compiled
def _deliver_bytes(table, weight, rows, first, last, pages, places):
    """Add rows of BITS or COUNTS, in batches that cannot overflow a byte; a full batch is added to the sums.

    Returns whether a batch was full.
    """
    slots = places.slots
    again = vector(places.again, MAX_ROWS, np.int64(0))
    line = vector(places.counts + table[COUNTER] * slots, slots, np.uint8(0))
    low = pages.begin_block * pages.block_slots
    high = pages.end_block * pages.block_slots
    spilled = False
    while True:
        end = min(last, first + table[BATCH])
        chosen = rows
        a = first
        z = end
        if table[FORM] == BITS:
            if end > first:
                request = vector(places.request, READ_ENTRIES, np.int64(0))
                planes = matrix(places.planes, 8, places.row_words, np.uint64(0))
                request[0] = first
                request[1] = end
                request[2] = low
                request[3] = high
                call(table[READ], request, rows, planes, line)
            # The synapses whose bit was set already are listed.
            chosen = again
            a = 0
            z = _number_rows(table, rows, first, end, places.zero_row, again) if table[CUTS] else 0
        if z > a:
            for page in range(pages.begin_block // pages.page_blocks, (pages.end_block - 1) // pages.page_blocks + 1):
                b = max(pages.begin_block, page * pages.page_blocks)
                c = min(pages.end_block, (page + 1) * pages.page_blocks)
                deliver_counts(table, chosen, a, z, b, c, line[page * pages.page_blocks * pages.block_slots :])
        first = end
        if first >= last:
            return spilled
        spilled = True
        sums = vector(places.sums, (table[RECEPTOR] + 1) * slots, weight)[table[RECEPTOR] * slots :]
        add_counts(sums[low:high], line[low:high], weight)


@njit(inline="always")
def _number_rows(table, rows, first, last, zero_row, numbers):
    """Set numbers[:n] to those of the BITS rows at the addresses rows[first:last], fillings left out; return n."""
    n = 0
    for i in range(first, last):
        if rows[i] != zero_row:
            numbers[n] = (rows[i] - table[MATRIX]) // table[STRIDE]
            n += 1
    return n


@compiled
def enqueue(tables, weights, spikes, offsets, step, at, pages, queue, request):
    """Add the rows of the spikes of `step`, whose offsets in the log begin at `at`, to the queue."""
    for p in range(tables.shape[0]):
        table = tables[p]
        if table[FORM] != QUEUE or step < table[SINCE] or step >= table[UNTIL]:
            continue
        entry = at + table[SOURCE]
        request[0] = step
        request[4] = weights.ctypes.data + p * weights.itemsize
        for b in range(table[BEGIN_BLOCK], table[END_BLOCK]):
            fired = spikes[b, offsets[b, entry] : offsets[b, entry + 1]]
            if fired.size:
                _enqueue_units(table, fired, pages, queue, request)


@njit(inline="always")
def _enqueue_units(table, fired, pages, queue, request):
    """Add the rows of units that fired to the queue, page by page."""
    for page in range(pages.begin_block // pages.page_blocks, (pages.end_block - 1) // pages.page_blocks + 1):
        if reaches(table, page):
            request[1] = max(pages.begin_block, page * pages.page_blocks)
            request[2] = min(pages.end_block, (page + 1) * pages.page_blocks)
            request[3] = (table[RECEPTOR] * pages.blocks + page * pages.page_blocks) * pages.block_slots
            call(table[READ], table, request, fired, queue)
