"""Labels of codes, learned in one pass: counts of each unit's wins by label, and the votes of a code."""

from __future__ import annotations

import numpy as np
from numba import njit


def associate_reference(codes, labels, counts):
    """The specification of `associate`."""
    for (i, *place), k in np.ndenumerate(codes):
        if k >= 0:
            counts[(*place, k, labels[i])] += 1


@njit(cache=True, nogil=True)
def associate(codes, labels, counts):
    """Count each winner of codes [items, positions, columns, Q] with its item's label.

    Args:
        counts: [positions, columns, Q, K, labels], added to.
    """
    items, positions, columns, modules = codes.shape
    for i in range(items):
        label = labels[i]
        for p in range(positions):
            for m in range(columns):
                for q in range(modules):
                    k = codes[i, p, m, q]
                    if k >= 0:
                        counts[p, m, q, k, label] += 1


def votes_reference(codes, logs):
    """The specification of `votes`: [items, labels]."""
    out = np.zeros((len(codes), logs.shape[-1]))
    for (i, *place), k in np.ndenumerate(codes):
        if k >= 0:
            out[i] += logs[(*place, k)]
    return out


@njit(cache=True, nogil=True)
def votes(codes, logs, out):
    """Add the votes of each winner to out [items, labels]; logs [positions, columns, Q, K, labels]."""
    items, positions, columns, modules = codes.shape
    for i in range(items):
        mine = out[i]
        for p in range(positions):
            for m in range(columns):
                for q in range(modules):
                    k = codes[i, p, m, q]
                    if k >= 0:
                        row = logs[p, m, q, k]
                        for c in range(mine.size):
                            mine[c] += row[c]
