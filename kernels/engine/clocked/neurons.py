"""A step of neurons, in pieces that stay in the first cache: inputs are summed, states stepped, spikes logged."""

from __future__ import annotations

import numpy as np
from numba import from_dtype, types

from ...tools.compiled import compiled
from ...tools.pointers import address_of, copy_into, matrix, vector
from .awake import flag_all, flags_of, gather_awake, is_changed, put_back
from .columns import (
    COUNTED,
    FIRSTS,
    HEARD,
    HELD,
    MEMBERS,
    MEMBRANE,
    NUMBERS,
    OFFSET,
    PART,
    QUIET,
    RECEPTORS,
    RESTS,
    SHIFT,
    SIZE,
    STATE,
    STATES,
    STEP,
    VOLTAGES,
    WAITS,
)
from .deliver import clear, collect, collect_within
from .inputs import arrives, sum_inputs
from .late import call_step, catch_up
from .rest import BUSY, CALM, CHECK_EVERY, LOOK_EVERY, RESTING, any_bit, copy_bytes
from .views import PIECE, PLACES, STEPPING, Moment


def step_neurons(unit, room_of_request, input_weights, room_of_places):
    """Step the neurons that a population, or a bundle of several, has in a block, and append their spikes to its log.

    The run loop calls it by address, so that the two are compiled side by side, and neither as a part of the other.

    Args:
        unit: its row of the table of populations.
        room_of_request: [1] of `STEPPING`.
        input_weights: real, of the rows of the table of inputs.
        room_of_places: [1] of `PLACES`.
    """
    request = room_of_request[0]
    places = room_of_places[0]
    moment = Moment(request.step, request.draw, 0, request.patience, request.ends_interval != 0)
    block = request.block
    log_at = request.log_at
    used = request.used
    ends = vector(request.ends, request.count, np.int64(0))
    begin = block * unit[PART] - unit[SHIFT]
    end = min(begin + unit[PART], unit[SIZE])
    slot = block * (request.block_slots - unit[PART]) + unit[OFFSET]
    real = input_weights.dtype.type(0)
    width = input_weights.itemsize
    # Which pieces are calm or rest, one byte each.
    pieces = (unit[PART] + PIECE - 1) // PIECE
    rests = vector(unit[RESTS] + block * pieces, pieces if unit[RESTS] else 0, np.uint8(0))
    # Steps that a silent piece may wait for after this one.
    patience = moment.patience
    if moment.ends_interval:
        patience = min(patience, unit[WAITS])
    if unit[MEMBERS]:
        patience = 0
    # The last offset of the log that is written, where the spikes of this step begin.
    last_at = ends.ctypes.data - 8
    for first in range(begin, end, PIECE):
        n = min(PIECE, end - first)
        state_at = unit[STATE] + unit[STATES] * first * width
        k = (first - begin) // PIECE
        flags_at = flags_of(unit, block * pieces + k, n)
        # Silent: nothing arrives at the piece. At rest, it is passed over.
        silent = False
        watched = rests.size > 0 and (rests[k] != BUSY or moment.step % LOOK_EVERY == 0)
        if watched:
            marked_at = flags_at if rests[k] != BUSY else 0
            silent = not arrives(unit, slot + first, n, moment, places, width, marked_at)
            if silent and rests[k] == RESTING:
                continue
            if silent and CALM <= rests[k] < CALM + patience:
                rests[k] += 1
                continue
        # It may have waited for some steps. Now and then it is compared with the step before, to see what of it rests.
        waited = max(rests[k] - CALM, 0) if watched else 0
        compares = moment.step % CHECK_EVERY <= waited
        if waited:
            known = vector(rests.ctypes.data + k, 1, np.uint8(0))
            late_at = last_at - waited * places.entries * 8
            used = catch_up(unit, first, n, known, compares, flags_at, late_at, last_at, real, places, log_at, used)
            if silent and rests[k] == RESTING:
                continue
            if compares and not silent:
                # That cleared the flags of groups at which something arrives now.
                arrives(unit, slot + first, n, moment, places, width, flags_at)
        compares &= silent and not waited
        if compares:
            copy_bytes(state_at, places.former, unit[STATES] * n * width)
        is_quiet = silent and unit[QUIET] and rests[k] == CALM
        if not is_quiet:
            sum_inputs(unit, first, n, slot, input_weights, moment, places)
        # Stepped is the whole piece, or its groups that are awake.
        listed_at = flags_at if watched and rests[k] != BUSY and not compares else 0
        stepped_at, stepped, awake = gather_awake(unit, state_at, n, listed_at, not is_quiet, width, places)
        summed = matrix(places.x, unit[RECEPTORS], stepped, real)
        state = matrix(stepped_at, unit[STATES], stepped, real)
        before = vector(places.before, n, real)
        if unit[COUNTED]:
            copy_into(state[unit[MEMBRANE]], before)
        function = unit[QUIET] if is_quiet else unit[STEP]
        call_step(unit, function, first, state, summed, vector(places.spiked, stepped, np.uint8(0)))
        # Its state for the next step, and what is counted and read of this one.
        fires = True
        if watched:
            fires = any_bit(places.spiked, stepped)
            rests[k] = _rest_of(unit, rests[k], stepped_at, stepped, fires, is_quiet, compares, flags_at, places, width)
        if awake:
            put_back(unit, state_at, n, awake, fires, width, places)
        if unit[COUNTED]:
            _count_changes(unit, request.population, moment.step, before, state[unit[MEMBRANE]], places)
        if unit[VOLTAGES]:
            next_at = unit[VOLTAGES] + ((moment.step + 1) % 2 * unit[SIZE] + first) * 8
            copy_into(state[unit[MEMBRANE]], vector(next_at, n, 0.0))
        # Units that fired go into the log; of a bundle, which is one piece, member by member.
        if not fires:
            continue
        spiked = vector(places.spiked, n, np.uint8(0))
        if unit[HEARD]:
            _drop(spiked, vector(unit[HEARD] + first, n, np.uint8(0)))
        if unit[MEMBERS]:
            request.used = _collect_members(unit, places.spiked, log_at, used, ends)
            return
        clear(vector(places.spiked + n, -n % 64, np.uint8(0)))
        used = collect(places.spiked, n, first, log_at, used)
    for k in range(ends.size):
        ends[k] = used
    request.used = used


