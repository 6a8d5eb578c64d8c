"""Rows of GROUPS while they are read: a cursor for each spike on its way, and one group of its row in each step."""

from __future__ import annotations

import numpy as np
from numba import njit

from ...tools.pointers import vector
from .deliver import (
    BEGIN_BLOCK,
    DELAY,
    END_BLOCK,
    FORM,
    GROUPS,
    LINES,
    RECEPTOR,
    ROWS,
    SINCE,
    SOURCE,
    STARTS,
    UNTIL,
    deliver_groups,
    skip_groups,
)


@njit(cache=True, nogil=True)
def open_cursors(tables, log, log_offsets, populations, log_start, first, begin_block, end_block, page_blocks):
    """Return cursors of the rows of GROUPS that are being read before step `first`, for each table and page, by age.

    Returns:
        cursors int64 [tables, pages, capacity]; heads, tails int64 [tables, pages]: those from tail to head are read;
        born int64 [tables, longest + 1]: how many were added in a step, by step % (longest + 1).
    """
    longest, n = 0, tables.shape[0]
    for p in range(n):
        if tables[p, FORM] == GROUPS and begin_block < end_block:
            longest = max(longest, tables[p, DELAY])
    begin_page, end_page = begin_block // page_blocks, (end_block + page_blocks - 1) // page_blocks
    pages = end_page - begin_page if longest else 0
    cursors = np.empty((n if longest else 0, pages, 1024), np.int64)
    heads, tails = np.zeros((n, pages), np.int64), np.zeros((n, pages), np.int64)
    born = np.zeros((n, longest + 1), np.int64)
    for p in range(n):
        if tables[p, FORM] == GROUPS and begin_block < end_block:
            for step in range(max(first - tables[p, DELAY], log_start), first - 1):
                new = fired(tables[p], log_offsets, populations, log_start, step)
                if heads[p, 0] + new > cursors.shape[2]:
                    cursors = make_room(cursors, heads, tails, new)
                born[p, step % born.shape[1]] = new
                age = first - 1 - step
                table = tables[p]
                if new:
                    begin_rows(
                        table, p, log, log_offsets, populations, log_start, step, age, begin_page, cursors, heads
                    )
    return cursors, heads, tails, born


@njit(cache=True, nogil=True)
def fired(table, log_offsets, populations, log_start, step):
    """Return the number of units of the source that fired in a step."""
    if step < max(log_start, table[SINCE]) or step >= table[UNTIL]:
        return 0
    at = (step - log_start) * populations + table[SOURCE]
    new = 0
    for b in range(table[BEGIN_BLOCK], table[END_BLOCK]):
        new += log_offsets[b, at + 1] - log_offsets[b, at]
    return new


@njit(cache=True, nogil=True)
def make_room(cursors, heads, tails, new):
    """Return cursors in arrays with room for `new` more, those in use first."""
    needed = 0
    for p in range(cursors.shape[0]):
        needed = max(needed, heads[p, 0] - tails[p, 0] + new)
    out = np.empty((cursors.shape[0], cursors.shape[1], max(cursors.shape[2], 2 * needed)), np.int64)
    for p in range(cursors.shape[0]):
        for page in range(cursors.shape[1]):
            live = heads[p, page] - tails[p, page]
            for e in range(live):
                out[p, page, e] = cursors[p, page, tails[p, page] + e]
            tails[p, page] = 0
            heads[p, page] = live
    return out


@njit(cache=True, nogil=True)
def begin_rows(table, p, log, log_offsets, populations, log_start, step, age, begin_page, cursors, heads):
    """Add cursors for the rows of the spikes of `step`, after their first `age` groups."""
    at = (step - log_start) * populations + table[SOURCE]
    for page in range(cursors.shape[1]):
        starts = vector(table[STARTS] + (begin_page + page) * table[ROWS] * 8, table[ROWS], np.int64(0))
        k = heads[p, page]
        for b in range(table[BEGIN_BLOCK], table[END_BLOCK]):
            for j in range(log_offsets[b, at], log_offsets[b, at + 1]):
                cursors[p, page, k] = skip_groups(starts[log[b, j]], age)
                k += 1
        heads[p, page] = k


@njit(cache=True, nogil=True)
def read_groups(
    table, p, log, log_offsets, populations, log_start, now, new, begin_page, page_blocks, block_slots, cursors, heads,
    tails, born, fixed_at, slots,
):  # fmt: skip
    """Read the groups due in step `now`: the first of the `new` that fired a step ago, the next of those before."""
    if new:
        begin_rows(table, p, log, log_offsets, populations, log_start, now - 1, 0, begin_page, cursors, heads)
    # Spikes of DELAY steps ago have the last of their groups read now.
    old = (now - table[DELAY]) % born.shape[1]
    done = born[p, old]
    born[p, old] = 0
    born[p, (now - 1) % born.shape[1]] = new
    for page in range(cursors.shape[1]):
        base = (begin_page + page) * page_blocks * block_slots
        line = vector(fixed_at + (table[RECEPTOR] * slots + base) * 4, slots - base, np.int32(0))
        deliver_groups(cursors[p, page], tails[p, page], heads[p, page], table[LINES], line)
        tails[p, page] += done
