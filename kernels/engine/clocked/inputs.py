"""Inputs of a piece of neurons in a step: what rows brought, Poisson spikes, currents."""

from __future__ import annotations

import numpy as np

from ...tools.compiled import compiled
from ...tools.pointers import call, vector
from .awake import mark
from .columns import (
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
from .deliver import add_counts, add_fixed, add_sums, clear, set_counts, set_fixed
from .rest import any_bit
from .stimuli import A_DRAW, A_DRAWN, A_FIRST, A_STEP, CALL_ENTRIES, RECORD_COLUMNS
from .views import PIECE


@compiled
def sum_inputs(unit, first, n, slot, input_weights, moment, places):
    """Sum the inputs of n units of a population from `first` on into [receptors, n] at `places.x`.

    Args:
        slot: of unit 0, were it in this block.
    """
    slots = places.slots
    real = input_weights.dtype.type(0)
    width = input_weights.itemsize
    low = slot + first
    written = 0
    for t in range(unit[FIRST_INPUT], unit[LAST_INPUT]):
        entry = vector(places.inputs + t * INPUT_COLUMNS * 8, INPUT_COLUMNS, np.int64(0))
        kind = entry[I_KIND]
        weight = input_weights[t]
        if kind <= INPUT_SUMS and not vector(places.due + entry[I_INDEX], 1, np.uint8(0))[0]:
            continue
        receptor = entry[I_RECEPTOR]
        x = vector(places.x + receptor * n * width, n, real)
        fresh = not written >> receptor & 1
        written |= 1 << receptor
        if fresh and kind not in (INPUT_COUNTS, INPUT_FIXED):
            clear(x)
        if kind == INPUT_COUNTS:
            counts = vector(places.counts + entry[I_INDEX] * slots + low, n, np.uint8(0))
            if fresh:
                set_counts(x, counts, weight)
            else:
                add_counts(x, counts, weight)
        elif kind == INPUT_SUMS:
            add_sums(x, vector(places.sums + (receptor * slots + low) * width, n, real))
        elif kind == INPUT_QUEUE:
            line = moment.step % places.depth * places.queue_row + receptor * slots + low
            add_sums(x, vector(places.queue + line * width, n, real))
        elif kind == INPUT_FIXED:
            fixed = vector(places.fixed + (receptor * slots + low) * 4, n, np.int32(0))
            if fresh:
                set_fixed(x, fixed, weight)
            else:
                add_fixed(x, fixed, weight)
        elif kind == INPUT_CALLED:
            drawing = vector(places.drawing, CALL_ENTRIES, np.int64(0))
            drawing[A_FIRST] = first
            drawing[A_STEP] = moment.step
            drawing[A_DRAW] = moment.draw
            drawing[A_DRAWN] = 0
            words = vector(places.words, PIECE, np.uint32(0))
            if entry[I_UNITS]:
                # A member of a bundle: units are counted from its own first.
                drawing[A_FIRST] = 0
                x = vector(places.x + (receptor * n + entry[I_FIRST]) * width, entry[I_UNITS], real)
            call(entry[I_CALLED], vector(entry[I_RECORD], RECORD_COLUMNS, np.int64(0)), drawing, words, x)
            drawn = vector(places.drawn + entry[I_INDEX] * 8, 1, np.int64(0))
            drawn[0] += drawing[A_DRAWN]
    for receptor in range(unit[RECEPTORS]):
        if not written >> receptor & 1:
            clear(vector(places.x + receptor * n * width, n, real))


@compiled
def arrives(unit, low, n, moment, places, width, flags_at):
    """Return whether anything arrives at the n slots of a population from `low` on; none of its inputs is CALLED.

    Args:
        flags_at: address of the flags of the piece, where groups at which something arrives are flagged; 0: of none.
    """
    slots = places.slots
    found = False
    for t in range(unit[FIRST_INPUT], unit[LAST_INPUT]):
        entry = vector(places.inputs + t * INPUT_COLUMNS * 8, INPUT_COLUMNS, np.int64(0))
        kind = entry[I_KIND]
        if kind <= INPUT_SUMS and not vector(places.due + entry[I_INDEX], 1, np.uint8(0))[0]:
            continue
        slot = entry[I_RECEPTOR] * slots + low
        size = width
        if kind == INPUT_COUNTS:
            at = places.counts + entry[I_INDEX] * slots + low
            size = 1
        elif kind == INPUT_SUMS:
            at = places.sums + slot * width
        elif kind == INPUT_FIXED:
            at = places.fixed + slot * 4
            size = 4
        else:
            at = places.queue + (moment.step % places.depth * places.queue_row + slot) * width
        if flags_at:
            found |= mark(at, n, size, flags_at)
        elif any_bit(at, n * size):
            return True
    return found


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
