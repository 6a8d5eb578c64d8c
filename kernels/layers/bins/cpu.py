"""Event counts in bins of time and pools of units: one pass over the events of each recording."""

from __future__ import annotations

import math

import numpy as np
from numba import int64, uint64

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

# Events whose random numbers are drawn at a time.
PIECE = 1024


def bin_events(events, bins, views, keys, out):
    """Fill `out` from `Events` and `Bins`, see `bin_events_reference`."""
    if events.ticks.dtype == np.float16:
        # Numba has no half precision: only what is binned is widened, not the whole set.
        events = _gathered(events)
    # One type for all callers, so that one form is compiled.
    events = events._replace(tick=float(events.tick))
    bins = bins._replace(dt=float(bins.dt), max_count=float(bins.max_count))
    width = bins.sensor[2]
    lags = np.zeros((len(keys), width))
    for b in np.flatnonzero(views[:, LAG]):
        uniforms(keys[b], 0, LAGS, lags[b])
        lags[b] = views[b, LAG] * (2.0 * lags[b] - 1.0)
    scratch = np.zeros((2, PIECE)), np.empty(PIECE, np.int64)
    pools = np.empty(math.prod(bins.sensor), np.int64)
    out[:] = 0
    # Normal numbers are two for each event of a recording: those of one recording at a time.
    jittered = np.flatnonzero(views[:, JITTER])
    still = np.flatnonzero(views[:, JITTER] == 0)
    _bin_events(events, bins, views, keys, still, lags, np.empty(0), scratch, pools, out)
    for b in jittered:
        moved = np.empty(2 * (events.ends[b] - events.begins[b]))
        normals(keys[b], 0, NORMAL, moved)
        _bin_events(events, bins, views, keys, jittered[jittered == b], lags, moved, scratch, pools, out)
    for b in np.flatnonzero(views[:, NOISE]):
        _add_noise(keys[b], int(views[b, NOISE]), views[b, NOISE_END], bins, out[:, b])


def _gathered(events):
    """Return the events of these recordings alone, ticks in float32."""
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
    if bins.max_count:
        out[places] = np.minimum(out[places], bins.max_count)


@compiled(error_model="numpy")  # a division that could raise is no vector instruction
def _steps_of(times, dt, steps):
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
def _pools_of(view, bins, pools):
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
def _bin_events(events, bins, views, keys, rows, lags, moves, scratch, pools, out):
    """Add the events of recordings `rows` to `out`.

    Args:
        lags: float64 [B, width] the time by which each column is late, s.
        moves: [2 * events] normal numbers for the jitter of the one recording; none are read without jitter.
        scratch: float64 [2, PIECE] and int64 [PIECE].
        pools: int64 [units].
    """
    ticks = events.ticks
    units = events.units
    tick = events.tick
    _, height, width = bins.sensor
    steps = out.shape[0]
    plane_units = height * width
    plane_pools = -(-height // bins.pool[0]) * -(-width // bins.pool[1])
    top = np.float32(bins.max_count if bins.max_count > 0.0 else np.inf)
    times = scratch[0][0]
    survival = scratch[0][1]
    steps_of = scratch[1]
    for b in rows:
        view = views[b]
        stretch = view[STRETCH]
        drop = view[DROP]
        jitter = view[JITTER]
        pause = view[PAUSE]
        pause_end = view[PAUSE_END]
        later = view[LATER]
        key = uint64(keys[b])
        lag = view[LAG]
        begin = events.begins[b]
        end = events.ends[b]
        # A division of integers takes as long as the rest of an event.
        listed = jitter == 0.0 and end - begin > pools.size
        if listed:
            _pools_of(view, bins, pools)
        for first in range(begin, end, PIECE):
            last = min(first + PIECE, end)
            # Random numbers of many events are drawn in vectors.
            if drop > 0.0:
                uniforms(key, int64(first - begin), int64(KEEP), survival[: last - first])
            for k in range(last - first):
                times[k] = (float(ticks[first + k]) * tick + later) * stretch
            if lag > 0.0:
                for k in range(last - first):
                    times[k] += lags[b, units[first + k] % width]
            _steps_of(times[: last - first], bins.dt, steps_of)
            for e in range(first, last):
                step = steps_of[e - first]
                # Without lags the events of a recording are in the order of their steps.
                if step >= steps and lag == 0.0:
                    end = e
                    break
                if step < 0 or step >= steps or pause <= times[e - first] < pause_end or survival[e - first] < drop:
                    continue
                unit = int(units[e])
                if listed:
                    place = pools[unit]
                else:
                    rest = unit % plane_units
                    row, column = _moved(rest // width, rest % width, view, height, width)
                    if jitter > 0.0:
                        row += jitter * moves[2 * (e - begin)] if height > 1 else 0.0
                        column += jitter * moves[2 * (e - begin) + 1]
                    place = _pool_of(row, column, view, bins)
                    if place >= 0:
                        place += unit // plane_units * plane_pools
                if place >= 0:
                    out[step, b, place] = min(out[step, b, place] + np.float32(1), top)
            if end < last:
                break


@compiled
def place_entries(begins, ends, steps, units, counts, out):
    """Fill out [steps, n, units] with the entries `begins` to `ends` of each of n recordings, and zeros elsewhere."""
    out[:] = 0
    for b in range(begins.size):
        for e in range(begins[b], ends[b]):
            # A batch may be shorter than the one in which a recording was binned, but no event is after its end.
            if steps[e] < out.shape[0]:
                out[steps[e], b, units[e]] = counts[e]


@compiled
def list_entries(begins, ends, steps, units, counts, starts, listed, values):
    """List the entries of `place_entries` by row, a row being a step of one of n recordings, recordings fastest.

    Args:
        starts: [rows + 1] zeros, then the first entry of each row.
        listed, values: units and counts of the entries, as many as `ends` - `begins` at most; no values are written
            into an array of none.
    """
    # Sorted by counting: sizes of the rows, their sum up to each, then every entry goes to its place.
    n = begins.size
    rows = starts.size - 1
    for b in range(n):
        for e in range(begins[b], ends[b]):
            row = steps[e] * n + b
            if row < rows:
                starts[row + 1] += 1
    for row in range(rows):
        starts[row + 1] += starts[row]
    places = starts[:-1].copy()
    for b in range(n):
        for e in range(begins[b], ends[b]):
            row = steps[e] * n + b
            if row < rows:
                at = places[row]
                places[row] = at + 1
                listed[at] = units[e]
                if values.size:
                    values[at] = counts[e]
