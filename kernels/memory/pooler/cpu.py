"""One step of a spatial pooler, compiled."""

from __future__ import annotations

import math

import numpy as np
from numba import njit, uint64

from ...tools.compiled import compiled
from ..permanence import ONE
from .reference import TINY

# Permanences that are changed at once: bytes of connected synapses are written only in blocks where one crossed.
BLOCK = 64


@compiled
def _overlaps(field, bits):
    overlap = field.overlap
    overlap[:] = 0
    for i in bits:
        row = field.connected[i]
        for c in range(overlap.size):
            overlap[c] += row[c]


@compiled
def _scores(rules, field):
    """Fill `key`: the boosted overlap, as bits that order like the number, then the rank; 0 if a column cannot win."""
    minimum = max(rules.stimulus, 1)
    for c in range(field.score.size):
        if rules.boost == 0.0:
            gain = 1.0
        else:
            gain = math.exp((rules.density - field.active_duty[c]) * rules.boost)
        field.score[c] = max(field.overlap[c] * gain, TINY)
    # The bits of positive floats order as the numbers do: one comparison of 64 bits decides score and rank.
    bits = field.score.view(np.uint32)
    for c in range(bits.size):
        key = uint64(bits[c]) << uint64(32) | uint64(field.rank[c])
        if field.overlap[c] >= minimum:
            field.key[c] = key
        else:
            field.key[c] = uint64(0)


@compiled
def _global(field, count):
    """Find the `count` largest keys by bisection on their value: every pass is one vectorised count."""
    key = field.key
    # From 1: columns below the minimum of overlap have the key 0, and never win.
    low = uint64(1)
    high = uint64(0)
    for c in range(key.size):
        high = max(high, key[c])
    while low < high:
        middle = low + (high - low + uint64(1)) // uint64(2)
        above = 0
        for c in range(key.size):
            above += key[c] >= middle
        if above >= count:
            low = middle
            if above == count:
                break
        else:
            high = middle - uint64(1)
    n = 0
    for c in range(key.size):
        if key[c] >= low:
            field.winner[n] = c
            n += 1
    return n


@compiled
def _local(field):
    """Find the columns with fewer than `limit` neighbours of larger key."""
    n = 0
    for c in range(field.key.size):
        if field.key[c] and not _is_beaten(field, c):
            field.winner[n] = c
            n += 1
    return n


@njit(inline="always")
def _is_beaten(field, c):
    """Return whether a column has `limit` neighbours of larger key."""
    larger = 0
    # Few columns win: most are beaten as often as they may within a few neighbours.
    for k in range(field.around[c], field.around[c + 1]):
        if field.key[field.near[k]] > field.key[c]:
            larger += 1
            if larger == field.limit[c]:
                break
    return larger >= field.limit[c]


@compiled
def _change_row(rules, field, c):
    """Add `change` to the permanences of column c, within 0..ONE and inside the pool."""
    row = field.permanence[c]
    change = field.change
    bound = rules.connected
    for start in range(0, row.size, BLOCK):
        part = row[start : start + BLOCK]
        delta = change[start : start + BLOCK]
        crossed = 0
        for i in range(part.size):
            before = part[i]
            after = min(max(before + delta[i], 0), ONE)
            # -1 is outside the pool and stays.
            after = after if before >= 0 else before
            crossed += (before >= bound) != (after >= bound)
            part[i] = after
        if crossed > 0:
            for i in range(part.size):
                field.connected[start + i, c] = part[i] >= bound


@compiled
def _bump(rules, field):
    """Raise all permanences of columns whose overlap duty is below a part of the largest (locally: nearby)."""
    duty = field.overlap_duty
    field.change[:] = rules.bump
    largest = duty.max()
    for c in range(duty.size):
        if rules.winners == 0:
            largest = 0.0
            for k in range(field.around[c], field.around[c + 1]):
                largest = max(largest, duty[field.near[k]])
        if duty[c] < rules.weak * largest:
            _change_row(rules, field, c)


@compiled
def _learn(rules, field, bits, n):
    field.change[:] = -rules.decrement
    for i in bits:
        field.change[i] = rules.increment
    for w in range(n):
        _change_row(rules, field, field.winner[w])
    field.counts[0] += 1
    # The mean of all steps so far, then a running mean over `period` of them.
    period = float(min(rules.period, field.counts[0]))
    minimum = max(rules.stimulus, 1)
    for c in range(field.overlap.size):
        field.overlap_duty[c] += ((field.overlap[c] >= minimum) - field.overlap_duty[c]) / period
        field.active_duty[c] -= field.active_duty[c] / period
    for w in range(n):
        field.active_duty[field.winner[w]] += 1.0 / period
    if rules.bump > 0 and field.counts[0] % rules.every == 0:
        _bump(rules, field)


@compiled
def advance(rules, field, bits, learn):
    """Advance by one step on the active inputs `bits` [n]: fill `winner`, ascending; return the number of winners."""
    _overlaps(field, bits)
    _scores(rules, field)
    if rules.winners > 0:
        n = _global(field, rules.winners)
    else:
        n = _local(field)
    if learn:
        _learn(rules, field, bits, n)
    return n


@compiled
def connect(rules, field):
    """Fill the bytes of connected synapses from the permanences."""
    for c in range(field.permanence.shape[0]):
        for i in range(field.permanence.shape[1]):
            field.connected[i, c] = field.permanence[c, i] >= rules.connected