def address_of_step(real: object) -> int:
    """Return the address of `step_neurons`, compiled for states of a dtype."""
    unit = types.Array(types.int64, 1, "C")
    weights = types.Array(from_dtype(np.dtype(real)), 1, "C")
    request, places = (types.Array(from_dtype(record), 1, "C") for record in (STEPPING, PLACES))
    return address_of(step_neurons, unit, request, weights, places)


@compiled
def _rest_of(unit, known, state_at, n, fires, is_quiet, compares, flags_at, places, width):
    """Return what is known of a piece after a step of n of its units; `known` is what was known before."""
    # A neuron that fires in every step may return to the same state.
    if fires:
        return BUSY
    if not is_quiet and unit[HELD] >= 0 and any_bit(state_at + unit[HELD] * n * width, n * width):
        return BUSY
    if compares:
        return CALM if is_changed(unit, state_at, n, flags_at, width, places) else RESTING
    if known == BUSY and flags_at:
        flag_all(flags_at, n)
    return CALM


@compiled
def _drop(spiked, heard):
    """Clear the flags of units that are not heard."""
    for i in range(spiked.size):
        spiked[i] &= heard[i]


@compiled
def _collect_members(unit, spiked, log_at, used, ends):
    """Append the units of each member of a bundle whose flags are set to the log; return its new length."""
    firsts = vector(unit[FIRSTS], ends.size + 1, np.int64(0))
    for k in range(ends.size):
        used = collect_within(spiked + firsts[k], firsts[k + 1] - firsts[k], log_at, used)
        ends[k] = used
    return used


@compiled
def _count_changes(unit, p, step, before, after, places):
    """Count the membranes of a piece that a step changed, those of each member of a bundle for itself."""
    if not unit[MEMBERS]:
        changes = vector(places.changes + p * 8, 1, np.int64(0))
        changes[0] += before.size if step == 0 else _changed(before, after)
        return
    firsts = vector(unit[FIRSTS], unit[MEMBERS] + 1, np.int64(0))
    numbers = vector(unit[NUMBERS], unit[MEMBERS], np.int64(0))
    for k in range(numbers.size):
        a = firsts[k]
        z = firsts[k + 1]
        changes = vector(places.changes + numbers[k] * 8, 1, np.int64(0))
        changes[0] += z - a if step == 0 else _changed(before[a:z], after[a:z])


@compiled
def _changed(before, after):
    total = 0
    for i in range(before.size):
        total += before[i] != after[i]
    return total
