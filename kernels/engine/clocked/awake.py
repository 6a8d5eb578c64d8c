"""Groups of neurons that are at rest within a piece: steps leave them out.

A piece is seldom at rest as a whole if a few of its neurons receive a spike now and then. So each group of GROUP
neurons has a flag: 0 if a step without input changed no bit of its state, and nothing has arrived since. Where few are
flagged, their states are gathered, stepped as a smaller piece, and put back.

For pieces of whole words of flags whose units share their constants. Flags of groups mean nothing while a piece is
BUSY, see `rest`.
"""

from __future__ import annotations

import numpy as np

from ...tools.compiled import compiled
from ...tools.intrinsics import copy64, differing64, flags64
from ...tools.pointers import vector
from .columns import AWAKE, RECEPTORS, STATES
from .deliver import clear, collect
from .rest import differs
from .views import PIECE

LINE = 64
# A line of float32.
GROUP = 16
# Flags of a piece, filled up with zeros to words of 64.
FLAGS = -(-PIECE // (GROUP * 64)) * 64
# Groups of a piece for each that is awake, from which on gathering is worth it.
WORTH = 3


@compiled
def mark(at, n, size, flags_at):
    """Flag the groups at which something arrives; return whether there are any.

    Args:
        at: address of the entries of n units, `size` bytes each, in a buffer of arrivals.
        flags_at: address of the flags of the piece.
    """
    flags = vector(flags_at, FLAGS, np.uint8(0))
    found = False
    for line in range(0, n * size, LINE):
        if flags64(at + line):
            found = True
            for group in range(line // (GROUP * size), (line + LINE - 1) // (GROUP * size) + 1):
                flags[group] = 1
    return found


@compiled
def flag_all(flags_at, n):
    """Flag all groups of a piece of n units."""
    flags = vector(flags_at, FLAGS, np.uint8(0))
    for group in range(n // GROUP):
        flags[group] = 1


@compiled
def is_changed(unit, state_at, n, flags_at, width, places):
    """Return whether a step changed any bit of a piece of n units; flag the groups that it changed, and no others.

    Args:
        state_at: address of the state after the step; that before it is at `places.former`.
    """
    states = unit[STATES]
    former_at = places.former
    if flags_at == 0:
        return differs(state_at, former_at, states * n * width)
    flags = vector(flags_at, FLAGS, np.uint8(0))
    clear(flags)
    found = False
    row = n * width
    for first in range(0, states * row, row):
        for line in range(0, row, LINE):
            if differing64(state_at + first + line, former_at + first + line):
                flags[line // (GROUP * width)] = 1
                found = True
    return found


@compiled
def flags_of(unit, piece, n):
    """Return the address of the flags of a piece of n units; 0 if it has none."""
    if unit[AWAKE] == 0 or n % 64:
        return np.int64(0)
    return unit[AWAKE] + piece * FLAGS


@compiled
def gather_awake(unit, state_at, n, flags_at, has_inputs, width, places):
    """Gather the states of the flagged groups of a piece of n units at `places.former`; list them at `places.awake`.

    Args:
        flags_at: address of the flags; 0: the whole piece is stepped.
        has_inputs: whether their inputs at `places.x` are gathered, too.

    Returns:
        the address of the states that are to be stepped, the number of units, and that of groups: 0 for the whole
        piece, which is also stepped where most groups are flagged.
    """
    if flags_at == 0:
        return state_at, n, np.int64(0)
    count = collect(flags_at, n // GROUP, 0, places.awake, 0)
    if count * WORTH * GROUP > n:
        return state_at, n, np.int64(0)
    _gather(state_at, places.former, unit[STATES], n, count, width, places)
    if has_inputs:
        _gather(places.x, places.x, unit[RECEPTORS], n, count, width, places)
    return places.former, count * GROUP, count


@compiled
def _gather(at, target_at, rows, n, count, width, places):
    """Copy the listed groups from [rows, n] to [rows, count * GROUP]; both may begin at the same address."""
    groups = vector(places.awake, count, np.int32(0))
    size = GROUP * width
    to = target_at
    for row in range(rows):
        for j in range(count):
            source = at + row * n * width + groups[j] * size
            for line in range(0, size, LINE):
                copy64(source + line, to + line)
            to += size


@compiled
def put_back(unit, state_at, n, count, fires, width, places):
    """Put the states of `count` groups back among those of n units, and, if any neuron fired, the flags of spikes."""
    groups = vector(places.awake, count, np.int32(0))
    size = GROUP * width
    source = places.former
    for row in range(unit[STATES]):
        for j in range(count):
            to = state_at + row * n * width + groups[j] * size
            for line in range(0, size, LINE):
                copy64(source + line, to + line)
            source += size
    if fires:
        spread(n, count, places)


@compiled
def spread(n, count, places):
    """Put the flags of spikes of the listed groups in their places among those of n units, and zeros elsewhere."""
    groups = vector(places.awake, count, np.int32(0))
    spiked = vector(places.spiked, n, np.uint8(0))
    fired = vector(places.words, count * GROUP, np.uint8(0))
    for i in range(fired.size):
        fired[i] = spiked[i]
    clear(spiked)
    for j in range(count):
        for i in range(GROUP):
            spiked[groups[j] * GROUP + i] = fired[j * GROUP + i]
