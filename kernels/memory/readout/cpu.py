"""Features of a recording that grow window by window, and the weights that read them, compiled."""

from __future__ import annotations

import math

import numpy as np

from ...tools.compiled import compiled
from .reference import ROOTS, TRACES


@compiled
def arrive(rules, window, units, counts, sums, x, changed, delta):
    """Add the spikes of a window as `arrive_reference`; return the number of features that changed.

    Args:
        changed, delta: [inputs] int64 and float64, filled with the features that changed, and by how much.
    """
    # Windows beyond the last are counted in the last.
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
    # Every trace falls; counts change only for inputs with spikes.
    for k in range(rules.inputs if rules.kind == TRACES else units.size):
        f = slot + (k if rules.kind == TRACES else units[k])
        value = np.float32(rules.gain * (math.sqrt(sums[f]) if rules.kind == ROOTS else sums[f]))
        if value != x[f]:
            changed[n] = f
            delta[n] = np.float64(value) - np.float64(x[f])
            x[f] = value
            n += 1
    return n


@compiled
def respond(weights, changed, delta, out):
    """Add to out [rows] the products of weights [rows, features] with the changes of features."""
    for r in range(out.size):
        row = weights[r]
        total = 0.0
        for k in range(changed.size):
            total += row[changed[k]] * delta[k]
        out[r] += total


@compiled
def change(weights, errors, step, x):
    """Add step errors x^T to weights [rows, features]; x [features] float64."""
    for r in range(errors.size):
        factor = step * errors[r]
        if factor != 0.0:
            row = weights[r]
            for f in range(x.size):
                row[f] += np.float32(factor * x[f])


@compiled
def product(weights, x, out):
    """Fill out [rows] with the products of weights [rows, features] with x [features]."""
    for r in range(out.size):
        row = weights[r]
        total = 0.0
        for f in range(x.size):
            total += np.float64(row[f]) * x[f]
        out[r] = total


@compiled
def relate(pairs, x, out):
    """Fill out [features] with pairs x; only features that are not 0 select rows of pairs [features, features]."""
    out[:] = 0.0
    for f in range(x.size):
        if x[f] != 0.0:
            row = pairs[f]
            value = np.float64(x[f])
            for g in range(out.size):
                out[g] += value * row[g]


@compiled
def unlearn(pairs, k, total):
    """Take k k^T / total from pairs; what is symmetric stays so to the bit."""
    # value k[g] and its mirror image round alike: the matrix stays symmetric.
    share = 1.0 / total
    for f in range(k.size):
        row = pairs[f]
        value = k[f]
        for g in range(k.size):
            row[g] -= value * k[g] * share
