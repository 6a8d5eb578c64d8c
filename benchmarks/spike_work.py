"""The work of a product of spikes, counted: multiply-adds and bytes, for the floors of the benchmarks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from neurosim.kernels.spikes.accumulate.reference import whole_counts


class Work(NamedTuple):
    """Work of a product, summed over its rows."""

    operations: int  # multiply-adds: N for every active channel of every row
    spikes: int  # sum of |count|: the spikes of unary coding
    dense_operations: int  # B K N
    weight_bytes: int  # weights read if each row reads its own: operations x the size of a weight
    batch_bytes: int  # weights read if a batch shares them: each row of weights once if any row selects it
    dense_bytes: int  # all weights once
    silent: int  # entries that are zero


def work(counts, outputs, weight_bytes, escapes=None):
    """`Work` of one product of [B, K] counts with [K, outputs] weights of `weight_bytes` bytes each."""
    full = whole_counts(counts, escapes)
    on = full != 0
    each = int(np.count_nonzero(on)) * outputs
    shared = int(np.count_nonzero(on.any(axis=0))) * outputs
    return Work(
        operations=each,
        spikes=int(np.abs(full.astype(np.int64)).sum()),
        dense_operations=full.size * outputs,
        weight_bytes=each * weight_bytes,
        batch_bytes=shared * weight_bytes,
        dense_bytes=full.shape[1] * outputs * weight_bytes,
        silent=int(full.size - np.count_nonzero(on)),
    )
