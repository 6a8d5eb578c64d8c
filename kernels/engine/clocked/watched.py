"""A step of neurons whose inputs are all from synapses, in pieces of which it is known whether they rest.

See `rest`, `late` and `awake`; results are those of `neurons.step_neurons`.
"""

from __future__ import annotations

import numpy as np
from numba import njit

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
from .views import PIECE, Piece


def step_watched(unit, room_of_request, input_weights, room_of_places):
    """Step neurons as `neurons.step_neurons`, except pieces that rest or wait; or let those that wait catch up."""
    request = room_of_request[0]
    places = room_of_places[0]
    block = request.block
    begin = block * unit[PART] - unit[SHIFT]
    end = min(begin + unit[PART], unit[SIZE])
    slot = block * (request.block_slots - unit[PART]) + unit[OFFSET]
    real = input_weights.dtype.type(0)
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
        k = (first - begin) // PIECE
        known = vector(rests.ctypes.data + k, 1, np.uint8(0))
        piece = Piece(first, n, slot + first, known, flags_of(unit, block * pieces + k, n))
        if not request.catches_up:
            _step_piece(unit, piece, patience, input_weights, request, places)
        elif known[0] > CALM:
            catch_up(unit, piece, False, real, request, places)
    if not unit[MEMBERS] and not request.catches_up:
        # Spikes of earlier steps may have been inserted before.
        vector(request.ends, 1, np.int64(0))[0] = request.used


@njit(inline="always")
def _step_piece(unit, piece, patience, input_weights, request, places):
    """Step a piece, unless it rests or waits.

    Args:
        patience: steps that a silent piece may wait for after this one.
    """
    known = piece.known
    real = input_weights.dtype.type(0)
    width = input_weights.itemsize
    # Silent: nothing arrives at the piece. A busy one is not always looked at.
    watched = known[0] != BUSY or request.step % LOOK_EVERY == 0
    silent = False
    if watched:
        marked_at = piece.flags_at if known[0] != BUSY else 0
        silent = not arrives(unit, piece.slot, piece.n, request, places, width, marked_at)
        if silent and _stays(known, patience):
            return
    # It may have waited for some steps. Now and then it is compared with the step before, to see what of it rests.
    waited = max(known[0] - CALM, 0)
    compares = watched and request.step % CHECK_EVERY <= waited
    if waited:
        catch_up(unit, piece, compares, real, request, places)
        if silent and known[0] == RESTING:
            return
        if compares and not silent:
            # That cleared the flags of groups at which something arrives now.
            arrives(unit, piece.slot, piece.n, request, places, width, piece.flags_at)
    _make_step(unit, piece, watched, silent, compares and silent and not waited, input_weights, request, places)


@njit(inline="always")
def _stays(known, patience):
    """Return whether a silent piece is passed over: it rests, or waits for one more step."""
    waits = CALM <= known[0] < CALM + patience
    if waits:
        known[0] += 1
    return waits or known[0] == RESTING


@njit(inline="always")
def _make_step(unit, piece, watched, silent, compares, input_weights, request, places):
    """Step the neurons of a piece, and note what is known of it in the next step.

    Args:
        watched: whether that is noted.
        silent: whether it is known that nothing arrives.
        compares: whether to see what of the piece the step leaves unchanged.
    """
    known = piece.known
    n = piece.n
    real = input_weights.dtype.type(0)
    width = input_weights.itemsize
    state_at = unit[STATE] + unit[STATES] * piece.first * width
    if compares:
        copy_bytes(state_at, places.former, unit[STATES] * n * width)
    is_quiet = silent and unit[QUIET] and known[0] == CALM
    if not is_quiet:
        sum_inputs(unit, piece.first, n, piece.slot - piece.first, input_weights, request, places)
    # Stepped is the whole piece, or its groups that are awake.
    listed_at = piece.flags_at if watched and known[0] != BUSY and not compares else 0
    stepped_at, stepped, awake = gather_awake(unit, state_at, n, listed_at, not is_quiet, width, places)
    summed = matrix(places.x, unit[RECEPTORS], stepped, real)
    state = matrix(stepped_at, unit[STATES], stepped, real)
    function = unit[QUIET] if is_quiet else unit[STEP]
    call_step(unit, function, piece.first, state, summed, vector(places.spiked, stepped, np.uint8(0)))
    fires = True
    if watched:
        fires = any_bit(places.spiked, stepped)
        if fires or (not is_quiet and _any_held(unit, stepped_at, stepped, width)):
            # A neuron that fires in every step may return to the same state.
            known[0] = BUSY
        elif compares:
            known[0] = CALM if is_changed(unit, state_at, n, piece.flags_at, width, places) else RESTING
        else:
            if known[0] == BUSY and piece.flags_at:
                flag_all(piece.flags_at, n)
            known[0] = CALM
    if awake:
        put_back(unit, state_at, n, awake, fires, width, places)
    if fires:
        log_spikes(unit, piece.first, n, request, places)


@njit(inline="always")
def _any_held(unit, state_at, n, width):
    """Return whether any of n units is refractory."""
    return unit[HELD] >= 0 and any_bit(state_at + unit[HELD] * n * width, n * width)
