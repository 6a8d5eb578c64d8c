"""Spikes to sums: the rows that are due, added column by column, in each of the forms a row may have.

Units lie in slots: a network is cut into `blocks`, each holding a part of every population, so that threads that own
whole blocks own ranges of slots and share the work evenly. Some blocks make a page of at most 65,536 slots, within
which two bytes name a target. A row's targets are in order of slots, so that each block's are together:
those of block b of row r lie from cuts[r, b] to cuts[r, b + 1], if blocks are counted from the first of the process.

Forms of rows, chosen in `neurosim.engine.compile.row_forms` (one weight and one delay unless said):

    BITS    a bit for every slot; rows are summed as bit planes, see `bits`
    COUNTS  targets; a byte for every slot counts the arrivals
    SUMS    targets and weights; a real for every slot sums them
    QUEUE   targets, weights and delays, any of which may be one for all; added to the queue of the step they fall due
    GROUPS  targets and weights, sorted by delay; whichever group is due is read, see `groups`
    JOINT   many tables of SUMS as one, with targets of four bytes, which name slots of the whole network; where the
            weights of a row are one and its targets lie close, words with a bit for each, see `row_encoders.pack`

The run loop reads rows of each form by an address, and lists those that are due by one: networks without a form compile
nothing of it. The functions for BITS, COUNTS, SUMS and JOINT are in `readers`.

All but QUEUE read what is due from the log of spikes, so nothing but the log waits for its delay. QUEUE is the plain
form: the others are held to it in tests.
"""

from __future__ import annotations

import numpy as np
from numba import from_dtype, njit, types, uint64

from ...tools.compiled import compiled
from ...tools.elementary import widest_vectors
from ...tools.intrinsics import flags64, trailing_zeros
from ...tools.pointers import address_of, matrix, vector

BITS, COUNTS, SUMS, QUEUE, GROUPS, JOINT = range(6)

# Row tables, int64 [tables, ROW_TABLE_COLUMNS]: rows of one form from one population. Columns a form lacks are 0.
(
    FORM,
    SOURCE,  # its entry in the log, see `schedule`
    BEGIN_BLOCK,  # the blocks that hold its units
    END_BLOCK,
    SINCE,  # spikes of steps from SINCE to UNTIL - 1 are delivered
    UNTIL,
    ROWS,  # units of the source
    DELAY,  # steps; for GROUPS the longest
    COUNTER,  # BITS, COUNTS: which counter they add to
    RECEPTOR,
    BATCH,  # BITS, COUNTS: rows that cannot overflow a byte, a multiple of 8
    MATRIX,  # BITS: address of the first row
    STRIDE,  # BITS: bytes of a row
    CUTS,  # address: uint32 [ROWS, CUT_COLUMNS], from the beginning of the row
    CUT_BLOCK,  # the first block of the process, which the first column is of
    CUT_COLUMNS,  # blocks of the process, and one
    TARGETS,  # address: int64 [ROWS], addresses of uint16; of JOINT uint32 slots of all rows, or uint64, their words
    WEIGHTS,  # address: int64 [ROWS], addresses of reals; 0: the table's one weight; of JOINT real, of all rows
    DELAYS,  # address: int64 [ROWS], addresses of uint16; 0: DELAY
    STARTS,  # GROUPS: address of int64 [pages, ROWS], addresses of each row's first word; of JOINT [ROWS + 1], places
    PAGES,  # SUMS, QUEUE: a bit for each page in which a target may lie; the last one stands for all pages from it on
    CALLED,  # address of the function that reads rows
    CURSORS,  # GROUPS: address of int64 [pages, CAPACITY], see `groups`
    CAPACITY,
    ENDS,  # GROUPS: address of int64 [pages, 2]
    BORN,  # GROUPS: address of int64 [threads, DELAY + 1], the cursors that began in each of the last steps
    PARTS,  # JOINT: address of int64 [PART_COUNT, PART_COLUMNS], its tables
    PART_COUNT,
    ROW_WEIGHTS,  # JOINT: address of real [ROWS], the one weight of each row; 0: WEIGHTS, or the table's
    ROW_TABLE_COLUMNS,
) = range(30)
# A table within JOINT: entry of its source in the log, blocks of the source, delay in steps, and first row.
PART_SOURCE, PART_BEGIN_BLOCK, PART_END_BLOCK, PART_DELAY, PART_FIRST, PART_COLUMNS = range(6)
LAST_PAGE_BIT = 62
# GROUPS: added to the number of records of a row's last group.
LAST_GROUP = 1 << 31
# What `schedule` is asked, int64 [SCHEDULE_ENTRIES].
(
    S_ENTRIES,  # entries of a step in the log
    S_LOG_START,  # the first step in the log
    S_FIRST,  # the first step whose rows are listed, and the number of steps
    S_STEPS,
    S_ZERO_ROW,  # address of a row of zero bits
    S_ROWS,  # address: int64 [S_ROOM], the rows
    S_ROOM,
    S_BEGIN,  # address: int64 [S_STEPS, row tables + 1], where those of a step and a table begin
    S_NEED,  # answer: the room that they need
    SCHEDULE_ENTRIES,
) = range(10)
# What `deliver_queue` is asked, int64 [READ_ENTRIES].
(
    Q_STEP,  # in which the units fired
    Q_BEGIN_BLOCK,  # the blocks whose targets are reached
    Q_END_BLOCK,
    Q_BASE,  # entry of the queue of target 0
    Q_WEIGHT,  # address: real, the weight of all
    READ_ENTRIES,
) = range(6)


