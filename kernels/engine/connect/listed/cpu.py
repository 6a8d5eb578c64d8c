"""Synapses of a list, sorted by source, then target, then place in the list.

Two passes of a counting sort, the later key first. Of 15 M synapses between 139,000 units they take 3 s, and a sort
by comparison 20.
"""

from __future__ import annotations

import numpy as np

from ....tools.compiled import compiled


@compiled
def is_sorted(pre, post):
    """Return whether a list is in order of sources, then targets."""
    k = 1
    while k < pre.size and (pre[k - 1] < pre[k] or (pre[k - 1] == pre[k] and post[k - 1] <= post[k])):
        k += 1
    return k >= pre.size


@compiled
def sort_listed(pre, post, sources, targets, order):
    """Fill `order`, int64 [n], with the places of the synapses of a list: those of source 0 by target, of source 1, ...

    Args:
        pre, post: int64 [n], below `sources` and `targets`.
    """
    by_target = np.empty(pre.size, np.int64)
    ends = np.zeros(targets + 1, np.int64)
    for k in range(post.size):
        ends[post[k] + 1] += 1
    for j in range(targets):
        ends[j + 1] += ends[j]
    for k in range(post.size):
        by_target[ends[post[k]]] = k
        ends[post[k]] += 1
    starts = np.zeros(sources + 1, np.int64)
    for k in range(pre.size):
        starts[pre[k] + 1] += 1
    for i in range(sources):
        starts[i + 1] += starts[i]
    # A pass keeps the order of equal keys, so that targets ascend within a source.
    for n in range(by_target.size):
        k = by_target[n]
        order[starts[pre[k]]] = k
        starts[pre[k]] += 1
