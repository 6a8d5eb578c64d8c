"""Spikes that no neuron fires: those of recordings, and those of Poisson sources, appended to the log of a block."""

from __future__ import annotations

import numpy as np

from ...tools.pointers import call, vector
from .columns import CALLED, CURSORS, EVENT_BLOCKS, EVENT_STEPS, EVENT_UNITS, MAX_SPIKES, PART, RECORD, SHIFT, SIZE
from .stimuli import A_DRAW, A_DRAWN, A_FIRST, A_STEP, CALL_ENTRIES, RECORD_COLUMNS
from .views import PIECE


def play(unit, room_of_request, input_weights, room_of_places):
    """Append the events of a recording up to this step to the log."""
    request = room_of_request[0]
    block = request.block
    blocks = request.blocks
    used = request.used
    limits = vector(unit[EVENT_BLOCKS], blocks + 1, np.int64(0))
    steps = vector(unit[EVENT_STEPS], limits[blocks], np.int32(0))
    events = vector(unit[EVENT_UNITS], limits[blocks], np.int32(0))
    cursors = vector(unit[CURSORS], blocks, np.int64(0))
    i = limits[block] + cursors[block]
    log = vector(request.log_at, used + limits[block + 1] - i, np.int32(0))
    while i < limits[block + 1] and steps[i] <= request.step:
        log[used] = events[i]
        used += 1
        i += 1
    cursors[block] = i - limits[block]
    request.used = used
    vector(request.ends, 1, np.int64(0))[0] = used


def draw(unit, room_of_request, input_weights, room_of_places):
    """Append the spikes of Poisson sources to the log, a unit as often as it fires."""
    request = room_of_request[0]
    places = room_of_places[0]
    block = request.block
    used = request.used
    begin = block * unit[PART] - unit[SHIFT]
    end = min(begin + unit[PART], unit[SIZE])
    if unit[MAX_SPIKES] == 0:
        end = begin
    log = vector(request.log_at, used + unit[PART] * unit[MAX_SPIKES], np.int32(0))
    drawing = vector(places.drawing, CALL_ENTRIES, np.int64(0))
    words = vector(places.words, PIECE, np.uint32(0))
    for first in range(begin, end, words.size):
        n = min(words.size, end - first)
        drawing[A_FIRST] = first
        drawing[A_STEP] = request.step
        drawing[A_DRAW] = request.draw
        drawing[A_DRAWN] = n
        call(unit[CALLED], vector(unit[RECORD], RECORD_COLUMNS, np.int64(0)), drawing, words, log[used:])
        used += drawing[A_DRAWN]
    request.used = used
    vector(request.ends, 1, np.int64(0))[0] = used
