"""A step of neurons whose inputs are all from synapses, in pieces of which it is known whether they rest.

See `rest`, `late` and `awake`; results are those of `neurons.step_neurons`.
"""

from __future__ import annotations

import numpy as np

from ...tools.compiled import compiled
from ...tools.pointers import matrix, vector
from .awake import flag_all, flags_of, gather_awake, is_changed, put_back
from .columns import (
    HELD,
    MEMBERS,
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
    WAITS,
)
from .inputs import arrives, sum_inputs
from .late import call_step, catch_up
from .neurons import log_spikes, open_log
from .rest import BUSY, CALM, CHECK_EVERY, LOOK_EVERY, RESTING, any_bit, copy_bytes
from .views import PIECE


def step_watched(unit, room_of_request, input_weights, room_of_places):
    """Step neurons as `neurons.step_neurons`, except pieces that rest or wait; or let those that wait catch up."""
    request = room_of_request[0]
    places = room_of_places[0]
    block = request.block
    begin = block * unit[PART] - unit[SHIFT]
    end = min(begin + unit[PART], unit[SIZE])
    slot = block * (request.block_slots - unit[PART]) + unit[OFFSET]
    real = input_weights.dtype.type(0)
    width = input_weights.itemsize
    # Which pieces are calm or rest, one byte each.
    pieces = (unit[PART] + PIECE - 1) // PIECE
    rests = vector(unit[RESTS] + block * pieces, pieces, np.uint8(0))
    # Steps that a silent piece may wait for after this one.
    patience = request.patience
    if request.ends_interval:
        patience = min(patience, unit[WAITS])
    if unit[MEMBERS]:
        patience = 0
    if not request.catches_up:
        open_log(request)
    for first in range(begin, end, PIECE):
        n = min(PIECE, end - first)
        state_at = unit[STATE] + unit[STATES] * first * width
        k = (first - begin) // PIECE
        flags_at = flags_of(unit, block * pieces + k, n)
        # Silent: nothing arrives at the piece. At rest, it is passed over.
        silent = False
        watched = not request.catches_up and (rests[k] != BUSY or request.step % LOOK_EVERY == 0)
        if watched:
            marked_at = flags_at if rests[k] != BUSY else 0
            silent = not arrives(unit, slot + first, n, request, places, width, marked_at)
            if silent and rests[k] == RESTING:
                continue
            if silent and CALM <= rests[k] < CALM + patience:
                rests[k] += 1
                continue
        # It may have waited for some steps. Now and then it is compared with the step before, to see what of it rests.
        waited = max(rests[k] - CALM, 0)
        compares = watched and request.step % CHECK_EVERY <= waited
        if waited:
            known = vector(rests.ctypes.data + k, 1, np.uint8(0))
            catch_up(unit, first, n, known, compares, flags_at, real, request, places)
            if silent and rests[k] == RESTING:
                continue
            if compares and not silent:
                # That cleared the flags of groups at which something arrives now.
                arrives(unit, slot + first, n, request, places, width, flags_at)
        if request.catches_up:
            continue
        compares &= silent and not waited
        if compares:
            copy_bytes(state_at, places.former, unit[STATES] * n * width)
        is_quiet = silent and unit[QUIET] and rests[k] == CALM
        if not is_quiet:
            sum_inputs(unit, first, n, slot, input_weights, request, places)
        # Stepped is the whole piece, or its groups that are awake.
        listed_at = flags_at if watched and rests[k] != BUSY and not compares else 0
        stepped_at, stepped, awake = gather_awake(unit, state_at, n, listed_at, not is_quiet, width, places)
        summed = matrix(places.x, unit[RECEPTORS], stepped, real)
        state = matrix(stepped_at, unit[STATES], stepped, real)
        function = unit[QUIET] if is_quiet else unit[STEP]
        call_step(unit, function, first, state, summed, vector(places.spiked, stepped, np.uint8(0)))
        # What is known of it in the next step.
        fires = True
        if watched:
            fires = any_bit(places.spiked, stepped)
            rests[k] = _rest_of(unit, rests[k], stepped_at, stepped, fires, is_quiet, compares, flags_at, places, width)
        if awake:
            put_back(unit, state_at, n, awake, fires, width, places)
        if fires:
            log_spikes(unit, first, n, request, places)
    if not unit[MEMBERS] and not request.catches_up:
        # Spikes of earlier steps may have been inserted before.
        vector(request.ends, 1, np.int64(0))[0] = request.used


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
