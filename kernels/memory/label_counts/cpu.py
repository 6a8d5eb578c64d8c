"""Labels of codes, learned in one pass, compiled."""

from __future__ import annotations

from ...tools.compiled import compiled


@compiled
def associate(codes, labels, counts):
    """Add to counts as `associate_reference`."""
    items, positions, columns, modules = codes.shape
    for i in range(items):
        label = labels[i]
        for p in range(positions):
            for m in range(columns):
                for q in range(modules):
                    k = codes[i, p, m, q]
                    if k >= 0:
                        counts[p, m, q, k, label] += 1


@compiled
def votes(codes, logs, out):
    """Add the votes of each winner to out [items, labels]; logs [positions, columns, Q, K, labels]."""
    items, positions, columns, modules = codes.shape
    for i in range(items):
        scores = out[i]
        for p in range(positions):
            for m in range(columns):
                for q in range(modules):
                    k = codes[i, p, m, q]
                    if k >= 0:
                        row = logs[p, m, q, k]
                        for c in range(scores.size):
                            scores[c] += row[c]
