"""Event counts in bins of time and pools of units, with each recording shifted, rotated, stretched or thinned.

A sensor is [planes, height, width]: polarity, y, x of a camera; 1, 1, channels of a cochlea.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, uint64

from ..tools.random import normals, uniforms, unit_interval, words

# Changes of one recording, float64 [COLUMNS]; (y, x) counted from the middle of the sensor become
# (YY y + YX x + Y, XY y + XX x + X).
# Columns BAND to BAND_END and seconds PAUSE to PAUSE_END are silent, as the bins count them.
# An event at time t is counted at STRETCH (t + LATER) + the lag of its column, drawn in +- LAG.
# NOISE events are added on any pools of units, at times from 0 to NOISE_END.
STRETCH, DROP, JITTER, YY, YX, XY, XX, Y, X, BAND, BAND_END, PAUSE, PAUSE_END, LATER = range(14)
LAG, NOISE, NOISE_END, COLUMNS = range(14, 18)
# A recording that is not changed.
STILL = np.array([1, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], np.float64)
GRID_SLACK = 1e-6  # as `neurosim.data.spikes`
# streams of draws of an event
KEEP = 0
NORMAL = 1
# of a column, and of an added event: its time and its unit
LAGS = 2
ADDED = 3


def bin_events_reference(ticks, units, first, last, tick, dt, sensor, pool, max_count, views, keys, out):
    """The specification of `bin_events`, one recording after another."""
    _, height, width = sensor
    high = -(-height // pool[0])
    wide = -(-width // pool[1])
    out[:] = 0
    for b in range(len(first)):
        v = views[b]
        t = (np.asarray(ticks[first[b] : last[b]], np.float64) * tick + v[LATER]) * v[STRETCH]
        unit = np.asarray(units[first[b] : last[b]], np.int64)
        plane = unit // (height * width)
        y = unit // width % height
        x = unit % width
        lags = np.empty(width)
        added = np.empty(2 * int(v[NOISE]))
        uniforms(np.uint64(keys[b]), 0, LAGS, lags)
        uniforms(np.uint64(keys[b]), 0, ADDED, added)
        t += v[LAG] * (2 * lags[x] - 1)
        kept = np.empty(len(t))
        moved = np.empty(2 * len(t))
        uniforms(np.uint64(keys[b]), 0, KEEP, kept)
        normals(np.uint64(keys[b]), 0, NORMAL, moved)
        dy = y - (height - 1) / 2
        dx = x - (width - 1) / 2
        row = v[YY] * dy + v[YX] * dx + v[Y] + v[JITTER] * moved[::2] * (height > 1) + height / 2
        column = v[XY] * dy + v[XX] * dx + v[X] + v[JITTER] * moved[1::2] + width / 2
        row = np.floor(row).astype(int)
        column = np.floor(column).astype(int)
        step = np.floor(t / dt + GRID_SLACK).astype(int)
        inside = (step >= 0) & (row >= 0) & (row < height) & (column >= 0) & (column < width) & (step < len(out))
        heard = ~((column >= v[BAND]) & (column < v[BAND_END])) & ~((t >= v[PAUSE]) & (t < v[PAUSE_END]))
        chosen = inside & (kept >= v[DROP]) & heard
        place = (plane * high + row // pool[0]) * wide + column // pool[1]
        np.add.at(out[:, b], (step[chosen], place[chosen]), 1)
        step = np.floor(added[::2] * v[NOISE_END] / dt + GRID_SLACK).astype(int)
        unit = np.floor(added[1::2] * out.shape[2]).astype(int)
        np.add.at(out[:, b], (step[step < len(out)], unit[step < len(out)]), 1)
    if max_count:
        np.minimum(out, max_count, out=out)


def bin_events(ticks, units, first, last, tick, dt, sensor, pool, max_count, views, keys, out):
    """Fill `out` with the events of each unit's pool in each step of `dt` seconds.

    Args:
        ticks, units: [n] of all recordings; the time of an event is `tick` times its tick, seconds.
        first, last: [B] int64, recording b holds events first[b] to last[b] - 1.
        sensor: planes, height, width. pool: rows and columns summed into one.
        max_count: upper limit of an entry; 0: none.
        views: float64 [B, COLUMNS], see above; `STILL` changes nothing.
        keys: uint64 [B] of the random numbers of each recording.
        out: float32 [steps, B, planes * rows * columns]; events beyond its steps, or moved off the sensor, are lost.
    """
    if ticks.dtype == np.float16:
        # Numba has no half precision: only what is binned is widened, not the whole set.
        ticks, units, first, last = _gathered(ticks, units, first, last)
    _bin_events(ticks, units, first, last, float(tick), float(dt), *sensor, *pool, float(max_count), views, keys, out)


def _gathered(ticks, units, first, last):
    """Return the events of these recordings alone, ticks in float32, and their new bounds."""
    ends = np.cumsum(last - first)
    parts = [slice(a, b) for a, b in zip(first, last, strict=True)]
    some = [np.concatenate([every[part] for part in parts]) for every in (ticks, units)]
    return some[0].astype(np.float32), some[1], ends - (last - first), ends


@njit(cache=True, nogil=True)
def _add_noise(key, count, end, dt, max_count, out):
    """Add `count` events at any times from 0 to `end`, on any pools of out [steps, pools]."""
    added = np.empty(2 * count)
    uniforms(key, 0, ADDED, added)
    for n in range(count):
        step = math.floor(added[2 * n] * end / dt + GRID_SLACK)
        place = math.floor(added[2 * n + 1] * out.shape[1])
        if step < out.shape[0] and (max_count == 0.0 or out[step, place] < np.float32(max_count)):
            out[step, place] += np.float32(1)


@njit(cache=True, nogil=True)
def _lags(key, lag, width):
    """Return [width] the time by which each column is late, s."""
    lags = np.zeros(width)
    if lag > 0.0:
        uniforms(key, 0, LAGS, lags)
        lags = lag * (2.0 * lags - 1.0)
    return lags


@njit(cache=True, nogil=True)
def _bin_events(ticks, units, first, last, tick, dt, planes, height, width, tall, broad, max_count, views, keys, out):
    steps = out.shape[0]
    high = -(-height // tall)
    wide = -(-width // broad)
    plane_units = height * width
    middle_y = (height - 1) / 2.0
    middle_x = (width - 1) / 2.0
    out[:] = 0
    top = np.float32(max_count)
    pair = np.empty(2)
    for b in range(first.size):
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
        for e in range(first[b], last[b]):
            n = e - first[b]
            time = (float(ticks[e]) * tick + later) * stretch + lags[int(units[e]) % width]
            step = math.floor(time / dt + GRID_SLACK)
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
            dy = rest // width - middle_y
            dx = rest % width - middle_x
            row = yy * dy + yx * dx + along_y + height / 2.0
            column = xy * dy + xx * dx + along_x + width / 2.0
            if jitter > 0.0:
                normals(key, 2 * n, NORMAL, pair)
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
