"""Still images before an emulated event camera, which moves in three saccades, as N-MNIST was recorded."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..base.errors import require
from .camera import EventCamera
from .spikes import Spikes

# Offsets of the image, pixels x and y, at the corners of its way: the triangle of N-MNIST.
CORNERS = ((0.0, 0.0), (3.5, 7.0), (7.0, 0.0), (0.0, 0.0))
REACH = 7
# Pixels of the sensor beyond the image, together on both sides, and samples of a scene per pixel.
MARGIN = 6
ZOOM = 2
MAX_SIDE = 512


@dataclass(frozen=True)
class ImageCamera:
    """Settings of recordings of images.

    Attributes:
        side: pixels of the sensor that the longer side of an image fills; the sensor has 6 more.
        contrast: white is `1 + contrast` times as bright as black; > 0.
        saccade: duration of each of the three, s; 0.02 to 1.
        step: time between frames of the film, s; at most a tenth of a saccade.
        seed: key of the pattern of the sensor and of the noise of every recording.
        camera: the event camera.
    """

    side: int = 28
    contrast: float = 4.0
    saccade: float = 0.105
    step: float = 0.0025
    seed: int = 0
    camera: EventCamera = field(default_factory=EventCamera)

    def __post_init__(self) -> None:
        require(1 <= self.side <= MAX_SIDE, "images.side", f"must be 1 to {MAX_SIDE} pixels", self.side)
        require(0 < self.contrast <= 1e6, "images.contrast", "must be > 0, at most a million", self.contrast)
        require(0.02 <= self.saccade <= 1, "images.saccade", "must be 0.02 to 1 s", self.saccade)
        require(0 < self.step <= self.saccade / 10, "images.step", "must be > 0 s, at most saccade / 10", self.step)
        require(0 <= self.seed < 2**63, "images.seed", "must be 0 to 2^63 - 1", self.seed)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return (polarities, height, width) of the sensor."""
        return 2, self.side + MARGIN, self.side + MARGIN

    def record(self, image: NDArray[np.uint8], index: int) -> Spikes:
        """Return the recording of an image [height, width] of grey levels, 255 the brightest.

        The image lies in the middle of a square, which its edges fill up.

        Args:
            image: grey levels.
            index: key of the noise: an image can be recorded many times.
        """
        from ..kernels.io.camera.cpu import pan

        x, y = way(self.saccade, self.step)
        sensor = self.side + MARGIN
        frames = np.empty((len(x), sensor, sensor))
        # The image moves right if the camera looks further left.
        pan(self._scene(image), (REACH - y) * ZOOM, (REACH - x) * ZOOM, ZOOM, frames)
        return self.camera.see(frames, self.step, self.seed, index)

    def _scene(self, image: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return [samples, samples] log-light, 0 for black."""
        longer = max(image.shape)
        samples = (self.side + MARGIN + REACH) * ZOOM + 2
        # Pixels of the image between two samples, and the place of each sample on its longer side.
        pitch = longer / (self.side * ZOOM)
        at = (np.arange(samples) - (samples - 1) / 2) * pitch
        rows, columns = (area_weights(at + (size - 1) / 2, size, pitch) for size in image.shape)
        scene = np.log1p(self.contrast * (rows @ image @ columns.T) / 255.0)
        # Logarithms and matrix products differ in their last bits between processors; recordings must not.
        return np.rint(scene * 65536.0) / 65536.0


def way(saccade: float, step: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return [frames] x and y of the image in pixels; each saccade starts and ends at rest, with minimum jerk.

    Minimum jerk: Flash and Hogan 1985, J. Neuroscience 5:1688. The rate of events of N-MNIST has the same course.

    Args:
        saccade: duration of each, s.
        step: between frames, s.
    """
    frames = round(3 * saccade / step) + 1
    time = np.linspace(0.0, 3.0, frames)
    # Number of the saccade, and the fraction u of its duration; minimum jerk moves by 10 u^3 - 15 u^4 + 6 u^5.
    number = np.minimum(time.astype(int), 2)
    u = time - number
    done = u * u * u * (10.0 - 15.0 * u + 6.0 * u * u)
    corners = np.array(CORNERS).T
    x, y = corners[:, number] + (corners[:, number + 1] - corners[:, number]) * done
    return x, y


def area_weights(at: NDArray[np.float64], size: int, pitch: float) -> NDArray[np.float64]:
    """Return [samples, size] linear interpolation at places of an axis, over `pitch` pixels where that is more."""
    inside = np.clip(at, 0, size - 1)
    weights = np.maximum(1.0 - np.abs(inside[:, None] - np.arange(size)) / max(pitch, 1.0), 0.0)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))
