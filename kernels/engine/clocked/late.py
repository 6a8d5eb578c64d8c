"""Silent pieces of neurons that wait, and catch up: several steps of a piece one after another, in the first cache.

A calm piece (see `rest`) in a step in which nothing arrives at it waits: nothing is computed. It catches up as soon as
something arrives, or when a spike of a step that it has not made could be read, or when the run ends. Its spikes of
those steps then enter the log at the place where they would be, before anybody reads it.

How many steps it may wait for is decided in `neurosim.engine.grid.workspace`: within an interval of steps, in which
nobody reads the log, `patience` of the task; at the end of one WAITS, for spikes of an interval are read when the
shortest delay of the population's own synapses is over, which may be longer than an interval.
"""

from __future__ import annotations

import numpy as np

from ...tools.compiled import compiled
from ...tools.pointers import call, matrix, vector
from .awake import gather_awake, is_changed, put_back, spread
from .columns import (
    ADVANCE,
    HEARD,
    KIND,
    MEMBERS,
    NEURONS,
    QUIET,
    RECEPTORS,
    RESTS,
    STATE,
    STATES,
    STEP,
    UNIT_COLUMNS,
)
from .deliver import clear, collect
from .inputs import call_step
from .rest import BUSY, CALM, RESTING, any_bit, copy_bytes


@compiled
def catch_up(unit, piece, compares, real, request, places):
    """Make the steps that a piece has waited for.

    Args:
        compares: whether to look which of its groups, or whether all of it, the last of these steps leaves unchanged.
        real: a number of the type of the state.
    """
    known = piece.known
    waited = known[0] - CALM
    known[0] = CALM
    # Where the spikes of the population begin in this step, and in the first of those.
    marks_at = request.ends - 8 - waited * places.entries * 8
    if not compares:
        _make(unit, piece, waited, piece.flags_at, marks_at, real, request, places)
        return
    if waited > 1:
        _make(unit, piece, waited - 1, piece.flags_at, marks_at, real, request, places)
    # The last step is one of the whole piece.
    width = vector(places.x, 1, real).itemsize
    state_at = unit[STATE] + unit[STATES] * piece.first * width
    copy_bytes(state_at, places.former, unit[STATES] * piece.n * width)
    marks_at += (waited - 1) * places.entries * 8
    _make(unit, piece, 1, np.int64(0), marks_at, real, request, places)
    if known[0] == CALM and not is_changed(unit, state_at, piece.n, piece.flags_at, width, places):
        known[0] = RESTING


@compiled
def _make(unit, piece, steps, flags_at, marks_at, real, request, places):
    """Make steps as `catch_up` does; neurons that fire make the piece BUSY.

    Args:
        flags_at: address of the flags of the groups that are stepped; 0: the whole piece is.
        marks_at: address of the offset in the log where the spikes of the population begin in the first of the steps.
    """
    n = piece.n
    width = vector(places.x, 1, real).itemsize
    state_at = unit[STATE] + unit[STATES] * piece.first * width
    stepped_at, stepped, awake = gather_awake(unit, state_at, n, flags_at, False, width, places)
    state = matrix(stepped_at, unit[STATES], stepped, real)
    summed = matrix(places.x, unit[RECEPTORS], stepped, real)
    entries = vector(places.x, unit[RECEPTORS] * stepped, real)
    function = unit[QUIET]
    if not function or piece.known[0] == BUSY:
        function = unit[STEP]
        clear(entries)
    for late in range(steps):
        call_step(unit, function, piece.first, state, summed, vector(places.spiked, stepped, np.uint8(0)))
        if any_bit(places.spiked, stepped):
            # Neurons that fired may be refractory in the steps after.
            piece.known[0] = BUSY
            function = unit[STEP]
            clear(entries)
            if awake:
                spread(n, awake, places)
            _log_fired(unit, piece, marks_at + late * places.entries * 8, request, places)
    if awake:
        put_back(unit, state_at, n, awake, False, width, places)


@compiled
def _log_fired(unit, piece, marks_at, request, places):
    """Insert the neurons of a piece that fired in a step into the log; silenced ones are left out.

    Args:
        marks_at: address of the offset where the spikes of the population begin in this step.
    """
    n = piece.n
    if unit[HEARD]:
        spiked = vector(places.spiked, n, np.uint8(0))
        heard = vector(unit[HEARD] + piece.first, n, np.uint8(0))
        for i in range(n):
            spiked[i] &= heard[i]
    clear(vector(places.spiked + n, -n % 64, np.uint8(0)))
    fired = collect(places.spiked, n, piece.first, places.words, 0)
    units = vector(places.words, fired, np.int32(0))
    _insert(units, piece.first, marks_at, (request.last - marks_at) // 8 + 1, request.log_at, request.used)
    request.used += fired


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


def catch_up_all(room_of_task, room_of_request, input_weights, room_of_places):
    """Let all pieces of this thread's blocks catch up with the steps before the first that was not run."""
    task = room_of_task[0]
    request = room_of_request[0]
    units = matrix(task.units, task.unit_count, UNIT_COLUMNS, np.int64(0))
    members = matrix(task.members, task.blocks, task.entries, np.int64(0))
    offsets = matrix(task.offsets, task.blocks, task.columns, np.int64(0))
    at = (task.first - task.log_start) * task.entries
    request.catches_up = 1
    for b in range(task.begin_block, task.end_block):
        request.block = b
        request.log_at = task.spikes + b * task.room * 4
        request.used = offsets[b, at]
        # The last offset that is written, and where spikes of each population would begin in the next step.
        request.last = task.offsets + (b * task.columns + at) * 8
        for e in range(task.entries):
            p = members[b, e]
            if p >= 0 and units[p, KIND] == NEURONS and units[p, RESTS] and not units[p, MEMBERS]:
                request.ends = request.last + (e + 1) * 8
                call(units[p, ADVANCE], units[p], room_of_request, input_weights, room_of_places)
