"""One workspace that plays recordings: in windows of events and samples, in pieces short enough to be interrupted."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from ..compile.network import CompiledNetwork
from ..result import Work
from .probes import (
    BoundProbe,
    SampleWindow,
    open_window,
    window_end,
)
from .sinks import SpikeSink, StateSink
from .sources import EventSource
from .work import layers
from .workspace import Workspace

# Wall-clock seconds between two reports of progress, which is also how soon an interrupt is seen.
REPORT_EVERY = 0.1
FIRST_PIECE = 16  # steps


@dataclass(frozen=True, eq=False)
class Counters:
    """A workspace's counters at one moment."""

    tallies: list[NDArray[np.int64]]
    changes: NDArray[np.int64]
    drawn: NDArray[np.int64]

    def __sub__(self, before: Counters) -> Counters:
        tallies = [a - b for a, b in zip(self.tallies, before.tallies, strict=True)]
        return Counters(tallies, self.changes - before.changes, self.drawn - before.drawn)


class Runner:
    """Plays on one workspace.

    Attributes:
        workspace: where it plays.
        samplers: the probes.
    """

    def __init__(
        self,
        plan: CompiledNetwork,
        recorded: tuple[str, ...],
        samplers: Sequence[BoundProbe],
        count_updates: bool,
        threads: int = 1,
        bounded: bool = False,
    ) -> None:
        """bounded: samples are handed on in pieces of bounded size, for a sink that does not keep them."""
        self.plan, self.samplers, self.count_updates, self.bounded = plan, samplers, count_updates, bounded
        self.workspace = Workspace(plan, recorded, count_updates, threads)
        self.sources: Mapping[int, EventSource] = {}
        self.trial = 0
        self._window: SampleWindow | None = None
        # The steps at which the window, and the events that are being played, end.
        self._stop = self._events_end = 0

    @property
    def step(self) -> int:
        return self.workspace.step

    def begin(self, sources: Mapping[int, EventSource], trial: int) -> None:
        """Back to the initial state, to play these; the counters go on."""
        self.sources, self.trial, self._window = sources, trial, None
        self._stop = self._events_end = 0
        self.workspace.reset({}, self._no_probes(), [])

    def resume(self, arrays: Mapping[str, NDArray], step: int) -> None:
        """After `begin`: stand where a saved run stood."""
        self.workspace.restore(arrays, step)
        self._stop = self._events_end = 0

    def play(
        self, last: int, spikes: SpikeSink, states: StateSink, report: Callable[[int, int], None] | None = None
    ) -> None:
        """Run up to step `last`. All that was found up to the present step is in the sinks, whatever is raised.

        report: called now and then with the steps and the recorded spikes since the last call; may raise.
        """
        piece = FIRST_PIECE if report else last
        try:
            while self.step < last:
                if self._stop <= self.step:
                    self._hand_on(states)
                    self._open(last)
                began, steps = time.perf_counter(), min(piece, last - self.step, self._stop - self.step)
                self.workspace.advance(steps, self.trial)
                found = self.workspace.take_spikes()
                spikes.add(found)
                if report:
                    report(steps, sum(len(units) for _, units in found.values()))
                    spent = max(time.perf_counter() - began, 1e-6)
                    piece = 1 + int(steps * min(4.0, REPORT_EVERY / spent))
        finally:
            self._hand_on(states)

    def arrays(self) -> dict[str, NDArray]:
        """All that `resume` needs, copied."""
        kept = self.workspace.arrays()
        # Where the workspace stands in the events it was given, which no other will be given as they are.
        kept["cursors"][:] = 0
        return kept

    def count(self) -> Counters:
        """The counters as they stand."""
        workspace = self.workspace
        return Counters([tally.copy() for tally in workspace.tallies], workspace.changes.copy(), workspace.drawn.copy())

    def _open(self, last: int) -> None:
        """Events for the steps to come, and room for their samples."""
        workspace, first = self.workspace, self.step
        if self._events_end <= first:
            taken = {p: source.take(first, last) for p, source in self.sources.items()}
            self._events_end = min([stop for _, stop in taken.values()], default=2**31 - 1)
            workspace.play({p: found for p, (found, _) in taken.items()})
        self._stop = min(self._events_end, last)
        if self.samplers:
            if self.bounded:
                self._stop = min(self._stop, window_end(self.samplers, first))
            self._window = open_window(self.samplers, first, self._stop)
            workspace.sample(self._window.table, self._window.alive)

    def _hand_on(self, states: StateSink) -> None:
        """The samples of the window so far; the next step needs a new one."""
        filled, self._window, self._stop = self._window, None, 0
        if filled is not None:
            states.add(filled.filled(self.step))

    def warm_up(self) -> None:
        """One step, then everything as new: whatever a step compiles or loads is there before the clock starts."""
        workspace = self.workspace
        new = workspace.arrays()
        workspace.advance(1, 0)
        workspace.reset({}, self._no_probes(), [])
        workspace.restore(new, 0)

    def _no_probes(self) -> NDArray[np.int64]:
        return open_window([], 0, 0).table


def work(plan: CompiledNetwork, counts: Sequence[Counters], steps: int, count_updates: bool) -> Work:
    """The layers of all `counts` together, over `steps` in all."""
    counted = cast("Sequence[Workspace]", counts)  # of a workspace, only what `Count` has is looked at
    return Work(lambda: layers(plan, counted, steps, count_updates))
