"""Filters of the recordings of a camera: a cut-out, background activity, joined pixels and a refractory time."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..base.errors import require
from ..kernels.io.filters.reference import FilterSettings
from .read_report import ReadReport
from .spikes import Spikes

DROPPED = ("events outside the crop", "events without a recent neighbour", "events within the refractory time")


@dataclass(frozen=True)
class EventFilter:
    """Filters of the events of a camera, which act in the order of the attributes.

    Attributes:
        crop: (left, top, width, height) of the part of the sensor that remains, pixels as the file counts them; None:
            all of it.
        noise_filter: s; an event passes if one of its eight neighbours had one at most this long ago, which removes
            background activity and hot pixels. None: all pass.
        downsample: number of rows, and of columns, that become one; all their events remain.
        refractory: s; a pixel, after `downsample`, is silent this long after an event that passed. None: 0.
    """

    crop: tuple[int, int, int, int] | None = None
    noise_filter: float | None = None
    downsample: int | None = None
    refractory: float | None = None

    def __post_init__(self) -> None:
        if self.crop is not None:
            fits = len(self.crop) == 4 and min(self.crop[:2]) >= 0 and min(self.crop[2:]) > 0
            require(fits, "crop", "must be left, top, width, height, in pixels", self.crop)
        for name in ("noise_filter", "refractory"):
            seconds = getattr(self, name)
            require(seconds is None or 0 < seconds < math.inf, name, "must be > 0 s", seconds)
        factor = self.downsample
        require(factor is None or factor >= 1, "downsample", "must be at least 1 pixel", factor)

    def __bool__(self) -> bool:
        return any(value is not None for value in vars(self).values())

    def apply(self, spikes: Spikes) -> Spikes:
        """Return the recording with the events that pass; the report counts the others.

        Raises:
            NeurosimInputError: as `start`.
        """
        if not self:
            return spikes
        return self.start(spikes.shape).apply(spikes)

    def start(self, shape: tuple[int, ...]) -> FilterState:
        """Return the state of the filters before the first event of a sensor.

        Raises:
            NeurosimInputError: a sensor without rows and columns, or a cut-out beyond it.
        """
        is_camera = len(shape) in (2, 3)
        require(is_camera, "crop, noise_filter, downsample, refractory", "need the recording of a camera", shape)
        height, width = shape[-2:]
        left, top, columns, rows = self.crop or (0, 0, width, height)
        inside = left + columns <= width and top + rows <= height
        require(inside, "crop", f"must lie inside {width} x {height} pixels", self.crop)
        settings = FilterSettings(
            sensor_height=height,
            sensor_width=width,
            top=top,
            left=left,
            height=rows,
            width=columns,
            factor=self.downsample or 1,
            support=float(self.noise_filter or 0.0),
            refractory=float(self.refractory or 0.0),
        )
        return FilterState(settings, shape)


class FilterState:
    """Filters in the course of a recording that comes in pieces.

    Attributes:
        shape: of the sensor after the filters.
        tally: [3] numbers of events that were dropped, as in `DROPPED`.
    """

    def __init__(self, settings: FilterSettings, shape: tuple[int, ...]) -> None:
        self.settings = settings
        rows = -(-settings.height // settings.factor)
        columns = -(-settings.width // settings.factor)
        self.shape = (*shape[:-2], rows, columns)
        # Only the filter that reads it needs a time for each pixel.
        size = (settings.height + 2, settings.width + 2) if settings.support else (1, 1)
        self._seen = np.full(size, -np.inf)
        self._passed = np.full(rows * columns if settings.refractory else 1, -np.inf)
        self.tally: NDArray[np.int64] = np.zeros(len(DROPPED), np.int64)

    def dropped(self) -> dict[str, int]:
        """Return the numbers of events that were dropped, by filter, without those that are 0."""
        return {name: int(number) for name, number in zip(DROPPED, self.tally, strict=True) if number}

    def apply(self, spikes: Spikes) -> Spikes:
        """Return the events of the next piece that pass."""
        from ..kernels.io.filters.cpu import filter_events

        before = self.dropped()
        times = np.empty(len(spikes), np.float64)
        units = np.empty(len(spikes), np.int32)
        count = filter_events(
            spikes.times, spikes.units, self.settings, self._seen, self._passed, self.tally, times, units
        )
        report = spikes.report
        dropped = {name: number - before.get(name, 0) for name, number in self.dropped().items()}
        dropped = {name: number for name, number in dropped.items() if number}
        if dropped:
            # Recordings of this package have no report, and no clock of a camera.
            report = report or ReadReport("", clocked=False)
            report = replace(report, skipped={**report.skipped, **dropped})
        size = math.prod(self.shape)
        return Spikes.unchecked(times[:count], units[:count], size, spikes.duration, self.shape, report)
