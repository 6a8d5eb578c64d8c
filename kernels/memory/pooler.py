"""One step of a spatial pooler (Cui, Ahmad & Hawkins 2017), and its specification by plain loops.

Connected synapses are stored twice: as permanences [columns, inputs], a row for each column that learns, and as
bytes [inputs, columns], a row for each active input, so that overlaps are sums of contiguous rows. A permanence
rarely crosses the threshold; only then is a byte written.

Permanences are integers of 1e-4; -1 marks an input outside a column's pool.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit, uint64

ONE = 10_000
BLOCK = 64
# The smallest normal float32: however strongly it is held down, a column with overlap stays above those without.
TINY = float(np.finfo(np.float32).tiny)


class PoolerRules(NamedTuple):
    """Permanences in steps of 1 / ONE; `winners` 0 means local inhibition."""

    connected: int
    increment: int
    decrement: int
    bump: int
    stimulus: int
    winners: int
    density: float
    boost: float
    period: int
    weak: float
    every: int


class Field(NamedTuple):
    """State of a pooler, and scratch of a step."""

    counts: np.ndarray  # [1] int64: steps learned
    permanence: np.ndarray  # [columns, inputs] int16
    connected: np.ndarray  # [inputs, columns] uint8
    active_duty: np.ndarray  # [columns] float64, how often a column wins
    overlap_duty: np.ndarray  # [columns] float64, how often its overlap reaches the stimulus threshold
    rank: np.ndarray  # [columns] uint32, a permutation: the higher wins where scores are equal
    around: np.ndarray  # [columns + 1] int64: neighbours of c are near[around[c]:around[c + 1]], itself included
    near: np.ndarray  # int32
    limit: np.ndarray  # [columns] int64, winners allowed among them
    overlap: np.ndarray  # [columns] int32
    score: np.ndarray  # [columns] float32
    key: np.ndarray  # [columns] uint64
    change: np.ndarray  # [inputs] int16
    winner: np.ndarray  # [columns] int32


@njit(cache=True, nogil=True)
def _overlaps(field, bits):
    overlap = field.overlap
    overlap[:] = 0
    for i in bits:
        row = field.connected[i]
        for c in range(overlap.size):
            overlap[c] += row[c]


@njit(cache=True, nogil=True)
def _scores(rules, field):
    """Fill `key`: the boosted overlap, as bits that order like the number, then the rank; 0 if a column cannot win."""
    minimum = max(rules.stimulus, 1)
    for c in range(field.score.size):
        if rules.boost == 0.0:
            gain = 1.0
        else:
            gain = math.exp((rules.density - field.active_duty[c]) * rules.boost)
        field.score[c] = max(field.overlap[c] * gain, TINY)
    bits = field.score.view(np.uint32)
    for c in range(bits.size):
        key = uint64(bits[c]) << uint64(32) | uint64(field.rank[c])
        if field.overlap[c] >= minimum:
            field.key[c] = key
        else:
            field.key[c] = uint64(0)


@njit(cache=True, nogil=True)
def _global(field, count):
    """Find the `count` largest keys by bisection on their value: every pass is one vectorised count."""
    key = field.key
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


@njit(cache=True, nogil=True)
def _local(field):
    """Find the columns with fewer than `limit` neighbours of larger key."""
    n = 0
    for c in range(field.key.size):
        mine = field.key[c]
        larger = 0
        if mine == 0:
            continue
        # Few columns win: most are beaten as often as they may within a few neighbours.
        for k in range(field.around[c], field.around[c + 1]):
            if field.key[field.near[k]] > mine:
                larger += 1
                if larger == field.limit[c]:
                    break
        if larger < field.limit[c]:
            field.winner[n] = c
            n += 1
    return n


@njit(cache=True, nogil=True)
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
            after = after if before >= 0 else before
            crossed += (before >= bound) != (after >= bound)
            part[i] = after
        if crossed > 0:
            for i in range(part.size):
                field.connected[start + i, c] = part[i] >= bound


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
def _learn(rules, field, bits, n):
    field.change[:] = -rules.decrement
    for i in bits:
        field.change[i] = rules.increment
    for w in range(n):
        _change_row(rules, field, field.winner[w])
    field.counts[0] += 1
    period = float(min(rules.period, field.counts[0]))
    minimum = max(rules.stimulus, 1)
    for c in range(field.overlap.size):
        field.overlap_duty[c] += ((field.overlap[c] >= minimum) - field.overlap_duty[c]) / period
        field.active_duty[c] -= field.active_duty[c] / period
    for w in range(n):
        field.active_duty[field.winner[w]] += 1.0 / period
    if rules.bump > 0 and field.counts[0] % rules.every == 0:
        _bump(rules, field)


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
def connect(rules, field):
    """Fill the bytes of connected synapses from the permanences."""
    for c in range(field.permanence.shape[0]):
        for i in range(field.permanence.shape[1]):
            field.connected[i, c] = field.permanence[c, i] >= rules.connected


def advance_reference(rules, field, bits, learn):
    """The specification of `advance`: changes `field` in the same way and returns the winners, one statement a rule."""
    columns = len(field.permanence)
    minimum = max(rules.stimulus, 1)
    pool = field.permanence >= 0
    bits = np.asarray(bits, int)
    overlap = (field.permanence[:, bits] >= rules.connected).sum(axis=1)
    gain = [math.exp((rules.density - d) * rules.boost) if rules.boost else 1.0 for d in field.active_duty]
    score = [np.float32(max(o * g, TINY)) for o, g in zip(overlap, gain, strict=True)]
    order = [(score[c], field.rank[c]) if overlap[c] >= minimum else None for c in range(columns)]
    able = [c for c in range(columns) if order[c] is not None]
    near = [field.near[field.around[c] : field.around[c + 1]] if not rules.winners else range(columns) for c in able]
    limit = [rules.winners or field.limit[c] for c in able]
    beaten = [sum(order[k] is not None and order[k] > order[c] for k in n) for c, n in zip(able, near, strict=True)]
    winners = [c for c, b, bound in zip(able, beaten, limit, strict=True) if b < bound]
    if learn:
        on = np.isin(np.arange(field.permanence.shape[1]), bits)
        for c in winners:
            change = np.where(on, rules.increment, -rules.decrement)
            moved = np.clip(field.permanence[c] + change, 0, ONE)
            field.permanence[c] = np.where(pool[c], moved, -1)
        field.counts[0] += 1
        period = float(min(rules.period, field.counts[0]))
        won = np.isin(np.arange(columns), winners)
        field.overlap_duty[:] += ((overlap >= minimum) - field.overlap_duty) / period
        field.active_duty[:] -= field.active_duty / period
        field.active_duty[won] += 1.0 / period
        if rules.bump > 0 and field.counts[0] % rules.every == 0:
            _bump_reference(rules, field, pool)
        field.connected[:] = (field.permanence >= rules.connected).T
    return winners


def _bump_reference(rules, field, pool):
    duty = field.overlap_duty.copy()
    for c in range(len(duty)):
        if not rules.winners:
            near = field.near[field.around[c] : field.around[c + 1]]
        else:
            near = slice(None)
        if duty[c] < rules.weak * duty[near].max():
            field.permanence[c] = np.where(pool[c], np.minimum(field.permanence[c] + rules.bump, ONE), -1)
