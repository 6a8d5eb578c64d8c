"""One step of a spatial pooler (Cui, Ahmad & Hawkins 2017) by plain loops: the specification.

Connected synapses are stored twice: as permanences [columns, inputs], a row for each column that learns, and as
bytes [inputs, columns], a row for each active input, so that overlaps are sums of contiguous rows. A permanence
rarely crosses the threshold; only then is a byte written.

A permanence of -1 marks an input outside a column's pool.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..permanence import ONE

# The smallest normal float32: however strongly it is held down, a column with overlap stays above those without.
TINY = float(np.finfo(np.float32).tiny)


class PoolerRules(NamedTuple):
    """Parameters of a step; permanences in steps of 1 / ONE."""

    connected: int
    """Permanence from which on a synapse is connected."""
    increment: int
    decrement: int
    bump: int
    """Increase of all permanences of a column that hardly ever overlaps; 0: none."""
    stimulus: int
    """Minimum overlap of a winner."""
    winners: int
    """Number of winners; 0: columns compete with their neighbours."""
    density: float
    """Fraction of columns that win."""
    boost: float
    period: int
    """Steps of the running means of duties."""
    weak: float
    """A column is bumped below this fraction of the largest overlap duty."""
    every: int
    """Steps from one bump to the next."""


class Field(NamedTuple):
    """State of a pooler, and scratch of a step."""

    counts: NDArray[np.int64]
    """[1]: steps learned."""
    permanence: NDArray[np.int16]
    """[columns, inputs]."""
    connected: NDArray[np.uint8]
    """[inputs, columns]."""
    active_duty: NDArray[np.float64]
    """[columns], how often a column wins."""
    overlap_duty: NDArray[np.float64]
    """[columns], how often its overlap reaches the stimulus threshold."""
    rank: NDArray[np.uint32]
    """[columns], a permutation: the higher wins where scores are equal."""
    around: NDArray[np.int64]
    """[columns + 1]: neighbours of c are near[around[c]:around[c + 1]], itself included."""
    near: NDArray[np.int32]
    """The neighbours of all columns."""
    limit: NDArray[np.int64]
    """[columns], winners allowed among them."""
    overlap: NDArray[np.int32]
    """[columns], number of connected synapses from active inputs."""
    score: NDArray[np.float32]
    """[columns], overlap times boost."""
    key: NDArray[np.uint64]
    """[columns], score and rank as one number; 0 if a column cannot win."""
    change: NDArray[np.int16]
    """[inputs], change of the permanences of a winner."""
    winner: NDArray[np.int32]
    """[columns], the winners of the step, ascending; the rest is not used."""


def advance_reference(rules: PoolerRules, field: Field, bits: NDArray[np.int32], learn: bool) -> list[int]:
    """Change `field` by one step on the active inputs `bits` [n], and return the winners, ascending."""
    columns = len(field.permanence)
    minimum = max(rules.stimulus, 1)
    pool = field.permanence >= 0
    bits = np.asarray(bits, int)
    overlap = (field.permanence[:, bits] >= rules.connected).sum(axis=1)
    # Boost: columns that win more rarely than the density need less overlap.
    gain = [math.exp((rules.density - d) * rules.boost) if rules.boost else 1.0 for d in field.active_duty]
    score = [np.float32(max(o * g, TINY)) for o, g in zip(overlap, gain, strict=True)]
    order = [(score[c], field.rank[c]) if overlap[c] >= minimum else None for c in range(columns)]
    able = [c for c in range(columns) if order[c] is not None]
    near = [field.near[field.around[c] : field.around[c + 1]] if not rules.winners else range(columns) for c in able]
    limit = [rules.winners or field.limit[c] for c in able]
    # A column wins if fewer than `limit` of those that compete with it have a larger (score, rank).
    beaten = [sum(order[k] is not None and order[k] > order[c] for k in n) for c, n in zip(able, near, strict=True)]
    winners = [c for c, b, bound in zip(able, beaten, limit, strict=True) if b < bound]
    if learn:
        on = np.isin(np.arange(field.permanence.shape[1]), bits)
        for c in winners:
            change = np.where(on, rules.increment, -rules.decrement)
            moved = np.clip(field.permanence[c] + change, 0, ONE)
            field.permanence[c] = np.where(pool[c], moved, -1)
        field.counts[0] += 1
        # The mean of all steps so far, then a running mean over `period` of them.
        period = float(min(rules.period, field.counts[0]))
        won = np.isin(np.arange(columns), winners)
        field.overlap_duty[:] += ((overlap >= minimum) - field.overlap_duty) / period
        field.active_duty[:] -= field.active_duty / period
        field.active_duty[won] += 1.0 / period
        if rules.bump > 0 and field.counts[0] % rules.every == 0:
            _bump_reference(rules, field, pool)
        connect_reference(rules, field)
    return winners


def _bump_reference(rules: PoolerRules, field: Field, pool: NDArray[np.bool_]) -> None:
    duty = field.overlap_duty.copy()
    for c in range(len(duty)):
        if not rules.winners:
            near = field.near[field.around[c] : field.around[c + 1]]
        else:
            near = slice(None)
        if duty[c] < rules.weak * duty[near].max():
            field.permanence[c] = np.where(pool[c], np.minimum(field.permanence[c] + rules.bump, ONE), -1)


def connect_reference(rules: PoolerRules, field: Field) -> None:
    """Fill the bytes of connected synapses from the permanences."""
    field.connected[:] = (field.permanence >= rules.connected).T
