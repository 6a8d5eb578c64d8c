"""Event counts in bins of time and pools of units: one pass over the events of each recording."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import int64, njit, uint64
from numpy.typing import NDArray

from ...tools.compiled import compiled
from ...tools.random import normals, uniforms
from .reference import (
    ADDED,
    BAND,
    BAND_END,
    DROP,
    GRID_SLACK,
    JITTER,
    KEEP,
    LAG,
    LAGS,
    LATER,
    NOISE,
    NOISE_END,
    NORMAL,
    PAUSE,
    PAUSE_END,
    STRETCH,
    XX,
    XY,
    YX,
    YY,
    X,
    Y,
)

# Events that pass through a step of the work together.
PIECE = 1024
# Units an event from which the pool of each unit is found once, in a table, and not that of each event.
TABLE_UNITS = 4


class PieceArrays(NamedTuple):
    """Work space for the next `PIECE` events of a recording.

    Attributes:
        times: seconds at which they are counted.
        survival: numbers in (0, 1); an event is dropped where its number is below `DROP`.
        steps: bins of time; -1 for an event that is not counted.
    """

    times: NDArray[np.float64]
    survival: NDArray[np.float64]
    steps: NDArray[np.int64]


def bin_events(events, bins, views, keys, out):
    """Fill `out` from `Events` and `Bins`, see `bin_events_reference`."""
    events = widened(events)
    # One type for all callers, so that one form is compiled; without a limit it is infinite.
    events = events._replace(tick=float(events.tick))
    bins = bins._replace(dt=float(bins.dt), max_count=float(bins.max_count) or math.inf)
    width = bins.sensor[2]
    lags = np.zeros((len(keys), width))
    for b in np.flatnonzero(views[:, LAG]):
        uniforms(keys[b], 0, LAGS, lags[b])
        lags[b] = views[b, LAG] * (2.0 * lags[b] - 1.0)
    piece = PieceArrays(times=np.empty(PIECE), survival=np.zeros(PIECE), steps=np.empty(PIECE, np.int64))
    pools = np.empty(math.prod(bins.sensor), np.int64)
    out[:] = 0
    is_still = views[:, JITTER] == 0
    # A division of integers takes as long as the rest of an event: with many events that of each unit is made once.
    is_many = TABLE_UNITS * (events.ends - events.begins) > pools.size
    by_table = np.flatnonzero(is_still & is_many)
    by_event = np.flatnonzero(is_still & ~is_many)
    # Each way is compiled where it is needed.
    if by_table.size:
        _bin_events(events, bins, views, keys, by_table, lags, None, piece, pools, out)
    if by_event.size:
        _bin_events(events, bins, views, keys, by_event, lags, np.empty(0), piece, pools, out)
    # Normal numbers are two for each event of a recording: those of one recording at a time.
    for b in np.flatnonzero(~is_still):
        moves = np.empty(2 * (events.ends[b] - events.begins[b]))
        normals(keys[b], 0, NORMAL, moves)
        _bin_events(events, bins, views, keys, np.array([b]), lags, moves, piece, pools, out)
    for b in np.flatnonzero(views[:, NOISE]):
        _add_noise(keys[b], int(views[b, NOISE]), views[b, NOISE_END], bins, out[:, b])


def widened(events):
    """Return events whose ticks numba can read: half precision, which it has not, becomes float32.

    Only the events of these recordings are copied, not the whole set.
    """
    if events.ticks.dtype != np.float16:
        return events
    lengths = events.ends - events.begins
    ends = np.cumsum(lengths)
    parts = [slice(a, b) for a, b in zip(events.begins, events.ends, strict=True)]
    ticks = np.concatenate([events.ticks[part] for part in parts])
    units = np.concatenate([events.units[part] for part in parts])
    return events._replace(ticks=ticks.astype(np.float32), units=units, begins=ends - lengths, ends=ends)


def _add_noise(key, count, end, bins, out):
    """Add `count` events at any times from 0 to `end`, on any pools of out [steps, pools]."""
    added = np.empty(2 * count)
    uniforms(key, 0, ADDED, added)
    steps = np.floor(added[::2] * end / bins.dt + GRID_SLACK).astype(np.int64)
    pools = np.floor(added[1::2] * out.shape[1]).astype(np.int64)
    places = steps[steps < len(out)], pools[steps < len(out)]
    np.add.at(out, places, 1)
    out[places] = np.minimum(out[places], bins.max_count)


@compiled(error_model="numpy")  # a division that could raise is no vector instruction
def steps_of(times, dt, steps):
    for k in range(times.size):
        steps[k] = math.floor(times[k] / dt + GRID_SLACK)


@compiled
def _moved(y, x, view, height, width):
    """Return row and column of a pixel that is turned and scaled around the middle of the sensor, and shifted."""
    dy = y - (height - 1) / 2.0
    dx = x - (width - 1) / 2.0
    row = view[YY] * dy + view[YX] * dx + view[Y] + height / 2.0
    column = view[XY] * dy + view[XX] * dx + view[X] + width / 2.0
    return row, column


@compiled
def _pool_of(row, column, view, bins):
    """Return the pool of a point within its plane; -1 off the sensor and in silent columns."""
    _, height, width = bins.sensor
    tall, broad = bins.pool
    i = math.floor(row)
    j = math.floor(column)
    if i < 0 or i >= height or j < 0 or j >= width or view[BAND] <= j < view[BAND_END]:
        return -1
    return i // tall * -(-width // broad) + j // broad


@compiled
def pools_of(view, bins, pools):
    """Fill `pools` with the pool of each unit of the sensor, or -1, for a recording without jitter."""
    planes, height, width = bins.sensor
    plane_units = height * width
    for y in range(height):
        for x in range(width):
            row, column = _moved(y, x, view, height, width)
            pools[y * width + x] = _pool_of(row, column, view, bins)
    plane_pools = -(-height // bins.pool[0]) * -(-width // bins.pool[1])
    for unit in range(plane_units, planes * plane_units):
        below = pools[unit - plane_units]
        pools[unit] = below + plane_pools if below >= 0 else -1


@compiled
def _bin_events(events, bins, views, keys, rows, lags, moves, piece, pools, out):
    """Add the events of recordings `rows` to `out`.

    Args:
        lags: float64 [B, width] the time by which each column is late, s.
        moves: [2 * events] normal numbers for the jitter of the one recording, none without jitter; None: pools come
            from a table of units.
        piece: `PieceArrays` to work in.
        pools: int64 [units], to work in.
    """
    for b in rows:
        view = views[b]
        begin = events.begins[b]
        end = events.ends[b]
        if moves is None:
            pools_of(view, bins, pools)
        for first in range(begin, end, PIECE):
            last = min(first + PIECE, end)
            count = last - first
            _times_of(events, first, last, view, lags[b], piece.times)
            steps_of(piece.times[:count], bins.dt, piece.steps)
            # Without lags the events of a recording are in the order of their steps.
            is_last = view[LAG] == 0.0 and piece.steps[count - 1] >= out.shape[0]
            # Random numbers of many events are drawn in vectors.
            if view[DROP] > 0.0:
                uniforms(uint64(keys[b]), int64(first - begin), int64(KEEP), piece.survival[:count])
            _silence(view, piece, count)
            if moves is None:
                _add_by_table(events.units, first, last, piece.steps, pools, bins, b, out)
            else:
                _add_moved(events.units, first, last, piece.steps, view, begin, moves, bins, b, out)
            if is_last:
                break


@njit(inline="always")
def _times_of(events, first, last, view, lags, times):
    """Fill `times` with the seconds at which events `first` to `last` are counted."""
    later = view[LATER]
    stretch = view[STRETCH]
    for e in range(first, last):
        times[e - first] = (float(events.ticks[e]) * events.tick + later) * stretch
    if view[LAG] > 0.0:
        for e in range(first, last):
            times[e - first] += lags[events.units[e] % lags.size]


@njit(inline="always")
def _silence(view, piece, count):
    """Set the step of the first `count` events to -1 where they fall into the pause or are dropped."""
    drop = view[DROP]
    pause = view[PAUSE]
    pause_end = view[PAUSE_END]
    if drop == 0.0 and pause >= pause_end:
        return
    for k in range(count):
        if pause <= piece.times[k] < pause_end or piece.survival[k] < drop:
            piece.steps[k] = -1


@njit(inline="always")
def _add_by_table(units, first, last, steps, pools, bins, b, out):
    """Add events `first` to `last` to recording b; `pools` has the pool of each unit, or -1."""
    top = np.float32(bins.max_count)
    for e in range(first, last):
        step = steps[e - first]
        if 0 <= step < out.shape[0]:
            place = pools[units[e]]
            if place >= 0:
                out[step, b, place] = min(out[step, b, place] + np.float32(1), top)


@njit(inline="always")
def _add_moved(units, first, last, steps, view, begin, moves, bins, b, out):
    """Add events `first` to `last` to recording b, which begins with event `begin`, each moved on its own."""
    _, height, width = bins.sensor
    plane_units = height * width
    plane_pools = -(-height // bins.pool[0]) * -(-width // bins.pool[1])
    jitter = view[JITTER]
    top = np.float32(bins.max_count)
    for e in range(first, last):
        step = steps[e - first]
        if step < 0 or step >= out.shape[0]:
            continue
        unit = int(units[e])
        rest = unit % plane_units
        row, column = _moved(rest // width, rest % width, view, height, width)
        if jitter > 0.0:
            row += jitter * moves[2 * (e - begin)] if height > 1 else 0.0
            column += jitter * moves[2 * (e - begin) + 1]
        place = _pool_of(row, column, view, bins)
        if place >= 0:
            place += unit // plane_units * plane_pools
            out[step, b, place] = min(out[step, b, place] + np.float32(1), top)


@compiled
def place_rows(first_rows, lengths, binned, out):
    """Fill out [steps, n, units] with n recordings, and zeros elsewhere.

    Args:
        first_rows, lengths: [n] the first row of each recording, and its rows, one for each of its steps.
        binned: `ActiveInputs` of the rows of all recordings.
    """
    out[:] = 0
    for b in range(lengths.size):
        for step in range(lengths[b]):
            row = first_rows[b] + step
            for k in range(binned.starts[row], binned.starts[row + 1]):
                out[step, b, binned.units[k]] = binned.values[k] if binned.values.size else 1


@compiled
def list_rows(first_rows, lengths, binned, listed):
    """Fill `listed`, the `ActiveInputs` of what `place_rows` writes: a row for each recording of each step."""
    n = lengths.size
    at = 0
    listed.starts[0] = 0
    for i in range(listed.starts.size - 1):
        step = i // n
        b = i % n
        # Behind the end of a recording its rows are empty.
        if step < lengths[b]:
            at = _append_row(binned, first_rows[b] + step, listed, at)
        listed.starts[i + 1] = at


@compiled
def _append_row(binned, row, listed, at):
    """Copy a row of `binned` to the entries of `listed` from `at` on; return the entry behind the last."""
    begin = binned.starts[row]
    size = binned.starts[row + 1] - begin
    for k in range(size):
        listed.units[at + k] = binned.units[begin + k]
    if binned.values.size:
        for k in range(size):
            listed.values[at + k] = binned.values[begin + k]
    return at + size
