"""Events binned into frames, and into voxel grids that share each event between two neighbouring bins.

Times are integers of microseconds, as in event cameras: `to_microseconds` converts them, so that an edge on a
microsecond is exact although its binary fraction of a second is not.
"""

from __future__ import annotations

import numpy as np

# Microseconds below an integer that still count as it: k * 1e-6 s is seldom exact, and off by 1e-5 us after a day.
SLACK = 1e-3


def time_frames_reference(
    times: np.ndarray, units: np.ndarray, scale: float, start: float, width: float, stride: float, bins: int, size: int
) -> np.ndarray:
    """Count events into frames, frame k those with 0 <= t - (start + k stride) < width.

    Returns:
        [bins, size] int16.
    """
    t = np.floor(times.astype(np.float64) * scale + SLACK)
    out = np.zeros((bins, size), np.int16)
    for k in range(bins):
        edge = start + k * stride
        np.add.at(out[k], units[(t >= edge) & (t < edge + width)].astype(np.int64), 1)
    return out


def count_frames_reference(units: np.ndarray, count: int, stride: int, bins: int, size: int) -> np.ndarray:
    """Count the events k stride to k stride + count into frame k; return [bins, size] int16."""
    return np.stack([np.bincount(units[k * stride :][:count], minlength=size) for k in range(bins)]).astype(np.int16)


def voxels_reference(times: np.ndarray, units: np.ndarray, scale: float, bins: int, pixels: int) -> np.ndarray:
    """Share each event between two bins (Zhu et al. 2019, arXiv 1812.08156, the event volume).

    An event at the fraction s of the recording lies at s bins and gives its sign to the two bins next to that, in
    proportion; the part past the last bin is dropped.

    Returns:
        [bins, pixels] float64.
    """
    t = np.floor(times.astype(np.float64) * scale + SLACK)
    out = np.zeros((bins + 2, pixels))
    if t.size:
        at = bins * (t - t[0]) / max(t[-1] - t[0], 1)
        k = at.astype(np.int64)
        sign = np.where(units >= pixels, 1.0, -1.0)
        # All the left parts, then all the right ones: sums of floats depend on their order.
        np.add.at(out, (k, units % pixels), sign * (1.0 - (at - k)))
        np.add.at(out, (k + 1, units % pixels), sign * (at - k))
    return out[:bins]
