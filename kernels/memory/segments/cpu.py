"""Overlaps of dendritic segments and one step of learning contexts, compiled."""

from __future__ import annotations

import numpy as np

from ...tools.compiled import compiled
from ...tools.random import words
from ..permanence import ONE
from .reference import DRAWS_PER_WINDOW, NONE


@compiled
def overlaps(synapses, bits, out):
    """Fill out [n] with the number of synapses [n, s] on active bits [size + 1]; the last, which -1 reads, is 0."""
    for i in range(out.size):
        row = synapses[i]
        total = 0
        for k in range(row.size):
            total += bits[row[k]]
        out[i] = total


@compiled
def update_overlaps(connected, source, permanence, overlaps, matches, on):
    """Fill overlaps and matches as `update_overlaps_reference`; `on` [size + 1], the last, which -1 reads, is 0."""
    total = 0
    for u in range(source.shape[0]):
        for s in range(source.shape[1]):
            # `strong` counts connected synapses, `all_on` all of them.
            all_on = strong = 0
            for k in range(source.shape[2]):
                reached = on[source[u, s, k]]
                all_on += reached
                strong += reached & np.uint8(permanence[u, s, k] >= connected)
            overlaps[u, s] = strong
            matches[u, s] = all_on
            total += strong
    return total


@compiled
def learn(rules, source, permanence, learned, overlaps, matches, on, context, spiked, window):
    """Let the segments learn as `learn_reference`; `on` [size + 1] and `spiked` [units] are flags."""
    free = np.empty(context.size, np.int32)
    for u in range(source.shape[0]):
        if spiked[u] and context.size:
            # All active segments learn; without one, the fallback alone.
            fallback, fresh = _fallback(rules, learned[u], overlaps[u], matches[u])
            for s in range(source.shape[1]):
                if s != fallback and (fallback >= 0 or overlaps[u, s] < rules.activation):
                    continue
                if fresh:
                    source[u, s, :] = NONE
                    permanence[u, s, :] = 0
                else:
                    _change(source[u, s], permanence[u, s], on, rules.increment, -rules.decrement)
                learned[u, s] = window
                _grow(rules, source[u, s], permanence[u, s], on, context, free, u * source.shape[1] + s, window)
        elif not spiked[u] and rules.punishment:
            for s in range(source.shape[1]):
                if overlaps[u, s] >= rules.activation:
                    _change(source[u, s], permanence[u, s], on, -rules.punishment, 0)


@compiled
def _fallback(rules, learned, overlaps, matches):
    """Return the segment that learns although none is active, and whether it starts anew; (-1, False) if one is."""
    best = -1
    oldest = 0
    for s in range(overlaps.size):
        if overlaps[s] >= rules.activation:
            return -1, False
        if matches[s] >= rules.minimum and (best < 0 or matches[s] > matches[best]):
            best = s
        if learned[s] < learned[oldest]:
            oldest = s
    return (best, False) if best >= 0 else (oldest, True)


@compiled
def _change(source, permanence, on, active, silent):
    """Change the permanences of a segment's synapses from active and from silent inputs; at 0 a synapse is removed."""
    for k in range(source.size):
        if source[k] >= 0:
            new = permanence[k] + (active if on[source[k]] else silent)
            permanence[k] = min(max(new, 0), ONE)
            if permanence[k] == 0:
                source[k] = NONE


@compiled
def _grow(rules, source, permanence, on, context, free, segment, window):
    """Add synapses from active inputs that have none, drawn without replacement, up to `growth` from the context."""
    count = present = 0
    for k in range(source.size):
        present += source[k] >= 0 and on[source[k]]
    for i in range(context.size):
        known = False
        for k in range(source.size):
            known |= source[k] == context[i]
        if not known:
            free[count] = context[i]
            count += 1
    wanted = min(max(rules.growth - present, 0), count)
    for i in range(wanted):
        drawn = words(np.uint64(rules.key), np.uint64(segment), np.uint64(window * DRAWS_PER_WINDOW + i))[0]
        j = i + np.int64((np.uint64(drawn) * np.uint64(count - i)) >> np.uint64(32))
        free[i], free[j] = free[j], free[i]
        place = 0
        for k in range(source.size):
            # The first free place, else the weakest synapse from a silent input, else the weakest.
            if source[k] < 0:
                place = k
                break
            if _weaker(source[k], permanence[k], source[place], permanence[place], on):
                place = k
        source[place] = free[i]
        permanence[place] = rules.initial


@compiled
def _weaker(a, a_permanence, b, b_permanence, on):
    if on[a] != on[b]:
        return on[a] < on[b]
    return a_permanence < b_permanence
