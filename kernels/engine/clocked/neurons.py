"""A step of neurons, in pieces that stay in the first cache: inputs are summed, states stepped, spikes logged."""

from __future__ import annotations

import numpy as np
from numba import njit

from ...tools.compiled import compiled
from ...tools.pointers import copy_into, matrix, vector
from .columns import (
    COUNTED,
    FIRSTS,
    HEARD,
    MEMBERS,
    MEMBRANE,
    NUMBERS,
    OFFSET,
    PART,
    RECEPTORS,
    SHIFT,
    SIZE,
    STATE,
    STATES,
    STEP,
    VOLTAGES,
)
from .deliver import clear, collect, collect_within
from .inputs import call_step, sum_inputs
from .views import PIECE


def step_neurons(unit, room_of_request, input_weights, room_of_places):
    """Step the neurons that a population, or a bundle of several, has in a block, and append their spikes to its log.

    Args:
        unit: its row of the table of populations.
        room_of_request: [1] of `STEPPING`.
        input_weights: real, of the rows of the table of inputs.
        room_of_places: [1] of `PLACES`.
    """
    request = room_of_request[0]
    places = room_of_places[0]
    block = request.block
    begin = block * unit[PART] - unit[SHIFT]
    end = min(begin + unit[PART], unit[SIZE])
    slot = block * (request.block_slots - unit[PART]) + unit[OFFSET]
    real = input_weights.dtype.type(0)
    open_log(request)
    for first in range(begin, end, PIECE):
        n = min(PIECE, end - first)
        sum_inputs(unit, first, n, slot, input_weights, request, places)
        summed = matrix(places.x, unit[RECEPTORS], n, real)
        state_at = unit[STATE] + unit[STATES] * first * input_weights.itemsize
        state = matrix(state_at, unit[STATES], n, real)
        before = vector(places.before, n, real)
        membrane = state[unit[MEMBRANE]]
        if unit[COUNTED]:
            copy_into(membrane, before)
        call_step(unit, unit[STEP], first, state, summed, vector(places.spiked, n, np.uint8(0)))
        if unit[COUNTED]:
            _count_changes(unit, request.population, request.step, before, membrane, places)
        if unit[VOLTAGES]:
            next_at = unit[VOLTAGES] + ((request.step + 1) % 2 * unit[SIZE] + first) * 8
            copy_into(membrane, vector(next_at, n, 0.0))
        log_spikes(unit, first, n, request, places)


@njit(inline="always")
def open_log(request):
    """Let the spikes of each population of the request end where they begin."""
    ends = vector(request.ends, request.count, np.int64(0))
    for k in range(ends.size):
        ends[k] = request.used


@compiled
def log_spikes(unit, first, n, request, places):
    """Append the units of a piece that fired to the log; of a bundle, which is one piece, member by member."""
    ends = vector(request.ends, request.count, np.int64(0))
    if unit[HEARD]:
        spiked = vector(places.spiked, n, np.uint8(0))
        heard = vector(unit[HEARD] + first, n, np.uint8(0))
        for i in range(n):
            spiked[i] &= heard[i]
    if not unit[MEMBERS]:
        clear(vector(places.spiked + n, -n % 64, np.uint8(0)))
        request.used = collect(places.spiked, n, first, request.log_at, request.used)
        ends[0] = request.used
        return
    firsts = vector(unit[FIRSTS], ends.size + 1, np.int64(0))
    used = request.used
    for k in range(ends.size):
        used = collect_within(places.spiked + firsts[k], firsts[k + 1] - firsts[k], request.log_at, used)
        ends[k] = used
    request.used = used


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
