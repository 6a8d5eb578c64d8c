"""What spikes change in plastic synapses in a step: those that arrive there, and those of their targets."""

from __future__ import annotations

import numpy as np

from ...tools.pointers import matrix, vector
from . import plastic as learn
from .columns import FIRST_POST, LAST_POST, MEMBERS, NUMBERS, OFFSET, PART, SHIFT, UNIT_COLUMNS


def learn_arrivals(room_of_task, room_of_request, weights, room_of_places):
    """Process the spikes that reach plastic synapses in a step, and note that sums received something."""
    task = room_of_task[0]
    places = room_of_places[0]
    units = matrix(task.units, task.unit_count, UNIT_COLUMNS, np.int64(0))
    plastic = matrix(task.plastic, task.plastic_count, learn.PLASTIC_COLUMNS, np.int64(0))
    spikes = matrix(task.spikes, task.blocks, task.room, np.int32(0))
    offsets = matrix(task.offsets, task.blocks, task.columns, np.int64(0))
    sums = matrix(places.sums, places.receptors, places.slots, weights.dtype.type(0))
    context = vector(places.context, learn.CONTEXT_ENTRIES, np.int64(0))
    received = vector(places.due + places.counters, places.receptors, np.uint8(0))
    for receptor in range(received.size):
        received[receptor] = 1
    for k in range(plastic.shape[0]):
        target = units[plastic[k, learn.TARGET]]
        context[learn.STEP] = room_of_request[0].step
        context[learn.FIRST] = task.begin_block
        context[learn.LAST] = task.end_block
        context[learn.PART] = target[PART]
        context[learn.SHIFT] = target[SHIFT]
        context[learn.OFFSET] = target[OFFSET]
        learn.call_plastic(plastic[k, learn.ON_PRE], plastic[k], context, spikes, offsets, sums)


def learn_targets(room_of_task, room_of_request, weights, room_of_places):
    """Tell the plastic synapses onto a population, or onto each of a bundle, which of its units fired: at once, or
    after a while."""
    task = room_of_task[0]
    request = room_of_request[0]
    places = room_of_places[0]
    block = request.block
    units = matrix(task.units, task.unit_count, UNIT_COLUMNS, np.int64(0))
    plastic = matrix(task.plastic, task.plastic_count, learn.PLASTIC_COLUMNS, np.int64(0))
    posts = matrix(task.posts, task.post_count, learn.POST_COLUMNS, np.int64(0))
    log = matrix(task.spikes + block * task.room * 4, task.blocks - block, task.room, np.int32(0))
    offsets = matrix(task.offsets, task.blocks, task.columns, np.int64(0))
    sums = matrix(places.sums, places.receptors, places.slots, weights.dtype.type(0))
    context = vector(places.context, learn.CONTEXT_ENTRIES, np.int64(0))
    # Where the spikes of the first of them begin in this step.
    at = (request.last - task.offsets) // 8 - block * task.columns
    for k in range(request.count):
        unit = units[request.population]
        if unit[MEMBERS]:
            unit = units[vector(unit[NUMBERS], request.count, np.int64(0))[k]]
        for i in range(unit[FIRST_POST], unit[LAST_POST]):
            past = at + k - posts[i, learn.POST_DELAY] * task.entries
            if past >= 0 and offsets[block, past + 1] > offsets[block, past]:
                context[learn.FIRST] = offsets[block, past]
                context[learn.LAST] = offsets[block, past + 1]
                entry = plastic[posts[i, learn.POST_ENTRY]]
                learn.call_plastic(posts[i, learn.POST_CALLED], entry, context, log, offsets, sums)
