"""Dendritic segments that learn contexts: overlaps with active inputs, and one step of learning.

Permanences are integers of 1e-4, so sums of tenths come out exact. `learn_reference` is the specification.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from ..tools.random import words

ONE = 10_000
NONE = -1


class SegmentRules(NamedTuple):
    """Parameters as integers; permanences in steps of 1 / ONE."""

    activation: int
    minimum: int
    initial: int
    connected: int
    increment: int
    decrement: int
    punishment: int
    growth: int
    key: int


def active(rules, overlaps):
    """Return the ascending units with an active segment, int32, from the overlaps [units, segments]."""
    return np.flatnonzero((overlaps >= rules.activation).any(axis=1)).astype(np.int32)


def overlap_reference(rules, source, permanence, size, context, overlaps, matches):
    """The specification of `overlap`."""
    on = np.zeros(size, bool)
    on[context] = True
    reached = np.where(source >= 0, on[source], False)
    matches[:] = reached.sum(axis=2)
    overlaps[:] = (reached & (permanence >= rules.connected)).sum(axis=2)
    return int(overlaps.sum())


def overlap(rules, source, permanence, size, context, overlaps, matches):
    """Count the connected synapses (`overlaps`) and all synapses (`matches`) of each segment from active inputs.

    Args:
        source, permanence: [units, segments, synapses] int32 and int16.
        size: number of inputs; `context` are the active ones.

    Returns:
        The number of connected synapses from active inputs.
    """
    # One input more, always off: -1 reads it.
    on = np.zeros(size + 1, np.uint8)
    on[context] = 1
    return int(_overlap(rules.connected, source, permanence, on, overlaps, matches))


@njit(cache=True, nogil=True)
def _overlap(connected, source, permanence, on, overlaps, matches):
    visited = 0
    for u in range(source.shape[0]):
        for s in range(source.shape[1]):
            all_on = strong = 0
            for k in range(source.shape[2]):
                reached = on[source[u, s, k]]
                all_on += reached
                strong += reached & np.uint8(permanence[u, s, k] >= connected)
            overlaps[u, s] = strong
            matches[u, s] = all_on
            visited += strong
    return visited


def learn(rules, source, permanence, learned, overlaps, matches, size, context, soma, window):
    """Let the segments learn, in place, that `context` comes before the spikes of the units `soma`.

    Args:
        source, permanence: [units, segments, synapses] int32 and int16.
        learned: [units, segments] int64, the window in which each last learned.
        overlaps, matches: of `context`, from `overlap`.
        size: number of inputs.
        window: its number, the key of draws.
    """
    on = np.zeros(size + 1, np.uint8)
    spiked = np.zeros(len(source), np.uint8)
    on[context] = 1
    spiked[soma] = 1
    _learn(rules, source, permanence, learned, overlaps, matches, on, context, spiked, window)


@njit(cache=True, nogil=True)
def _learn(rules, source, permanence, learned, overlaps, matches, on, context, spiked, window):
    free = np.empty(context.size, np.int32)
    for u in range(source.shape[0]):
        if spiked[u] and context.size:
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


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
def _change(source, permanence, on, active, silent):
    """Change the permanences of a segment's synapses from active and from silent inputs; at 0 a synapse is removed."""
    for k in range(source.size):
        if source[k] >= 0:
            new = permanence[k] + (active if on[source[k]] else silent)
            permanence[k] = min(max(new, 0), ONE)
            if permanence[k] == 0:
                source[k] = NONE


@njit(cache=True, nogil=True)
def _grow(rules, source, permanence, on, context, free, segment, window):
    """Add synapses from active inputs that have none, drawn without replacement, up to `growth` from the context."""
    count = held = 0
    for k in range(source.size):
        held += source[k] >= 0 and on[source[k]]
    for i in range(context.size):
        known = False
        for k in range(source.size):
            known |= source[k] == context[i]
        if not known:
            free[count] = context[i]
            count += 1
    wanted = min(max(rules.growth - held, 0), count)
    for i in range(wanted):
        drawn = words(np.uint64(rules.key), np.uint64(segment), np.uint64(window * 65_536 + i))[0]
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


@njit(cache=True, nogil=True)
def _weaker(a, a_permanence, b, b_permanence, on):
    if on[a] != on[b]:
        return on[a] < on[b]
    return a_permanence < b_permanence


def learn_reference(rules, source, permanence, learned, overlaps, matches, size, context, soma, window):
    """The specification of `learn`, one synapse at a time."""
    active_inputs = set(context.tolist())
    spiked = set(soma.tolist())
    units, segments, _ = source.shape
    for u in range(units):
        reached = [s for s in range(segments) if overlaps[u, s] >= rules.activation]
        if u not in spiked:
            for s in reached:
                if rules.punishment:
                    _change_reference(source[u, s], permanence[u, s], active_inputs, -rules.punishment, 0)
            continue
        if not active_inputs:
            continue
        fresh = False
        if not reached:
            matching = [s for s in range(segments) if matches[u, s] >= rules.minimum]
            fresh = not matching
            reached = [max(matching, key=lambda s: (matches[u, s], -s)) if matching else int(learned[u].argmin())]
        for s in reached:
            if fresh:
                source[u, s] = NONE
                permanence[u, s] = 0
            else:
                _change_reference(source[u, s], permanence[u, s], active_inputs, rules.increment, -rules.decrement)
            learned[u, s] = window
            _grow_reference(rules, source[u, s], permanence[u, s], context.tolist(), u * segments + s, window)


def _change_reference(source, permanence, active_inputs, active, silent):
    for k, cell in enumerate(source.tolist()):
        if cell >= 0:
            permanence[k] = np.clip(int(permanence[k]) + (active if cell in active_inputs else silent), 0, ONE)
            source[k] = cell if permanence[k] else NONE


def _grow_reference(rules, source, permanence, context, segment, window):
    held = set(source.tolist())
    free = [cell for cell in context if cell not in held]
    wanted = min(max(rules.growth - len(held & set(context)), 0), len(free))
    for i in range(wanted):
        drawn = int(words(np.uint64(rules.key), np.uint64(segment), np.uint64(window * 65_536 + i))[0])
        j = i + (drawn * (len(free) - i) >> 32)
        free[i], free[j] = free[j], free[i]
        empty = np.flatnonzero(source < 0)
        order = sorted(range(len(source)), key=lambda k: (source[k] in context, permanence[k], k))
        place = int(empty[0]) if len(empty) else order[0]
        source[place] = free[i]
        permanence[place] = rules.initial
