"""Expansion of vectors into sparse codes: each bit sums a few inputs, and the bits with the largest sums are on."""

from __future__ import annotations

import numpy as np
from numba import njit

from ..tools.threads import spread

# Least sums of a thread: about 1 ms.
SUMS_PER_THREAD = 1 << 20


def sums(x, table):
    """Sum the inputs of each bit, table [size, fan], of x [n, inputs] float32: [n, size] float32.

    They are added in the order of the table, so that every form gives the same bits.
    """
    found = np.zeros((len(x), len(table)), np.float32)
    for sources in table.T:
        found += x[:, sources]
    return found


def expand_reference(x, table, scale, active):
    """Return the `active` largest of `sums` times `scale` [size], as [n, active] int32 bits, ascending.

    Of equal ones the lower bit wins.
    """
    scaled = sums(x, table) * scale
    return np.sort(np.argsort(-scaled, axis=1, kind="stable")[:, :active], axis=1).astype(np.int32)


def expand(x, table, scale, active, threads=1):
    """Compute `expand_reference` on `threads` threads; the result does not depend on them."""
    x = np.ascontiguousarray(x, np.float32)
    scale = np.ascontiguousarray(scale, np.float32)
    table = np.ascontiguousarray(table, np.int32)
    out = np.empty((len(x), active), np.int32)
    bounds = np.arange(len(x) + 1) * table.size
    spread(lambda a, b: _expand(x[a:b], table, scale, out[a:b]), bounds, threads, SUMS_PER_THREAD)
    return out


@njit(cache=True, nogil=True)
def _expand(x, table, scale, out):
    size, fan = table.shape
    active = out.shape[1]
    found = np.empty(size, np.float32)
    for i in range(x.shape[0]):
        row = x[i]
        for j in range(size):
            total = np.float32(0)
            for f in range(fan):
                total += row[table[j, f]]
            found[j] = total * scale[j]
        minimum = np.partition(found, size - active)[size - active]
        above = 0
        for j in range(size):
            above += found[j] > minimum
        equal = active - above
        place = 0
        for j in range(size):
            if found[j] > minimum or (found[j] == minimum and equal > 0):
                equal -= found[j] == minimum
                out[i, place] = j
                place += 1
