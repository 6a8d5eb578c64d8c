"""Encoders of images and recordings for columns: each unit has an ON and an OFF input, so blank is evidence too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base.errors import require
from ...data.recordings import Recordings


def on_off_pixels(images: NDArray[Any], threshold: int | Sequence[int] = 100) -> NDArray[np.uint8]:
    """Return grey levels [n, height, width] as inputs [n, 1, 2 levels height width]: on above each threshold, then off.

    Args:
        threshold: grey level above which a pixel is on; several levels tell shades apart (a thermometer code), one
            plane each.

    Raises:
        NeurosimInputError: images of another form, or no threshold.
    """
    images = np.asarray(images)
    levels = np.atleast_1d(np.asarray(threshold))
    require(images.ndim == 3, "on_off_pixels.images", "must be [n, height, width]", images.shape)
    require(levels.ndim == 1 and levels.size > 0, "on_off_pixels.threshold", "must be one at least", threshold)
    return _both((images[:, None] > levels[:, None, None]).reshape(len(images), 1, -1))


def on_off_windows(
    recordings: Recordings, number: int = 3, duration: float = 0.315, min_spikes: int = 2
) -> NDArray[np.uint8]:
    """Return equal windows of time as inputs [n, number, 2 size]: units with `min_spikes` spikes, then the others.

    Args:
        duration: duration of all windows together, s; later spikes count in the last window.
    """
    return _both(_counts(recordings, number, np.full(len(recordings), duration)) >= min_spikes)


def on_off_spectrum(
    recordings: Recordings,
    number: int = 8,
    joined: int = 3,
    channels: int = 50,
    levels: tuple[float, ...] = (0.15, 0.4, 0.8, 1.5, 2.5, 4.0),
) -> NDArray[np.uint8]:
    """Return sounds as inputs [n, number, joined * 2 * len(levels) * channels], in windows that follow their duration.

    Neighbouring units are summed to `channels`; an ON input is on if the sum is above one of `levels` times the mean of
    the recording. Each frame holds `joined` successive windows; the next frame begins one window later.
    """
    require(joined >= 1, "on_off_spectrum.joined", "must be >= 1 windows", joined)
    require(1 <= channels <= recordings.size, "on_off_spectrum.channels", f"must be in 1..{recordings.size}", channels)
    # Unit u of n goes to channel floor(u channels / n).
    pooled = recordings.pool(np.arange(recordings.size) * channels // recordings.size, (channels,))
    counts = _counts(pooled, number + joined - 1, np.maximum(recordings.durations, 1e-9))
    mean = counts.mean(axis=(1, 2), keepdims=True)
    windows = _both(np.concatenate([counts > mean * level for level in levels], axis=2))
    # Frame f holds windows f .. f + joined - 1.
    return np.concatenate([windows[:, k : k + number] for k in range(joined)], axis=2)


def _counts(recordings: Recordings, number: int, durations: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return [recordings, number, units] spikes in windows of equal length; later spikes count in the last window."""
    require(number >= 1, "number", "must be >= 1 windows", number)
    times = recordings.ticks.astype(np.float64) * recordings.tick
    # Rounding makes t / d * n differ from t * (n / d), which window_counts uses, once in a million spikes.
    positions = times / np.repeat(durations, np.diff(recordings.offsets)) * number
    return replace(recordings, ticks=positions, tick=1.0).window_counts(np.arange(number + 1.0))


def _both(on: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return the ON inputs and behind them their complements, the OFF inputs."""
    return np.concatenate([on, ~on], axis=2).astype(np.uint8)
