"""States of probed units, copied while a network runs."""

from __future__ import annotations

import numpy as np

from ...tools.pointers import matrix, vector
from .columns import (
    BUNDLE_SIZE,
    P_COUNT,
    P_INTERVAL,
    P_OUT,
    P_POPULATION,
    P_ROW,
    P_UNITS,
    PART,
    PROBE_COLUMNS,
    SHIFT,
    SIZE,
    STATE,
    STATES,
    UNIT_COLUMNS,
)
from .views import PIECE


def sample(room_of_task, room_of_request, weights, room_of_places):
    """Copy the probed units that lie in this thread's blocks, for the probes that sample in this step."""
    task = room_of_task[0]
    step = room_of_request[0].step
    real = weights.dtype.type(0)
    units = matrix(task.units, task.unit_count, UNIT_COLUMNS, np.int64(0))
    probes = matrix(task.probes, task.probe_count, PROBE_COLUMNS, np.int64(0))
    for k in range(probes.shape[0]):
        probe = probes[k]
        if step % probe[P_INTERVAL]:
            continue
        sample = step // probe[P_INTERVAL]
        unit = units[probe[P_POPULATION]]
        n = probe[P_COUNT]
        states = unit[STATES]
        part = unit[PART]
        shift = unit[SHIFT]
        chosen = vector(probe[P_UNITS], n, np.int32(0))
        out = vector(probe[P_OUT], (sample + 1) * n, real)[sample * n :]
        state = vector(unit[STATE], states * unit[SIZE], real)
        for i in range(n):
            block = (chosen[i] + shift) // part
            if not task.begin_block <= block < task.end_block:
                continue
            if unit[BUNDLE_SIZE]:
                row = unit[STATE] + probe[P_ROW] * unit[BUNDLE_SIZE] * out.itemsize
                out[i] = vector(row, unit[SIZE], real)[chosen[i]]
            else:
                begin = block * part - shift
                first = begin + (chosen[i] - begin) // PIECE * PIECE
                size = min(PIECE, min(begin + part, unit[SIZE]) - first)
                out[i] = state[states * first + probe[P_ROW] * size + chosen[i] - first]
