"""Recordings of cameras that are larger than memory, as consecutive windows for a simulation."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import final

import numpy as np
from numpy.typing import NDArray

from ..download import digest
from ..read_report import ReadReport
from ..spikes import Spikes, seconds_of_start
from .formats import ReadOptions
from .pieces import EventPieces

# Windows end at multiples of 1 / GRID s: a power of two, so that any number of them joins exactly.
GRID = 1024


@final
class LargeRecording:
    """The recording of a camera in a file; each iteration reads it anew and yields windows with times from their start.

    Memory holds a window, of one megabyte of the file or of 1 / `GRID` s. On construction the file is read once, for
    its duration and the number of its events.

    Attributes:
        shape: of the sensor, after the filters.
        size: number of units.
        duration: s, up to the last event.
        report: how the file was read.
    """

    def __init__(self, path: str | os.PathLike[str], options: ReadOptions) -> None:
        """Read a file once.

        Raises:
            NeurosimError: as `EventPieces`.
        """
        self.path = os.fspath(path)
        self._pieces = EventPieces(path, options)
        self._zero = 0.0
        self._events = 0
        self._first: float | None = None
        last = 0.0
        for piece in self._pieces:
            if not len(piece):
                continue
            if self._first is None:
                self._first = float(piece.times[0])
            last = float(piece.times[-1])
            self._events += len(piece)
        self.shape = self._pieces.shape
        self.size = math.prod(self.shape)
        self.duration = last
        self.report: ReadReport = self._pieces.report

    def __len__(self) -> int:
        """Return the number of events."""
        return self._events

    @property
    def first(self) -> float | None:
        """Time of the first event, s; None without events."""
        return None if self._first is None else self._first - self._zero

    def starting(self, start: float | str | None = None) -> LargeRecording:
        """Return the events from `start` on, as `Spikes.starting`."""
        first = self.first or 0.0
        if start is None:
            start = "first" if self.report.clocked else "file"
        start = seconds_of_start(start, first)
        if start == 0:
            return self
        moved = object.__new__(LargeRecording)
        vars(moved).update(vars(self))
        moved._zero = self._zero + start
        moved.duration = max(self.duration - start, 0.0)
        moved.report = replace(self.report, start=self.report.start + start)
        if start > first:
            # The file is read once to count the events that are left: `len` must be right before the first window.
            moved._events = 0
            moved._first = None
            for piece in self._pieces:
                begin = int(np.searchsorted(piece.times, moved._zero))
                moved._events += len(piece) - begin
                if moved._first is None and begin < len(piece):
                    moved._first = float(piece.times[begin])
        return moved

    def __iter__(self) -> Iterator[Spikes]:
        """Yield windows, the last of which ends behind the last event.

        Raises:
            NeurosimError: as `EventPieces`.
        """
        times: NDArray[np.float64] = np.empty(0)
        units: NDArray[np.int32] = np.empty(0, np.int32)
        # End of the windows so far, in 1 / GRID s.
        done = 0
        for piece in self._pieces:
            if not len(piece):
                continue
            begin = int(np.searchsorted(piece.times, self._zero))
            times = np.concatenate([times, piece.times[begin:] - self._zero])
            units = np.concatenate([units, piece.units[begin:]])
            end = math.floor(times[-1] * GRID) if len(times) else done
            if end > done:
                cut = int(np.searchsorted(times, end / GRID))
                yield self._window(times[:cut], units[:cut], done, end)
                times = times[cut:]
                units = units[cut:]
                done = end
        if len(times):
            yield self._window(times, units, done, math.floor(times[-1] * GRID) + 1)

    def facts(self) -> dict[str, object]:
        """Return the digest of the file and the number of events, for the manifest of a run."""
        return {"file_digest": digest(Path(self.path), "sha256:"), "events": len(self)}

    def _window(self, times: NDArray[np.float64], units: NDArray[np.int32], begin: int, end: int) -> Spikes:
        return Spikes.unchecked(times - begin / GRID, units, self.size, (end - begin) / GRID, self.shape)
