"""Dendritic segments: their overlaps with active inputs, and one step of learning contexts; the specification."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...tools.random import threefry_reference
from ..permanence import ONE

# Source of a synapse that does not exist.
NONE = -1
# Draws of a window are numbered from the window's number times this.
DRAWS_PER_WINDOW = 65_536


class SegmentRules(NamedTuple):
    """Parameters as integers; permanences in steps of 1 / ONE."""

    activation: int
    """Minimum number of connected synapses from active inputs of an active segment."""
    minimum: int
    """Minimum number of all synapses from active inputs of a segment that may learn instead."""
    initial: int
    connected: int
    """Permanence from which on a synapse is connected."""
    increment: int
    decrement: int
    punishment: int
    growth: int
    """Number of synapses from active inputs up to which a segment grows."""
    key: int
    """Key of the random draws."""


class Segments(NamedTuple):
    """Segments of units and their overlaps with the context before, as learning changes them."""

    source: NDArray[np.int32]
    """[units, segments, synapses], the input of each synapse; `NONE` where there is none."""
    permanence: NDArray[np.int16]
    """[units, segments, synapses]."""
    learned: NDArray[np.int64]
    """[units, segments], the window in which each last learned."""
    overlaps: NDArray[np.int32]
    """[units, segments], number of connected synapses from active inputs."""
    matches: NDArray[np.int32]
    """[units, segments], number of all synapses from active inputs."""


def overlaps_reference(synapses: NDArray[np.int32], dense: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Count the synapses [..., s] (-1: none) on active bits [size]: [...]."""
    return np.where(synapses >= 0, dense[synapses], False).sum(axis=-1, dtype=np.int32)


def update_overlaps_reference(rules: SegmentRules, own: Segments, size: int, context: NDArray[np.int32]) -> int:
    """Count the synapses of each segment from active inputs, and return the number of those that are connected.

    Args:
        own: whose `overlaps` and `matches` are replaced.
        size: number of inputs; `context` are the active ones.
    """
    on = np.zeros(size, bool)
    on[context] = True
    reached = np.where(own.source >= 0, on[own.source], False)
    own.matches[:] = reached.sum(axis=2)
    own.overlaps[:] = (reached & (own.permanence >= rules.connected)).sum(axis=2)
    return int(own.overlaps.sum())


def learn_reference(
    rules: SegmentRules, own: Segments, size: int, context: NDArray[np.int32], soma: NDArray[np.int32], window: int
) -> None:
    """Let the segments learn, in place, that `context` comes before the spikes of the units `soma`.

    Args:
        size: number of inputs.
        window: its number, the key of draws.
    """
    source, permanence, learned, overlaps, matches = own
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
        # The active segments learn; without one, the best match; without a match, the oldest starts anew.
        for s in reached:
            if fresh:
                source[u, s] = NONE
                permanence[u, s] = 0
            else:
                _change_reference(source[u, s], permanence[u, s], active_inputs, rules.increment, -rules.decrement)
            learned[u, s] = window
            _grow_reference(rules, source[u, s], permanence[u, s], context.tolist(), u * segments + s, window)


def _change_reference(
    source: NDArray[np.int32], permanence: NDArray[np.int16], active_inputs: set[int], active: int, silent: int
) -> None:
    for k, cell in enumerate(source.tolist()):
        if cell >= 0:
            permanence[k] = np.clip(int(permanence[k]) + (active if cell in active_inputs else silent), 0, ONE)
            source[k] = cell if permanence[k] else NONE


def _grow_reference(
    rules: SegmentRules,
    source: NDArray[np.int32],
    permanence: NDArray[np.int16],
    context: list[int],
    segment: int,
    window: int,
) -> None:
    held = set(source.tolist())
    free = [cell for cell in context if cell not in held]
    wanted = min(max(rules.growth - len(held & set(context)), 0), len(free))
    for i in range(wanted):
        drawn = _word_reference(rules.key, segment, window * DRAWS_PER_WINDOW + i)
        j = i + (drawn * (len(free) - i) >> 32)
        free[i], free[j] = free[j], free[i]
        empty = np.flatnonzero(source < 0)
        # The first free place, else the weakest synapse from a silent input, else the weakest.
        order = sorted(range(len(source)), key=lambda k: (source[k] in context, permanence[k], k))
        place = int(empty[0]) if len(empty) else order[0]
        source[place] = free[i]
        permanence[place] = rules.initial


def _word_reference(key: int, segment: int, draw: int) -> int:
    """Return the random word of 32 bits of a draw for a segment."""
    low = 0xFFFFFFFF
    counter = (segment & low, segment >> 32, draw & low, draw >> 32)
    return threefry_reference(counter, (key & low, key >> 32, 0, 0))[0]
