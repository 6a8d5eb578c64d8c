"""What arrives in a step: the rows that are due, added to counts and sums, and spikes that enter the queue."""

from __future__ import annotations

import numpy as np
from numba import njit

from ...tools.compiled import compiled
from ...tools.pointers import call, vector
from . import groups, readers
from .deliver import (
    BEGIN_BLOCK,
    COUNTER,
    END_BLOCK,
    FORM,
    GROUPS,
    QUEUE,
    RECEPTOR,
    SINCE,
    SOURCE,
    SUMS,
    UNTIL,
    reaches,
)
from .deliver import CALLED as READ


@njit(inline="always")
def deliver_due(tables, weights, rows, begin, spikes, offsets, step, places):
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
        elif table[FORM] != QUEUE and begin[p] < begin[p + 1]:
            adding = vector(places.adding, readers.REQUEST_ENTRIES, np.int64(0))
            adding[readers.FIRST] = begin[p]
            adding[readers.LAST] = begin[p + 1]
            adding[readers.WEIGHT] = weights.ctypes.data + p * width
            adding[readers.COUNTED] = places.counts + table[COUNTER] * slots
            adding[readers.SUMMED] = 0
            call(table[READ], table, adding, rows, vector(places.sums + table[RECEPTOR] * slots * width, slots, real))
            if table[FORM] < SUMS:
                due[table[COUNTER]] = 1
            due[received] |= np.uint8(adding[readers.SUMMED])


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
