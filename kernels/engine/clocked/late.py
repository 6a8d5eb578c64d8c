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
from .awake import flags_of, gather_awake, is_changed, put_back, spread
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
from .rest import BUSY, CALM, RESTING, any_bit, copy_bytes
from .views import PIECE


@njit(inline="always")
def call_step(unit, function, first, state, summed, spiked):
    """Call a step of the model of a population for its units from `first` on, with this state and these inputs."""
    real = summed.dtype.type(0)
    n = spiked.size
    if unit[BY_UNIT]:
        own = matrix(unit[CONSTANT] + unit[CONSTANTS] * first * summed.itemsize, unit[CONSTANTS], n, real)
        if unit[DRIVEN]:
            own = drive(own, summed[unit[RECEPTORS] - 1])
        call(function, state, summed, own, spiked)
    else:
        call(function, state, summed, vector(unit[CONSTANT], unit[CONSTANTS], real), spiked)


@compiled
def catch_up(unit, first, n, known, compares, flags_at, marks_at, last_at, real, places, log_at, used):
    """Make the steps that a piece of n units from `first` on has waited for; return the new length of the log.

    Args:
        known: uint8 [1], what is known of the piece.
        compares: whether to look which of its groups, or whether all of it, the last of these steps leaves unchanged.
        flags_at: address of the flags of its groups, see `awake`; 0: there are none.
        marks_at: address of the offset in the log where the spikes of the population begin in the first of the steps.
        last_at: address of the last offset that is written.
        real: a number of the type of the state.
    """
    waited = known[0] - CALM
    known[0] = CALM
    if not compares:
        return _make(unit, first, n, known, waited, flags_at, marks_at, last_at, real, places, log_at, used)
    # The last step is one of the whole piece.
    used = _make(unit, first, n, known, waited - 1, flags_at, marks_at, last_at, real, places, log_at, used)
    width = vector(places.x, 1, real).itemsize
    state_at = unit[STATE] + unit[STATES] * first * width
    copy_bytes(state_at, places.former, unit[STATES] * n * width)
    marks_at += (waited - 1) * places.entries * 8
    used = _make(unit, first, n, known, 1, np.int64(0), marks_at, last_at, real, places, log_at, used)
    if known[0] == CALM and not is_changed(unit, state_at, n, flags_at, width, places):
        known[0] = RESTING
    return used


@compiled
def _make(unit, first, n, known, steps, flags_at, marks_at, last_at, real, places, log_at, used):
    """Make steps as `catch_up` does; neurons that fire make the piece BUSY."""
    width = vector(places.x, 1, real).itemsize
    state_at = unit[STATE] + unit[STATES] * first * width
    stepped_at, stepped, awake = gather_awake(unit, state_at, n, flags_at, False, width, places)
    state = matrix(stepped_at, unit[STATES], stepped, real)
    summed = matrix(places.x, unit[RECEPTORS], stepped, real)
    entries = vector(places.x, unit[RECEPTORS] * stepped, real)
    function = unit[QUIET]
    if not function or known[0] == BUSY:
        function = unit[STEP]
        clear(entries)
    for late in range(steps):
        call_step(unit, function, first, state, summed, vector(places.spiked, stepped, np.uint8(0)))
        if not any_bit(places.spiked, stepped):
            continue
        # Neurons that fired may be refractory in the steps after.
        known[0] = BUSY
        function = unit[STEP]
        clear(entries)
        if awake:
            spread(n, awake, places)
        if unit[HEARD]:
            spiked = vector(places.spiked, n, np.uint8(0))
            heard = vector(unit[HEARD] + first, n, np.uint8(0))
            for i in range(n):
                spiked[i] &= heard[i]
        clear(vector(places.spiked + n, -n % 64, np.uint8(0)))
        fired = collect(places.spiked, n, first, places.words, 0)
        at = marks_at + late * places.entries * 8
        _insert(vector(places.words, fired, np.int32(0)), first, at, (last_at - at) // 8 + 1, log_at, used)
        used += fired
    if awake:
        put_back(unit, state_at, n, awake, False, width, places)
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
            n = min(PIECE, end - first)
            flags_at = flags_of(unit, block * pieces + k, n)
            catch_up(unit, first, n, known, False, flags_at, marks_at, last_at, real, places, log_at, used)
