"""Two heaps of the run in continuous time: spikes on their way through a projection, and predicted crossings.

A spike on its way is an entry (moment of its next synapse, source, place of that synapse, moment of the spike). The
heap of crossings knows the place of each unit, so that a prediction can be moved.
"""

from __future__ import annotations

import math

from numba import njit

from ...tools.compiled import compiled
from ...tools.pointers import vector
from .columns import HEAPED


@njit(inline="always")
def _before(queue, k, at, source, place):
    """Return whether entry k comes before (at, source, place)."""
    if queue[4 * k] != at:
        return queue[4 * k] < at
    if queue[4 * k + 1] != source:
        return queue[4 * k + 1] < source
    return queue[4 * k + 2] < place


@njit(inline="always")
def _put(queue, k, at, source, place, spiked):
    """Set entry k."""
    queue[4 * k] = at
    queue[4 * k + 1] = source
    queue[4 * k + 2] = place
    queue[4 * k + 3] = spiked


@njit(inline="always")
def _move(queue, k, to):
    """Copy entry k to place `to`."""
    _put(queue, to, queue[4 * k], queue[4 * k + 1], queue[4 * k + 2], queue[4 * k + 3])


@compiled
def push_spike(address, count, at, source, place, spiked):
    """Add an entry to a heap of `count`."""
    queue = vector(address, 4 * (count + 1), 0.0)
    # From the end of the heap up: parents that come later move down, until the new entry fits.
    k = count
    while k and not _before(queue, (k - 1) // 2, at, source, place):
        _move(queue, (k - 1) // 2, k)
        k = (k - 1) // 2
    _put(queue, k, at, source, place, spiked)


@compiled
def replace_first_spike(address, count, at, source, place, spiked):
    """Replace the first entry of a heap of `count`."""
    queue = vector(address, 4 * (count + 1), 0.0)
    # From the top down: the earlier child moves up, until the new entry fits.
    k = 0
    while True:
        child = 2 * k + 1
        if child + 1 < count:
            other = 4 * (child + 1)
            child += _before(queue, child + 1, queue[other - 4], queue[other - 3], queue[other - 2])
        if child >= count or not _before(queue, child, at, source, place):
            break
        _move(queue, child, k)
        k = child
    _put(queue, k, at, source, place, spiked)


@compiled
def place_crossing(number, t, crossings, counters):
    """Add or move the entry of a unit among `crossings` (`views.Crossings`), or remove it (t = inf)."""
    keys = crossings.keys
    places = crossings.places
    heap = crossings.heap
    at = places[number]
    if t == math.inf:
        if at >= 0:
            places[number] = -1
            # The last entry fills the gap.
            counters[HEAPED] -= 1
            last = heap[counters[HEAPED]]
            if last != number:
                heap[at] = last
                places[last] = at
                _restore_order(at, keys, places, heap, counters[HEAPED])
        return
    keys[number] = t
    if at < 0:
        at = counters[HEAPED]
        counters[HEAPED] += 1
        heap[at] = number
        places[number] = at
    _restore_order(at, keys, places, heap, counters[HEAPED])


@compiled
def _earlier(keys, a, b):
    """Return whether unit a crosses before unit b; at one moment the lower number does."""
    return keys[a] < keys[b] or (keys[a] == keys[b] and a < b)


@compiled
def _restore_order(at, keys, places, heap, count):
    """Move the entry at place `at` up or down until the heap is in order."""
    # `number` is written once, at the end: entries on its way move by one place, and are never exchanged.
    number = heap[at]
    while at and _earlier(keys, number, heap[(at - 1) // 2]):
        heap[at] = heap[(at - 1) // 2]
        places[heap[at]] = at
        at = (at - 1) // 2
    while True:
        child = 2 * at + 1
        if child + 1 < count and _earlier(keys, heap[child + 1], heap[child]):
            child += 1
        if child >= count or not _earlier(keys, heap[child], number):
            break
        heap[at] = heap[child]
        places[heap[at]] = at
        at = child
    heap[at] = number
    places[number] = at
