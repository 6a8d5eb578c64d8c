"""Spikes that no neuron fires: those of recordings, and those of Poisson sources, appended to the log of a block."""

from __future__ import annotations

import numpy as np

from ...tools.compiled import compiled
from ...tools.pointers import call, vector
from .columns import CALLED, CURSORS, EVENT_BLOCKS, EVENT_STEPS, EVENT_UNITS, MAX_SPIKES, PART, RECORD, SHIFT, SIZE
from .stimuli import A_DRAW, A_DRAWN, A_FIRST, A_STEP, CALL_ENTRIES, RECORD_COLUMNS
from .views import PIECE


@compiled
def play(unit, block, step, log_at, used, blocks):
    """Append the events of a recording up to this step to the log."""
    limits = vector(unit[EVENT_BLOCKS], blocks + 1, np.int64(0))
    steps = vector(unit[EVENT_STEPS], limits[blocks], np.int32(0))
    events = vector(unit[EVENT_UNITS], limits[blocks], np.int32(0))
    cursors = vector(unit[CURSORS], blocks, np.int64(0))
    i = limits[block] + cursors[block]
    log = vector(log_at, used + limits[block + 1] - i, np.int32(0))
    while i < limits[block + 1] and steps[i] <= step:
        log[used] = events[i]
        used += 1
        i += 1
    cursors[block] = i - limits[block]
    return used


@compiled
def draw(unit, block, moment, places, log_at, used):
    """Append the spikes of Poisson sources to the log, a unit as often as it fires."""
    begin = block * unit[PART] - unit[SHIFT]
    end = min(begin + unit[PART], unit[SIZE])
    if unit[MAX_SPIKES] == 0:
        return used
    log = vector(log_at, used + unit[PART] * unit[MAX_SPIKES], np.int32(0))
    drawing = vector(places.drawing, CALL_ENTRIES, np.int64(0))
    words = vector(places.words, PIECE, np.uint32(0))
    for first in range(begin, end, words.size):
        n = min(words.size, end - first)
        drawing[A_FIRST] = first
        drawing[A_STEP] = moment.step
        drawing[A_DRAW] = moment.draw
        drawing[A_DRAWN] = n
        call(unit[CALLED], vector(unit[RECORD], RECORD_COLUMNS, np.int64(0)), drawing, words, log[used:])
        used += drawing[A_DRAWN]
    return used
