"""How columns see images and recordings: frames in which as much is on as is off, so that blank counts as evidence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..errors import require
from ..spikes import Recordings


def ink(images: NDArray, threshold: int = 100) -> NDArray[np.uint8]:
    """[n, height, width] grey levels to [n, 1, 2 height width]: where there is ink, and where there is none."""
    images = np.asarray(images)
    require(images.ndim == 3, "ink.images", "must be [n, height, width]", images.shape)
    dark = (images > threshold).reshape(len(images), 1, -1)
    return np.concatenate([dark, ~dark], axis=2).astype(np.uint8)


def windows(recordings: Recordings, number: int = 3, duration: float = 0.315, at_least: int = 2) -> NDArray[np.uint8]:
    """Time windows of equal length to [n, number, 2 size]: units with `at_least` spikes, and the others.

    Args:
        duration: seconds all windows take together; what comes later counts in the last one.
    """
    return _both(_counts(recordings, number, np.full(len(recordings), duration)) >= at_least)


def spectrum(
    recordings: Recordings,
    number: int = 8,
    joined: int = 3,
    channels: int = 50,
    loud: tuple[float, ...] = (0.15, 0.4, 0.8, 1.5, 2.5, 4.0),
) -> NDArray[np.uint8]:
    """Sounds cut at their own pace, to [n, number, joined * 2 * len(loud) * channels].

    Neighbouring units are summed to `channels`; an input is on where the sum is above a multiple `loud` of the
    recording's mean. Each frame holds `joined` windows in a row, the next begins one window later.
    """
    require(joined >= 1, "spectrum.joined", "must be >= 1 windows", joined)
    require(1 <= channels <= recordings.size, "spectrum.channels", f"must be in 1..{recordings.size}", channels)
    pooled = recordings.pool(np.arange(recordings.size) * channels // recordings.size, (channels,))
    counts = _counts(pooled, number + joined - 1, np.maximum(recordings.durations, 1e-9))
    mean = counts.mean(axis=(1, 2), keepdims=True)
    each = _both(np.concatenate([counts > mean * level for level in loud], axis=2))
    return np.concatenate([each[:, k : k + number] for k in range(joined)], axis=2)


def _counts(recordings: Recordings, number: int, durations: NDArray[np.float64]) -> NDArray[np.float32]:
    """[recordings, number, units] spikes in windows of equal length; what comes after `durations` is in the last."""
    require(number >= 1, "number", "must be >= 1 windows", number)
    times = recordings.ticks.astype(np.float64) * recordings.tick
    # As columns always took them: t / d * n, which rounding tells from t * (n / d) once in a million spikes.
    positions = times / np.repeat(durations, np.diff(recordings.offsets)) * number
    return replace(recordings, ticks=positions, tick=1.0).window_counts(np.arange(number + 1.0))


def _both(on: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return np.concatenate([on, ~on], axis=2).astype(np.uint8)
