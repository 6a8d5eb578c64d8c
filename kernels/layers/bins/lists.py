"""Recordings in bins as lists of the entries that are not 0: one pass over their events, without the zeros between."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit, uint64

from ...tools.compiled import compiled
from ...tools.intrinsics import trailing_zeros
from ..spike_linear.lists import WORD, ActiveInputs
from .cpu import PIECE, pools_of, steps_of, widened
from .reference import STILL

# Recordings at a time, where their ticks are widened first.
CHUNK = 64


class StepRoom(NamedTuple):
    """Work space for the step of a recording that is being counted, zeros between two steps.

    Attributes:
        counts: [pools] float32.
        occupied: [ceil(pools / WORD)] uint64, a bit for each pool that has events.
        times: [PIECE] float64, seconds of the next events.
        steps: [PIECE] int64, their bins of time.
    """

    counts: np.ndarray
    occupied: np.ndarray
    times: np.ndarray
    steps: np.ndarray


def list_events(events, bins, lengths):
    """Return the `ActiveInputs` of recordings that nothing changes: a row for each step, those of a recording together.

    Args:
        events, bins: `Events` and `Bins`.
        lengths: int64 [B] steps of each recording; later events are left out.
    """
    # As `bin_events` compiles them.
    bins = bins._replace(dt=float(bins.dt), max_count=float(bins.max_count) or math.inf)
    events = events._replace(tick=float(events.tick))
    pools = np.empty(math.prod(bins.sensor), np.int64)
    pools_of(STILL, bins, pools)
    total = int((events.ends - events.begins).sum())
    # No more than one entry an event. Memory that is not written is not taken.
    units = np.empty(total, np.int32)
    values = np.empty(0 if bins.max_count == 1 else total, np.float32)
    listed = ActiveInputs(np.zeros(int(lengths.sum()) + 1, np.int64), units, values)
    size = bins.sensor[0] * math.prod(-(-s // p) for s, p in zip(bins.sensor[1:], bins.pool, strict=True))
    room = StepRoom(
        counts=np.zeros(size, np.float32),
        occupied=np.zeros(-(-size // WORD), np.uint64),
        times=np.empty(PIECE),
        steps=np.empty(PIECE, np.int64),
    )
    row = 0
    at = 0
    for first in range(0, len(lengths), CHUNK):
        part = slice(first, first + CHUNK)
        own = widened(events._replace(begins=events.begins[part], ends=events.ends[part]))
        at = _list_events(own, bins, lengths[part], pools, room, listed, row, at)
        row += int(lengths[part].sum())
    # In place: a copy would take the memory twice.
    units.resize(at, refcheck=False)
    if (values[:at] == 1).all():
        return listed._replace(values=np.empty(0, np.float32))
    values.resize(at, refcheck=False)
    return listed


@compiled
def _list_events(events, bins, lengths, pools, room, listed, row, at):
    """List recordings, whose rows begin with `row` and their entries with `at`; return the entry behind the last."""
    for b in range(lengths.size):
        at = _list_recording(events, bins, b, lengths[b], pools, room, listed, row, at)
        row += lengths[b]
    return at


@njit(inline="always")
def _list_recording(events, bins, b, length, pools, room, listed, row, at):
    """List recording b of `length` steps; return the entry behind its last."""
    top = np.float32(bins.max_count)
    now = 0
    for first in range(events.begins[b], events.ends[b], PIECE):
        count = min(PIECE, events.ends[b] - first)
        for k in range(count):
            room.times[k] = float(events.ticks[first + k]) * events.tick
        steps_of(room.times[:count], bins.dt, room.steps)
        for k in range(count):
            step = room.steps[k]
            # An event exactly at the end lies behind the last step.
            if step >= length:
                break
            if step > now:
                at = _close_steps(now, step, room, listed, row, at)
                now = step
            place = pools[events.units[first + k]]
            room.occupied[place // WORD] |= uint64(1) << uint64(place % WORD)
            room.counts[place] = min(room.counts[place] + np.float32(1), top)
    return _close_steps(now, length, room, listed, row, at)


@njit(inline="always")
def _close_steps(now, after, room, listed, row, at):
    """List the step `now`, and steps without events up to `after`; return the entry behind the last."""
    for word in range(room.occupied.size):
        left = room.occupied[word]
        while left:
            place = WORD * word + trailing_zeros(left)
            listed.units[at] = place
            if listed.values.size:
                listed.values[at] = room.counts[place]
            room.counts[place] = 0
            at += 1
            left &= left - uint64(1)
        room.occupied[word] = 0
    for step in range(now, after):
        listed.starts[row + step + 1] = at
    return at
