"""Spikes as pixels: event frames, rasters and channel-by-time pictures, all over a transparent ground."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...data.spikes import Spikes
from .png import tint

Colour = tuple[int, int, int]
# Mid-tones that stand on white and on near-black; orange and blue differ for every kind of colour vision.
ON: Colour = (222, 120, 20)
OFF: Colour = (62, 138, 205)
SPIKE: Colour = (126, 100, 200)
SOUND: Colour = (40, 140, 160)

# Width and height of a dot in a raster of which less than this share is dots.
DOTS = ((0.01, (3, 2)), (0.05, (2, 1)))
MIN_ROWS = 60  # of a raster with dots of more than one row

Pixels = NDArray[np.uint8]


class Plane(NamedTuple):
    """The pixels of an event camera."""

    polarities: int
    height: int
    width: int


def plane(shape: tuple[int, ...]) -> Plane | None:
    """Return the pixels of an event camera's shape, or None if the sensor is not a camera."""
    if len(shape) == 2:
        return Plane(1, *shape)
    if len(shape) == 3 and shape[0] in (1, 2):
        return Plane(*shape)
    return None


def polarity_legend(camera: Plane | None) -> list[tuple[str, str]]:
    """Return (CSS colour, meaning) of ON and OFF, none for a sensor without polarities."""
    if camera is None or camera.polarities != 2:
        return []
    return [("var(--on)", "ON: brighter"), ("var(--off)", "OFF: darker")]


def frame(spikes: Spikes, row_0: str = "top") -> Pixels:
    """Return [height, width, 4]: the hue is the balance of ON and OFF events, the opacity their number.

    The polarity axis holds OFF, then ON, as in N-MNIST.

    Args:
        row_0: where the picture has row 0 of the sensor, "top" or "bottom".
    """
    pixels = frame_of_counts(spikes.counts(), spikes.shape)
    if row_0 == "bottom":
        return pixels[::-1]
    return pixels


def frame_of_counts(counts: NDArray[np.int64], shape: tuple[int, ...]) -> Pixels:
    """Return the picture of `frame` for numbers of events of each unit."""
    polarities, height, width = plane(shape) or Plane(1, 1, len(counts))
    return balance(counts.reshape(polarities, height, width).astype(np.float64))


def balance(counts: NDArray[np.float64]) -> Pixels:
    """Return [..., 4] pixels of counts [polarities, ...]: the hue is the balance of ON and OFF, the opacity the sum."""
    on = counts[-1]
    off = counts[0] if len(counts) == 2 else np.zeros_like(on)
    total = on + off
    pixels = tint(_opacity(total), ON)
    # Share of ON: 1 is orange, 0 is blue, between them a mixture.
    share = np.divide(on, total, out=np.zeros_like(on), where=total > 0)[..., None]
    pixels[..., :3] = np.round(share * ON + (1 - share) * OFF)
    return pixels


def raster(spikes: Spikes, rows: int, columns: int) -> Pixels:
    """Return [rows, columns, 4]: time to the right, units upwards from 0; ON above OFF if there are two polarities."""
    rows = min(rows, spikes.size)
    grid = _visible(_grid(spikes, rows, columns))
    # One spike is a visible dot; many in one dot are darker, up to opaque.
    pixels = tint(np.where(grid > 0, np.minimum(0.6 + 0.15 * grid, 1.0), 0.0), SPIKE)
    camera = plane(spikes.shape)
    if camera and camera[0] == 2:
        # Units count polarity first: OFF is the lower half of the units, and of the picture.
        boundary = rows // 2
        pixels[:boundary, :, :3] = ON
        pixels[boundary:, :, :3] = OFF
    return pixels


def channels(spikes: Spikes, rows: int, columns: int) -> Pixels:
    """Return [rows, columns, 4]: events of each band of channels in each window of time, channel 0 at the foot."""
    return tint(_opacity(_grid(spikes, min(rows, spikes.size), columns)), SOUND)


def _grid(spikes: Spikes, rows: int, columns: int) -> NDArray[np.float64]:
    """Return [rows, columns] events, unit 0 in the last row."""
    span = spikes.duration or 1.0
    column = np.minimum((spikes.times / span * columns).astype(np.int64), columns - 1)
    # Pixels count from the top, units from the foot.
    row = rows - 1 - spikes.units.astype(np.int64) * rows // spikes.size
    flat = np.bincount(row * columns + column, minlength=rows * columns)
    return flat.reshape(rows, columns).astype(np.float64)


def _visible(grid: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a raster with larger dots where there are few: a single pixel of a chart is hard to see."""
    share = np.count_nonzero(grid) / grid.size
    wide, high = next((size for limit, size in DOTS if share < limit), (1, 1))
    if len(grid) < MIN_ROWS:  # a row is several pixels high there
        high = 1
    # A maximum over shifted copies widens every dot to wide x high pixels.
    padded = np.pad(grid, [((n - 1) // 2, n // 2) for n in (high, wide)])
    shifted = [padded[y : y + len(grid), x : x + grid.shape[1]] for y in range(high) for x in range(wide)]
    return np.asarray(np.max(shifted, axis=0))


def _opacity(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the square root of counts relative to a high one: single events stay visible beside busy pixels."""
    busy = counts[counts > 0]
    # One hot pixel must not make all others pale.
    top = np.quantile(busy, 0.98) if busy.size else 1.0
    return np.sqrt(np.minimum(counts / top, 1.0))
