"""Filters of the events of a camera in order of time: cut-out, background activity, joined pixels, refractory time.

Background activity: an event without a recent event of one of its eight neighbours is noise, and so are those of a
pixel that fires by itself (Delbruck 2008, "Frame-free dynamic digital vision").
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba.extending import register_jitable
from numpy.typing import NDArray

# Places of the counts in `tally`.
OUTSIDE_CROP = 0
ALONE = 1
REFRACTORY = 2


class FilterSettings(NamedTuple):
    """Settings of the filters.

    Attributes:
        sensor_height, sensor_width: of the events that come in, pixels.
        top, left, height, width: cut-out, pixels.
        factor: number of rows, and of columns, that become one.
        support: s, how recent the event of a neighbour must be; 0: all events pass.
        refractory: s, how long a joined pixel is silent after an event; 0: none.
    """

    sensor_height: int
    sensor_width: int
    top: int
    left: int
    height: int
    width: int
    factor: int
    support: float
    refractory: float


def filter_reference(
    times: NDArray[np.float64],
    units: NDArray[np.int32],
    settings: FilterSettings,
    seen: NDArray[np.float64],
    passed: NDArray[np.float64],
    tally: NDArray[np.int64],
    out_times: NDArray[np.float64],
    out_units: NDArray[np.int32],
) -> int:
    """Write the events that pass, and return their number; a recording may come in pieces, in order.

    Args:
        times, units: [n] s and (polarity * sensor_height + y) * sensor_width + x.
        settings: the filters.
        seen: [height + 2, width + 2] time of the latest event of each pixel of the cut-out, with a margin of one
            pixel; -inf at first.
        passed: [joined pixels] time of the latest event that passed; -inf at first.
        tally: [3] numbers of events that were dropped, by filter; added to.
        out_times, out_units: room for n events.
    """
    plane = settings.sensor_height * settings.sensor_width
    rows = (settings.height + settings.factor - 1) // settings.factor
    columns = (settings.width + settings.factor - 1) // settings.factor
    count = 0
    for i in range(len(times)):
        t = times[i]
        polarity = units[i] // plane
        pixel = units[i] - polarity * plane
        row = pixel // settings.sensor_width
        y = row - settings.top
        x = pixel - row * settings.sensor_width - settings.left
        if y < 0 or x < 0 or y >= settings.height or x >= settings.width:
            tally[OUTSIDE_CROP] += 1
            continue
        if settings.support > 0.0:
            latest = _latest_of_neighbours(seen, y, x)
            seen[y + 1, x + 1] = t
            if t - latest > settings.support:
                tally[ALONE] += 1
                continue
        place = y // settings.factor * columns + x // settings.factor
        if settings.refractory > 0.0:
            if t - passed[place] < settings.refractory:
                tally[REFRACTORY] += 1
                continue
            passed[place] = t
        out_times[count] = t
        out_units[count] = polarity * rows * columns + place
        count += 1
    return count


@register_jitable
def _latest_of_neighbours(seen, y, x):
    """Return the time of the latest event of the eight neighbours of a pixel; `seen` has a margin of one pixel."""
    latest = -np.inf
    for dy in range(3):
        for dx in range(3):
            # The pixel itself does not count: a hot pixel would support its own events.
            if dy != 1 or dx != 1:
                latest = max(latest, seen[y + dy, x + dx])
    return latest
