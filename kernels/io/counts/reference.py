"""Numbers of events of a recording by unit, by time, and by frame and pooled pixel, added up piece by piece."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def add_counts_reference(
    times: NDArray[np.float64],
    units: NDArray[np.int32],
    start: float,
    duration: float,
    sensor: tuple[int, int, int],
    by_unit: NDArray[np.int64],
    by_time: NDArray[np.int64],
    by_frame: NDArray[np.int64],
) -> None:
    """Add the events of a piece of a recording.

    Args:
        times, units: of the events, s and numbers of units.
        start: time of the recording's time 0, s.
        duration: of the recording, s; > 0. An event at the duration itself belongs to the last bin and frame.
        sensor: height and width of a camera, pixels, and number of rows, and of columns, that are one in a frame.
        by_unit: [units].
        by_time: [bins] equal bins of the duration.
        by_frame: [frames, polarities, rows, columns]; [0, 0, 0, 0] for a sensor that is no camera.
    """
    height, width, pool = sensor
    bins = len(by_time)
    frames = by_frame.shape[0]
    for i in range(len(times)):
        unit = units[i]
        share = (times[i] - start) / duration
        by_unit[unit] += 1
        by_time[min(int(share * bins), bins - 1)] += 1
        if frames:
            row = unit // width
            polarity = row // height
            y = (row - polarity * height) // pool
            x = (unit - row * width) // pool
            by_frame[min(int(share * frames), frames - 1), polarity, y, x] += 1
