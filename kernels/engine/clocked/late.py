"""Silent pieces of neurons that wait, and catch up: several steps of a piece one after another, in the first cache.

A calm piece (see `rest`) in a step in which nothing arrives at it waits: nothing is computed. It catches up as soon as
something arrives, or when a spike of a step that it has not made could be read, or when the run ends. Its spikes of
those steps then enter the log at the place where they would be, before anybody reads it.

How many steps it may wait for is decided in `neurosim.engine.grid.workspace`: within an interval of steps, in which
nobody reads the log, `Clock.patience`; at the end of one WAITS, for spikes of an interval are read when the shortest
delay of the population's own synapses is over, which may be longer than an interval.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from ...tools.compiled import compiled
from ...tools.pointers import call, matrix, vector
from .columns import (
    BY_UNIT,
    CONSTANT,
    CONSTANTS,
    DRIVEN,
    HEARD,
    KIND,
    MEMBERS,
    NEURONS,
    PART,
    QUIET,
    RECEPTORS,
    RESTS,
    SHIFT,
    SIZE,
    STATE,
    STATES,
    STEP,
)
from .deliver import clear, collect
from .inputs import drive
from .rest import BUSY, CALM, any_bit
from .views import PIECE


@njit(inline="always")
def call_step(unit, function, first, n, summed, spiked):
    """Call a step of the model of a population for its n units from `first` on, with these inputs."""
    real = summed.dtype.type(0)
    width = summed.itemsize
    state = matrix(unit[STATE] + unit[STATES] * first * width, unit[STATES], n, real)
    if unit[BY_UNIT]:
        own = matrix(unit[CONSTANT] + unit[CONSTANTS] * first * width, unit[CONSTANTS], n, real)
        if unit[DRIVEN]:
            own = drive(own, summed[unit[RECEPTORS] - 1])
        call(function, state, summed, own, spiked)
    else:
        call(function, state, summed, vector(unit[CONSTANT], unit[CONSTANTS], real), spiked)


@compiled
def catch_up(unit, first, n, known, marks_at, last_at, real, places, log_at, used):
    """Make the steps that a piece of n units from `first` on has waited for; return the new length of the log.

    Args:
        known: uint8 [1], what is known of the piece.
        marks_at: address of the offset in the log where the spikes of the population begin in the first of the steps.
        last_at: address of the last offset that is written.
        real: a number of the type of the state.
    """
    summed = matrix(places.x, unit[RECEPTORS], n, real)
    entries = vector(places.x, unit[RECEPTORS] * n, real)
    spiked = vector(places.spiked, n, np.uint8(0))
    function = unit[QUIET]
    if not function:
        function = unit[STEP]
        clear(entries)
    waited = known[0] - CALM
    known[0] = CALM
    for late in range(waited):
        call_step(unit, function, first, n, summed, spiked)
        if not any_bit(places.spiked, n):
            continue
        # Neurons that fired may be refractory in the steps after.
        known[0] = BUSY
        function = unit[STEP]
        clear(entries)
        if unit[HEARD]:
            heard = vector(unit[HEARD] + first, n, np.uint8(0))
            for i in range(n):
                spiked[i] &= heard[i]
        clear(vector(places.spiked + n, -n % 64, np.uint8(0)))
        fired = collect(places.spiked, n, first, places.words, 0)
        at = marks_at + late * places.entries * 8
        _insert(vector(places.words, fired, np.int32(0)), first, at, (last_at - at) // 8 + 1, log_at, used)
        used += fired
    return used


@compiled
def _insert(units, first, marks_at, marks, log_at, used):
    """Insert spikes of a piece, whose first unit is `first`, into the log of a block, in the order of units.

    Args:
        marks_at: address of `marks` offsets, from that where the spikes of the population begin in this step.
    """
    offsets = vector(marks_at, marks, np.int64(0))
    log = vector(log_at, used + units.size, np.int32(0))
    place = offsets[0]
    while place < offsets[1] and log[place] < first:
        place += 1
    for i in range(used - 1, place - 1, -1):
        log[i + units.size] = log[i]
    for i in range(units.size):
        log[place + i] = units[i]
    for k in range(1, offsets.size):
        offsets[k] += units.size


@compiled
def catch_up_all(units, members, spikes, offsets, at, pages, places, real):
    """Let all pieces of this thread's blocks catch up with the steps before that which begins at offset `at`."""
    entries = members.shape[1]
    for b in range(pages.begin_block, pages.end_block):
        log_at = spikes.ctypes.data + b * spikes.shape[1] * 4
        offsets_at = offsets.ctypes.data + b * offsets.shape[1] * 8
        for e in range(entries):
            p = members[b, e]
            if p >= 0 and units[p, KIND] == NEURONS and units[p, RESTS] and not units[p, MEMBERS]:
                _catch_up_block(units[p], b, offsets_at, at, at + e, places, real, log_at)


@njit(inline="always")
def _catch_up_block(unit, block, offsets_at, last, at, places, real, log_at):
    """Let the pieces of a population in a block catch up; its spikes would begin at offset `at` in the next step."""
    begin = block * unit[PART] - unit[SHIFT]
    end = min(begin + unit[PART], unit[SIZE])
    pieces = (unit[PART] + PIECE - 1) // PIECE
    last_at = offsets_at + last * 8
    for k in range((end - begin + PIECE - 1) // PIECE):
        known = vector(unit[RESTS] + block * pieces + k, 1, np.uint8(0))
        if known[0] > CALM:
            first = begin + k * PIECE
            marks_at = offsets_at + (at - (known[0] - CALM) * places.entries) * 8
            used = vector(last_at, 1, np.int64(0))[0]
            catch_up(unit, first, min(PIECE, end - first), known, marks_at, last_at, real, places, log_at, used)
