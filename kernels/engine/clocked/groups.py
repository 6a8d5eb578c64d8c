"""Rows of GROUPS while they are read: a cursor for each spike on its way, and one group of its row in each step.

A row is its groups for the delays 1, 2, ...; the last is marked by LAST_GROUP. A group of float32 networks is a word
of 32 bits with the number of records, then the records, 16 bits of weight above 16 bits of target, which add to int32
sums. That of float64 networks is a word of 64 bits with their number, the weights, then the targets of 16 bits, filled
up to a word.

The run loop calls `read_groups` by the address in its table.
"""

from __future__ import annotations

import numpy as np
from numba import types

from ...tools.compiled import compiled
from ...tools.intrinsics import prefetch
from ...tools.pointers import address_of, vector
from .deliver import (
    BEGIN_BLOCK,
    BORN,
    CAPACITY,
    CURSORS,
    DELAY,
    END_BLOCK,
    ENDS,
    LAST_GROUP,
    ROWS,
    SINCE,
    SOURCE,
    STARTS,
    UNTIL,
)

# The context of a call, int64 [CONTEXT_ENTRIES].
(
    POPULATIONS,
    LOG_START,
    STEP,
    THREAD,
    BEGIN_PAGE,
    END_PAGE,
    PAGE_SLOTS,
    SLOTS,
    SUMS,  # address: int32 or float64 [SLOTS], of the receptor
    OPENS,  # 1: bring the cursors to STEP, and read nothing
    CONTEXT_ENTRIES,
) = range(11)
# Entries of ENDS, int64 [pages, 2]: the cursors from TAIL to HEAD are read.
TAIL = 0
HEAD = 1
# Groups ahead of which the head of one is asked for, and then the lines that the head says it has, no more: asking for
# as many lines of every group took a quarter longer.
HEAD_AHEAD = 24
GROUP_AHEAD = 12
# Cursors below which those in use are not moved to the front.
LITTLE = 1024


def read_groups(table, context, log, log_offsets):
    """Read the groups due in a step: the first of the rows that fired a step ago, the next of those before."""
    _read(table, context, log, log_offsets, np.int32(0))


def read_wide_groups(table, context, log, log_offsets):
    """Read as `read_groups` does, in a network of float64."""
    _read(table, context, log, log_offsets, 0.0)


def address_of_read(real: object) -> int:
    """Return the address of the function that reads GROUPS of a network of a dtype."""
    whole = types.Array(types.int64, 1, "C")
    logs = types.Array(types.int32, 2, "C"), types.Array(types.int64, 2, "C")
    return address_of(read_groups if np.dtype(real) == np.float32 else read_wide_groups, whole, whole, *logs)


@compiled
def _read(table, context, log, log_offsets, like):
    now = context[STEP]
    sums = vector(context[SUMS], context[SLOTS], like)
    born = vector(table[BORN] + context[THREAD] * (table[DELAY] + 1) * 8, table[DELAY] + 1, np.int64(0))
    if context[OPENS]:
        for page in range(context[BEGIN_PAGE], context[END_PAGE]):
            ends = vector(table[ENDS] + page * 16, 2, np.int64(0))
            ends[TAIL] = ends[HEAD] = 0
        born[:] = 0
        # Spikes that are on their way have had a group read in each step since the first after them.
        for step in range(max(now - table[DELAY], context[LOG_START]), now - 1):
            born[step % born.size] = _begin(table, context, log, log_offsets, step, now - 1 - step, sums)
        return
    born[(now - 1) % born.size] = _begin(table, context, log, log_offsets, now - 1, np.int64(0), sums)
    # Spikes of DELAY steps ago have the last of their groups read now.
    done = born[(now - table[DELAY]) % born.size]
    born[(now - table[DELAY]) % born.size] = 0
    for page in range(context[BEGIN_PAGE], context[END_PAGE]):
        ends = vector(table[ENDS] + page * 16, 2, np.int64(0))
        cursors = vector(table[CURSORS] + page * table[CAPACITY] * 8, table[CAPACITY], np.int64(0))
        _deliver(cursors, ends[TAIL], ends[HEAD], sums[page * context[PAGE_SLOTS] :])
        ends[TAIL] += done


