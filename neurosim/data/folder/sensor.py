"""The sensor that all recordings of a folder share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ...base.errors import NeurosimInputError
from ..spikes import Spikes

Shape = tuple[int, ...]
SHAPE = "data.options.shape"
ADVICE = f"give {SHAPE}, or keep one sensor in a folder"


def common_shape(recordings: Sequence[Spikes], names: Sequence[str]) -> Shape:
    """Return the shape of a sensor that holds all recordings.

    A file without a stated sensor is read with the smallest that holds its events. All files that state a sensor must
    state the same one.

    Args:
        recordings: in any shapes.
        names: of their files, for errors.

    Raises:
        NeurosimInputError: files that state different sensors, or one too small for the events of another.
    """
    rank = len(recordings[0].shape)
    for spikes, name in zip(recordings, names, strict=True):
        if len(spikes.shape) != rank:
            raise NeurosimInputError(_mixed(names[0], recordings[0].shape, name, spikes.shape))
    stated = {name: s.shape for s, name in zip(recordings, names, strict=True) if states_sensor(s)}
    largest = tuple(int(n) for n in np.max([spikes.shape for spikes in recordings], axis=0))
    if not stated:
        return largest
    # Rows and columns alone: a file that holds one polarity may be of a sensor with two.
    first, shape = next(iter(stated.items()))
    for name, other in stated.items():
        if other[-2:] != shape[-2:]:
            raise NeurosimInputError(_mixed(first, shape, name, other))
    for spikes, name in zip(recordings, names, strict=True):
        if any(n > m for n, m in zip(spikes.shape[-2:], shape[-2:], strict=True)):
            raise NeurosimInputError(_mixed(first, shape, name, spikes.shape))
    return largest


def states_sensor(spikes: Spikes) -> bool:
    """Return whether the file stated the shape: it is larger than the events need."""
    return spikes.shape != extent(spikes)


def extent(spikes: Spikes) -> Shape:
    """Return the smallest shape that holds all events, with all polarities of the sensor."""
    shape = spikes.shape
    sizes = [int(axis.max(initial=0)) + 1 for axis in spikes.coordinates()]
    if len(shape) == 3:
        return (shape[0], *sizes[1:])
    return tuple(sizes)


def place(spikes: Spikes, shape: Shape) -> Spikes:
    """Return the events in a larger sensor, whose corner (0, 0) is the same."""
    if spikes.shape == shape:
        return spikes
    units = np.ravel_multi_index(spikes.coordinates(), shape).astype(np.int32)
    return replace(spikes, units=units, size=math.prod(shape), shape=shape)


def _mixed(first: str, shape: Shape, name: str, other: Shape) -> str:
    return f"{first}: has a sensor {_text(shape)}, and {name} one {_text(other)}; {ADVICE}"


def _text(shape: Shape) -> str:
    return " x ".join(map(str, shape))
