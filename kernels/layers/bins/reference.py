"""Event counts in bins of time and pools of units, with each recording shifted, rotated, stretched or thinned."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...tools.random import normals, uniforms

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


class Events(NamedTuple):
    """Events of many recordings.

    Attributes:
        ticks, units: [n] of all recordings.
        begins, ends: int64 [B], recording b has the events begins[b] to ends[b] - 1, in order of their ticks.
        tick: seconds of a tick.
    """

    ticks: np.ndarray
    units: np.ndarray
    begins: np.ndarray
    ends: np.ndarray
    tick: float


class Bins(NamedTuple):
    """Bins of time and of place.

    Attributes:
        dt: seconds of a step.
        sensor: planes, height, width: polarity, y, x of a camera; 1, 1, channels of a cochlea.
        pool: rows and columns summed into one.
        max_count: upper limit of an entry; 0: none.
    """

    dt: float
    sensor: tuple[int, int, int]
    pool: tuple[int, int]
    max_count: float


def bin_events_reference(events: Events, bins: Bins, views: np.ndarray, keys: np.ndarray, out: np.ndarray) -> None:
    """Fill `out` with the number of events of each unit's pool in each step, one recording after another.

    Args:
        views: float64 [B, COLUMNS], see above; `STILL` changes nothing.
        keys: uint64 [B] of the random numbers of each recording.
        out: float32 [steps, B, planes * rows * columns]; events beyond its steps, or moved off the sensor, are lost.
    """
    _, height, width = bins.sensor
    tall, broad = bins.pool
    dt = bins.dt
    high = -(-height // tall)
    wide = -(-width // broad)
    out[:] = 0
    for b in range(len(events.begins)):
        v = views[b]
        key = np.uint64(keys[b])
        own = slice(events.begins[b], events.ends[b])
        unit = np.asarray(events.units[own], np.int64)
        plane = unit // (height * width)
        y = unit // width % height
        x = unit % width

        # Time, with a lag of each column of the sensor.
        t = (np.asarray(events.ticks[own], np.float64) * events.tick + v[LATER]) * v[STRETCH]
        lags = np.empty(width)
        uniforms(key, 0, LAGS, lags)
        t += v[LAG] * (2 * lags[x] - 1)

        # Place: an affine map about the middle of the sensor, and a shift of each event's own.
        moved = np.empty(2 * len(t))
        normals(key, 0, NORMAL, moved)
        dy = y - (height - 1) / 2
        dx = x - (width - 1) / 2
        row = v[YY] * dy + v[YX] * dx + v[Y] + v[JITTER] * moved[::2] * (height > 1) + height / 2
        column = v[XY] * dy + v[XX] * dx + v[X] + v[JITTER] * moved[1::2] + width / 2
        row = np.floor(row).astype(int)
        column = np.floor(column).astype(int)
        step = np.floor(t / dt + GRID_SLACK).astype(int)

        # Events that stay: on the sensor, not dropped, outside of the silent band and the pause.
        survival = np.empty(len(t))
        uniforms(key, 0, KEEP, survival)
        inside = (step >= 0) & (row >= 0) & (row < height) & (column >= 0) & (column < width) & (step < len(out))
        heard = ~((column >= v[BAND]) & (column < v[BAND_END])) & ~((t >= v[PAUSE]) & (t < v[PAUSE_END]))
        chosen = inside & (survival >= v[DROP]) & heard
        place = (plane * high + row // tall) * wide + column // broad
        np.add.at(out[:, b], (step[chosen], place[chosen]), 1)

        # Events of noise, anywhere at any time.
        added = np.empty(2 * int(v[NOISE]))
        uniforms(key, 0, ADDED, added)
        step = np.floor(added[::2] * v[NOISE_END] / dt + GRID_SLACK).astype(int)
        unit = np.floor(added[1::2] * out.shape[2]).astype(int)
        np.add.at(out[:, b], (step[step < len(out)], unit[step < len(out)]), 1)
    if bins.max_count:
        np.minimum(out, bins.max_count, out=out)