@compiled
def _begin(table, context, log, log_offsets, step, age, sums):
    """Add cursors for the rows of the spikes of `step`, after their first `age` groups; return their number."""
    if step < max(context[LOG_START], table[SINCE]) or step >= table[UNTIL]:
        return 0
    at = (step - context[LOG_START]) * context[POPULATIONS] + table[SOURCE]
    new = 0
    for b in range(table[BEGIN_BLOCK], table[END_BLOCK]):
        new += log_offsets[b, at + 1] - log_offsets[b, at]
    if new == 0:
        return 0
    for page in range(context[BEGIN_PAGE], context[END_PAGE]):
        starts = vector(table[STARTS] + page * table[ROWS] * 8, table[ROWS], np.int64(0))
        ends = vector(table[ENDS] + page * 16, 2, np.int64(0))
        cursors = vector(table[CURSORS] + page * table[CAPACITY] * 8, table[CAPACITY], np.int64(0))
        _make_room(cursors, ends, new)
        k = ends[HEAD]
        for b in range(table[BEGIN_BLOCK], table[END_BLOCK]):
            for j in range(log_offsets[b, at], log_offsets[b, at + 1]):
                cursors[k] = _skip(starts[log[b, j]], age, sums)
                k += 1
        ends[HEAD] = k
    return new


@compiled
def _make_room(cursors, ends, new):
    """Move the cursors in use to the front where `new` more would not fit, or where few of all are in use."""
    live = ends[HEAD] - ends[TAIL]
    # All of them fit, for the log holds their spikes.
    if ends[HEAD] + new > min(cursors.size, max(LITTLE, 4 * (live + new))):
        for e in range(live):
            cursors[e] = cursors[ends[TAIL] + e]
        ends[TAIL] = 0
        ends[HEAD] = live


@compiled
def _skip(row, count, sums):
    """Return the address of a row after its first `count` groups; 0 if it has no more."""
    for _ in range(count):
        if row:
            row = _after(row, _head(row, sums), sums)
    return row


@compiled
def _head(at, sums):
    """Return the first word of the group at an address."""
    if sums.itemsize == 4:
        return np.int64(vector(at, 1, np.uint32(0))[0])
    return vector(at, 1, np.int64(0))[0]


@compiled
def _after(at, head, sums):
    """Return the address of the group after that at `at`, whose first word is `head`; 0 after the last."""
    if head & LAST_GROUP:
        return 0
    return at + (4 * (1 + head) if sums.itemsize == 4 else 8 * (1 + head + (head + 3) // 4))


@compiled
def _deliver(cursors, first, last, sums):
    """Read the next group of every row, adding its weights to the sums of its targets; cursors move on.

    Args:
        cursors: int64 addresses of what each row has left; 0: nothing.
        sums: int32 or float64, of the slots of a page.
    """
    for e in range(first, last):
        at = cursors[e]
        if e + HEAD_AHEAD < last:
            prefetch(cursors[e + HEAD_AHEAD])
        if e + GROUP_AHEAD < last:
            ahead = cursors[e + GROUP_AHEAD]
        else:
            ahead = 0
        if ahead:
            size = _after(ahead, _head(ahead, sums) & (LAST_GROUP - 1), sums) - ahead
            for line in range(64, size + (ahead & 63), 64):
                prefetch(ahead + line)
        if at == 0:
            continue
        head = _head(at, sums)
        count = head & (LAST_GROUP - 1)
        if sums.itemsize == 4:
            group = vector(at + 4, count, np.uint32(0))
            for j in range(count):
                record = group[j]
                # The shift of a signed number keeps the sign of the weight above the target.
                sums[record & np.uint32(0xFFFF)] += np.int32(record) >> np.int32(16)
        else:
            weights = vector(at + 8, count, 0.0)
            targets = vector(at + 8 + 8 * count, count, np.uint16(0))
            for j in range(count):
                sums[targets[j]] += weights[j]
        cursors[e] = _after(at, head, sums)