def schedule(tables, request, log, log_offsets):
    """List the rows due in some steps of BITS, COUNTS, SUMS and JOINT, as they are read.

    Those of table p in step S_FIRST + q are rows[begin[q, p]:begin[q, p + 1]]: addresses for BITS, filled up to eights
    with the row of zeros, else numbers. Where they need more room than there is, the list has gaps.

    Args:
        tables: the row tables.
        request: int64 [SCHEDULE_ENTRIES].
        log: int32 [blocks, ...] units that fired.
        log_offsets: int64 [blocks, ...]; the spikes of population p in step s are log[b, a:z], where a is
            log_offsets[b, (s - S_LOG_START) * S_ENTRIES + e], z the next offset, and e the population's entry.
    """
    n = tables.shape[0]
    rows = vector(request[S_ROWS], request[S_ROOM], np.int64(0))
    begin = matrix(request[S_BEGIN], request[S_STEPS], n + 1, np.int64(0))
    k = np.int64(0)
    for q in range(request[S_STEPS]):
        now = request[S_FIRST] + q
        for p in range(n):
            begin[q, p] = k
            if tables[p, FORM] == JOINT:
                k = _list_parts(tables[p], request, log, log_offsets, now, rows, k)
            elif tables[p, FORM] <= SUMS:
                k = _list_rows(tables[p], request, log, log_offsets, now, rows, k)
        begin[q, n] = k
    # Rows are read ahead of the loop that adds them, beyond the last one.
    request[S_NEED] = _pad(rows, k, k + 32, request[S_ZERO_ROW])


def address_of_schedule() -> int:
    """Return the address of `schedule`, compiled."""
    tables = types.Array(types.int64, 2, "C")
    request = types.Array(types.int64, 1, "C")
    return address_of(schedule, tables, request, types.Array(types.int32, 2, "C"), tables)


