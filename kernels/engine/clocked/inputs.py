"""Inputs of a piece of neurons in a step: what rows brought, Poisson spikes, currents."""

from __future__ import annotations

import numpy as np
from numba import from_dtype, njit, types

from ...tools.compiled import compiled
from ...tools.pointers import address_of, call, matrix, vector
from . import deliver
from .awake import mark
from .columns import (
    BY_UNIT,
    CONSTANT,
    CONSTANTS,
    DRIVEN,
    FIRST_INPUT,
    I_CALLED,
    I_FIRST,
    I_INDEX,
    I_KIND,
    I_RECEPTOR,
    I_RECORD,
    I_UNITS,
    INPUT_CALLED,
    INPUT_COLUMNS,
    INPUT_COUNTS,
    INPUT_FIXED,
    INPUT_QUEUE,
    INPUT_SUMS,
    LAST_INPUT,
    RECEPTORS,
)
from .deliver import clear
from .rest import any_bit
from .stimuli import A_DRAW, A_DRAWN, A_FIRST, A_STEP, CALL_ENTRIES, RECORD_COLUMNS
from .views import PIECE

# What a function that adds an array to inputs is asked, int64 [ASKED]: the address of the entries of the units, and
# whether the inputs are set, not added to.
AT, FRESH, ASKED = range(3)


def add_counts(entry, asked, weight, x):
    """Add weight times the counts to x, and clear the counts."""
    counts = vector(asked[AT], x.size, np.uint8(0))
    if asked[FRESH]:
        deliver.set_counts(x, counts, weight[0])
    else:
        deliver.add_counts(x, counts, weight[0])


def add_sums(entry, asked, weight, x):
    """Add sums, of this step or from the queue, to x, and clear them."""
    if asked[FRESH]:
        deliver.clear(x)
    deliver.add_sums(x, vector(asked[AT], x.size, x.dtype.type(0)))


def add_fixed(entry, asked, weight, x):
    """Add weight times integer sums to x, and clear the sums."""
    sums = vector(asked[AT], x.size, np.int32(0))
    if asked[FRESH]:
        deliver.set_fixed(x, sums, weight[0])
    else:
        deliver.add_fixed(x, sums, weight[0])


ADDING = {INPUT_COUNTS: add_counts, INPUT_SUMS: add_sums, INPUT_QUEUE: add_sums, INPUT_FIXED: add_fixed}


def address_of_adding(kind: int, real: object) -> int:
    """Return the address of the function that adds arrivals of a kind, compiled for inputs of a dtype."""
    whole = types.Array(types.int64, 1, "C")
    inputs = types.Array(from_dtype(np.dtype(real)), 1, "C")
    return address_of(ADDING[kind], whole, whole, inputs, inputs)


@compiled
def sum_inputs(unit, first, n, slot, input_weights, request, places):
    """Sum the inputs of n units of a population from `first` on into [receptors, n] at `places.x`.

    Args:
        slot: of unit 0, were it in this block.
    """
    real = input_weights.dtype.type(0)
    width = input_weights.itemsize
    drawing = vector(places.drawing, CALL_ENTRIES, np.int64(0))
    written = 0
    for t in range(unit[FIRST_INPUT], unit[LAST_INPUT]):
        entry = vector(places.inputs + t * INPUT_COLUMNS * 8, INPUT_COLUMNS, np.int64(0))
        kind = entry[I_KIND]
        if kind <= INPUT_SUMS and not vector(places.due + entry[I_INDEX], 1, np.uint8(0))[0]:
            continue
        receptor = entry[I_RECEPTOR]
        fresh = not written >> receptor & 1
        written |= 1 << receptor
        x_at = places.x + receptor * n * width
        size = n
        if kind != INPUT_CALLED:
            drawing[AT] = _arrivals(entry, slot + first, request, places, width)[0]
            drawing[FRESH] = fresh
            weight = vector(input_weights.ctypes.data + t * width, 1, real)
            call(entry[I_CALLED], entry, drawing, weight, vector(x_at, n, real))
            continue
        if fresh:
            clear(vector(x_at, n, real))
        drawing[A_FIRST] = first
        drawing[A_STEP] = request.step
        drawing[A_DRAW] = request.draw
        drawing[A_DRAWN] = 0
        if entry[I_UNITS]:
            # A member of a bundle: units are counted from its own first.
            drawing[A_FIRST] = 0
            x_at += entry[I_FIRST] * width
            size = entry[I_UNITS]
        record = vector(entry[I_RECORD], RECORD_COLUMNS, np.int64(0))
        call(entry[I_CALLED], record, drawing, vector(places.words, PIECE, np.uint32(0)), vector(x_at, size, real))
        drawn = vector(places.drawn + entry[I_INDEX] * 8, 1, np.int64(0))
        drawn[0] += drawing[A_DRAWN]
    for receptor in range(unit[RECEPTORS]):
        if not written >> receptor & 1:
            clear(vector(places.x + receptor * n * width, n, real))


@compiled
def _arrivals(entry, low, request, places, width):
    """Return the address of what an entry of the table of inputs adds to the units from slot `low` on, and the bytes of
    a unit."""
    kind = entry[I_KIND]
    slots = places.slots
    slot = entry[I_RECEPTOR] * slots + low
    if kind == INPUT_COUNTS:
        return places.counts + entry[I_INDEX] * slots + low, 1
    if kind == INPUT_SUMS:
        return places.sums + slot * width, width
    if kind == INPUT_FIXED:
        return places.fixed + slot * 4, 4
    return places.queue + (request.step % places.depth * places.queue_row + slot) * width, width


@compiled
def arrives(unit, low, n, request, places, width, flags_at):
    """Return whether anything arrives at the n slots of a population from `low` on; none of its inputs is CALLED.

    Args:
        flags_at: address of the flags of the piece, where groups at which something arrives are flagged; 0: of none.
    """
    found = False
    for t in range(unit[FIRST_INPUT], unit[LAST_INPUT]):
        entry = vector(places.inputs + t * INPUT_COLUMNS * 8, INPUT_COLUMNS, np.int64(0))
        if entry[I_KIND] <= INPUT_SUMS and not vector(places.due + entry[I_INDEX], 1, np.uint8(0))[0]:
            continue
        at, size = _arrivals(entry, low, request, places, width)
        if flags_at:
            found |= mark(at, n, size, flags_at)
        elif any_bit(at, n * size):
            return True
    return found


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
def drive(constants, current):
    """Return [k, n] the constants of a step, the first third of `constants`.

    They are those without current, the second third, and their change by 1 A, the last, times the current [n].
    """
    k = constants.shape[0] // 3
    for r in range(k):
        for i in range(current.size):
            constants[r, i] = constants[k + r, i] + constants[2 * k + r, i] * current[i]
    return constants[:k]
