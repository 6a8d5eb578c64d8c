"""Labels of codes, learned in one pass, compiled."""

from __future__ import annotations

from ...tools.compiled import compiled


@compiled
def associate(codes, labels, counts):
    """Add to counts as `associate_reference`."""
    items, positions, columns, modules = codes.shape
    # One index for the place of a winner: position, column and module do not matter one by one.
    places = positions * columns * modules
    winners = codes.reshape(items, places)
    rows = counts.reshape(places, counts.shape[3], counts.shape[4])
    for i in range(items):
        for place in range(places):
            k = winners[i, place]
            if k >= 0:
                rows[place, k, labels[i]] += 1


@compiled
def votes(codes, logs, out):
    """Add the votes of each winner to out [items, labels]; logs [positions, columns, Q, K, labels]."""
    items, positions, columns, modules = codes.shape
    places = positions * columns * modules
    winners = codes.reshape(items, places)
    rows = logs.reshape(places, logs.shape[3], logs.shape[4])
    for i in range(items):
        scores = out[i]
        for place in range(places):
            k = winners[i, place]
            if k >= 0:
                row = rows[place, k]
                for c in range(scores.size):
                    scores[c] += row[c]
