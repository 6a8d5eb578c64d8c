"""Events binned into frames and voxel grids: edges are found by bisection, loops over events only count."""

from __future__ import annotations

import math

import numpy as np

from ...tools.compiled import compiled
from .reference import SLACK


@compiled(inline="always")
def to_microseconds(time, scale):
    """Return the microseconds, an integer, of a time in units of `scale` microseconds."""
    return np.floor(np.float64(time) * scale + SLACK)


@compiled
def _first_from(times, scale, edge, low):
    """Return the index of the first time at or after `edge` microseconds, from index `low` on; the times ascend."""
    high = times.size
    while low < high:
        middle = (low + high) >> 1
        if to_microseconds(times[middle], scale) < edge:
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def time_frames(times, units, scale, start, width, stride, out):
    """Count events into `out` [bins, size], which is cleared first.

    Edges are found by bisection, so the loop over events only counts; each frame is cleared just before its events,
    so that it is still in the nearest cache.
    """
    a = np.int64(0)
    for k in range(out.shape[0]):
        frame = out[k]
        frame[:] = 0
        edge = start + k * stride
        a = _first_from(times, scale, edge, a)
        b = _first_from(times, scale, edge + width, a)
        for i in range(a, b):
            frame[np.uint32(units[i])] += 1


@compiled
def time_frames_many(ticks, units, offsets, scale, starts, widths, strides, bins, out):
    """Count the events of each recording into `bins[r]` frames of `out` [recordings, max bins, size]."""
    for r in range(bins.size):
        a = offsets[r]
        b = offsets[r + 1]
        time_frames(ticks[a:b], units[a:b], scale, starts[r], widths[r], strides[r], out[r, : bins[r]])
        out[r, bins[r] :] = 0


@compiled
def count_frames(units, count, stride, out):
    """Count `count` events into each frame of `out` [bins, size], which is cleared first."""
    for k in range(out.shape[0]):
        frame = out[k]
        frame[:] = 0
        for i in range(k * stride, min(k * stride + count, units.size)):
            frame[np.uint32(units[i])] += 1


@compiled
def _parts(times, units, scale, bins, pixels, place, part):
    """Fill `place` with the place of each event and `part` with its signed share of the next bin, several at a time.

    Units from `pixels` on are positive events, those below negative; the choice is not a branch, which on random
    polarities would cost four times the sum.
    """
    start = to_microseconds(times[0], scale)
    span = max(to_microseconds(times[-1], scale) - start, 1.0)
    for i in range(times.size):
        at = bins * (to_microseconds(times[i], scale) - start) / span
        k = np.floor(at)
        unit = np.uint32(units[i])
        positive = unit >= pixels
        part[i] = at - k if positive else -(at - k)
        place[i] = np.uint32(np.int32(k)) * pixels + unit - (pixels if positive else np.uint32(0))


@compiled
def voxels(times, units, scale, place, part, out):
    """Sum signs into `out` [bins, pixels], which is cleared first; bins * pixels < 2^32.

    `place` (uint32) and `part` (float64) are room for one number an event. First all left parts, then all right ones,
    as in `voxels_reference`. Parts past the last bin, and units out of range, are dropped.
    """
    out[:] = 0.0
    n = times.size
    if n == 0:
        return
    bins = np.uint32(out.shape[0])
    pixels = np.uint32(out.shape[1])
    grid = out.ravel()
    _parts(times, units, scale, bins, pixels, place, part)
    for i in range(n):
        if place[i] < bins * pixels:
            # The sign of a part of 0 is there too.
            grid[place[i]] += math.copysign(1.0 - abs(part[i]), part[i])
    for i in range(n):
        if place[i] < (bins - 1) * pixels:
            grid[place[i] + pixels] += part[i]


@compiled
def voxels_many(ticks, units, offsets, scale, place, part, out):
    """Sum signs of each recording into `out` [recordings, bins, pixels]; the scratch has room for any of them."""
    for r in range(out.shape[0]):
        a = offsets[r]
        b = offsets[r + 1]
        voxels(ticks[a:b], units[a:b], scale, place, part, out[r])
