"""Scores of sparse codes and the readouts that learn from them, compiled."""

from __future__ import annotations

import numpy as np

from ...tools.compiled import compiled


@compiled
def scores(offsets, features, values, weights, out):
    """Add to out [items, classes] as `scores_reference`."""
    for i in range(out.shape[0]):
        row = out[i]
        for k in range(offsets[i], offsets[i + 1]):
            value = np.float64(values[k])
            weight = weights[features[k]]
            for c in range(row.size):
                row[c] += value * weight[c]


@compiled
def spread(offsets, features, values, amounts, out):
    """Add to out [size, classes] as `spread_reference`."""
    for i in range(amounts.shape[0]):
        amount = amounts[i]
        for k in range(offsets[i], offsets[i + 1]):
            value = np.float64(values[k])
            row = out[features[k]]
            for c in range(row.size):
                row[c] += value * amount[c]


@compiled
def learn_rates(offsets, features, values, labels, rate, weights, power):
    """Change weights and power as `learn_rates_reference`."""
    classes = weights.shape[1]
    error = np.empty(classes)
    for i in range(labels.size):
        error[:] = 0.0
        total = 0.0
        for k in range(offsets[i], offsets[i + 1]):
            f = features[k]
            value = np.float64(values[k])
            # The power counts this item too, and errors are of the weights before it: the second loop changes them.
            power[f] += value * value
            total += value * value / power[f]
            row = weights[f]
            for c in range(classes):
                error[c] -= value * row[c]
        if total == 0.0:
            continue
        error[labels[i]] += 1.0
        for k in range(offsets[i], offsets[i + 1]):
            f = features[k]
            step = rate / total * np.float64(values[k]) / power[f]
            row = weights[f]
            for c in range(classes):
                row[c] += np.float32(step * error[c])