@compiled
def _list_rows(table, request, log, log_offsets, now, rows, k):
    """List from rows[k] on the rows of a table that are due in step `now`; return the place after them."""
    step = now - table[DELAY]
    if step < max(request[S_LOG_START], table[SINCE]) or step >= table[UNTIL]:
        return k
    bits = table[FORM] == BITS
    at = (step - request[S_LOG_START]) * request[S_ENTRIES] + table[SOURCE]
    first = k
    for b in range(table[BEGIN_BLOCK], table[END_BLOCK]):
        stride = table[STRIDE] if bits else 1
        k = _append(rows, k, log, b, log_offsets[b, at], log_offsets[b, at + 1], table[MATRIX], stride)
    if bits:
        k = _pad(rows, k, first + (k - first + 7) // 8 * 8, request[S_ZERO_ROW])
    return k


@compiled
def _list_parts(table, request, log, log_offsets, now, rows, k):
    """List from rows[k] on the rows of JOINT that are due in step `now`; return the place after them."""
    parts = matrix(table[PARTS], table[PART_COUNT], PART_COLUMNS, np.int64(0))
    log_start = request[S_LOG_START]
    entries = request[S_ENTRIES]
    for i in range(parts.shape[0]):
        step = now - parts[i, PART_DELAY]
        if step < log_start:
            continue
        at = (step - log_start) * entries + parts[i, PART_SOURCE]
        for b in range(parts[i, PART_BEGIN_BLOCK], parts[i, PART_END_BLOCK]):
            k = _append(rows, k, log, b, log_offsets[b, at], log_offsets[b, at + 1], parts[i, PART_FIRST], 1)
    return k


@njit(inline="always")
def _append(rows, k, log, b, begin, end, base, stride):
    """List base + stride * unit of the spikes log[b, begin:end], if there is room; return the place after them."""
    after = k + end - begin
    if after <= rows.size:
        for j in range(begin, end):
            rows[k + j - begin] = base + stride * log[b, j]
    return after


@njit(inline="always")
def _pad(rows, k, end, row):
    """List one row as often as it takes to reach place `end`, if there is room; return `end`."""
    if end <= rows.size:
        for i in range(k, end):
            rows[i] = row
    return end


@compiled
def reaches(table, page):
    """Return whether targets of a table may lie in a page."""
    return table[PAGES] >> min(page, LAST_PAGE_BIT) & 1


@njit(inline="always")
def _wrapped(due, depth):
    """Return the line of the queue of a step: delays are below the depth, so that it is subtracted once at most."""
    if due >= depth:
        due -= depth
    return due


@njit(inline="always")
def add_each(sums, targets, weights):
    """Add weights[j] to sums[targets[j]]."""
    for j in range(targets.size):
        sums[targets[j]] += weights[j]


@njit(inline="always")
def add_one(sums, targets, weight):
    """Add one weight to sums[targets[j]], for every j."""
    for j in range(targets.size):
        sums[targets[j]] += weight


def deliver_queue(table, request, units, queue):
    """Add the rows of `units` to queue[(Q_STEP + delay) % depth, Q_BASE + target].

    Args:
        request: int64 [READ_ENTRIES].
    """
    base = request[Q_BASE]
    weight = vector(request[Q_WEIGHT], 1, queue.dtype.type(0))[0]
    cuts = matrix(table[CUTS], table[ROWS], table[CUT_COLUMNS], np.uint32(0))
    first_cut = request[Q_BEGIN_BLOCK] - table[CUT_BLOCK]
    last_cut = request[Q_END_BLOCK] - table[CUT_BLOCK]
    at = vector(table[TARGETS], table[ROWS], np.int64(0))
    own = vector(table[WEIGHTS], table[ROWS] if table[WEIGHTS] else 0, np.int64(0))
    after = vector(table[DELAYS], table[ROWS] if table[DELAYS] else 0, np.int64(0))
    depth = queue.shape[0]
    now = request[Q_STEP] % depth
    # The question whether weights and delays differ is asked once a row, and not at each synapse.
    for i in range(units.size):
        row = units[i]
        a = np.int64(cuts[row, first_cut])
        z = np.int64(cuts[row, last_cut])
        targets = vector(at[row] + 2 * a, z - a, np.uint16(0))
        if own.size and after.size:
            weights = vector(own[row] + queue.itemsize * a, z - a, weight)
            delays = vector(after[row] + 2 * a, z - a, np.uint16(0))
            for j in range(targets.size):
                queue[_wrapped(now + delays[j], depth), base + targets[j]] += weights[j]
        elif after.size:
            delays = vector(after[row] + 2 * a, z - a, np.uint16(0))
            for j in range(targets.size):
                queue[_wrapped(now + delays[j], depth), base + targets[j]] += weight
        elif own.size:
            line = queue[_wrapped(now + table[DELAY], depth), base:]
            add_each(line, targets, vector(own[row] + queue.itemsize * a, z - a, weight))
        else:
            add_one(queue[_wrapped(now + table[DELAY], depth), base:], targets, weight)


def address_of_queue(real: object) -> int:
    """Return the address of `deliver_queue`, compiled for a queue of a dtype."""
    whole = types.Array(types.int64, 1, "C")
    units = types.Array(types.int32, 1, "C")
    return address_of(deliver_queue, whole, whole, units, types.Array(from_dtype(np.dtype(real)), 2, "C"))


@compiled
def collect(spiked, n, first, log_at, used):
    """Append `first + i` for every flag i < n that is set; flags are zero from n to the next multiple of 64.

    Args:
        spiked: address of uint8.
        log_at: address of int32.

    Returns:
        the new length of the log.
    """
    log = vector(log_at, used + n, np.int32(0))
    for g in range(0, n, 64):
        mask = flags64(spiked + g)
        while mask:
            log[used] = first + g + trailing_zeros(mask)
            used += 1
            mask &= mask - uint64(1)
    return used


@compiled
def collect_within(spiked, n, log_at, used):
    """Append i for every flag i < n that is set, as `collect`, whatever follows the flags; 64 bytes are read there."""
    log = vector(log_at, used + n, np.int32(0))
    for g in range(0, n, 64):
        mask = flags64(spiked + g)
        if n - g < 64:
            mask &= (uint64(1) << uint64(n - g)) - uint64(1)
        while mask:
            log[used] = g + trailing_zeros(mask)
            used += 1
            mask &= mask - uint64(1)
    return used


@compiled
def clear(values):
    """Set all values to zero."""
    widest_vectors()
    for i in range(values.size):
        values[i] = 0


@compiled
def set_counts(x, counts, weight):
    """Set x to weight * counts, and clear the counts."""
    widest_vectors()
    for i in range(x.size):
        x[i] = x.dtype.type(counts[i]) * weight
        counts[i] = 0


@compiled
def add_counts(x, counts, weight):
    """Add weight * counts to x, and clear the counts."""
    widest_vectors()
    for i in range(x.size):
        x[i] += x.dtype.type(counts[i]) * weight
        counts[i] = 0


@compiled
def add_sums(x, sums):
    """Add the sums to x, and clear them."""
    widest_vectors()
    for i in range(x.size):
        x[i] += sums[i]
        sums[i] = 0


@compiled
def add_fixed(x, sums, unit):
    """Add unit * integer sums to x, and clear the sums."""
    widest_vectors()
    for i in range(x.size):
        x[i] += x.dtype.type(sums[i]) * unit
        sums[i] = 0


@compiled
def set_fixed(x, sums, unit):
    """Set x to unit * integer sums, and clear the sums."""
    widest_vectors()
    for i in range(x.size):
        x[i] = x.dtype.type(sums[i]) * unit
        sums[i] = 0
