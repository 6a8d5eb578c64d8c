"""What arrives in a step: the rows that are due, added to counts and sums, and spikes that enter the queue."""

from __future__ import annotations

import numpy as np
from numba import njit

from ...tools.pointers import call, matrix, vector
from . import groups, readers
from .deliver import (
    BEGIN_BLOCK,
    COUNTER,
    END_BLOCK,
    FORM,
    GROUPS,
    Q_BASE,
    Q_BEGIN_BLOCK,
    Q_END_BLOCK,
    Q_STEP,
    Q_WEIGHT,
    QUEUE,
    READ_ENTRIES,
    RECEPTOR,
    ROW_TABLE_COLUMNS,
    S_BEGIN,
    S_ROOM,
    S_ROWS,
    SCHEDULE_ENTRIES,
    SINCE,
    SOURCE,
    SUMS,
    UNTIL,
    reaches,
)
from .deliver import CALLED as READ


def open_groups(room_of_task, room_of_request, weights, room_of_places):
    """Bring the cursors of GROUPS to the first step."""
    task = room_of_task[0]
    places = room_of_places[0]
    tables = matrix(task.rows, task.row_count, ROW_TABLE_COLUMNS, np.int64(0))
    spikes = matrix(task.spikes, task.blocks, task.room, np.int32(0))
    offsets = matrix(task.offsets, task.blocks, task.columns, np.int64(0))
    reading = vector(places.reading, groups.CONTEXT_ENTRIES, np.int64(0))
    reading[groups.STEP] = task.first
    reading[groups.SUMS] = places.sums
    reading[groups.OPENS] = 1
    for p in range(tables.shape[0]):
        if tables[p, FORM] == GROUPS:
            call(tables[p, READ], tables[p], reading, spikes, offsets)
    reading[groups.OPENS] = 0


def deliver_due(room_of_task, room_of_request, weights, room_of_places):
    """Add the rows due in a step to counts and sums, and note which received any.

    Those of row table p are rows[begin[p]:begin[p + 1]], as `deliver.schedule` lists them.

    Args:
        weights: real [row tables].
    """
    task = room_of_task[0]
    request = room_of_request[0]
    places = room_of_places[0]
    tables = matrix(task.rows, task.row_count, ROW_TABLE_COLUMNS, np.int64(0))
    spikes = matrix(task.spikes, task.blocks, task.room, np.int32(0))
    offsets = matrix(task.offsets, task.blocks, task.columns, np.int64(0))
    planning = vector(task.planning, SCHEDULE_ENTRIES, np.int64(0))
    rows = vector(planning[S_ROWS], planning[S_ROOM], np.int64(0))
    begin = vector(planning[S_BEGIN] + request.number * (task.row_count + 1) * 8, task.row_count + 1, np.int64(0))
    real = weights.dtype.type(0)
    width = weights.itemsize
    slots = places.slots
    due = vector(places.due, places.counters + places.receptors, np.uint8(0))
    for k in range(due.size):
        due[k] = 0
    for p in range(tables.shape[0]):
        table = tables[p]
        received = places.counters + table[RECEPTOR]
        if table[FORM] == GROUPS:
            reading = vector(places.reading, groups.CONTEXT_ENTRIES, np.int64(0))
            reading[groups.STEP] = request.step
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


def enqueue(room_of_task, room_of_request, weights, room_of_places):
    """Add the rows of the spikes since the last interval to the queue.

    Args:
        weights: real [row tables].
    """
    task = room_of_task[0]
    tables = matrix(task.rows, task.row_count, ROW_TABLE_COLUMNS, np.int64(0))
    offsets = matrix(task.offsets, task.blocks, task.columns, np.int64(0))
    queue = matrix(task.queue, task.depth, task.queue_row, weights.dtype.type(0))
    asked = vector(task.asking, READ_ENTRIES, np.int64(0))
    for step in range(max(task.queued, task.log_start), room_of_request[0].step):
        asked[Q_STEP] = step
        for p in range(tables.shape[0]):
            table = tables[p]
            if table[FORM] == QUEUE and table[SINCE] <= step < table[UNTIL]:
                asked[Q_WEIGHT] = weights.ctypes.data + p * weights.itemsize
                _enqueue_step(task, table, asked, offsets, queue)


@njit(inline="always")
def _enqueue_step(task, table, asked, offsets, queue):
    """Add the rows of the neurons that fired in a step to the queue."""
    entry = (asked[Q_STEP] - task.log_start) * task.entries + table[SOURCE]
    for b in range(table[BEGIN_BLOCK], table[END_BLOCK]):
        begin = offsets[b, entry]
        count = offsets[b, entry + 1] - begin
        if count:
            fired = vector(task.spikes + (b * task.room + begin) * 4, count, np.int32(0))
            _enqueue_rows(task, table, asked, fired, queue)


@njit(inline="always")
def _enqueue_rows(task, table, asked, fired, queue):
    """Add the rows of the neurons that fired to the queue, for each page that has blocks of this thread."""
    first_page = task.begin_block // task.page_blocks
    last_page = (task.end_block - 1) // task.page_blocks
    for page in range(first_page, last_page + 1):
        if reaches(table, page):
            asked[Q_BEGIN_BLOCK] = max(task.begin_block, page * task.page_blocks)
            asked[Q_END_BLOCK] = min(task.end_block, (page + 1) * task.page_blocks)
            asked[Q_BASE] = (table[RECEPTOR] * task.blocks + page * task.page_blocks) * task.block_slots
            call(table[READ], table, asked, fired, queue)
