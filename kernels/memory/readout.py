"""Features of a recording that grow window by window, and the weights that read them.

The features of a recording are `windows` slots of `inputs` numbers; window k fills slot k, and later windows share the
last slot. Only the features that a window changes select columns of weights.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

COUNTS, ROOTS, TRACES = range(3)


class FeatureRules(NamedTuple):
    """Describe how spikes become features: `gain` times their number, its root, or a trace that falls by `decay`."""

    kind: int
    inputs: int
    windows: int
    decay: float
    gain: float


def arrive_reference(rules, window, units, counts, sums, x):
    """The specification of `arrive`: change `sums` and `x`, and return the features that changed, and by how much."""
    n = rules.inputs
    last = rules.windows - 1
    slot = min(window, last) * n
    before = min(max(window - 1, 0), last) * n
    arrived = np.zeros(n)
    arrived[units] = counts
    if window > 0:
        old = sums[before : before + n].copy()
    else:
        old = np.zeros(n)
    now = sums[slot : slot + n]
    if rules.kind == TRACES:
        now[:] = rules.decay * old + arrived
    else:
        now[:] = now + arrived
    feature = x[slot : slot + n]
    delta = -feature.astype(np.float64)
    feature[:] = rules.gain * (np.sqrt(now) if rules.kind == ROOTS else now)
    delta += feature
    changed = np.flatnonzero(delta)
    return slot + changed, delta[changed]


@njit(cache=True, nogil=True)
def arrive(rules, window, units, counts, sums, x, changed, delta):
    """Add the spikes of a window; list the features that changed, and by how much; return their number.

    Args:
        window: number of the window in the recording.
        units, counts: [n] inputs with spikes, ascending, and their spikes.
        sums: [windows * inputs] float64, counts or traces.
        x: [windows * inputs] float32, the features.
        changed, delta: [inputs] int64 and float64, to be filled.
    """
    last = rules.windows - 1
    slot = min(window, last) * rules.inputs
    if rules.kind == TRACES:
        before = min(max(window - 1, 0), last) * rules.inputs
        for i in range(rules.inputs):
            if window > 0:
                sums[slot + i] = rules.decay * sums[before + i]
            else:
                sums[slot + i] = 0.0
    for k in range(units.size):
        sums[slot + units[k]] += counts[k]
    n = 0
    for k in range(rules.inputs if rules.kind == TRACES else units.size):
        f = slot + (k if rules.kind == TRACES else units[k])
        value = np.float32(rules.gain * (math.sqrt(sums[f]) if rules.kind == ROOTS else sums[f]))
        if value != x[f]:
            changed[n] = f
            delta[n] = np.float64(value) - np.float64(x[f])
            x[f] = value
            n += 1
    return n


@njit(cache=True, nogil=True)
def respond(weights, changed, delta, out):
    """Add to out [rows] the products of weights [rows, features] with the changes of features."""
    for r in range(out.size):
        row = weights[r]
        total = 0.0
        for k in range(changed.size):
            total += row[changed[k]] * delta[k]
        out[r] += total


@njit(cache=True, nogil=True)
def change(weights, errors, step, x):
    """Add step errors x^T to weights [rows, features]; x [features] float64."""
    for r in range(errors.size):
        factor = step * errors[r]
        if factor != 0.0:
            row = weights[r]
            for f in range(x.size):
                row[f] += np.float32(factor * x[f])


@njit(cache=True, nogil=True)
def product(weights, x, out):
    """Fill out [rows] with the products of weights [rows, features] with x [features]."""
    for r in range(out.size):
        row = weights[r]
        total = 0.0
        for f in range(x.size):
            total += np.float64(row[f]) * x[f]
        out[r] = total


@njit(cache=True, nogil=True)
def relate(pairs, x, out):
    """Fill out [features] with pairs x; only features that are not 0 select rows of pairs [features, features]."""
    out[:] = 0.0
    for f in range(x.size):
        if x[f] != 0.0:
            row = pairs[f]
            value = np.float64(x[f])
            for g in range(out.size):
                out[g] += value * row[g]


@njit(cache=True, nogil=True)
def unlearn(pairs, k, total):
    """Take k k^T / total from pairs; what is symmetric stays so to the bit."""
    share = 1.0 / total
    for f in range(k.size):
        row = pairs[f]
        value = k[f]
        for g in range(k.size):
            row[g] -= value * k[g] * share
