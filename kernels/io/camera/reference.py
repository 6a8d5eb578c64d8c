"""An event camera: frames of a moving scene, and pixels that report changes of log-light.

Between two frames the log-light of a pixel is linear in time, so the time of every threshold crossing is computed,
not sampled (as in ESIM, Rebecq et al. 2018, and v2e, Hu et al. 2021).
"""

from __future__ import annotations

import math

import numpy as np
from numba.extending import register_jitable
from numpy.typing import NDArray


def pan_reference(
    scene: NDArray[np.float64], rows: NDArray[np.float64], columns: NDArray[np.float64], zoom: int, film: NDArray
) -> None:
    """Fill film [frames, y, x] with `scene` seen by pixels `zoom` samples apart, the first at (rows, columns)[frame].

    Bilinear between the four nearest samples of `scene`, which must reach one sample past the last pixel.
    """
    frames, height, width = film.shape
    for k in range(frames):
        top = math.floor(rows[k])
        left = math.floor(columns[k])
        down = rows[k] - top
        right = columns[k] - left
        for y in range(height):
            for x in range(width):
                i = top + y * zoom
                j = left + x * zoom
                above = scene[i, j] * (1.0 - right) + scene[i, j + 1] * right
                below = scene[i + 1, j] * (1.0 - right) + scene[i + 1, j + 1] * right
                film[k, y, x] = above * (1.0 - down) + below * down


def watch_reference(
    film: NDArray[np.float64],
    step: float,
    on: NDArray[np.float64],
    off: NDArray[np.float64],
    start: NDArray[np.float64],
    refractory: float,
    ticks: NDArray[np.int64],
    units: NDArray[np.int64],
) -> int:
    """Fill `ticks` and `units` with the events of pixels that watch `film` [frames, pixels].

    Frames are `step` microseconds apart.

    A pixel remembers one level, at first `film[0] - start`. Where the log-light has moved from it by `on` upwards or
    `off` downwards the pixel fires and the crossed threshold becomes the new level. With a refractory time it is blind
    for that long instead, and the light it sees when it opens again becomes the level.

    Args:
        on, off, start: [pixels], with `-off < start < on`.
        refractory: microseconds.
        ticks, units: room for the events: microseconds (rounded), and polarity * pixels + pixel, in order of frames
            and pixels, not of time.

    Returns:
        The number of events. If it exceeds the room in `ticks`, the rest were counted and not stored.
    """
    frames, pixels = film.shape
    level = film[0] - start
    opens = np.zeros(pixels)
    count = 0
    for k in range(1, frames):
        begin = (k - 1) * step
        end = k * step
        for p in range(pixels):
            before = film[k - 1, p]
            after = film[k, p]
            if opens[p] > end:
                continue
            if opens[p] > begin:
                # It opens between the two frames: the light of that moment becomes the level.
                level[p] = before + (after - before) * ((opens[p] - begin) / step)
            # A large change crosses several thresholds between two frames.
            polarity, crossed = _next_threshold(after, level[p], on[p], off[p])
            while polarity >= 0 and opens[p] <= end:
                # Log-light is linear between the frames, which gives the time of the crossing; rounding may leave them.
                moment = min(max(begin + (crossed - before) / (after - before) * step, begin), end)
                if count < len(ticks):
                    ticks[count] = int(moment + 0.5)
                    units[count] = polarity * pixels + p
                count += 1
                level[p] = crossed
                if refractory > 0.0:
                    opens[p] = moment + refractory
                    level[p] = before + (after - before) * ((opens[p] - begin) / step)
                polarity, crossed = _next_threshold(after, level[p], on[p], off[p])
    return count


@register_jitable
def _next_threshold(light, level, on, off):
    """Return polarity and level of the next threshold that the light has crossed; -1 and the level for none."""
    if light - level >= on:
        return 1, level + on
    if level - light >= off:
        return 0, level - off
    return -1, level
