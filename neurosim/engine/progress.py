"""Progress of a run, passed on to the caller."""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import Enum

from .result import Progress


class Status(Enum):
    """State of a simulation; the value completes "the simulation ..."."""

    RUNNING = "is running"
    CLOSED = "was closed"
    LOST = "has lost what a file did not take"
    OVERFLOWED = "has overflowed"


class ProgressReporter:
    """Sum of the pieces of a run, passed on as `Progress`.

    Args:
        on_progress: called at every report; None: nobody.
        total: s of biological time to run.
        started: `time.perf_counter()` at the start of the run.
    """

    def __init__(self, on_progress: Callable[[Progress], object] | None, total: float, started: float) -> None:
        self.on_progress = on_progress
        self.total = total
        self.started = started
        self.done = 0.0
        self.spikes = 0

    def __call__(self, done: float, spikes: int) -> None:
        """Report `done` more seconds of biological time with `spikes` more spikes."""
        self.done += done
        self.spikes += spikes
        if self.on_progress is not None:
            self.on_progress(Progress(self.done, self.total, self.spikes, time.perf_counter() - self.started))
