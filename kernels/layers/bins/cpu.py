"""Event counts in bins of time and pools of units: one pass over the events of each recording."""

from __future__ import annotations

import math

import numpy as np
from numba import int64, uint64

from ...tools.compiled import compiled
from ...tools.random import normals, uniforms, unit_interval, words
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


def bin_events(events, bins, views, keys, out):
    """Fill `out` from `Events` and `Bins`, see `bin_events_reference`."""
    if events.ticks.dtype == np.float16:
        # Numba has no half precision: only what is binned is widened, not the whole set.
        events = _gathered(events)
    # One type for all callers, so that one form is compiled.
    events = events._replace(tick=float(events.tick))
    bins = bins._replace(dt=float(bins.dt), max_count=float(bins.max_count))
    _bin_events(events, bins, views, keys, out)


def _gathered(events):
    """Return the events of these recordings alone, ticks in float32."""
    lengths = events.ends - events.begins
    ends = np.cumsum(lengths)
    parts = [slice(a, b) for a, b in zip(events.begins, events.ends, strict=True)]
    ticks = np.concatenate([events.ticks[part] for part in parts])
    units = np.concatenate([events.units[part] for part in parts])
    return events._replace(ticks=ticks.astype(np.float32), units=units, begins=ends - lengths, ends=ends)


@compiled
def _add_noise(key, count, end, dt, max_count, out):
    """Add `count` events at any times from 0 to `end`, on any pools of out [steps, pools]."""
    added = np.empty(2 * count)
    uniforms(key, int64(0), int64(ADDED), added)
    for n in range(count):
        step = math.floor(added[2 * n] * end / dt + GRID_SLACK)
        place = math.floor(added[2 * n + 1] * out.shape[1])
        if step < out.shape[0] and (max_count == 0.0 or out[step, place] < np.float32(max_count)):
            out[step, place] += np.float32(1)


@compiled
def _lags(key, lag, width):
    """Return [width] the time by which each column is late, s."""
    lags = np.zeros(width)
    if lag > 0.0:
        uniforms(key, int64(0), int64(LAGS), lags)
        lags = lag * (2.0 * lags - 1.0)
    return lags


@compiled
def _bin_events(events, bins, views, keys, out):
    ticks = events.ticks
    units = events.units
    tick = events.tick
    dt = bins.dt
    max_count = bins.max_count
    _, height, width = bins.sensor
    tall, broad = bins.pool
    steps = out.shape[0]
    high = -(-height // tall)
    wide = -(-width // broad)
    plane_units = height * width
    middle_y = (height - 1) / 2.0
    middle_x = (width - 1) / 2.0
    out[:] = 0
    top = np.float32(max_count)
    pair = np.empty(2)
    for b in range(events.begins.size):
        stretch = views[b, STRETCH]
        drop = views[b, DROP]
        jitter = views[b, JITTER]
        yy = views[b, YY]
        yx = views[b, YX]
        xy = views[b, XY]
        xx = views[b, XX]
        along_y = views[b, Y]
        along_x = views[b, X]
        band = views[b, BAND]
        band_end = views[b, BAND_END]
        pause = views[b, PAUSE]
        pause_end = views[b, PAUSE_END]
        later = views[b, LATER]
        key = uint64(keys[b])
        lag = views[b, LAG]
        lags = _lags(key, lag, width)
        for e in range(events.begins[b], events.ends[b]):
            n = e - events.begins[b]
            time = (float(ticks[e]) * tick + later) * stretch + lags[int(units[e]) % width]
            step = math.floor(time / dt + GRID_SLACK)
            # Without lags the events of a recording are in the order of their steps.
            if step >= steps and lag == 0.0:
                break
            if step < 0 or step >= steps or pause <= time < pause_end:
                continue
            if drop > 0.0:
                a, c, _, _ = words(key, uint64(n), uint64(KEEP))
                if unit_interval(a, c) < drop:
                    continue
            unit = int(units[e])
            plane = unit // plane_units
            rest = unit % plane_units
            # From the middle of the sensor, turned and scaled, then back to pixels.
            dy = rest // width - middle_y
            dx = rest % width - middle_x
            row = yy * dy + yx * dx + along_y + height / 2.0
            column = xy * dy + xx * dx + along_x + width / 2.0
            if jitter > 0.0:
                normals(key, 2 * n, int64(NORMAL), pair)
                row += jitter * pair[0] if height > 1 else 0.0
                column += jitter * pair[1]
            i = math.floor(row)
            j = math.floor(column)
            if band <= j < band_end:
                continue
            if 0 <= i < height and 0 <= j < width:
                place = (plane * high + i // tall) * wide + j // broad
                if max_count == 0.0 or out[step, b, place] < top:
                    out[step, b, place] += np.float32(1)
        _add_noise(key, int(views[b, NOISE]), views[b, NOISE_END], dt, max_count, out[:, b])


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
